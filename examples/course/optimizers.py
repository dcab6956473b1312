"""Gradient descent, momentum, Adam (course 2, week 2): 2-5-2-1 with ReLU on two moons.

Batches of 64, the last of 44; learning rate 0.0007. Data: 300 moons with noise 0.2, seed 3; weights: seed 3, He.
Epoch e, from 0, shuffles with seed 11 + e. The cost of an epoch is that of its batches as they come, divided by
300. Momentum in the course is an exponentially weighted average of the gradients, with a factor 1 - beta that
PyTorch's momentum does not have; Adam is that of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import optim
from tinygrad_dl.course.network import accuracy, he, network, tensors
from tinygrad_dl.course.record import show
from tinygrad_dl.data import datasets
from tinygrad_dl.nn.functional import binary_cross_entropy_with_logits

TITLE = "Optimizers, moons, 2-5-2-1, batches of 64, learning rate 0.0007"
PUBLISHED = {
    "gradient descent: cost, epoch 0": "0.702405",
    "gradient descent: cost, epoch 1000": "0.668101",
    "gradient descent: cost, epoch 2000": "0.635288",
    "gradient descent: cost, epoch 9000": "0.468014",
    "gradient descent: accuracy": "79.7 %",
    "momentum: cost, epoch 0": "0.702413",
    "momentum: cost, epoch 1000": "0.668167",
    "momentum: cost, epoch 9000": "0.468160",
    "momentum: accuracy": "79.7 %",
    "Adam: cost, epoch 0": "0.702166",
    "Adam: cost, epoch 1000": "0.167845",
    "Adam: cost, epoch 2000": "0.141316",
    "Adam: cost, epoch 9000": "0.129118",
    "Adam: accuracy": "94 %",
}


class WeightedAverage(optim.Optimizer):
    """Momentum as in the course: v = beta v + (1 - beta) g;  p -= lr v."""

    def __init__(self, params: Any, lr: float, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta})

    def init_state(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        """No average yet."""
        return {"v": np.zeros_like(p)}

    def update(self, p: np.ndarray, g: np.ndarray, state: Any, group: dict[str, Any], work: Any) -> None:
        """One step."""
        state["v"] *= group["beta"]
        state["v"] += (1 - group["beta"]) * g
        p -= group["lr"] * state["v"]


OPTIMIZERS = {"gradient descent": optim.SGD, "momentum": WeightedAverage, "Adam": optim.Adam}


def training_step(model: Any, optimizer: Any) -> Callable[[np.ndarray, np.ndarray], tg.Tensor]:
    """A compiled step on a batch, which returns its cost."""

    @tg.compile
    def step(x: np.ndarray, y: np.ndarray) -> tg.Tensor:
        cost = binary_cross_entropy_with_logits(model(tg.asarray(x)), tg.asarray(y))
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        return cost

    return step


def run(epochs: int = 10_000) -> dict[str, float]:
    """Costs of several epochs, and the accuracy on the training set."""
    x, y = tensors(datasets.moons(dtype="float64"))
    results: dict[str, float] = {}
    for name, kind in OPTIMIZERS.items():
        model = network((2, 5, 2, 1), seed=3, scale=he)
        optimizer = kind(model.parameters(), lr=0.0007)
        step = training_step(model, optimizer)
        for epoch in range(epochs):
            order = np.random.RandomState(11 + epoch).permutation(300)
            total = 0.0
            for begin in range(0, 300, 64):
                batch = order[begin : begin + 64]
                total += step(x.data[batch], y.data[batch]).item() * len(batch)
            if f"{name}: cost, epoch {epoch}" in PUBLISHED:
                results[f"{name}: cost, epoch {epoch}"] = total / 300
        if epochs == 10_000:
            results[f"{name}: accuracy"] = accuracy(model, x, y)
    return results


if __name__ == "__main__":
    show(globals())
