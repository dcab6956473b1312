"""float16 is accumulated in float32 in compiled functions too, whatever numbers come after the program was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import nn, optim
from tinygrad_dl.nn import functional as F

CLASSES = np.random.default_rng(0).integers(0, 64, 64)
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "mean of squares": lambda x: (x * x).mean(),
    "product": lambda x: (x @ x.mT).mean(),
    "variance": lambda x: x.var(axis=1).mean(),
    "layer norm": lambda x: (F.layer_norm(x, (64,)) ** 3).mean(),
    "logsumexp": lambda x: tg.logsumexp(x, axis=1).sum(),
    "cross-entropy": lambda x: F.cross_entropy(x, CLASSES),
    "broadcast": lambda x: (x + x[0]).mean(),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_large_sums_are_those_of_eager(name: str, backend: str) -> None:
    w = tg.Tensor(np.ones((64, 64), np.float16), requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        loss = FUNCTIONS[name](x * w)
        loss.backward()
        return loss.detach()

    compiled = tg.compile(step, backend=backend, fullgraph=True)
    for scale in (0.01, 0.01, 0.01, 0.01, 1.0, 30.0, 0.0):
        x = tg.asarray((scale * (1 + np.random.default_rng(0).random((64, 64)))).astype(np.float16))
        expected, gradient = step(x), w.grad.numpy()  # type: ignore[union-attr]
        got = compiled(x)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=5e-3)
        atol = 5e-3 * float(np.abs(gradient).max(initial=0, where=np.isfinite(gradient)))
        np.testing.assert_allclose(w.grad.numpy(), gradient, rtol=5e-3, atol=atol)  # type: ignore[union-attr]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_in_float16_is_a_program(backend: str) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to("float16")
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled = tg.compile(step, backend=backend, fullgraph=True)
    x = tg.asarray(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float16))
    losses = [compiled(x, CLASSES[:6] % 3).item() for _ in range(6)]
    assert losses[-1] < losses[0]
    assert [e.verified for entries in compiled._entries.values() for e in entries] == [True]


def test_shapes_that_change_with_every_value_are_told_once() -> None:
    compiled = tg.compile(lambda x: tg.tanh(x[x > 0]))
    x = -np.ones(12, np.float32)
    with pytest.warns(UserWarning, match="runs eagerly: shapes that follow from values") as caught:
        for i in range(200):
            n = 3 + (i // 4) % 2
            assert compiled(tg.asarray(np.where(np.arange(12) < n, -x, x))).shape == (n,)
    assert len(caught) == 1 and caught[0].filename == __file__
