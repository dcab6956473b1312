"""Covariate shift (course 2, week 3; course 3): test images from other scanners than the training images.

Batch norm with the statistics of the test batch itself, as in training mode, undoes a shift common to all images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.course.digits import FIGURES, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show

TITLE = "Covariate shift"


def shifted(x: np.ndarray) -> dict[str, np.ndarray]:
    """The dev part as other scanners would give it."""
    rng = np.random.default_rng(0)
    return {
        "as in training": x,
        "half the contrast": x / 2,
        "gray paper": x / 2 + 0.5,
        "noise of 0.2": x + rng.normal(0, 0.2, x.shape).astype(x.dtype),
        "moved by a pixel": np.roll(x.reshape(-1, 8, 8), 1, axis=2).reshape(x.shape),
    }


def run(out: Path = FIGURES, epochs: int = 20) -> dict[str, float]:
    """Accuracies of a network without batch norm, with it, and with the statistics of the test batch."""
    train, dev = parts()
    plain, normed = perceptron(64, 64), perceptron(64, 64, before=[nn.BatchNorm1d])
    for model in (plain, normed):
        trained(model, train, dev, optimizer=optim.Adam(model.parameters(), lr=0.003), epochs=epochs)
    methods = {
        "without batch norm": (plain, False),
        "batch norm": (normed, False),
        "its test statistics": (normed, True),
    }
    results: dict[str, float] = {}
    for shift, x in shifted(dev.x).items():
        for method, (model, of_batch) in methods.items():
            model.train(of_batch)
            with tg.no_grad():
                read = model(tg.asarray(x)).data.argmax(axis=1)
            results[f"{shift}, {method}: accuracy, %"] = float(100 * (read == dev.y).mean())
    with saved_figure(out, "covariate_shift") as ax:
        shares = np.array(list(results.values())).reshape(-1, len(methods))
        for i, method in enumerate(methods):
            ax.bar(np.arange(len(shares)) + 0.27 * (i - 1), shares[:, i], 0.25, label=method)
        ax.set_xticks(range(len(shares)), list(shifted(dev.x)), fontsize=7)
        ax.set_ylabel("accuracy, %")
        ax.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    return results


if __name__ == "__main__":
    show(globals())
