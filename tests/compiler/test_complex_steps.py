"""Compiled steps with complex values: what has no native code for them is called as it is, with eager's results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS, assert_same, run_both
from tinygrad_dl import nn, optim

RNG = np.random.default_rng(0)
Z = (RNG.normal(size=(8, 3)) + 1j * RNG.normal(size=(8, 3))).astype(np.complex64)
X = RNG.normal(size=(8, 16)).astype(np.float32)


def complex_network() -> nn.Module:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4, dtype="complex64"), nn.Tanh(), nn.Linear(4, 1, dtype="complex64"))


class Filter(nn.Module):
    """Real weights, one for each frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.ones(9, np.float32))

    def forward(self, x: Any) -> Any:
        return tg.fft.irfft(tg.fft.rfft(x) * self.weight, 16)


def distance(out: Any, y: Any) -> Any:
    return (tg.abs(out - y) ** 2).mean()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam])
def test_a_complex_network_takes_the_eager_steps(backend: str, optimizer: Any) -> None:
    y = Z[:, :1] * (1 + 1j)
    eager, compiled, *_ = run_both(
        complex_network, lambda ps: optimizer(ps, lr=0.05), backend, Z, y, distance, fullgraph=False
    )
    assert_same(eager, compiled)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_filter_with_real_weights_takes_the_eager_steps(backend: str) -> None:
    eager, compiled, *_ = run_both(
        Filter, lambda ps: optim.Adam(ps, lr=0.05), backend, X, np.roll(X, 1, 1), distance, fullgraph=False
    )
    assert_same(eager, compiled)


def test_a_complex_gradient_that_goes_to_the_caller_runs_eagerly_and_is_told() -> None:
    def gradient(z: Any) -> Any:
        z = z.detach().requires_grad_()
        (g,) = tg.autograd.grad((tg.abs(z) ** 2).sum(), z)
        return g

    compiled = tg.compile(gradient)
    with pytest.warns(UserWarning, match="runs eagerly"):
        found = [compiled(tg.Tensor(Z)) for _ in range(6)]
    for g in found:
        np.testing.assert_allclose(g.data, 2 * Z, rtol=1e-5)
