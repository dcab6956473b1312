"""How a new program is compared with eager: what is rounding does not count, and nothing is changed by it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import optim
from tinygrad_dl.compiler.compiled import Compiled

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(50, 8)) * 100).astype(np.float32)
SOLUTION = RNG.normal(size=(8, 1)).astype(np.float32)
Y = (X.astype(np.float64) @ SOLUTION).astype(np.float32)
both = pytest.mark.parametrize("backend", BACKENDS)


def is_used(compiled: Compiled[Any, Any]) -> bool:
    return all(entry.verified for entries in compiled._entries.values() for entry in entries)


@both
@pytest.mark.parametrize("returns", [True, False])
def test_gradients_of_a_solution_are_rounding(returns: bool, backend: str) -> None:
    def run(compile_: Callable[[Any], Any]) -> Any:
        w = tg.Tensor(SOLUTION, requires_grad=True)
        optimizer = optim.SGD([w], lr=1e-6)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = ((x @ w - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss if returns else None

        step = compile_(step)
        for _ in range(8):
            step(tg.asarray(X), tg.asarray(Y))
        return w, step

    expected, _ = run(lambda f: f)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got, step = run(lambda f: tg.compile(f, backend=backend))
    assert is_used(step)
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-5)


@both
def test_a_sum_that_cancels_is_rounding(backend: str) -> None:
    compiled = tg.compile(lambda x: (x - x.mean()).sum(), backend=backend, fullgraph=True)
    x = tg.asarray((RNG.normal(size=1000) + 100).astype(np.float32))
    before = x.numpy().copy()
    for _ in range(6):
        assert abs(compiled(x).item()) < 0.1
    assert is_used(compiled) and np.array_equal(x.numpy(), before)


@both
def test_tensors_of_read_only_arrays_stay_as_they_are(backend: str) -> None:
    values = np.float32([1, 2, 3])
    values.flags.writeable = False
    fixed, twos = tg.asarray(values), tg.asarray(np.broadcast_to(np.float32(2), (3,)))
    compiled = tg.compile(lambda x: x * fixed + twos, backend=backend, fullgraph=True)
    for i in range(5):
        assert compiled(tg.asarray(np.full(3, i, np.float32))).tolist() == [i + 2, 2 * i + 2, 3 * i + 2]


@both
def test_operations_on_arrays_give_arrays(backend: str) -> None:
    compiled = tg.compile(
        lambda x: (tg.sin(x), [tg.sort(x), tg.asarray(x) * 2]), backend=backend, fullgraph=True
    )
    for i in range(5):
        sine, (ordered, twice) = compiled(np.float32([i, 1]))
        assert type(sine) is type(ordered) is np.ndarray and type(twice) is tg.Tensor
        np.testing.assert_allclose(sine, np.sin(np.float32([i, 1])), rtol=1e-6)


NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "full": lambda x, n: x * tg.full((3, 3), n),
    "arange": lambda x, n: x.sum() * tg.arange(0, n),
    "eye": lambda x, n: x.sum() * tg.eye(n),
    "slice": lambda x, n: x[:, :n],
    "axis": lambda x, n: tg.sum(x, axis=n),
    "quantile": lambda x, n: tg.quantile(x, n / 4),
    "shifted": lambda x, n: x.sum() * tg.arange(0, n + 2) + tg.sum(x[:2, :2], axis=n + 0).sum(),
}


@both
@pytest.mark.parametrize("tensor", [True, False])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_arrays_are_never_stale(name: str, tensor: bool, backend: str) -> None:
    function = NUMBERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = tg.compile(function, backend=backend)
        for n in (1, 1, 1, 1, 0, 1):
            x = tg.asarray(RNG.normal(size=(3, 3)))
            number: Any = tg.asarray(np.array(n)) if tensor else np.array(n)
            np.testing.assert_allclose(compiled(x, number).numpy(), function(x, number).numpy(), rtol=1e-12)
