"""Gradient checking (course 2, week 1): a backward by hand against differences, correct and with two injected mistakes.

Draws after np.random.seed(1): x (4, 3), then W1 (5, 4), b1, W2 (3, 5), b2, W3 (1, 3), b3; labels 1, 1, 0. The
course's measure is |g - n| / (|g| + |n|) over all parameters in one vector, n from central differences. Its step of
1e-7 gives 1e-7 for a correct backward, mostly rounding error; a step of 1e-5 gives 1e-9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl.course.record import show
from tinygrad_dl.testing import check_backward

TITLE = "Gradient checking, 4-5-3-1"
PUBLISHED = {
    "difference, right backward": "1e-9",
    "difference, dW2 doubled and db1 times 4": "0.285093",
    "injected mistakes found": "2",
}
Arrays = dict[str, np.ndarray]


def problem() -> tuple[np.ndarray, np.ndarray, Arrays]:
    """x (4, 3) with an example a column, y (1, 3), and the parameters."""
    draw = np.random.RandomState(1)
    x, y = draw.randn(4, 3), np.array([[1.0, 1.0, 0.0]])
    shapes = {"W1": (5, 4), "b1": (5, 1), "W2": (3, 5), "b2": (3, 1), "W3": (1, 3), "b3": (1, 1)}
    return x, y, {name: draw.randn(*shape) for name, shape in shapes.items()}


def forward(p: Any, x: np.ndarray, y: np.ndarray) -> tuple[Any, tuple[Any, ...]]:
    """The cost, of arrays or Tensors, and the cache for the backward."""
    a1 = tg.relu(p["W1"] @ x + p["b1"])
    a2 = tg.relu(p["W2"] @ a1 + p["b2"])
    a3 = tg.sigmoid(p["W3"] @ a2 + p["b3"])
    cost = -(y * tg.log(a3) + (1 - y) * tg.log(1 - a3)).sum() / y.size
    return cost, (p, x, y, a1, a2, a3)


def backward(cache: tuple[Any, ...], faulty: bool = False) -> Arrays:
    """The gradients by hand; `faulty`: with the two mistakes of the course."""
    p, x, y, a1, a2, a3 = cache
    m = y.size
    d3 = (a3 - y) / m
    d2 = p["W3"].T @ d3 * (a2 > 0)
    d1 = p["W2"].T @ d2 * (a1 > 0)
    gradients = {"W1": d1 @ x.T, "W2": d2 @ a1.T, "W3": d3 @ a2.T}
    gradients |= {f"b{i}": d.sum(axis=1, keepdims=True) for i, d in enumerate((d1, d2, d3), 1)}
    if faulty:
        gradients["W2"] = gradients["W2"] * 2
        gradients["b1"] = gradients["b1"] * 4
    return gradients


def difference(gradients: Arrays, step: float = 1e-5) -> float:
    """The course's measure of gradients against central differences."""
    x, y, parameters = problem()
    given, numeric = [], []
    for name, array in parameters.items():
        for i in np.ndindex(array.shape):
            costs = []
            for h in (step, -step):
                moved = parameters | {name: array.copy()}
                moved[name][i] += h
                costs.append(forward(moved, x, y)[0])
            numeric.append((costs[0] - costs[1]) / (2 * step))
            given.append(gradients[name][i])
    g, n = np.array(given), np.array(numeric)
    return float(np.linalg.norm(g - n) / (np.linalg.norm(g) + np.linalg.norm(n)))


def run() -> dict[str, float]:
    """The difference by hand, by autograd and with mistakes, and what the doctor of tinygrad_dl.testing finds."""
    x, y, parameters = problem()
    cache = forward(parameters, x, y)[1]
    tensors = {name: tg.Tensor(array, requires_grad=True) for name, array in parameters.items()}
    forward(tensors, x, y)[0].backward()
    by_autograd = {name: t.grad.data for name, t in tensors.items() if t.grad is not None}
    doctor = check_backward(
        lambda p: forward(p, x, y), lambda c: backward(c, faulty=True), parameters, raise_exception=False
    )
    found = set(doctor.wrong) == {"b1", "W2"}
    return {
        "difference, right backward": difference(backward(cache)),
        "difference, dW2 doubled and db1 times 4": difference(backward(cache, faulty=True), step=1e-7),
        "injected mistakes found": float(len(doctor.wrong) if found else 0),
        "difference, autograd": difference(by_autograd),
        "difference, right backward, step 1e-7": difference(backward(cache), step=1e-7),
    }


if __name__ == "__main__":
    show(globals())
