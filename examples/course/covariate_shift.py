"""Covariate shift (course 2, week 3; course 3): other scanners than in training.

Batch norm that takes the statistics of the test batch itself, as in training, undoes a shift that is the same for all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.course.digits import PICTURES, parts, perceptron, picture, trained
from tinygrad_dl.course.record import show

TITLE = "Covariate shift"


def shifted(x: np.ndarray) -> dict[str, np.ndarray]:
    """The dev part as other scanners would give it."""
    rng = np.random.default_rng(0)
    return {
        "as in training": x,
        "half the contrast": x / 2,
        "grey paper": x / 2 + 0.5,
        "noise of 0.2": x + rng.normal(0, 0.2, x.shape).astype(x.dtype),
        "moved by a pixel": np.roll(x.reshape(-1, 8, 8), 1, axis=2).reshape(x.shape),
    }


def run(out: Path = PICTURES, epochs: int = 20) -> dict[str, float]:
    """Accuracies of a network without batch norm, with it, and with the statistics of the test batch."""
    train, dev = parts()
    plain, normed = perceptron(64, 64), perceptron(64, 64, before=[nn.BatchNorm1d])
    for model in (plain, normed):
        trained(model, train, dev, optimizer=optim.Adam(model.parameters(), lr=0.003), epochs=epochs)
    ways = {
        "without batch norm": (plain, False),
        "batch norm": (normed, False),
        "its test statistics": (normed, True),
    }
    here: dict[str, float] = {}
    for shift, x in shifted(dev.x).items():
        for way, (model, of_batch) in ways.items():
            model.train(of_batch)
            with tg.no_grad():
                read = model(tg.asarray(x)).data.argmax(axis=1)
            here[f"{shift}, {way}: accuracy, %"] = float(100 * (read == dev.y).mean())
    with picture(out, "covariate_shift") as ax:
        shares = np.array(list(here.values())).reshape(-1, len(ways))
        for i, way in enumerate(ways):
            ax.bar(np.arange(len(shares)) + 0.27 * (i - 1), shares[:, i], 0.25, label=way)
        ax.set_xticks(range(len(shares)), list(shifted(dev.x)), fontsize=7)
        ax.set_ylabel("accuracy, %")
        ax.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    return here


if __name__ == "__main__":
    show(globals())
