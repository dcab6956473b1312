"""The fully connected networks of the courses, initialized and trained as in the notebooks.

In the notebooks the examples are columns, Z = W X + b; here they are rows, as everywhere in this package:
Z = X W^T + b. Weights have the same shape in both, (units, inputs), so the same draws give the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn
from tinygrad_dl.nn.functional import binary_cross_entropy_with_logits


def network(
    sizes: Sequence[int], seed: int, scale: Callable[[int], float], activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Return a network with layers of these sizes in float64; the last has no activation: its output is a logit.

    The courses draw W1, W2, ... in this order, np.random.randn(units, inputs) * scale(inputs) after
    np.random.seed(seed); the biases start at 0.
    """
    draw = np.random.RandomState(seed)
    layers: list[nn.Module] = []
    for inputs, units in zip(sizes, sizes[1:]):
        linear = nn.Linear(inputs, units, dtype=np.float64)
        weight, bias = linear.parameters()
        weight.data[:] = draw.randn(units, inputs) * scale(inputs)
        bias.data[:] = 0.0
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def he(inputs: int) -> float:
    """He initialization: the scale with which ReLU layers preserve the variance of their input."""
    return float(np.sqrt(2.0 / inputs))


def train(
    optimizer: Any, cost: Callable[[], tg.Tensor], iterations: int, every: int = 1, compiled: bool = True
) -> dict[int, float]:
    """Minimize the cost of the full batch; returns the cost before every `every`-th step.

    `compiled`: run the steps as a program, which rounds otherwise than eager steps do.
    """

    def step() -> tg.Tensor:
        value = cost()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    run = tg.compile(step) if compiled else step
    costs = {}
    for i in range(iterations):
        value = run()
        if i % every == 0:
            costs[i] = value.item()
    return costs


def cross_entropy(model: Callable[[Any], tg.Tensor], x: tg.Tensor, y: tg.Tensor) -> Callable[[], tg.Tensor]:
    """Return a function that computes the cost -mean(y log a + (1 - y) log(1 - a)) with a = sigmoid(logit)."""
    return lambda: binary_cross_entropy_with_logits(model(x), y)


def accuracy(model: Callable[[Any], tg.Tensor], x: tg.Tensor, y: tg.Tensor) -> float:
    """Return the percentage of examples classified correctly at the threshold a = 0.5."""
    with tg.no_grad():
        return float(((model(x).data > 0) == y.data).mean() * 100)


def tensors(data: Any) -> tuple[tg.Tensor, tg.Tensor]:
    """Return the examples (N, features) and labels (N, 1) of a data set in float64."""
    x = np.asarray(data.x, np.float64).reshape(len(data.x), -1)
    return tg.asarray(x), tg.asarray(np.asarray(data.y, np.float64).reshape(-1, 1))


def of_iterations(costs: dict[int, float], prefix: str = "") -> dict[str, float]:
    """Name the costs as in the tables."""
    return {f"{prefix}cost, iteration {i}": value for i, value in costs.items()}
