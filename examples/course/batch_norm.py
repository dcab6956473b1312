"""Batch normalization on and off (course 2, week 3): five layers of 100 on digits, weights of several scales.

Without it the largest weights make activations overflow, and the accuracy stays that of guessing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show
from tinygrad_dl.data import DataLoader

TITLE = "Batch normalization on and off, weights from normal draws of several sizes"
SIZES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001)


def run(out: Path = FIGURES, epochs: int = 15) -> dict[str, float]:
    """Accuracy on the dev part after `epochs` epochs."""
    train, dev = parts()
    results: dict[str, float] = {}
    with saved_figure(out, "batch_norm", 2, 3, size=3) as axes:
        for ax, size in zip(axes.flat, SIZES):
            runs = {}
            for label, layers in (("without", []), ("with", [nn.BatchNorm1d])):

                def init(weight: tg.Tensor, size: float = size) -> Any:
                    return nn.init.normal_(weight, 0.0, size)

                # A last batch of 4 would give poor estimates of mean and variance.
                loader = DataLoader(train, 64, shuffle=True, drop_last=True, rng=0)
                model = perceptron(*[100] * 5, before=layers, init=init)
                with np.errstate(over="ignore", invalid="ignore"):
                    runs[label] = trained(model, loader, dev, epochs=epochs)
                results[f"std {size:g}, {label} batch norm: accuracy, %"] = last(runs[label])
            curves(ax, runs, "dev_accuracy")
            ax.set(title=f"weights of std {size:g}", ylim=(0, 1.02))
    return results


if __name__ == "__main__":
    show(globals())
