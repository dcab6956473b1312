"""Sigmoid and ReLU with Xavier and He initialization, by depth and width (course 2, week 1).

One forward and backward pass through untrained networks on the digits. With the initialization that suits the
activation, activations and gradients keep their scale from layer to layer, otherwise they vanish. A short training
shows the effect.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.course.digits import FIGURES, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show

TITLE = "Sigmoid and ReLU, Xavier and He, by depth and width"
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "ReLU": nn.ReLU}
INITIALIZATIONS: dict[str, Callable[..., Any]] = {
    "Xavier": nn.init.xavier_normal_,
    "He": nn.init.kaiming_normal_,
}


def one_pass(model: nn.Sequential, x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the activations of the hidden layers and the gradients of their weights for one pass."""
    activations, value = [], tg.asarray(x)
    for layer in model:
        value = layer(value)
        if not isinstance(layer, nn.Linear):
            activations.append(value.data)
    nn.functional.cross_entropy(value, tg.asarray(y)).backward()
    gradients = [p.grad.data for p in model.parameters() if p.grad is not None and p.ndim == 2]
    return activations, gradients[:-1]


def run(out: Path = FIGURES, epochs: int = 10) -> dict[str, float]:
    """Ratios of the std of activations and gradients between first and last layer, and accuracy after some epochs."""
    train, dev = parts()
    results: dict[str, float] = {}
    with saved_figure(out, "activation_and_start", 4, 3, size=2.2) as axes:
        for row, (kind, init) in enumerate((k, s) for k in ACTIVATIONS for s in INITIALIZATIONS):
            for depth, width in ((2, 32), (5, 32), (5, 128), (10, 128)):
                model = perceptron(*[width] * depth, activation=ACTIVATIONS[kind], init=INITIALIZATIONS[init])
                activations, gradients = one_pass(model, train.x, train.y)
                optimizer = optim.Adam(model.parameters(), lr=0.002)
                history = trained(model, train, dev, optimizer=optimizer, epochs=epochs)
                what = f"{kind}, {init}, {depth} x {width}"
                results[f"{what}: std of activations, last / first"] = float(
                    activations[-1].std() / activations[0].std()
                )
                results[f"{what}: std of gradients, first / last"] = float(
                    gradients[0].std() / gradients[-1].std()
                )
                results[f"{what}: accuracy after {epochs} epochs, %"] = last(history)
                if (depth, width) == (5, 128):
                    for i, ax in zip((0, 2, 4), axes[row]):
                        ax.stairs(*np.histogram(activations[i], bins=40), fill=True)
                        inset = ax.inset_axes((0.55, 0.55, 0.43, 0.4))
                        inset.stairs(*np.histogram(gradients[i], bins=40), fill=True, color="tab:orange")
                        inset.set(xticks=[], yticks=[])
                        inset.set_title(f"dW std {gradients[i].std():.1e}", fontsize=6)
                        ax.set_title(f"{kind}, {init}: layer {i + 1}", fontsize=8)
                        ax.set_yticks([])
    return results


if __name__ == "__main__":
    show(globals())
