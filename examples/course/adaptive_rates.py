"""AdaGrad and RMSProp beside gradient descent, momentum and Adam (course 2, week 2): digits, and a valley."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import optim
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show

TITLE = "AdaGrad and RMSProp beside gradient descent, momentum and Adam"
# The learning rates are for the digits and for the valley.
OPTIMIZERS: dict[str, tuple[Callable[..., Any], float, float]] = {
    "gradient descent": (optim.SGD, 0.01, 0.95),
    "momentum": (lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), 0.01, 0.1),
    "AdaGrad": (optim.Adagrad, 0.01, 1.5),
    "RMSProp": (optim.RMSprop, 0.001, 0.3),
    "Adam": (optim.Adam, 0.001, 0.3),
}


def path(make: Callable[..., Any], lr: float, steps: int = 30) -> np.ndarray:
    """Return the path (steps + 1, 2) of an optimizer that minimizes f = x**2 / 20 + y**2 from (-7, 2)."""
    p = tg.Tensor(np.array([-7.0, 2.0]), requires_grad=True)
    optimizer = make([p], lr=lr)
    positions = [p.data.copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        (p**2 * np.array([0.05, 1.0])).sum().backward()
        optimizer.step()
        positions.append(p.data.copy())
    return np.array(positions)


def run(out: Path = FIGURES, epochs: int = 15) -> dict[str, float]:
    """Loss and accuracy on digits, and the height reached in the valley."""
    train, dev = parts()
    results: dict[str, float] = {}
    runs = {}
    with saved_figure(out, "adaptive_rates", 1, 2) as axes:
        x, y = np.meshgrid(np.linspace(-8, 8, 80), np.linspace(-3, 3, 60))
        axes[1].contour(x, y, x**2 / 20 + y**2, levels=15, colors="0.8", linewidths=0.6)
        for name, (make, lr, valley) in OPTIMIZERS.items():
            model = perceptron(100, 100)
            optimizer = make(model.parameters(), lr=lr)
            runs[name] = trained(model, train, dev, optimizer=optimizer, epochs=epochs)
            results[f"{name}: training loss"] = last(runs[name], "loss")
            results[f"{name}: dev accuracy, %"] = last(runs[name])
            positions = path(make, valley)
            results[f"{name}: height in the valley after 30 steps"] = float(positions[-1] ** 2 @ [0.05, 1.0])
            axes[1].plot(*positions.T, marker=".", markersize=3, linewidth=0.9, label=name)
        axes[1].legend(fontsize=7, frameon=False)
        curves(axes[0], runs, "loss", log=True)
    return results


if __name__ == "__main__":
    show(globals())
