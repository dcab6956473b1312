"""Compiled training steps: eager's parameters after several steps, whatever changes between the calls."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.compiler import compiled as compiled_module
from tinygrad_dl.errors import CompileError, IndexRangeError

LLVM = pytest.param(
    "llvm", marks=pytest.mark.skipif(find_spec("llvmlite") is None, reason="llvmlite is not installed")
)
BACKENDS = ["numpy", LLVM]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 16)


def network() -> nn.Module:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def training_step(model: Any, optimizer: Any, loss: Any = None) -> Callable[..., Any]:
    loss = nn.CrossEntropyLoss() if loss is None else loss

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def assert_same(a: Any, b: Any, tolerance: float = 2e-4) -> None:
    """Two models have the same parameters, buffers and gradients, up to rounding."""
    for (name, p), (_, q) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        np.testing.assert_allclose(
            np.asarray(p), np.asarray(q), rtol=tolerance, atol=tolerance / 10, err_msg=name
        )
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=tolerance, atol=tolerance / 10)


def run_both(
    make_model: Callable[[], Any], make_optimizer: Callable[[Any], Any], backend: str, x: Any, y: Any, loss: Any = None,
    steps: int = 7, between: Callable[[Any, Any, int], None] | None = None, fullgraph: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """Train one model eagerly and its twin compiled, from the same random state; both models."""
    models, losses = [], []
    for compiled in (False, True):
        model = make_model()
        optimizer = make_optimizer(model.parameters())
        step = training_step(model, optimizer, loss)
        if compiled:
            step = tg.compile(step, backend=backend, fullgraph=fullgraph)
        tg.manual_seed(5)
        values = []
        for i in range(steps):
            if between is not None:
                between(model, optimizer, i)
            values.append(step(tg.asarray(x), tg.asarray(y)).item())
        models.append(model)
        losses.append(values)
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-4, atol=1e-5)
    assert_same(*models)
    return models[0], models[1]


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1),
    "SGD nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "SGD maximize": lambda p: optim.SGD(p, lr=0.01, maximize=True),
    "ASGD": lambda p: optim.ASGD(p, lr=0.05),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.1),
    "Adadelta": lambda p: optim.Adadelta(p, lr=0.5),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01),
    "RMSprop centered": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "Adamax": lambda p: optim.Adamax(p, lr=0.01),
    "NAdam": lambda p: optim.NAdam(p, lr=0.01),
    "RAdam": lambda p: optim.RAdam(p, lr=0.01),
    "Rprop": lambda p: optim.Rprop(p, lr=0.01),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.01),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_the_eager_steps(name: str, backend: str) -> None:
    run_both(network, OPTIMIZERS[name], backend, X, Y, steps=9)


IMAGES = RNG.normal(size=(6, 3, 8, 8)).astype(np.float32)
CLASSES = np.arange(6) % 3
MODELS: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "relu": (lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), X, Y),
    "batch norm": (lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)), X, Y),
    "layer norm": (lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.SiLU(), nn.Linear(6, 3)), X, Y),
    "dropout": (lambda: nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 3)), X, Y),
    "softplus": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 3), nn.LogSoftmax(1)), X, Y),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Flatten(), nn.Linear(20, 3),
        ), IMAGES, CLASSES,
    ),
    "strided convolution": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.Flatten(), nn.Linear(64, 3)),
        IMAGES, CLASSES,
    ),
    "grouped convolution": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 3)),
        IMAGES, CLASSES,
    ),
    "overlapping pooling": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 1, padding=1), nn.Flatten(), nn.Linear(144, 3)),
        IMAGES, CLASSES,
    ),
    "lstm": (lambda: Recurrent(nn.LSTM(8, 5, batch_first=True)), IMAGES[:, 0], CLASSES),
    "gru": (lambda: Recurrent(nn.GRU(8, 5, batch_first=True)), IMAGES[:, 0], CLASSES),
    "attention": (lambda: Attentive(), IMAGES[:, 0], CLASSES),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3)), RNG.integers(0, 9, (6, 5)), CLASSES
    ),
}  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self, cell: Any) -> None:
        self.cell, self.head = cell, nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        out, _ = self.cell(x)
        return self.head(out[:, -1])


class Attentive(nn.Module):
    def __init__(self) -> None:
        self.layer, self.head = (
            nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True),
            nn.Linear(8, 3),
        )

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x).mean(axis=1))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_layer_trains_as_eagerly(name: str, backend: str) -> None:
    make, x, y = MODELS[name]

    def seeded() -> Any:
        tg.manual_seed(3)
        return make()

    run_both(seeded, lambda p: optim.SGD(p, lr=0.05, momentum=0.9), backend, x, y)


def test_a_network_of_usual_layers_is_lowered_whole() -> None:
    if find_spec("llvmlite") is None:
        pytest.skip("llvmlite is not installed")
    for name in ("relu", "layer norm", "dropout", "convolution", "overlapping pooling", "attention"):
        make, x, y = MODELS[name]
        model = make()
        step = tg.compile(training_step(model, optim.Adam(model.parameters())))
        for _ in range(4):
            step(tg.asarray(x), tg.asarray(y))
        text = step.explain()
        assert "called as they are" not in text or "count_batch" in text, (name, text)
        assert "backend: llvm" in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_accuracy_and_embeddings_are_part_of_a_program(backend: str) -> None:
    tokens = RNG.integers(0, 9, (16, 5))
    results = []
    for compiled in (False, True):
        tg.manual_seed(1)
        model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
        optimizer, loss = optim.SGD(model.parameters(), lr=0.5), nn.CrossEntropyLoss()

        def step(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer, loss: Any = loss) -> Any:
            optimizer.zero_grad()
            out = model(x)
            loss(out, y).backward()
            optimizer.step()
            return (out.argmax(axis=1) == y).mean(), (out.argmax(axis=-1) == y).sum(), x // 2 % 3

        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        results.append([[np.asarray(r) for r in run(tg.asarray(tokens), tg.asarray(Y))] for _ in range(7)])
        if compiled and backend == "llvm":
            assert "called as they are" not in run.explain(), run.explain()
            with pytest.raises(IndexError):
                run(tg.asarray(np.full((16, 5), 9)), tg.asarray(Y))
    for a, b in zip(*results):
        for x, y in zip(a, b):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("backend", BACKENDS)
def test_schedules_and_options_count_without_a_new_program(backend: str) -> None:
    def between(model: Any, optimizer: Any, i: int) -> None:
        optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
        optimizer.param_groups[0]["momentum"] = 0.5 + 0.01 * i

    run_both(network, lambda p: optim.SGD(p, lr=0.1, momentum=0.5), backend, X, Y, steps=10, between=between)


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_and_evaluation_freezing_and_loading_count(backend: str) -> None:
    def make() -> Any:
        tg.manual_seed(2)
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))

    saved = copy.deepcopy(make().state_dict())

    def between(model: Any, optimizer: Any, i: int) -> None:
        if i == 5:
            model.eval()
        if i == 9:
            model.train()
            model[0].weight.requires_grad_(False)
            model[0].weight.grad = None
        if i == 13:
            model.load_state_dict(saved)

    run_both(make, lambda p: optim.SGD(p, lr=0.05), backend, X, Y, steps=17, between=between)


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_several_sizes_have_programs_of_their_own(backend: str) -> None:
    a, b = network(), network()
    steps = [training_step(m, optim.SGD(m.parameters(), lr=0.1)) for m in (a, b)]
    steps[1] = tg.compile(steps[1], backend=backend, fullgraph=True)
    for n in (16, 16, 16, 16, 7, 7, 16, 7, 7, 16, 5):
        for step in steps:
            step(tg.asarray(X[:n]), tg.asarray(Y[:n]))
    assert_same(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
def test_clipping_belongs_to_the_step(backend: str) -> None:
    models = []
    for compiled in (False, True):
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.05)
        loss = nn.CrossEntropyLoss()

        def step(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer, loss: Any = loss) -> Any:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            return norm

        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        norms = [run(tg.asarray(X), tg.asarray(Y)).item() for _ in range(6)]
        models.append((model, norms))
    np.testing.assert_allclose(models[0][1], models[1][1], rtol=1e-4)
    assert_same(models[0][0], models[1][0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_that_are_not_reset_add_up(backend: str) -> None:
    results = []
    for compiled in (False, True):
        w = tg.Tensor([1.0, 2.0], requires_grad=True)

        def step(x: Any, w: Any = w) -> Any:
            (w * x).sum().backward()

        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        for i in range(8):
            run(tg.Tensor([1.0 + i, 2.0]))
            if i == 5:
                w.grad = None
        results.append(w.grad.tolist())
    assert results[0] == results[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_or_result_that_somebody_holds_is_not_written_over(backend: str) -> None:
    model = network()
    step = tg.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)), backend=backend)
    held = []
    for _ in range(6):
        value = step(tg.asarray(X), tg.asarray(Y))
        held.append((value, value.item(), model[0].weight.grad, model[0].weight.grad.numpy().copy()))
    for value, number, grad, copied in held:
        assert value.item() == number
        np.testing.assert_array_equal(grad.numpy(), copied)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_class_is_eagers_error_and_changes_nothing(backend: str) -> None:
    model = network()
    optimizer = optim.Adam(model.parameters())
    step = tg.compile(training_step(model, optimizer), backend=backend)
    for _ in range(5):
        step(tg.asarray(X), tg.asarray(Y))
    before = [p.numpy().copy() for p in model.parameters() for p in [p.detach()]]
    count = optimizer.state[model[0].weight]["step"]
    with pytest.raises(IndexRangeError, match="the target holds the class 7"):
        step(tg.asarray(X), tg.asarray(np.full(16, 7)))
    for p, saved in zip(model.parameters(), before):
        np.testing.assert_array_equal(p.detach().numpy(), saved)
    assert optimizer.state[model[0].weight]["step"] == count
    step(tg.asarray(X), tg.asarray(Y))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiled_model_predicts_and_its_result_still_has_a_gradient(backend: str) -> None:
    model = network()
    predict = tg.compile(model, backend=backend, fullgraph=True)
    x = tg.Tensor(X, requires_grad=True)
    for _ in range(5):
        out = predict(x)
    np.testing.assert_allclose(out.detach().numpy(), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    (out**2).sum().backward()
    grads = [x.grad.numpy().copy(), model[0].weight.grad.numpy().copy()]
    x.grad = None
    model.zero_grad()
    (model(x) ** 2).sum().backward()
    np.testing.assert_allclose(grads[0], x.grad.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(grads[1], model[0].weight.grad.numpy(), rtol=1e-4, atol=1e-6)
    with tg.no_grad():
        for _ in range(4):
            assert not predict(tg.asarray(X)).requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_of_nested_structures_and_of_gradients(backend: str) -> None:
    def f(tree: dict[str, Any]) -> Any:
        return {"sum": tree["a"] + tree["b"][0], "parts": [tree["a"] * 2, 3]}

    compiled = tg.compile(f, backend=backend, fullgraph=True)
    for i in range(5):
        out = compiled({"a": tg.Tensor([float(i)]), "b": (tg.Tensor([1.0]),)})
        assert (
            out["sum"].tolist() == [i + 1.0]
            and out["parts"][0].tolist() == [2.0 * i]
            and out["parts"][1] == 3
        )
    cube = tg.compile(tg.func.grad(lambda x: (x**3).sum()), backend=backend, fullgraph=True)
    for i in range(5):
        np.testing.assert_allclose(cube(tg.Tensor([1.0, float(i)])).numpy(), [3.0, 3.0 * i * i], rtol=1e-5)


def test_a_method_is_compiled_for_each_object() -> None:
    class Scaler:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @tg.compile
        def run(self, x: Any) -> Any:
            return x * self.factor

    two, three = Scaler(2.0), Scaler(3.0)
    for _ in range(5):
        assert two.run(tg.Tensor([1.0])).item() == 2 and three.run(tg.Tensor([1.0])).item() == 3
    two.factor = 5.0
    for _ in range(5):
        assert two.run(tg.Tensor([1.0])).item() == 5


UNUSED: list[float] = []
SCALE = 2.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_python_reads_is_never_stale(backend: str) -> None:
    global SCALE
    settings = {"rate": 1.0, "parts": [1, 2]}
    weights = np.array([1.0, 2.0])

    def f(x: Any) -> Any:
        return (x * SCALE * settings["rate"] * len(settings["parts"]) * tg.asarray(weights)).sum()

    compiled = tg.compile(f, backend=backend, fullgraph=True)
    x = tg.Tensor([1.0, 1.0])
    try:
        for change in range(5):
            for _ in range(4):
                assert compiled(x).item() == pytest.approx(f(x).item())
            if change == 0:
                SCALE = 3.0
            elif change == 1:
                settings["rate"] = 5.0
            elif change == 2:
                settings["parts"].append(3)  # type: ignore[attr-defined]
            elif change == 3:
                weights[0] = 10.0
    finally:
        SCALE = 2.0


def branching(x: Any) -> Any:
    return x * 2 if x.sum() > 0 else x


def reading(x: Any) -> Any:
    return x * x.sum().item()


def printing(x: Any) -> Any:
    print("hello")
    return x * 2


def appending(x: Any) -> Any:
    UNUSED.append(1.0)
    return x * 2


def drawing(x: Any) -> Any:
    return x * tg.asarray(np.random.default_rng().random(2).astype(np.float32))


def hooking(x: Any) -> Any:
    y = x.detach().requires_grad_() * 2
    y.register_hook(lambda g: g * 2)
    y.sum().backward()
    return y


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (hooking, r"a hook of a Tensor ran"),
        (branching, r"the truth of a Tensor reads values in Python"),
        (reading, r"Tensor\.item\(\) reads values in Python"),
        (printing, r"it calls print"),
        (appending, r"it changes UNUSED, which a program cannot repeat"),
        (drawing, r"it draws random numbers with NumPy"),
    ],
)
def test_what_cannot_be_captured_runs_eagerly_and_is_told_once(
    function: Any, words: str, capsys: Any
) -> None:
    x = tg.Tensor([1.0, 2.0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = tg.compile(function)
        for _ in range(6):
            compiled(x)
    told = [str(w.message) for w in caught]
    assert len(told) == 1 and told[0].startswith(f"compile: {function.__name__} runs eagerly: "), told
    with pytest.raises(CompileError, match=words):
        strict = tg.compile(function, fullgraph=True)
        for _ in range(5):
            strict(x)
    UNUSED.clear()


def test_hooks_and_anomaly_mode_run_eagerly() -> None:
    model = network()
    step = tg.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    for _ in range(5):
        step(tg.asarray(X), tg.asarray(Y))
    seen: list[int] = []
    model[0].register_forward_hook(lambda *args: seen.append(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(5):
            step(tg.asarray(X), tg.asarray(Y))
    assert len(seen) == 5
    with tg.detect_anomaly():
        step(tg.asarray(X), tg.asarray(Y))
    assert len(seen) == 6


def test_wrong_arguments_of_compile() -> None:
    with pytest.raises(
        ValueError, match="compile: backend: expected one of 'auto', 'numpy', 'llvm', got 'cuda'"
    ):
        tg.compile(network(), backend="cuda")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="compile: expected a function or a Module, got int 3"):
        tg.compile(3)  # type: ignore[arg-type]
    with pytest.raises(
        CompileError, match="expected a captured program of branching, got none yet. Call it first."
    ):
        _ = tg.compile(branching).source


def test_a_schedule_inside_of_the_step_is_not_lost() -> None:
    rates = []
    for compiled in (False, True):
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        train = training_step(model, optimizer)

        def step(x: Any, y: Any, train: Any = train, schedule: Any = schedule) -> None:
            train(x, y)
            schedule.step()

        run = tg.compile(step) if compiled else step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(6):
                run(tg.asarray(X), tg.asarray(Y))
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(rates[1])


def test_a_compiled_model_is_copied_and_offers_what_the_model_does() -> None:
    model = network()
    predict = tg.compile(model)
    twin = copy.deepcopy(predict)
    assert list(predict.state_dict()) == list(model.state_dict())
    with tg.no_grad():
        for _ in range(4):
            predict(tg.asarray(X))
            twin(tg.asarray(X))
        model[0].weight.data[...] = 0
        assert not np.allclose(predict(tg.asarray(X)).numpy(), twin(tg.asarray(X)).numpy())


def test_threads_share_a_compiled_function() -> None:
    from concurrent.futures import ThreadPoolExecutor

    predict = tg.compile(network())
    inputs = [np.full((2, 4), i, np.float32) for i in range(40)]
    expected = [predict._function(tg.asarray(x)).detach().numpy() for x in inputs]

    def run(x: np.ndarray) -> np.ndarray:
        with tg.no_grad():
            return predict(tg.asarray(x)).numpy()

    with ThreadPoolExecutor(4) as pool:
        for got, want in zip(pool.map(run, inputs), expected):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_compiler_imports_nothing_of_nn_and_optim() -> None:
    from tests.test_layout import imports_of, modules

    for name, path in modules().items():
        if name.startswith("tinygrad_dl.compiler"):
            assert not any(i.startswith(("tinygrad_dl.nn", "tinygrad_dl.optim")) for i in imports_of(path)), (
                name
            )


def test_a_program_that_computes_something_else_is_never_used(monkeypatch):
    made = compiled_module.replay

    def wrong(program):
        run, text = made(program)

        def off_by_one(*args):
            results, gradients = run(*args)
            return [r + 1 for r in results], gradients

        return off_by_one, text

    monkeypatch.setattr(compiled_module, "replay", wrong)
    f = tg.compile(lambda x: (x * 2).sum(), backend="numpy")
    with pytest.warns(UserWarning, match="runs eagerly: the program computes another result"):
        for i in range(10):
            assert f(tg.asarray([1.0, float(i)])).item() == 2 + 2 * i


def test_a_module_that_is_imported_during_a_capture_is_no_part_of_the_step(tmp_path, monkeypatch):
    (tmp_path / "imported_late.py").write_text("import sys\nsys._getframe()\nFACTOR = 3\n")
    monkeypatch.syspath_prepend(tmp_path)

    @tg.compile(fullgraph=True)
    def f(x):
        import imported_late

        return x * imported_late.FACTOR

    for i in range(4):
        assert f(tg.asarray([float(i)])).item() == 3 * i


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("clip", [False, True])
def test_gradients_from_outside_of_the_function_are_inputs(backend: str, clip: bool) -> None:
    models = [network(), network()]
    for model in models:
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def update(model: Any = model, optimizer: Any = optimizer) -> None:
            if clip:
                nn.utils.clip_grad_value_(model.parameters(), 0.02)
            optimizer.step()

        step = tg.compile(update, fullgraph=True, backend=backend) if model is models[0] else update
        for i in range(12):
            optimizer.zero_grad()
            model[2].bias.requires_grad_(i < 9)
            nn.CrossEntropyLoss()(model(tg.asarray(X)), Y).backward()
            before = model[0].weight.grad
            step()
            assert model[0].weight.grad is before
    assert_same(*models)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_that_a_step_looks_at_are_those_of_the_call(backend: str) -> None:
    w = tg.Tensor([3.0, 4.0], requires_grad=True)
    norm = tg.compile(lambda: (w.grad * w.grad).sum() if w.grad is not None else 0.0, backend=backend)
    for i in range(8):
        w.grad = tg.Tensor([float(i), 0.0])
        assert norm().item() == i * i
    w.grad = None
    assert norm() == 0.0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("owner", ["model", "optimizer"])
def test_zero_grad_reaches_what_the_step_gives_no_gradient(backend: str, to_none: bool, owner: str) -> None:
    grads = []
    for compiled in (False, True):
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        whose = optimizer if owner == "optimizer" else model

        def step(x: Any, model: Any = model, optimizer: Any = optimizer, whose: Any = whose) -> None:
            whose.zero_grad(set_to_none=to_none)
            model[0](x).sum().backward()
            optimizer.step()

        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        for _ in range(6):
            model(tg.asarray(X)).sum().backward()
            run(tg.asarray(X))
        grads.append([None if p.grad is None else p.grad.numpy() for p in model.parameters()])
    for a, b in zip(*grads):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b, a, rtol=1e-5)
    assert (grads[1][2] is None) == to_none


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_defaults_of_arguments_hold_is_never_stale(backend: str) -> None:
    layer = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5))
    settings = {"scale": 1.0}

    def inner(x: Any, model: Any = layer) -> Any:
        return model(x)

    def f(x: Any, settings: Any = settings, *, model: Any = layer) -> Any:
        return inner(model(x)) * settings["scale"]

    compiled = tg.compile(f, backend=backend, fullgraph=True)
    x = tg.asarray(np.array([[1.0, 2.0], [3.0, 5.0]], np.float32))
    with tg.no_grad():
        for _ in range(5):
            compiled(x)
        layer.eval()
        for _ in range(5):
            np.testing.assert_allclose(compiled(x).numpy(), f(x).numpy(), rtol=1e-5)
        settings["scale"] = 3.0
        np.testing.assert_allclose(compiled(x).numpy(), f(x).numpy(), rtol=1e-5)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"maximize": True, "weight_decay": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": tg.Tensor(0.01)}),
    ("Adam", {"amsgrad": True, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "betas": (0.0, 0.9)}),
    ("AdamW", {"amsgrad": True, "maximize": True}),
    ("Adamax", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "momentum_decay": 0.0}),
    ("NAdam", {"weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"initial_accumulator_value": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {"rho": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("ASGD", {"t0": 3, "weight_decay": 0.1, "maximize": True}),
    ("ASGD", {"lambd": 0.1, "alpha": 0.5}),
    ("Rprop", {"etas": (0.4, 1.3), "maximize": True}),
]


@pytest.mark.skipif(find_spec("llvmlite") is None, reason="llvmlite is not installed")
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_updates_are_native_with_every_option(name: str, options: dict[str, Any]) -> None:
    def make(parameters: Any) -> Any:
        return getattr(optim, name)(parameters, **({"lr": 0.01} | options))

    models = [network(), network()]
    eager, compiled = (training_step(model, make(model.parameters())) for model in models)
    compiled = tg.compile(compiled, backend="llvm", fullgraph=True)
    for step in (eager, compiled):
        for _ in range(12):
            step(tg.asarray(X), tg.asarray(Y))
    assert_same(*models)
    (entries,) = compiled._entries.values()
    assert any(e.verified for e in entries)
    assert not any(e.native.lowered.left for e in entries if e.native is not None)


def in_a_child(call: Callable[[], Any]) -> Any:
    """What a call returns in a forked process."""
    import os
    import pickle

    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, pickle.dumps(call()))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        sent = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(sent)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forked_process_goes_on_with_the_programs(backend: str) -> None:
    model = network()
    step = tg.compile(training_step(model, optim.Adam(model.parameters())), backend=backend)
    for _ in range(5):
        step(tg.asarray(X), tg.asarray(Y))
    saved = copy.deepcopy(model.state_dict())

    def further() -> list[float]:
        return [step(tg.asarray(X), tg.asarray(Y)).item() for _ in range(3)]

    there = in_a_child(further)
    for value, other in zip(model.state_dict().values(), saved.values(), strict=True):
        np.testing.assert_array_equal(value, other)
    assert further() == there


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_take_turns_in_a_compiled_step(backend: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    w = tg.Tensor(np.zeros(50), requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return w.detach().sum()

    run = tg.compile(step, backend=backend)
    x = tg.asarray(np.ones(50))
    for _ in range(4):
        run(x)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, [x] * 60))
    np.testing.assert_array_equal(w.detach().numpy(), np.full(50, -64.0))


def test_a_compiled_model_is_pickled_without_its_programs() -> None:
    import pickle

    predict = tg.compile(network())
    with tg.no_grad():
        for _ in range(4):
            out = predict(tg.asarray(X))
        twin = pickle.loads(pickle.dumps(predict))
        for _ in range(4):
            np.testing.assert_allclose(twin(tg.asarray(X)).numpy(), out.numpy(), rtol=1e-5, atol=1e-6)
        assert twin._entries and twin._function is not predict._function


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("together", [False, True])
def test_an_update_that_clears_the_gradients_it_has_used(backend: str, together: bool) -> None:
    """Gradient accumulation with `zero_grad` at the end: the gradients that the program reads are gone after it."""

    def trained(wrap: Any) -> Any:
        tg.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def backward(x: Any, last: bool) -> Any:
            loss = (model(x) ** 2).mean()
            loss.backward()
            if last:
                optimizer.step()
                optimizer.zero_grad()
            return loss

        def update() -> None:
            optimizer.step()
            optimizer.zero_grad()

        backward, update = wrap(backward), wrap(update)  # type: ignore[assignment]
        for i in range(20):
            x = tg.Tensor(np.random.default_rng(i).normal(size=(4, 3)).astype("f"))
            backward(x, together and i % 3 == 2)
            if not together and i % 3 == 2:
                update()
            yield [np.array(p._data) for p in model.parameters()], model.weight.grad is None

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = list(trained(lambda f: tg.compile(f, backend=backend, fullgraph=True)))
    for (a, cleared), (b, expected) in zip(got, trained(lambda f: f), strict=True):
        assert cleared == expected
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
