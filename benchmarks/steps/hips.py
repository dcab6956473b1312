"""The steps in HIPS autograd."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad
from autograd.scipy.special import logsumexp

from benchmarks.steps import data


def step_of(
    cost: Callable[..., Any], sizes: tuple[int, ...], x: np.ndarray, y: np.ndarray, rate: float
) -> Callable[[], None]:
    parameters = data.weights(sizes)

    def total(parameters: Any) -> Any:
        out = x
        for w, b in parameters[:-1]:
            out = anp.maximum(anp.dot(out, w) + b, 0)
        w, b = parameters[-1]
        return cost(anp.dot(out, w) + b, y)

    gradient = grad(total)

    def step() -> None:
        for (w, b), (dw, db) in zip(parameters, gradient(parameters)):
            w -= rate * dw
            b -= rate * db

    return step


def mlp(sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    def cost(z: Any, y: Any) -> Any:
        return anp.mean(logsumexp(z, axis=1) - z[anp.arange(len(y)), y])

    return step_of(cost, sizes, data.rows(batch, sizes[0]), data.classes(batch, sizes[-1]), 0.01)


def cats() -> Callable[[], None]:
    def cost(z: Any, y: Any) -> Any:
        return anp.mean(anp.logaddexp(0, z) - y * z)

    sizes, batch = data.CATS
    y = data.classes(batch, 2).astype(np.float32).reshape(-1, 1)
    return step_of(cost, sizes, data.rows(batch, sizes[0]), y, 0.0075)


def chain() -> Callable[[], None]:
    def total(start: Any) -> Any:
        x = start
        for _ in range(data.CHAIN // 2):
            x = x * 1.0001 + start
        return anp.sum(x)

    gradient, start = grad(total), np.full(3, 0.5, np.float32)
    return lambda: gradient(start)


CASES = {**{name: partial(mlp, *case) for name, case in data.MLPS.items()}, "cats": cats, "chain": chain}
