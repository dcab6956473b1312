"""The source of compiled functions: what it reads like, and that it computes the same in NumPy alone."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import config, nn, optim
from tinygrad_dl.errors import CompileError

STORED = Path(__file__).parent / "stored"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 2)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)
IMAGES = RNG.normal(size=(4, 2, 8, 8)).astype(np.float32)
SEQUENCES = RNG.normal(size=(8, 5, 2)).astype(np.float32)
CLASSES = RNG.integers(0, 3, 8)


def training_step(
    model: Any, optimizer: Any, criterion: Any = None, clip: Callable[..., Any] | None = None
) -> Any:
    criterion = criterion or nn.BCEWithLogitsLoss()

    @tg.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        if clip is not None:
            clip(model.parameters(), 0.5)
        optimizer.step()
        return loss

    return step


def sgd(parameters: Any) -> Any:
    return optim.SGD(parameters, lr=0.1)


def network(*modules: nn.Module) -> Callable[[], Any]:
    """A two-layer network with modules between its layers."""
    return lambda: nn.Sequential(nn.Linear(2, 4), *map(copy.deepcopy, modules), nn.Linear(4, 1))


class Recurrent(nn.Module):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x)[0][:, -1])


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(2, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        h, c = self.cell(x)
        h, c = self.cell(x, (h, c))
        return self.head(h)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 4)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        h = nn.functional.gelu(self.norm(self.hidden(x)))
        return self.out(h + h * h)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(2, 1) for _ in range(3))

    def forward(self, x: Any) -> Any:
        q, k, v = self.q(x), self.k(x), self.v(x)
        a = nn.functional.softmax(q @ k.mT, -1)
        return (a @ v)[:, 0]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 4)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.out(self.table(x))


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 3)
    )


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 2, stride=2),
        nn.MaxPool2d(2, stride=1, padding=1), nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 3),
    )  # fmt: skip


def deeper() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


#: Name -> model, optimizer, loss, input, target, clipping. The sources of CASES are stored.
Case = tuple[Callable[[], Any], Callable[[Any], Any], Any, Any, Any, Any]


def case(
    model: Any, optimizer: Any = sgd, loss: Any = None, x: Any = X, y: Any = Y, clip: Any = None
) -> Case:
    return model, optimizer, loss, x, y, clip


TANH = network(nn.Tanh())
CROSS_ENTROPY = nn.CrossEntropyLoss()
MSE = nn.MSELoss()
CASES: dict[str, Case] = {
    "logistic_regression": case(lambda: nn.Sequential(nn.Linear(2, 1))),
    "hidden_layer": case(TANH),
    "course_network": case(
        lambda: nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid()), loss=nn.BCELoss()
    ),
    "batch_norm": case(network(nn.BatchNorm1d(4), nn.ReLU())),
    "deeper_network": case(deeper, loss=CROSS_ENTROPY, y=CLASSES),
    "dropout": case(network(nn.ReLU(), nn.Dropout(0.2))),
    "convolution": case(convolution, loss=CROSS_ENTROPY, x=IMAGES, y=CLASSES[:4]),
    "momentum": case(TANH, lambda p: optim.SGD(p, lr=0.1, momentum=0.9), MSE),
    "adam": case(TANH, lambda p: optim.Adam(p, lr=0.1), MSE),
    "clipping": case(TANH, clip=nn.utils.clip_grad_norm_),
    "lstm": case(lambda: Recurrent(nn.LSTM(2, 4, batch_first=True)), loss=MSE, x=SEQUENCES),
    "lstm_cell": case(Cell, loss=MSE),
    "gelu_silu": case(network(nn.GELU(), nn.Linear(4, 4), nn.SiLU()), loss=MSE),
}
MORE: dict[str, Case] = {
    "one layer": case(lambda: nn.Linear(2, 1)),
    "named layers": case(Named),
    "embedding": case(Words, x=CLASSES),
    "attention": case(Attention, x=SEQUENCES),
    "images": case(lenet, lambda p: optim.Adam(p, lr=0.01), CROSS_ENTROPY, IMAGES, CLASSES[:4]),
    "layer norm, adam": case(network(nn.LayerNorm(4), nn.ReLU()), lambda p: optim.Adam(p, lr=0.1)),
    "activations": case(
        network(nn.SiLU(), nn.LayerNorm(4), nn.ELU(), nn.LeakyReLU(), nn.Softplus(), nn.Softmax(1)), loss=MSE
    ),
    "gru": case(lambda: Recurrent(nn.GRU(2, 4, batch_first=True)), loss=MSE, x=SEQUENCES),
    "rnn": case(lambda: Recurrent(nn.RNN(2, 4, batch_first=True)), loss=MSE, x=SEQUENCES),
    "two lstm layers": case(
        lambda: Recurrent(nn.LSTM(2, 4, num_layers=2, batch_first=True)), loss=MSE, x=SEQUENCES
    ),
    "huber": case(TANH, loss=nn.SmoothL1Loss()),
    "l1": case(TANH, loss=nn.L1Loss()),
    "sum of squares": case(TANH, lambda p: optim.SGD(p, lr=0.01), nn.MSELoss(reduction="sum")),
    "no dropout": case(network(nn.ReLU(), nn.Dropout(0.0))),
    "all dropout": case(network(nn.ReLU(), nn.Dropout(1.0))),
    "clipped values": case(TANH, clip=nn.utils.clip_grad_value_),
    "nesterov": case(TANH, lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    "dampening": case(TANH, lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5)),
    "ascent": case(TANH, lambda p: optim.SGD(p, lr=0.001, maximize=True, weight_decay=0.1)),
    "amsgrad": case(TANH, lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1, amsgrad=True)),
    "adamw": case(TANH, lambda p: optim.AdamW(p, lr=0.01, maximize=True)),
    "adamax": case(TANH, lambda p: optim.Adamax(p, lr=0.01, weight_decay=0.1)),
    "rmsprop": case(TANH, lambda p: optim.RMSprop(p, lr=0.01, weight_decay=0.1)),
    "rmsprop, momentum": case(TANH, lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9)),
    "rmsprop, centered": case(TANH, lambda p: optim.RMSprop(p, lr=0.01, centered=True)),
    "adagrad": case(TANH, lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.1)),
    "adadelta": case(TANH, lambda p: optim.Adadelta(p, lr=0.1)),
    "groups": case(
        TANH,
        lambda p: (
            lambda ps: optim.SGD(
                [{"params": ps[:2], "lr": 0.1}, {"params": ps[2:], "momentum": 0.5}], lr=0.01
            )
        )(list(p)),
    ),
}


def given(x: Any) -> Any:
    return tg.asarray(x)


def compiled(name: str) -> Any:
    tg.manual_seed(0)
    make, optimizer, loss, x, y, clip = (CASES | MORE)[name]
    model = make()
    return training_step(model, optimizer(model.parameters()), loss, clip), model, (given(x), given(y))


def write() -> None:
    """Store the sources again: `python -m tests.compiler.test_source`."""
    for name in CASES:
        step, _, args = compiled(name)
        for _ in range(4):
            step(*args)
        (STORED / f"{name}.txt").write_text(step.source, encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_the_source_reads_as_it_is_stored(name: str) -> None:
    step, _, args = compiled(name)
    for _ in range(4):
        step(*args)
    assert step.source == (STORED / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_the_source_is_the_step_in_numpy(name: str, tmp_path: Path) -> None:
    step, model, args = compiled(name)
    for _ in range(4):
        step(*args)
    step.save(tmp_path / "saved.py")
    spec = importlib.util.spec_from_file_location("saved", tmp_path / "saved.py")
    assert spec is not None and spec.loader is not None
    saved = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(saved)
    takes = inspect.signature(saved.step).parameters
    drawn = {"rng": copy.deepcopy(config.default_rng())} if "rng" in takes else {}
    losses = [float(saved.step(*(x.numpy() for x in args), **drawn)) for _ in range(3)]
    expected = [step(*args).item() for _ in range(3)]
    np.testing.assert_allclose(losses, expected, rtol=1e-3, atol=1e-6)
    for p in model.parameters():
        same = [a for a in saved.ARRAYS.values() if a.shape == p.shape]
        assert any(np.allclose(a, p.detach().numpy(), rtol=1e-3, atol=1e-5) for a in same)


@pytest.mark.parametrize("name", CASES)
def test_the_source_is_the_same_before_and_after_a_program_is_in_use(name: str) -> None:
    step, _, args = compiled(name)
    step(*args)
    step(*args)
    early = step.source
    for _ in range(3):
        step(*args)
    assert step.source == early


def test_results_are_called_as_the_function_calls_them() -> None:
    W1, b1, W2 = (tg.ones(shape).requires_grad_() for shape in ((2, 3), (3,), (3, 1)))

    @tg.compile
    def step(X: Any, Y: Any) -> Any:
        Z1 = X @ W1 + b1
        A1 = tg.tanh(Z1)
        A2 = tg.sigmoid(A1 @ W2)
        cost = ((A2 - Y) ** 2).mean()
        for p in (W1, b1, W2):
            p.grad = None
        cost.backward()
        return cost

    for _ in range(3):
        step(tg.Tensor(X), tg.Tensor(Y))
    lines = [line.split("  #")[0].strip() for line in step.source.splitlines()]
    for line in ("Z1 = X @ W1 + b1", "A1 = np.tanh(Z1)", "A2 = sigmoid(A1 @ W2)", "dZ1 = dA1 * (1 - A1**2)"):
        assert line in lines
    assert lines[-1] == 'return cost, {"dW2": dW2, "db1": db1, "dW1": dW1}'


def test_attention_is_written_with_the_names_of_its_module() -> None:
    step, _, args = compiled("attention")
    for _ in range(4):
        step(*args)
    for line in ("dk = (q.transpose(0, 2, 1) @ dmatmul1).transpose(0, 2, 1)", "dq = dmatmul1 @ k"):
        assert f"    {line}  #" in step.source


def test_a_step_without_a_formula_returns_the_gradients() -> None:
    tg.manual_seed(0)
    model = TANH()
    step = training_step(model, optim.Adafactor(model.parameters(), lr=0.1))
    for _ in range(4):
        step(given(X), given(Y))
    assert "# Not written out: the step of Adafactor\n    return loss, {" in step.source
    with pytest.raises(CompileError) as error:
        step.save("never.py")
    assert str(error.value) == (
        "save: expected an optimizer whose step has a formula in NumPy, got Adafactor. Save a compiled model, or use "
        "SGD, Adam, AdamW, Adamax, RMSprop or Adagrad."
    )


def test_a_step_that_counts_is_not_saved_with_the_numbers_of_today(tmp_path: Path) -> None:
    tg.manual_seed(0)
    model = TANH()
    step = training_step(model, optim.NAdam(model.parameters(), lr=0.1))
    for _ in range(4):
        step(given(X), given(Y))
    with pytest.raises(CompileError, match=r"got NAdam\."):
        step.save(tmp_path / "step.py")


def test_a_saved_program_returns_what_was_there_before(tmp_path: Path) -> None:
    w = tg.Tensor(np.arange(3.0), name="w")
    compiled = tg.compile(lambda x: (x, x * w, w, w.detach(), x.detach()))
    for _ in range(4):
        compiled(tg.ones(3, dtype="float64"))
    path = tmp_path / "returned.py"
    compiled.save(path)
    found = importlib.util.spec_from_file_location("returned", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    x = np.array([2.0, 3.0, 4.0])
    for got, expected in zip(module.predict(x), (x, x * w.numpy(), w.numpy(), w.numpy(), x), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_mask_that_a_derivative_reads_has_no_formula() -> None:
    w = tg.Tensor(np.ones((4, 3)), requires_grad=True)

    @tg.compile
    def step(x: Any) -> Any:
        (g,) = tg.autograd.grad((nn.functional.dropout(x @ w, 0.5) ** 3).sum(), [w], create_graph=True)
        w.grad = None
        (g**2).sum().backward()

    for _ in range(4):
        step(tg.asarray(np.ones((2, 4))))
    with pytest.raises(CompileError, match="source: expected values that have a formula in NumPy"):
        _ = step.source


def test_an_operation_without_a_formula_is_named() -> None:
    f = tg.compile(lambda x: tg.linalg.inv(x))
    with tg.no_grad():
        for _ in range(4):
            f(tg.Tensor(np.eye(2)))
    with pytest.raises(CompileError) as error:
        _ = f.source
    assert str(error.value) == (
        "source: expected operations that have a formula in NumPy, got inv, which are called as they are"
    )


def test_a_saved_program_needs_numpy_alone(tmp_path: Path) -> None:
    step, model, _ = compiled("hidden_layer")
    for _ in range(4):
        step(given(X), given(Y))
    step.save(tmp_path / "step.py")
    predict = tg.compile(model)
    with tg.no_grad():
        expected = predict(given(X)).numpy().ravel()
    predict.save(tmp_path / "model.py")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    program = (
        "import sys, numpy as np\n"
        "import model, step\n"
        "x, y = np.load('x.npy'), np.load('y.npy')\n"
        "print(*model.predict(x).ravel().tolist())\n"
        "print(*(float(step.step(x, y)) for _ in range(2)))\n"
        "assert 'tinygrad_dl' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed, losses = done.stdout.splitlines()
    np.testing.assert_allclose(np.array(printed.split(), float), expected, rtol=1e-4, atol=1e-6)
    first, second = map(float, losses.split())
    assert first == pytest.approx(step(given(X), given(Y)).item(), rel=1e-4)
    assert second < first


def test_the_explanation_tells_what_was_done() -> None:
    step, _, _ = compiled("hidden_layer")
    assert step.explain() == "training_step.<locals>.step has not been called yet."
    for _ in range(4):
        step(given(X), given(Y))
    lines = step.explain().splitlines()
    assert lines[0] == "training_step.<locals>.step:"
    assert lines[1] == "  arguments: x: float32[8, 2], y: float32[8, 1]"
    assert lines[2] == "  captured: 4 operations, 4 vjps, 1 side effect"


def test_the_explanation_of_native_code_has_loops_products_buffers_and_what_is_left() -> None:
    pytest.importorskip("llvmlite")
    step, _, args = compiled("clipping")
    for _ in range(4):
        step(*args)
    lines = step.explain().splitlines()
    heads = [line.partition(":")[0].strip() for line in lines]
    assert heads == [
        "training_step.<locals>.step", "arguments", "captured", "after simplification", "fused", "products", "buffers",
        "state", "not lowered, called as they are", "clip_grad_norm", "backend",
    ]  # fmt: skip
    assert lines[5] == "  products: 5, 224 multiply-adds"
    assert lines[9] == "    clip_grad_norm: a side effect, done by Python"
    assert max(map(len, lines)) <= 80
    step, _, args = compiled("images")
    for _ in range(4):
        step(*args)
    assert max(map(len, step.explain().splitlines())) <= 80


if __name__ == "__main__":
    write()
