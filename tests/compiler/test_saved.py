"""Saved programs of a spread of models, run in a process that has NumPy alone: eager's losses and predictions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import CLASSES, IMAGES, Attentive, Recurrent, training_step
from tinygrad_dl import nn, optim

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 4)).astype("f"), RNG.integers(0, 3, 6)
TOKENS = RNG.integers(0, 9, (6, 5))
SGD: Callable[[Any], Any] = lambda p: optim.SGD(p, lr=0.05, momentum=0.9)  # noqa: E731
MLP: Callable[[], Any] = lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))  # noqa: E731
MODELS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any, Any]] = {
    "mlp": (MLP, SGD, X, Y),
    "relu": (lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), SGD, X, Y),
    "gelu": (lambda: nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)), SGD, X, Y),
    "activations": (
        lambda: nn.Sequential(
            nn.Linear(4, 6), nn.SiLU(), nn.Softplus(), nn.ELU(), nn.LeakyReLU(), nn.Hardswish(), nn.Mish(),
            nn.Linear(6, 3),
        ), SGD, X, Y,
    ),
    "batch_norm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)), SGD, X, Y,
    ),
    "layer_norm": (lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)), SGD, X, Y),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Flatten(), nn.Linear(20, 3),
        ), SGD, IMAGES, CLASSES,
    ),
    "strided_cnn": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
        SGD, IMAGES, CLASSES,
    ),
    "lstm": (lambda: Recurrent(nn.LSTM(8, 5, batch_first=True)), SGD, IMAGES[:, 0], CLASSES),
    "gru": (lambda: Recurrent(nn.GRU(8, 5, batch_first=True)), SGD, IMAGES[:, 0], CLASSES),
    "rnn": (lambda: Recurrent(nn.RNN(8, 5, batch_first=True)), SGD, IMAGES[:, 0], CLASSES),
    "attention": (Attentive, SGD, IMAGES[:, 0], CLASSES),
    "embedding": (lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3)), SGD, TOKENS, CLASSES),
    "adam": (MLP, lambda p: optim.Adam(p, lr=0.01), X, Y),
    "adamw": (MLP, lambda p: optim.AdamW(p, lr=0.01), X, Y),
    "rmsprop": (MLP, lambda p: optim.RMSprop(p, lr=0.01), X, Y),
    "adagrad": (MLP, lambda p: optim.Adagrad(p, lr=0.01), X, Y),
    "nesterov": (MLP, lambda p: optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1), X, Y),
}  # fmt: skip
# What has no formula to be written out yet.
UNWRITTEN: dict[str, str] = {}
# Their numbers, such as bias corrections, change from step to step: a saved program has those of one step.
ONE_STEP = {"adam", "adamw"}
PROGRAM = """
import importlib, json, sys
import numpy as np

data = np.load("data.npz")
found = {}
for name in sys.argv[1:]:
    step, predict = importlib.import_module("step_" + name), importlib.import_module("predict_" + name)
    x, y = data["x_" + name], data["y_" + name]
    try:
        found[name] = [
            np.asarray(predict.predict(x), float).ravel().tolist(),
            [float(step.step(x, y)) for _ in range(3)],
        ]
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
assert not any(m.partition(".")[0] in ("tinygrad_dl", "llvmlite", "torch") for m in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What eager and what the saved programs compute from the same state."""
    folder: Path = tmp_path_factory.mktemp("saved")
    expected, data = {}, {}
    for name, (make, optimizer, x, y) in MODELS.items():
        tg.manual_seed(3)
        model = make()
        step = tg.compile(training_step(model, optimizer(model.parameters())), backend="numpy")
        for _ in range(3):
            step(tg.asarray(x), tg.asarray(y))
        model.eval()
        predict = tg.compile(model, backend="numpy")
        with tg.no_grad():
            predicted = [predict(tg.asarray(x)) for _ in range(3)][-1].numpy().ravel().astype(float).tolist()
        model.train()
        try:
            step.save(folder / f"step_{name}.py")
            predict.save(folder / f"predict_{name}.py")
        except Exception as error:
            expected[name] = f"{type(error).__name__}: {error}"
            continue
        losses = [step._function(tg.asarray(x), tg.asarray(y)).item() for _ in range(3)]
        expected[name] = [predicted, losses]
        data |= {f"x_{name}": x, f"y_{name}": y}
    np.savez(folder / "data.npz", **data)
    names = [name for name, value in expected.items() if not isinstance(value, str)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return expected, json.loads(done.stdout)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_program_computes_what_eager_does(name: str, results: Any) -> None:
    expected, got = (part.get(name) for part in results)
    if name in UNWRITTEN:
        assert "expected operations that have a formula in NumPy, got " + UNWRITTEN[name] in expected
        return
    assert not isinstance(expected, str), expected
    assert not isinstance(got, str), got
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-4, atol=1e-5)
    count = 1 if name in ONE_STEP else 3
    np.testing.assert_allclose(got[1][:count], expected[1][:count], rtol=1e-4)
