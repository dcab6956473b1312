"""Layers and losses of which nothing is left to Python: every operation and every rule has native code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import IndexRangeError
from tinygrad_dl.nn import functional as F

pytest.importorskip("llvmlite", reason="without it nothing is native")

DRAW = np.random.default_rng(0)
LABELS = np.array([0, 2, 1, 1, 0])
OTHERS = np.array([2, 1, 1, 0, 2])
IGNORED = np.array([0, -100, 1, -100, 2])
WEIGHT = tg.asarray(np.array([0.2, 1.0, 3.0], np.float32))
TARGET = tg.asarray(DRAW.normal(size=(5, 3)).astype("float32"))


def images(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape).astype("float32")


LAYERS: dict[str, tuple[Callable[[], nn.Module], np.ndarray]] = {
    "average pooling": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2)), images(2, 2, 8, 8)),
    "average pooling with padding": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(3, 2, 1)),
        images(2, 2, 8, 8),
    ),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, stride=2, padding=1), images(2, 4, 7, 6)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1), images(2, 4, 6, 6)),
    "grouped in one axis": (lambda: nn.Conv1d(6, 9, 2, groups=3, dilation=2), images(2, 6, 8)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1), images(2, 2, 4, 5)),
    "transposed in groups": (lambda: nn.ConvTranspose1d(4, 6, 3, groups=2, padding=1), images(2, 4, 5)),
    "transposed twice": (
        lambda: nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.Tanh(), nn.ConvTranspose2d(3, 2, 2)),
        images(2, 2, 3, 3),
    ),
    "hard activations": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.Hardsigmoid(), nn.Softshrink(0.1), nn.Hardshrink(0.2)),
        images(5, 4),
    ),
}  # fmt: skip
LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "nll": lambda z, y: F.nll_loss(F.log_softmax(z, 1), y),
    "weighted nll": lambda z, y: F.nll_loss(F.log_softmax(z, 1), y, weight=WEIGHT),
    "sum of nll": lambda z, y: F.nll_loss(F.log_softmax(z, 1), y, reduction="sum"),
    "weighted": lambda z, y: F.cross_entropy(z, y, weight=WEIGHT),
    "smoothed": lambda z, y: F.cross_entropy(z, y, label_smoothing=0.2),
    "weighted and smoothed": lambda z, y: F.cross_entropy(z, y, weight=WEIGHT, label_smoothing=0.2),
    "sum of weighted": lambda z, y: F.cross_entropy(z, y, weight=WEIGHT, reduction="sum"),
    "each": lambda z, y: (F.cross_entropy(z, y, weight=WEIGHT, reduction="none") ** 2).sum(),
    "huber": lambda z, y: F.huber_loss(z, TARGET, delta=0.3),
    "smooth l1": lambda z, y: F.smooth_l1_loss(z, TARGET, beta=0.5),
    "one-hot": lambda z, y: ((F.softmax(z, 1) - F.one_hot(y, 3)) ** 2).mean(),
    "std": lambda z, y: z.std(axis=0).sum() + tg.var(z, axis=1, correction=1).sum(),
    "norms": lambda z, y: tg.linalg.vector_norm(z) + tg.linalg.vector_norm(z, ord=1, axis=1).sum(),
    "logsumexp": lambda z, y: tg.logsumexp(z, axis=1).sum() + tg.logaddexp(z, TARGET).sum(),
    "clip": lambda z, y: (tg.clip(z, -0.2, 0.3) * z).sum(),
    "maximum": lambda z, y: (z.max(axis=1) * z.min(axis=1)).sum(),
    "joined": lambda z, y: (
        tg.concat([z, z * z], axis=1) * tg.stack([z, TARGET], axis=1).reshape((5, 6))
    ).sum(),
    "triangles": lambda z, y: (tg.tril(z) * tg.triu(z, k=-1)).sum(),
    "padded": lambda z, y: (F.pad(z, (1, -1)) * z).sum(),
    "hinge": lambda z, y: F.hinge_embedding_loss(z, tg.sign(TARGET)),
}


def trained(make: Callable[[], nn.Module], loss: Any, batches: Any, compiled: bool) -> tuple[list[Any], Any]:
    tg.manual_seed(1)
    model = make()
    optimizer = optim.SGD(model.parameters(), lr=0.05)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    run = tg.compile(step, backend="llvm", fullgraph=True) if compiled else step
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found: list[Any] = [run(tg.asarray(x), tg.asarray(y)).item() for x, y in batches]
    return [*found, *(p.detach().numpy() for p in model.parameters())], run


def assert_native(make: Callable[[], nn.Module], loss: Any, batches: Any) -> Any:
    expected, _ = trained(make, loss, batches, False)
    got, step = trained(make, loss, batches, True)
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6)
    assert "not lowered: nothing" in step.explain()
    return step


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    make, x = LAYERS[name]
    assert_native(
        make, lambda out, y: (out * out).mean() + out.sum() * 0.1, [(x + i, LABELS) for i in range(6)]
    )


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    batches = [(images(5, 4), y) for y in (LABELS, LABELS, LABELS, OTHERS, LABELS, OTHERS)]
    assert_native(lambda: nn.Linear(4, 3), LOSSES[name], batches)


@pytest.mark.parametrize(
    "name", ["nll", "weighted nll", "weighted", "weighted and smoothed", "sum of weighted"]
)
def test_which_targets_are_ignored_may_change(name: str) -> None:
    some = np.array([-100, 1, 1, 2, -100])
    batches = [(images(5, 4), y) for y in (IGNORED, LABELS, IGNORED, some, LABELS, IGNORED)]
    assert_native(lambda: nn.Linear(4, 3), LOSSES[name], batches)


def test_where_no_target_counts_the_mean_is_nan_and_the_gradient_as_in_eager() -> None:
    nobody = np.full(5, -100)
    batches = [(images(5, 4), y) for y in (IGNORED, IGNORED, IGNORED, nobody, LABELS)]
    assert_native(lambda: nn.Linear(4, 3), LOSSES["weighted"], batches)


@pytest.mark.parametrize("name", ["nll", "weighted", "one-hot"])
def test_classes_out_of_range_are_refused_as_in_eager(name: str) -> None:
    tg.manual_seed(1)
    model = nn.Linear(4, 3)
    x = tg.asarray(images(5, 4))

    @tg.compile
    def step(y: Any) -> Any:
        value = LOSSES[name](model(x), y)
        value.backward()
        return value

    for _ in range(4):
        step(tg.asarray(LABELS))
    for wrong in (3, -1):
        with pytest.raises((IndexRangeError, IndexError), match=str(wrong)):
            step(tg.asarray(np.array([0, 1, wrong, 0, 0])))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_batch_norm_with_the_plain_average_of_all_batches(backend: Any) -> None:
    runs = []
    for compiled in (False, True):
        tg.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=None))
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = (model(x) ** 3).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        draw = np.random.default_rng(3)
        for _ in range(7):
            run(tg.asarray(draw.normal(size=(6, 4)).astype("float32")))
        runs.append([x.numpy() for x in model.buffers()])
        if compiled:
            assert "running_mean + (mu - running_mean) / (num_batches_tracked + 1)" in run.source  # type: ignore[attr-defined]
            assert "num_batches_tracked += 1" in run.source  # type: ignore[attr-defined]
    for eager, other in zip(*runs):
        np.testing.assert_allclose(other, eager, rtol=1e-5, atol=1e-6)
