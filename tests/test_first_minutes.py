"""The commonest slips of those who come from PyTorch, Keras or scikit-learn: each is answered in one sentence."""

from __future__ import annotations

import importlib
import pydoc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import data, nn, optim, train
from tinygrad_dl.errors import missing_extra

X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = np.arange(10) % 3


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def trainer() -> train.Trainer:
    net = model()
    return train.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1), progress="off")


def said(call: Any) -> str:
    with pytest.raises(Exception) as caught:
        call()
    assert caught.value.__cause__ is None or caught.value.__suppress_context__
    return str(caught.value)


def test_fit_takes_x_and_y() -> None:
    results = []
    for arguments in [(X, Y), (tg.asarray(X), tg.asarray(Y)), (X.tolist(), Y.tolist()), ((X, Y),)]:
        tg.manual_seed(0)
        results.append(trainer().fit(*arguments, epochs=2, rng=0)["loss"][-1])
    assert results == pytest.approx([results[0]] * 4, rel=1e-5)


def test_fit_takes_dev_and_epochs_by_position_as_before() -> None:
    for arguments in [((X, Y), (X, Y), 2), ((X, Y), (X, Y))]:
        history = trainer().fit(*arguments, **({} if len(arguments) == 3 else {"epochs": 2}))
        assert len(history["loss"]) == len(history["dev_loss"]) == 2
    assert len(trainer().fit((X, Y), None, 2)) == len(trainer().fit(X, Y, 2)) == 2
    history = trainer().fit(X, Y, (X, Y), 3)
    assert len(history["dev_loss"]) == 3


def test_fit_takes_two_lists_of_examples_as_train_and_dev() -> None:
    examples = list(zip(X, Y))
    assert len(trainer().fit(examples, examples, epochs=1)["dev_loss"]) == 1


def test_fit_refuses_two_data_sets_and_a_dev_part() -> None:
    assert said(lambda: trainer().fit((X, Y), (X, Y), (X, Y))) == (
        "Trainer.fit: y: expected an array of targets beside the array x, got tuple beside tuple"
    )


def test_an_optimizer_given_the_model() -> None:
    assert said(lambda: optim.Adam(model())) == (  # type: ignore[arg-type]
        "Adam: params: expected the parameters of a model, got the model itself, Sequential. "
        "Pass model.parameters()."
    )


def test_a_learning_rate_given_as_text() -> None:
    assert said(lambda: optim.Adam(model().parameters(), lr="0.1")) == (  # type: ignore[arg-type]
        "Adam: lr: expected a number of at least 0, got str '0.1'"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: trainer().fit(X, Y, validation_data=(X, Y)),  # type: ignore[call-arg]
            "Trainer.fit: validation_data: there is no such argument; use dev=(X, y)",
        ),
        (
            lambda: optim.SGD(model().parameters(), learning_rate=0.1),  # type: ignore[call-arg]
            "SGD: learning_rate: there is no such argument; use lr=0.01",
        ),
        (
            lambda: trainer().fit(X, Y, verbose=0),  # type: ignore[call-arg]
            'Trainer.fit: verbose: there is no such argument; use progress="off"; an argument of Trainer',
        ),
        (
            lambda: nn.Linear(4, 8, activation="relu"),  # type: ignore[call-arg]
            "Linear: activation: there is no such argument; use nn.ReLU(); a layer of its own in nn.Sequential",
        ),
    ],
    ids=["validation_data", "learning_rate", "verbose", "activation"],
)
def test_an_argument_under_another_librarys_name(call: Any, message: str) -> None:
    assert said(call) == message


def test_an_argument_that_no_library_has_is_pythons_error() -> None:
    assert "got an unexpected keyword argument 'zxqwv'" in said(lambda: trainer().fit(X, Y, zxqwv=0))  # type: ignore[call-arg]


def test_one_hot_targets_of_integers() -> None:
    assert said(lambda: nn.CrossEntropyLoss()(model()(X), np.eye(3, dtype=np.int64)[Y])) == (
        "cross_entropy: for logits of shape (10, 3), expected class indices of shape (10,) or probabilities of shape "
        "(10, 3), got a target of shape (10, 3). Its dtype is int64: pass .argmax(axis=1) of one-hot rows, or "
        "probabilities as floats, .astype('float32'). [in CrossEntropyLoss()]"
    )


def test_a_parameter_that_the_loop_replaces() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
    (w * w).sum().backward()
    with pytest.warns(UserWarning) as caught:
        assert w.grad is None
    assert str(caught[0].message) == (
        "grad: this Tensor is the result of an operation (subtract), and backward() fills .grad of leaves only. To "
        "update a parameter in place, write `with tg.no_grad(): w -= lr * w.grad`; to see the gradient of a result, "
        "call its retain_grad() before backward()."
    )
    assert caught[0].filename == __file__


def test_the_gradient_of_a_result_that_was_asked_for_does_not_warn() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = w * w
    y.retain_grad()
    assert y.grad is None
    y.sum().backward()
    assert y.grad is not None and w.detach().grad is None


def test_a_summary_without_an_input_counts_the_parameters() -> None:
    assert str(model().summary()).splitlines() == [
        "layer          in  out  parameters  mult-adds  memory  mode",
        "------------------------------------------------------------",
        "Sequential                      67                     train",
        "|-- 0: Linear                   40                     train",
        "|-- 1: ReLU                                            train",
        "`-- 2: Linear                   27                     train",
        "------------------------------------------------------------",
        "parameters: 67 (268 B)",
        "for shapes and multiply-adds pass an input or its shape, such as summary((1, 4))",
    ]


@pytest.mark.parametrize("suffix", [".pt", ".h5", ".npz"])
def test_weights_under_the_name_of_another_format(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("safetensors", reason="weights are safetensors files (extra train)")
    with pytest.warns(UserWarning) as caught:
        tg.save(model(), tmp_path / f"net{suffix}")
    assert str(caught[0].message) == (
        f"save: net{suffix} will be a safetensors file, which the programs that write {suffix} files do not read. "
        "Name it net.safetensors."
    )
    assert caught[0].filename == __file__


def test_an_extra_that_is_not_installed() -> None:
    assert str(missing_extra("matplotlib", "viz", "plot_history")) == (
        "plot_history needs the package matplotlib, which is not installed. "
        'Install it with: pip install "tinygrad_dl[viz]"'
    )
    assert importlib.import_module("tinygrad_dl.errors").MissingExtraError.__mro__[2] is ImportError


@pytest.mark.parametrize(
    ("options", "use"),
    [
        ({"max_iter": 100}, "epochs=200"),
        ({"hidden_layer_sizes": (8,)}, "hidden=(64,)"),
        ({"learning_rate_init": 0.1}, "lr=0.01"),
    ],
)
def test_an_estimator_knows_the_arguments_of_scikit_learn(options: dict[str, Any], use: str) -> None:
    pytest.importorskip("sklearn")
    for name in ("Classifier", "Regressor"):
        (argument,) = options
        assert said(lambda: getattr(train, name)(**options)) == (  # noqa: B023
            f"{name}: {argument}: there is no such argument; use {use}"
        )


def test_a_tensor_knows_the_arguments_of_pytorch() -> None:
    x = tg.Tensor(X)
    assert "use axis=1" in said(lambda: x.sum(dim=1))
    assert "x.shape[0]" in said(lambda: x.size(0))  # type: ignore[operator]
    assert ".requires_grad_()" in said(lambda: tg.ones((2, 3), requires_grad=True))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: trainer().fit(X, Y, num_epochs=2),  # type: ignore[call-arg]
            "Trainer.fit: num_epochs: there is no such argument; did you mean epochs?",
        ),
        (
            lambda: trainer().fit(X, Y, eval_set=[(X, Y)]),  # type: ignore[call-arg]
            "Trainer.fit: eval_set: there is no such argument; use dev=(X, y)",
        ),
        (
            lambda: trainer().fit(X, np.array(list("abc"))[Y]),
            "Trainer.fit: y: expected numbers, got an array of <U1. Number the classes with "
            "y = np.unique(labels, return_inverse=True)[1]; train.Classifier takes labels as they are",
        ),
        (
            lambda: train.Trainer(model(), nn.MSELoss, optim.SGD([nn.Parameter([1.0])])),
            "Trainer: loss: expected a callable such as nn.MSELoss(), got the class MSELoss",
        ),
        (
            lambda: train.Trainer(model(), nn.MSELoss(), optim.Adam),  # type: ignore[arg-type]
            "Trainer: optimizer: expected an optimizer such as optim.Adam(model.parameters()), got the class Adam",
        ),
        (
            lambda: train.Trainer(model(), nn.MSELoss(), optim.SGD([nn.Parameter([1.0])]), lr=0.1),  # type: ignore[call-arg]
            "Trainer: lr: there is no such argument; use optim.Adam(model.parameters(), lr=0.1); "
            "an argument of the optimizer",
        ),
        (
            lambda: optim.Adam(model().parameters),  # type: ignore[arg-type]
            "Adam: params: expected the parameters, such as model.parameters() or a list of Tensors, got method. "
            "Call it: model.parameters()",
        ),
        (
            lambda: optim.Adam(nn.Parameter([1.0])),
            "Adam: params: expected the parameters, such as model.parameters() or a list of Tensors, got Parameter. "
            "Pass a list: [w]",
        ),
        (
            lambda: nn.MSELoss(tg.ones(3), tg.zeros(3)),  # type: ignore[arg-type]
            "MSELoss: size_average: expected True, False or None, got an array of shape (3,) and dtype float32. "
            "MSELoss(...) makes the module: call what it returns, MSELoss(...)(x).",
        ),
        (
            lambda: nn.Sequential(nn.Linear(4, 8), nn.functional.relu),  # type: ignore[arg-type]
            "Sequential: expected a Module as entry 1, got function. Functions are called in forward; activations are "
            "modules, too: nn.ReLU().",
        ),
        (
            lambda: data.split(X, Y),  # type: ignore[arg-type]
            "split: sizes: expected fractions or counts, got an array of shape (10,) and dtype int64, as many as there "
            "are examples. Pass arrays that belong together as one tuple: split((X, y), (0.8, 0.2)).",
        ),
        (
            lambda: data.split((X, Y), test_size=0.2),  # type: ignore[call-overload]
            "split: test_size: there is no such argument; use data.split((X, y), (0.8, 0.2)); the sizes of all parts",
        ),
        (
            lambda: data.DataLoader((X, Y), batch=2),  # type: ignore[call-arg]
            "DataLoader: batch: there is no such argument; did you mean batch_size?",
        ),
        (
            lambda: data.DataLoader((X, Y), seed=2),  # type: ignore[call-arg]
            "DataLoader: seed: there is no such argument; did you mean rng?",
        ),
        (
            lambda: train.Classifier(rng=0),  # type: ignore[call-arg]
            "Classifier: rng: there is no such argument; did you mean random_state?",
        ),
        (
            lambda: data.datasets.load_digits(seed=0),  # type: ignore[call-arg]
            "load_digits() got an unexpected keyword argument 'seed'",
        ),
        (
            lambda: train.Classifier(patience=3),  # type: ignore[call-arg]
            "Classifier: patience: there is no such argument; use early_stopping=5; in Classifier and Regressor; "
            "Trainer has callbacks=[train.EarlyStopping(patience=5)]",
        ),
        (
            lambda: nn.Dropout(rate=0.5),  # type: ignore[call-arg]
            "Dropout: rate: there is no such argument; use nn.Dropout(0.5); the probability is p",
        ),
        (
            lambda: nn.Dropout(zxqwv=0.5),  # type: ignore[call-arg]
            "Dropout.__init__() got an unexpected keyword argument 'zxqwv'",
        ),
        (
            lambda: data.DataLoader((X, Y), num_workers=2),  # type: ignore[call-arg]
            "DataLoader: num_workers: there is no such argument; leave it out: everything is in memory",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "call",
)
def test_a_slip_is_answered_with_what_to_write(call: Any, message: str) -> None:
    assert said(call) == message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "data.train_test_split",
            "data.train_test_split: use data.split((X, y), (0.8, 0.2)); rows that are equal stay in one part",
        ),
        ("data.load_iris", "data.load_iris: use data.datasets.load_iris()"),
        ("data.TensorDatset", "data.TensorDatset: there is no such name. Did you mean data.TensorDataset?"),
        ("train.ModelCheckpoint", "train.ModelCheckpoint: use train.Checkpoint(folder)"),
        ("optim.StepLR", "optim.StepLR: use optim.lr_scheduler.StepLR"),
        ("optimizer.minimize", "SGD.minimize: use loss.backward(); optimizer.step()"),
        ("optimizer.zero_gard", "SGD.zero_gard: there is no such name. Did you mean SGD.zero_grad?"),
        ("trainer.score", "Trainer.score: use trainer.evaluate((X, y)); Classifier has score"),
        ("history.history", "History.history: use history['loss']; dev_loss is what Keras calls val_loss"),
        ("model.add", "Sequential has no attribute 'add': use model.append(layer); of nn.Sequential"),
    ],
)
def test_a_name_of_another_library_is_answered_with_the_name_here(expression: str, message: str) -> None:
    owner, name = expression.split(".")
    owners: dict[str, Any] = {"data": data, "train": train, "optim": optim}
    if owner not in owners:
        made = trainer()
        owners |= {"trainer": made, "optimizer": made.optimizer, "model": model(), "history": made.history}
    with pytest.raises(AttributeError) as caught:
        getattr(owners[owner], name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        (
            "val_loss",
            ". Its name here is dev_loss. It is measured where fit gets a dev part: fit(X, y, dev=(X_dev, y_dev))",
        ),
        ("dev_accuracy", ". It is measured where fit gets a dev part: fit(X, y, dev=(X_dev, y_dev))"),
        ("lss", ""),
    ],
)
def test_a_quantity_that_was_not_measured(name: str, advice: str) -> None:
    history = trainer().fit(X, Y, epochs=1)
    assert (
        said(lambda: history[name])
        == f"History: expected one of epoch, loss, lr, seconds, got {name!r}{advice}"
    )


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (b"PK\x03\x04" + bytes(40), "is a ZIP file. One of PyTorch is read by tinygrad_dl.torch.load"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "is an HDF5 file, such as Keras writes: read it with h5py."),
        (b"hello", "is damaged or not a safetensors file"),
    ],
)
def test_a_file_of_another_format(tmp_path: Path, begin: bytes, message: str) -> None:
    pytest.importorskip("safetensors", reason="weights are safetensors files (extra train)")
    (tmp_path / "weights").write_bytes(begin)
    assert message in said(lambda: tg.load(tmp_path / "weights"))


@pytest.mark.parametrize(
    ("thing", "line"),
    [
        (nn.Linear, "in_features: Size, out_features: Size, bias: bool = True, device: str | None = None"),
        (nn.functional.relu, "relu(input: ArrayT, inplace: bool = False) -> ArrayT"),
        (optim.SGD, "momentum: NonNegative = 0"),
        (tg.sum, "axis: Axis = None, *, dtype: DTypeLike | None = None, keepdims: bool = False"),
        (train.Trainer, "metrics: str | Iterable[str]"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_help_shows_types_without_quotes_and_no_sentence_of_object(thing: Any, line: str) -> None:
    rows = pydoc.render_doc(thing, renderer=pydoc.plaintext).splitlines()
    text = " ".join(row.strip(" |") for row in rows)  # Python 3.13 breaks long signatures
    assert line in text and "Initialize self" not in text
