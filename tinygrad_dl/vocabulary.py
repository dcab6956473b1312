"""What PyTorch, Keras, NumPy and scikit-learn call things, and what they are called here.

One table, read by two: `docs/coming_from.py` writes the page *Coming from ...* from it, and an unknown name is answered
from it: `x.view(6)` raises "Tensor.view: use x.reshape(2, 3)". Nothing is loaded before a name is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table: an expression there, the expression for it here, and a remark."""

    there: str
    here: str = ""
    note: str = ""


ONE_DEVICE = "there is one device, the CPU; leave the call out"
VALUES = "Tensors are values: an assignment gives the name a new one"
UPDATE = "parameters inside of tg.no_grad()"

TABLE: dict[str, dict[str, list[Row]]] = {
    "PyTorch": {
        "Creating Tensors": [
            Row("torch.tensor([1.0, 2.0])", "tg.Tensor([1.0, 2.0])", "copies arrays"),
            Row("torch.from_numpy(a), torch.as_tensor(a)", "tg.asarray(a)", "shares the memory of the array"),
            Row("torch.FloatTensor([1, 2])", 'tg.Tensor([1, 2], dtype="float32")'),
            Row("torch.LongTensor([1, 2])", "tg.Tensor([1, 2])", "integers stay int64"),
            Row("torch.zeros(2, 3), torch.ones(2, 3)", "tg.{name}((2, 3))", "the shape is one argument"),
            Row(
                "torch.randn(2, 3), torch.rand(2, 3)",
                "tg.{name}((2, 3))",
                "also in tg.random; rng= is a generator",
            ),
            Row("torch.randint(0, 10, (5,)), torch.randperm(10)", "the same"),
            Row("torch.randn_like(x), torch.rand_like(x)", "tg.randn(x.shape)"),
            Row("torch.normal(0.0, 1.0, (5,))", "tg.random.normal(0.0, 1.0, (5,))"),
            Row("torch.multinomial(p, 3)", "tg.random.multinomial(p, 3)"),
            Row("torch.bernoulli(p)", "tg.random.bernoulli(p)"),
            Row(
                "torch.empty(2, 3, requires_grad=True)",
                "tg.zeros((2, 3)).requires_grad_()",
                "creation functions have no requires_grad=",
            ),
        ],
        "Shapes": [
            Row("x.view(2, 3)", "x.reshape(2, 3)"),
            Row("x.view_as(y), x.reshape_as(y)", "x.reshape(y.shape)"),
            Row("x.size(0)", "x.shape[0]", "`x.size` is the number of elements, as in NumPy"),
            Row("x.numel(), x.nelement()", "x.size"),
            Row("x.dim(), x.ndimension()", "x.ndim", "an attribute, not a method"),
            Row("x.unsqueeze(0)", "tg.expand_dims(x, axis=0)", "or x[None]"),
            Row("x.permute(2, 0, 1)", "x.transpose(2, 0, 1)", "or tg.permute_dims(x, (2, 0, 1))"),
            Row(
                "x.transpose(0, 1), x.swapdims(0, 1)",
                "x.swapaxes(0, 1)",
                "`x.transpose` permutes all axes, as in NumPy",
            ),
            Row("x.unflatten(1, (2, 3))", "x.reshape(len(x), 2, 3)"),
            Row("x.t_(), x.squeeze_(), x.unsqueeze_(0), x.transpose_(0, 1)", "x = x.T", VALUES),
            Row("x.t()", "x.T"),
            Row("x.flatten(1)", "x.reshape(len(x), -1)", "`x.flatten()` takes no axis; nn.Flatten does"),
            Row("x.expand(4, -1), x.expand_as(y)", "tg.broadcast_to(x, y.shape)", "-1 is not taken"),
            Row("x.repeat(2, 1)", "tg.tile(x, (2, 1))", "`x.repeat` repeats elements, as in NumPy"),
            Row("x.repeat_interleave(2, dim=0)", "x.repeat(2, axis=0)"),
            Row("torch.cat([a, b], dim=1)", "tg.concat([a, b], axis=1)"),
            Row("torch.vstack([a, b]), torch.hstack([a, b])", "tg.concat([a, b], axis=0)", "or axis=1"),
            Row("x.chunk(3), torch.chunk(x, 3)", "tg.split(x, 3)", "equal parts, or the indices of the cuts"),
            Row("x.unbind(0), torch.unbind(x)", "tg.unstack(x)"),
            Row("x.movedim(0, 2), torch.movedim(x, 0, 2)", "tg.moveaxis(x, 0, 2)"),
            Row("x.contiguous(), x.is_contiguous()", "", "not needed: operations take any memory layout"),
        ],
        "Elements": [
            Row("x.select(0, 1), x.narrow(0, 1, 2)", "x[1:3]"),
            Row("x.gather(1, index), torch.gather(x, 1, index)", "tg.take_along_axis(x, index, axis=1)"),
            Row("x.index_select(0, index), torch.index_select(x, 0, index)", "tg.take(x, index, axis=0)"),
            Row("x.masked_fill(mask, 0.0)", "tg.where(mask, 0.0, x)"),
            Row(
                "x.masked_fill_(mask, 0.0), x.index_fill_(0, i, 0.0), x.index_copy_(0, i, v)",
                "x[i] = 0",
                VALUES,
            ),
            Row("x.take_along_dim(index, 1)", "tg.take_along_axis(x, index, axis=1)"),
            Row("x.masked_select(mask)", "x[mask]"),
            Row("x.scatter_(1, index, v), x.index_put_(i, v)", "x[i] = v", VALUES),
            Row(
                "x.topk(3), torch.topk(x, 3)",
                "tg.argsort(x, axis=-1, descending=True)[..., :3]",
                "the indices; take_along_axis gives the values",
            ),
            Row("x.max(dim=1).values", "x.max(axis=1)", "values only; x.argmax(axis=1) has the indices"),
            Row("x.amax(1), x.amin(1)", "x.max(axis=1)", "or x.min"),
            Row("x.sort().values", "x.sort()", "values only; tg.argsort(x) has the indices"),
            Row(
                "x.nonzero()", "np.argwhere(x.data)", "`x.nonzero()` is a tuple of index arrays, as in NumPy"
            ),
            Row("x.cumsum(0)", "x.cumsum(axis=0)", "also tg.cumulative_sum"),
            Row("x.clamp(0, 1), torch.clamp(x, 0, 1)", "x.clip(0, 1)"),
            Row("x.std()", "x.std(correction=1)", "the default divides by n, as in NumPy; so does x.var"),
            Row("x.norm(), torch.norm(x)", "tg.linalg.norm(x)"),
            Row("x.pow(2)", "x**2"),
            Row("x.clamp_min(0), x.clamp_max(1)", "x.clip(min=0)"),
            Row("x.eq(y), x.ne(y)", "x == y, x != y"),
            Row("x.gt(y), x.ge(y), x.lt(y), x.le(y)", "x > y, x >= y, x < y, x <= y"),
            Row("x.allclose(y)", "np.allclose(x, y)"),
            Row("x.equal(y)", "np.array_equal(x, y)"),
            Row("x.unique()", "tg.unique_values(x)"),
            Row("x.nan_to_num()", "np.nan_to_num(x)"),
            Row("x.rsqrt()", "1 / tg.sqrt(x)"),
            Row("x.lerp(y, w)", "x + w * (y - x)"),
            Row(
                "x.floor(), x.ceil(), x.trunc(), x.sign(), x.tan(), x.sinh(), x.cosh(), x.asin(), x.acos(), x.atan(), "
                "x.erf(), x.exp2(), x.log2(), x.log10(), x.reciprocal(), x.isnan(), x.isinf(), x.isfinite(), "
                "x.flip(0), x.roll(1), x.tile(2), x.split(2), x.outer(y), x.tril(), x.triu(), x.diag(), x.diagonal(), "
                "x.median(), x.trace(), x.maximum(y), x.minimum(y), x.acosh(), x.asinh(), x.atanh(), x.atan2(y), "
                "x.hypot(y), x.angle(), x.copysign(y), x.signbit(), x.cross(y), x.kron(y), x.diff(), x.quantile(0.5), "
                "x.isclose(y), x.logical_and(y), x.logical_or(y), x.logical_xor(y), x.logical_not(), x.logaddexp(y), "
                "x.bitwise_and(y), x.bitwise_or(y), x.bitwise_xor(y), x.floor_divide(y), x.remainder(y), "
                "x.count_nonzero(), x.moveaxis(0, 1), x.broadcast_to(shape)",
                "tg.{name}(x)",
                "not every function is a method",
            ),
            Row("x.add(y), x.sub(y), x.mul(y), x.div(y), x.neg()", "x + y, x - y, x * y, x / y, -x"),
        ],
        "Products": [
            Row("torch.mm(a, b), torch.bmm(a, b), a.mm(b)", "a @ b"),
            Row("x.mm(y), x.bmm(y), x.mv(y), x.matmul(y)", "x @ y"),
            Row("torch.addmm(c, a, b)", "c + a @ b"),
            Row("x.addmm(a, b), x.addmv(a, b), x.baddbmm(a, b)", "x + a @ b"),
            Row("x.addcmul(a, b), x.addcdiv(a, b)", "x + a * b", "or x + a / b"),
            *[
                Row(f"x.{name}()", f"tg.linalg.{name}(x)")
                for name in ("det", "slogdet", "svd", "qr", "cholesky")
            ],
            Row("x.matrix_power(2)", "tg.linalg.matrix_power(x, 2)"),
            Row("x.inverse(), x.pinverse()", "tg.linalg.inv(x)", "or tg.linalg.pinv"),
            Row("torch.einsum('ij,jk->ik', a, b)", "tg.einsum('ij,jk->ik', a, b)"),
        ],
        "Arguments of functions": [
            Row("dim=1", "axis=1", "in functions of Tensors; nn and nn.functional take dim, as in PyTorch"),
            Row("keepdim=True", "keepdims=True"),
            Row("unbiased=True", "correction=1"),
            Row("generator=g", "rng=g", "a np.random.Generator or a seed"),
            Row("requires_grad=True", ".requires_grad_()", "of the result; tg.Tensor has the argument"),
            Row("collate_fn=f", "collate=f", "in DataLoader"),
            Row("criterion=nn.MSELoss()", "loss=nn.MSELoss()", "in Trainer"),
            Row("lr=0.1", "optim.Adam(model.parameters(), lr=0.1)", "an argument of the optimizer"),
            Row("input_size=(1, 4)", "model.summary((1, 4))"),
            Row(
                "non_blocking=True, pin_memory=True, num_workers=4",
                "",
                "leave it out: everything is in memory",
            ),
        ],
        "Dtypes and devices": [
            Row(
                "x.float(), x.double(), x.half()",
                'x.astype("float32"), x.astype("float64"), x.astype("float16")',
            ),
            Row("x.long(), x.int(), x.bool()", 'x.astype("int64"), x.astype("int32"), x.astype("bool")'),
            Row(
                "x.to(torch.float64), x.type(torch.float64), x.type_as(y)",
                "x.astype(tg.float64)",
                "there is one device, the CPU: leave out moves to others",
            ),
            Row("x.short(), x.char(), x.byte()", 'x.astype("int16"), x.astype("int8"), x.astype("uint8")'),
            Row("x.is_floating_point(), x.is_complex()", 'x.dtype.kind == "f"', 'or "c"'),
            Row("x.element_size()", "x.itemsize"),
            Row(
                "x.new_zeros(2), x.new_ones(2), x.new_empty(2), x.new_full((2,), 1), x.new_tensor([1])",
                "tg.zeros((2,), dtype=x.dtype)",
                "the other creation functions take dtype=, too",
            ),
            Row("x.cuda(), x.cpu(), x.is_cuda", "", ONE_DEVICE),
            Row("x.get_device(), x.is_cpu, x.pin_memory(), x.share_memory_()", "", ONE_DEVICE),
            Row("torch.device('cuda'), torch.cuda.is_available()", "", ONE_DEVICE),
            Row(
                "torch.long, torch.float, torch.double, torch.half",
                "tg.int64, tg.float32, tg.float64, tg.float16",
            ),
            Row("torch.set_default_tensor_type(t)", 'tg.set_default_dtype("float64")'),
        ],
        "Gradients": [
            Row("x.detach().cpu().numpy()", "x.numpy()", "also x.data; both are NumPy arrays"),
            Row("x.clone()", "x.copy()", "recorded, as in PyTorch"),
            Row("x.zero_(), x.fill_(0), x.copy_(y)", "x[...] = 0", UPDATE),
            Row("x.add_(y), x.sub_(y), x.mul_(y), x.div_(y)", "x += y, x -= y, x *= y, x /= y", UPDATE),
            Row("x.clamp_(0, 1)", "x = x.clip(0, 1)", VALUES),
            Row(
                "x.exp_(), x.log_(), x.sqrt_(), x.square_(), x.abs_(), x.neg_(), x.pow_(2), x.sin_(), x.cos_(), "
                "x.tanh_(), x.sigmoid_(), x.relu_(), x.floor_(), x.ceil_(), x.round_(), x.sign_(), x.reciprocal_(), "
                "x.rsqrt_(), x.tril_(), x.triu_(), x.clip_(0, 1)",
                "x = tg.exp(x)",
                "likewise the other functions: no operation works in place",
            ),
            Row("x.lerp_(y, w), x.addcmul_(a, b), x.addcdiv_(a, b), x.addmm_(a, b)", "x += y", UPDATE),
            Row("x.detach_()", "x = x.detach()", VALUES),
            Row("x.uniform_(), x.normal_()", "nn.init.normal_(x)"),
            Row("x.random_(0, 10)", "x = tg.randint(0, 10, x.shape)", VALUES),
            Row("x.bernoulli_(0.5)", "x = tg.random.bernoulli(p)", VALUES),
            Row("x.grad_fn", "tg.draw(x)", "draws the graph; x.node is its last node"),
            Row("x.retains_grad", "x.retain_grad()"),
            Row("torch.inference_mode(), torch.set_grad_enabled(False)", "tg.no_grad()"),
            Row("torch.autograd.gradcheck(f, inputs)", "tg.testing.gradcheck(f, inputs)"),
            Row("eps=1e-6, fast_mode=True", "step=1e-6, fast=True", "an argument of gradcheck"),
            Row("torch.autograd.Function", "@tg.op", "a forward and one rule per input"),
            Row("torch.vmap(f), torch.vjp(f, x)", "tg.func.vjp(f, x)", "the transformations are in tg.func"),
            Row("torch.jit.script(f)", "tg.compile(f)"),
            Row("torch.Generator()", "np.random.default_rng(0)"),
            Row("torch.seed()", "tg.manual_seed(0)"),
        ],
        "Training": [
            Row("torch.utils.data.DataLoader(dataset, 32)", "data.DataLoader(dataset, 32)"),
            Row("torch.utils.data.TensorDataset(x, y)", "data.TensorDataset(x, y)"),
            Row("random_split(dataset, [80, 20])", "data.split(dataset, [80, 20])"),
            Row("model.load(path)", "model.load_state_dict(tg.load(path))", "or tg.load_model(path)"),
            Row("torch.save(model.state_dict(), 'model.pt')", 'tg.save(model, "model.safetensors")'),
            Row(
                "torch.load('model.pt')",
                'tg.load("model.safetensors")',
                "files are safetensors, never pickle",
            ),
            Row("torch.onnx.export(model, (x,), path)", "tg.onnx.export(model, x, path)"),
            Row("F.relu_(x)", "F.relu(x)", "no operation works in place"),
            Row("model.cuda(), model.cpu()", "", ONE_DEVICE),
            Row("nn.DataParallel(model)", "", ONE_DEVICE),
        ],
    },
    "Keras": {
        "Layers": [
            Row(
                "layers.Dense(10, activation='relu')",
                "nn.Sequential(nn.Linear(8, 10), nn.ReLU())",
                "layers take the number of inputs too; nn.LazyLinear(10) finds it out",
            ),
            Row("layers.Conv2D(16, 3)", "nn.Conv2d(3, 16, 3)", "images are (N, C, H, W)"),
            Row("layers.Conv1D(16, 3)", "nn.Conv1d(3, 16, 3)", "sequences are (N, C, L)"),
            Row("layers.Conv2DTranspose(16, 3)", "nn.ConvTranspose2d(3, 16, 3)"),
            Row("layers.MaxPooling2D(2), layers.MaxPool2D(2)", "nn.MaxPool2d(2)"),
            Row("layers.AveragePooling2D(2), layers.AvgPool2D(2)", "nn.AvgPool2d(2)"),
            Row("layers.GlobalAveragePooling2D()", "nn.AdaptiveAvgPool2d(1)", "and nn.Flatten() after it"),
            Row("layers.UpSampling2D(2)", "nn.Upsample(scale_factor=2)"),
            Row("layers.ZeroPadding2D(1)", "nn.ZeroPad2d(1)"),
            Row("layers.BatchNormalization()", "nn.BatchNorm2d(16)", "or BatchNorm1d"),
            Row("layers.LayerNormalization()", "nn.LayerNorm(16)"),
            Row("layers.SimpleRNN(32)", "nn.RNN(8, 32, batch_first=True)"),
            Row("layers.MultiHeadAttention(4, 32)", "nn.MultiheadAttention(128, 4)"),
            Row("layers.Activation('relu')", "nn.ReLU()"),
            Row(
                "layers.Input((8,)), layers.InputLayer((8,))", "", "not needed: a model has no declared input"
            ),
            Row("layers.Reshape((3, 4))", "nn.Unflatten(1, (3, 4))"),
            Row("layers.Layer", "nn.Module", "build and call are __init__ and forward"),
            Row(
                "nn.Model, nn.Concatenate", "nn.Module", "write forward(self, x), with tg.concat for joining"
            ),
        ],
        "Training": [
            Row(
                "model.compile('adam', 'mse')",
                "train.Trainer(model, nn.MSELoss(), optim.Adam(model.parameters()))",
                "tg.compile compiles functions",
            ),
            Row("model.fit(X, y, epochs=5)", "train.Trainer(model, loss, optimizer).fit(X, y, epochs=5)"),
            Row("model.fit_generator(loader)", "train.Trainer(model, loss, optimizer).fit(loader)"),
            Row("model.evaluate(X, y)", "train.Trainer(model, loss, optimizer).evaluate((X, y))"),
            Row(
                "model.predict(X)",
                "model(X)",
                "after model.eval(), inside of tg.no_grad(); or Trainer.predict",
            ),
            Row("model.save('m.keras'), model.save_weights('m.h5')", 'tg.save(model, "m.safetensors")'),
            Row("model.load_weights('m.h5')", 'model.load_state_dict(tg.load("m.safetensors"))'),
            Row("model.get_weights(), model.trainable_variables", "model.parameters()"),
            Row("model.count_params()", "model.summary().parameters"),
            Row("model.layers", "model.children()"),
            Row("model.add(layer)", "model.append(layer)", "of nn.Sequential"),
            Row("history.history['loss']", "history['loss']", "dev_loss is what Keras calls val_loss"),
            Row(
                "optimizer.minimize(loss), optimizer.apply_gradients(pairs)",
                "loss.backward(); optimizer.step()",
            ),
            Row("ModelCheckpoint('m.keras')", "train.Checkpoint(folder)"),
            Row("CSVLogger('log.csv')", 'train.Log("log.csv")'),
            Row("ReduceLROnPlateau()", "train.Schedule(optim.lr_scheduler.ReduceLROnPlateau(optimizer))"),
            Row("LearningRateScheduler(f)", "train.Schedule(optim.lr_scheduler.LambdaLR(optimizer, f))"),
            Row("optimizers.AdamOptimizer(0.001)", "optim.Adam(model.parameters(), lr=0.001)"),
            Row(
                "tf.GradientTape()", "loss.backward()", "operations on Tensors that require grad are recorded"
            ),
            Row("tf.Variable(1.0)", "tg.Tensor(1.0, requires_grad=True)"),
            Row("tf.constant([1.0])", "tg.Tensor([1.0])"),
            Row("tf.convert_to_tensor(a)", "tg.asarray(a)"),
            Row("tf.reduce_sum(x, axis=1), tf.reduce_mean(x)", "x.sum(axis=1)", "also mean, max, min"),
            Row("tf.cast(x, tf.float32)", "x.astype(tg.float32)"),
            Row("tf.function(f)", "tg.compile(f)"),
            Row("tf.random.set_seed(0)", "tg.manual_seed(0)"),
        ],
        "Arguments of functions": [
            Row("learning_rate=0.01", "lr=0.01"),
            Row("validation_data=(X, y)", "dev=(X, y)"),
            Row("rate=0.5", "nn.Dropout(0.5)", "the probability is p"),
            Row(
                "validation_split=0.2",
                "dev=part",
                "split off by train_part, part = data.split((X, y), (0.8, 0.2))",
            ),
            Row("activation='relu'", "nn.ReLU()", "a layer of its own in nn.Sequential"),
            Row(
                "input_shape=(8,), input_dim=8",
                "",
                "not needed: the first argument of a layer is its input size",
            ),
            Row("from_logits=True", "", "not needed: CrossEntropyLoss and BCEWithLogitsLoss take logits"),
            Row("verbose=0", 'progress="off"', "an argument of Trainer"),
            Row("callbacks=[EarlyStopping()]", "callbacks=[train.EarlyStopping()]", "an argument of Trainer"),
            Row(
                "shuffle=False",
                "fit(data.DataLoader((X, y), 32, shuffle=False))",
                "examples are shuffled in each epoch",
            ),
            Row(
                "class_weight={0: 1.0, 1: 5.0}",
                "nn.CrossEntropyLoss(weight=[1.0, 5.0])",
                "an argument of the loss",
            ),
            Row(
                "sample_weight=w",
                "",
                'a loss with reduction="none" gives one number for each example to weigh',
            ),
            Row(
                "units=10, filters=16",
                "nn.Linear(8, 10)",
                "layers take the sizes of input and output; see nn.Conv2d",
            ),
            Row("use_bias=False", "bias=False"),
            Row("kernel_initializer='he_normal'", "nn.init.kaiming_normal_(layer.weight)"),
        ],
    },
    "NumPy": {
        "Arrays": [
            Row("np.array([1.0, 2.0])", "tg.Tensor([1.0, 2.0])", "floats are float32"),
            Row("np.concatenate([a, b])", "tg.concat([a, b])", "NumPy's own function works on Tensors, too"),
            Row(
                "np.sum(x), np.exp(x), np.where(m, x, y)",
                "the same",
                "NumPy's functions on Tensors are recorded",
            ),
            Row("np.random.randn(2, 3)", "tg.randn((2, 3))"),
            Row("np.random.choice(a, 5)", "tg.random.choice(a, (5,))"),
            Row("np.ndarray", "tg.Tensor"),
            Row(
                "np.arcsin(x), np.arccos(x), np.arctan(x)",
                "tg.asin(x)",
                "np.arcsin(x) works, too",
            ),
            Row("np.argwhere(x)", "tg.nonzero(x)"),
            Row("np.hstack([a, b]), np.vstack([a, b])", "tg.concat([a, b], axis=1)"),
            Row("np.transpose(x)", "x.T", "or tg.permute_dims"),
            Row("np.cumsum(x)", "tg.cumulative_sum(x)"),
            Row("np.save('a.npy', x)", 'tg.save({"a": x}, "a.safetensors")'),
            Row("x[i] += v", "the same", VALUES),
            Row("x.fill(0)", "x[...] = 0", VALUES),
            Row("x.sort()", "x = x.sort()", "a new Tensor, not in place"),
            Row("ddof=1", "correction=1"),
            Row("axis=1", "dim=1", "in nn and nn.functional, which have PyTorch's arguments"),
            Row("x.tofile('a')", 'tg.save({"a": x}, "a.safetensors")'),
            Row(
                "x.strides, x.flags, x.base, x.flat, x.stride(), x.data_ptr()",
                "x.numpy()",
                "the array has these",
            ),
        ],
    },
    "scikit-learn": {
        "Estimators": [
            Row(
                "MLPClassifier((64,))",
                "train.Classifier(hidden=(64,))",
                "has fit, predict, score",
            ),
            Row("MLPRegressor((64,))", "train.Regressor(hidden=(64,))"),
            Row("StandardScaler()", "data.Standardize()", "Classifier and Regressor do it by themselves"),
            Row(
                "train_test_split(X, y)",
                "data.split((X, y), (0.8, 0.2))",
                "rows that are equal stay in one part",
            ),
            Row("load_digits(), load_iris()", "data.datasets.load_digits(), data.datasets.load_iris()"),
            Row("estimator.fit(X, y)", "trainer.fit(X, y)", "or fit((X, y), dev=(X_dev, y_dev))"),
            Row("GridSearchCV(...)", "train.search", "and scikit-learn's own with Classifier"),
            Row("trainer.score(X, y)", "trainer.evaluate((X, y))", "Classifier has score"),
            Row("estimator.predict_proba(X)", "F.softmax(model(X), dim=1)", "Classifier has predict_proba"),
            Row(
                "joblib.dump(estimator, path)",
                'tg.save(model, "model.safetensors")',
                "Classifier can be pickled",
            ),
        ],
        "Arguments of functions": [
            Row("max_iter=200, n_epochs=200, max_epochs=200, num_epochs=200, nb_epoch=200", "epochs=200"),
            Row("X_val=X, y_val=y, eval_set=[(X, y)], val=(X, y), valid=(X, y)", "dev=(X, y)"),
            Row("test_size=0.2, train_size=0.8", "data.split((X, y), (0.8, 0.2))", "the sizes of all parts"),
            Row("random_state=0", "rng=0"),
            Row(
                "patience=5, n_iter_no_change=5",
                "early_stopping=5",
                "in Classifier and Regressor; Trainer has callbacks=[train.EarlyStopping(patience=5)]",
            ),
            Row("learning_rate_init=0.01", "lr=0.01"),
            Row("hidden_layer_sizes=(64,)", "hidden=(64,)"),
            Row("alpha=0.0001", "l2=0.0001"),
            Row(
                "weight_decay=0.0001",
                "l2=0.0001",
                "in Classifier and Regressor; the optimizers have weight_decay",
            ),
        ],
    },
}

# How an expression there begins -> where its name is looked for here.
PLACES = {
    "x": "Tensor",
    **dict.fromkeys(("torch", "tf", "np"), "tinygrad_dl"),
    **dict.fromkeys(("nn", "layers"), "tinygrad_dl.nn"),
    "F": "tinygrad_dl.nn.functional",
    **dict.fromkeys(("optim", "optimizers"), "tinygrad_dl.optim"),
    "model": "Module",
    "trainer": "Trainer",
    "optimizer": "Optimizer",
    "history": "History",
}
SHORT = {
    "tinygrad_dl.nn": "nn",
    "tinygrad_dl.nn.functional": "F",
    "tinygrad_dl.optim": "optim",
    "tinygrad_dl.optim.lr_scheduler": "optim.lr_scheduler",
    "tinygrad_dl.data": "data",
    "tinygrad_dl.data.datasets": "data.datasets",
    "tinygrad_dl.train": "train",
    "tinygrad_dl": "tg",
}


ANYWHERE = "*"  # the place of a function without an owner, which may be looked for in any module


def _names(there: str) -> list[tuple[str, str]]:
    """The (place, name) that an expression is about; for a keyword argument the place is "="."""
    if re.match(r"\w+=", there):
        return [("=", name) for name in re.findall(r"(?:^|, )(\w+)=", there)]
    found = re.findall(r"(?<![\w.)])([a-z]+|F)\.(\w+)", there)
    names = [(PLACES[owner], name) for owner, name in found if owner in PLACES]
    return names + [(ANYWHERE, name) for name in re.findall(r"(?:^|, )(\w+)\(", there)]


def expressions(text: str) -> list[str]:
    """The expressions of a list of them, such as "x + y, f(x, y)"."""
    depth, parts = 0, [""]
    for part in re.split(r"([()\[\]]|, )", text):
        depth += (part in ("(", "[")) - (part in (")", "]"))
        if part == ", " and not depth:
            parts.append("")
        else:
            parts[-1] += part
    return parts


@cache
def index() -> dict[tuple[str, str], Row]:
    """The rows by (place, name). The first row of a name counts."""
    found: dict[tuple[str, str], Row] = {}
    for row in (row for sections in TABLE.values() for rows in sections.values() for row in rows):
        names, here = _names(row.there), expressions(row.here)
        for i, (place, name) in enumerate(names):
            # As many expressions on both sides are pairs.
            own = here[i] if len(here) == len(names) else row.here
            found.setdefault((place, name), row._replace(here=own.replace("{name}", name)))
    return found


def hint(place: str, name: str) -> str:
    """What to use for a name that does not exist here, or the empty string."""
    rows = index()
    # torch.unsqueeze(x, 0) and x.unsqueeze(0) are one thing.
    other = {"Tensor": "tinygrad_dl", "tinygrad_dl": "Tensor"}.get(place, "")
    row = rows.get((place, name)) or rows.get((other, name))
    if row is None and place.startswith("tinygrad_dl"):
        row = rows.get((ANYWHERE, name))
    if row is None:
        return ""
    return "; ".join(filter(None, [f"use {row.here}" if row.here else "", row.note.replace("`", "")]))


def unknown(place: str, name: str, known: Iterable[str] = (), called: str = "") -> AttributeError:
    """The error for a name that a module, or a Tensor, does not have.

    `known`: the names it has; `called`: what the user calls the place, if it is not one of SHORT.
    """
    shown = called or SHORT.get(place, place)
    if name.startswith("_"):  # a question of Python or IPython, not of a user
        message = f"{shown} has no attribute {name!r}"
    else:
        message = f"{shown}.{name}: {hint(place, name) or _suggestion(shown, name, known)}"
    return AttributeError(message, name=name, obj=None)  # without obj Python adds no suggestion of its own


def _suggestion(shown: str, name: str, known: Iterable[str]) -> str:
    """Where else the name is, or which name is like it."""
    import sys
    from difflib import get_close_matches

    names = [n for n in known if not n.startswith("_")]
    same = [n for n in names if n.lower() == name.lower()]
    if shown in SHORT.values():
        for place, short in SHORT.items():
            if short != shown and name in getattr(sys.modules.get(place), "__all__", ()):
                return f"use {short}.{name}"
    near = same or get_close_matches(name, names, 1)
    return "there is no such name" + (f". Did you mean {shown}.{near[0]}?" if near else "")
