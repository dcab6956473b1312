"""L2 and dropout (course 2, week 1): 2-20-3-1 with ReLU on points of a football field.

Learning rate 0.3, 30,000 iterations. Weights: seed 3, by sqrt(inputs). L2 adds lambda / 2m times the sum of all
squared weights to the cost. The dropout of the course seeds its generator with 1 in every forward pass, so that
the same units are dropped in all 30,000: the masks are np.random.rand(units, m) < keep, first layer first, and the
remaining activations are divided by keep.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.course.network import accuracy, cross_entropy, network, of_iterations, train
from tinygrad_dl.course.record import show
from tinygrad_dl.errors import FileFormatError, missing_extra

TITLE = "Regularization, 2-20-3-1, learning rate 0.3"
REQUIRED_FILES = ("data.mat",)
PUBLISHED = {
    "none: cost, iteration 0": "0.655741",
    "none: cost, iteration 10000": "0.163300",
    "none: cost, iteration 20000": "0.138516",
    "none: training accuracy": "94.8 %",
    "none: test accuracy": "91.5 %",
    "L2: cost, iteration 0": "0.697448",
    "L2: cost, iteration 10000": "0.268492",
    "L2: cost, iteration 20000": "0.268092",
    "L2: training accuracy": "93.8 %",
    "L2: test accuracy": "93 %",
    "dropout: cost, iteration 0": "0.654391",
    "dropout: cost, iteration 10000": "0.061017",
    "dropout: cost, iteration 20000": "0.060582",
    "dropout: training accuracy": "92.9 %",
    "dropout: test accuracy": "95 %",
}
LAMBDA, KEEP = 0.7, 0.86


def load(path: Path) -> list[tg.Tensor]:
    """Training points (211, 2) and labels (211, 1), test points (200, 2) and labels (200, 1)."""
    try:
        import scipy.io
    except ImportError:
        raise missing_extra("scipy", "data", "data.mat") from None
    try:
        found = scipy.io.loadmat(path)
        return [tg.asarray(found[name].astype(np.float64)) for name in ("X", "y", "Xval", "yval")]
    except (KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise FileFormatError(f"{path} is damaged or not the course's data.mat: {error}") from None


class FixedDropout(nn.Module):
    """Dropout with a constant mask, as in the course; the identity in eval mode."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x * self.mask if self.training else x


def with_l2(
    cost: Callable[[], tg.Tensor], weights: list[tg.Tensor], strength: float
) -> Callable[[], tg.Tensor]:
    """Return the cost plus the L2 penalty of the weights."""
    return lambda: cost() + strength * sum((w**2).sum() for w in weights)


def run(data: Path, iterations: int = 30_000) -> dict[str, float]:
    """Costs, and the accuracy on both sets, of each method."""
    x, y, test_x, test_y = load(data / "data.mat")
    m = len(x.data)
    results: dict[str, float] = {}
    for method in ("none", "L2", "dropout"):
        plain = network((2, 20, 3, 1), seed=3, scale=lambda inputs: inputs**-0.5)
        first, relu, second, _, third = plain
        model: Any = plain
        if method == "dropout":
            draw = np.random.RandomState(1)
            masks = [(draw.rand(units, m) < KEEP).T / KEEP for units in (20, 3)]
            drops = [FixedDropout(mask) for mask in masks]
            model = nn.Sequential(first, relu, drops[0], second, relu, drops[1], third)
        cost = cross_entropy(model, x, y)
        if method == "L2":
            cost = with_l2(cost, [layer.weight for layer in (first, second, third)], LAMBDA / (2 * m))

        costs = train(optim.SGD(model.parameters(), lr=0.3), cost, iterations, every=10_000)
        results |= of_iterations(costs, f"{method}: ")
        if iterations == 30_000:
            model.eval()
            results[f"{method}: training accuracy"] = accuracy(model, x, y)
            results[f"{method}: test accuracy"] = accuracy(model, test_x, test_y)
    return results


if __name__ == "__main__":
    show(globals())
