"""The steps written by hand in NumPy with every buffer reused: the lower bound for an engine on NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.steps import data


def mlp(sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    parameters = [(w.copy(), b) for w, b in data.weights(sizes)]
    x, y = data.rows(batch, sizes[0]), data.classes(batch, sizes[-1])
    values = [np.empty((batch, n), np.float32) for n in sizes[1:]]
    deltas = [np.empty((batch, n), np.float32) for n in sizes[1:]]
    gradients = [(np.empty_like(w), np.empty_like(b)) for w, b in parameters]
    rows, ones, rate = np.arange(batch), np.ones(batch, np.float32), np.float32(0.01)

    def step() -> None:
        out = x
        for (w, b), value in zip(parameters, values):
            np.dot(out, w, out=value)
            value += b
            if value is not values[-1]:
                np.maximum(value, 0, out=value)
            out = value
        g = deltas[-1]
        np.subtract(out, out.max(axis=1, keepdims=True), out=g)
        np.exp(g, out=g)
        g /= g.sum(axis=1, keepdims=True)
        g[rows, y] -= 1
        g /= batch
        for i in range(len(parameters) - 1, -1, -1):
            (w, b), (dw, db) = parameters[i], gradients[i]
            np.dot((values[i - 1] if i else x).T, g, out=dw)
            np.dot(ones, g, out=db)
            if i:
                np.dot(g, w.T, out=deltas[i - 1])
                deltas[i - 1] *= values[i - 1] > 0
                g = deltas[i - 1]
            dw *= rate
            w -= dw
            db *= rate
            b -= db

    return step


def products(sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    """The matrix products of the step alone."""
    pairs = []
    rng = np.random.default_rng(0)
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        x, g = (rng.standard_normal((batch, n)).astype(np.float32) for n in (a, b))
        w = rng.standard_normal((a, b)).astype(np.float32)
        pairs += [(x, w, np.empty_like(g)), (x.T, g, np.empty_like(w))]
        pairs += [(g, w.T, np.empty_like(x))] if i else []

    def step() -> None:
        for left, right, out in pairs:
            np.dot(left, right, out=out)

    return step


CASES = {name: partial(mlp, *case) for name, case in data.MLPS.items()}
CASES |= {f"{name} products": partial(products, *case) for name, case in data.MLPS.items()}
