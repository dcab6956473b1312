"""Batch normalisation on and off (course 2, week 3): five layers of 100 on digits, from weights of many sizes.

The largest weights without it make activations overflow: the run then stays at the accuracy of guessing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl import nn
from tinygrad_dl.course.digits import PICTURES, curves, last, parts, perceptron, picture, trained
from tinygrad_dl.course.record import show
from tinygrad_dl.data import DataLoader

TITLE = "Batch normalisation on and off, weights from normal draws of several sizes"
SIZES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001)


def run(out: Path = PICTURES, epochs: int = 15) -> dict[str, float]:
    """Accuracy on the dev part after so many epochs."""
    train, dev = parts()
    here: dict[str, float] = {}
    with picture(out, "batch_norm", 2, 3, size=3) as axes:
        for ax, size in zip(axes.flat, SIZES):
            runs = {}
            for label, layers in (("without", []), ("with", [nn.BatchNorm1d])):

                def start(weight: Any, size: float = size) -> Any:
                    return nn.init.normal_(weight, 0.0, size)

                # A last batch of 4 would say little about means and spreads.
                loader = DataLoader(train, 64, shuffle=True, drop_last=True, rng=0)
                model = perceptron(*[100] * 5, before=layers, start=start)
                with np.errstate(over="ignore", invalid="ignore"):
                    runs[label] = trained(model, loader, dev, epochs=epochs)
                here[f"std {size:g}, {label} batch norm: accuracy, %"] = last(runs[label])
            curves(ax, runs, "dev_accuracy")
            ax.set(title=f"weights of std {size:g}", ylim=(0, 1.02))
    return here


if __name__ == "__main__":
    show(globals())
