"""The source of compiled functions: what it reads like, and that it computes the same in NumPy alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim

STORED = Path(__file__).parent / "stored"
X = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)


def logistic_regression() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 1))


def hidden_layer() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))


MODELS: dict[str, Callable[[], nn.Module]] = {
    f.__name__: f for f in (logistic_regression, hidden_layer, batch_norm)
}


def training_step(model: Any, optimizer: Any) -> Any:
    criterion = nn.BCEWithLogitsLoss()

    @tg.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def compiled(name: str) -> Any:
    tg.manual_seed(0)
    model = MODELS[name]()
    return training_step(model, optim.SGD(model.parameters(), lr=0.1)), model


def write() -> None:
    """Store the sources again: `python -m tests.compiler.test_source`."""
    for name in MODELS:
        step, _ = compiled(name)
        step(tg.asarray(X), tg.asarray(Y))
        (STORED / f"{name}.txt").write_text(step.source, encoding="utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_the_source_reads_as_it_is_stored(name: str) -> None:
    step, _ = compiled(name)
    step(tg.asarray(X), tg.asarray(Y))
    assert step.source == (STORED / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_the_source_is_the_step_in_numpy(name: str) -> None:
    step, model = compiled(name)
    twin = {key.replace(".", "_"): np.array(value) for key, value in model.state_dict().items()}
    expected = step(tg.asarray(X), tg.asarray(Y)).item()
    space: dict[str, Any] = {}
    exec(step.source, space)
    code = space["step"].__code__
    names = code.co_varnames[2 : code.co_argcount]
    weights = [twin[key] for key in twin if key.endswith(("weight", "bias"))]
    given = dict(zip([n for n in names if n[0] in "wbg"], weights))
    given |= {n: twin[n.removeprefix("p")] for n in names if "running" in n}
    loss = space["step"](X, Y, **given, lr=0.1)
    assert loss == pytest.approx(expected, rel=1e-5)
    for (_, parameter), array in zip(model.named_parameters(), weights):
        np.testing.assert_allclose(array, parameter.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_saved_program_needs_numpy_alone(tmp_path: Path) -> None:
    step, model = compiled("hidden_layer")
    for _ in range(4):
        step(tg.asarray(X), tg.asarray(Y))
    step.save(tmp_path / "step.py")
    predict = tg.compile(model)
    with tg.no_grad():
        expected = predict(tg.asarray(X)).numpy().ravel()
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
    assert first == pytest.approx(step(tg.asarray(X), tg.asarray(Y)).item(), rel=1e-4)
    assert second < first


def test_the_explanation_tells_what_was_done() -> None:
    step, _ = compiled("hidden_layer")
    assert step.explain() == "training_step.<locals>.step has not been called yet."
    for _ in range(4):
        step(tg.asarray(X), tg.asarray(Y))
    lines = step.explain().splitlines()
    assert lines[0] == "training_step.<locals>.step:"
    assert lines[1] == "  arguments: x: float32[8, 2], y: float32[8, 1]"
    assert lines[2] == "  captured: 4 operations, 4 vjps, 1 side effects"


if __name__ == "__main__":
    write()
