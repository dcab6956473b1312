"""The steps in MyGrad."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mygrad
import numpy as np
from mygrad.nnet.activations import relu
from mygrad.nnet.losses import softmax_crossentropy

from benchmarks.steps import data


def step_of(
    cost: Callable[..., Any], sizes: tuple[int, ...], x: np.ndarray, y: np.ndarray, rate: float
) -> Callable[[], None]:
    parameters = [(mygrad.tensor(w), mygrad.tensor(b)) for w, b in data.weights(sizes)]

    def step() -> None:
        out = x
        for w, b in parameters[:-1]:
            out = relu(out @ w + b)
        w, b = parameters[-1]
        cost(out @ w + b, y).backward()
        for pair in parameters:
            for p in pair:
                p.data -= rate * p.grad

    return step


def mlp(sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    return step_of(
        softmax_crossentropy, sizes, data.rows(batch, sizes[0]), data.classes(batch, sizes[-1]), 0.01
    )


def cats() -> Callable[[], None]:
    def cost(z: Any, y: np.ndarray) -> Any:
        return mygrad.mean(mygrad.logaddexp(0, z) - y * z)

    sizes, batch = data.CATS
    y = data.classes(batch, 2).astype(np.float32).reshape(-1, 1)
    return step_of(cost, sizes, data.rows(batch, sizes[0]), y, 0.0075)


def chain() -> Callable[[], None]:
    start = mygrad.tensor(np.full(3, 0.5, np.float32))

    def step() -> None:
        x = start
        for _ in range(data.CHAIN // 2):
            x = x * 1.0001 + start
        x.sum().backward()

    return step


CASES = {**{name: partial(mlp, *case) for name, case in data.MLPS.items()}, "cats": cats, "chain": chain}
