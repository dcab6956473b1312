"""Augmentation (course 2, week 1): 200 digits as they are, or randomly shifted, rotated and noisy in every epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import optim
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, saved_figure, trained
from tinygrad_dl.course.digits_cnn import network
from tinygrad_dl.course.record import show
from tinygrad_dl.data import Affine, Augmentation, Compose, DataLoader, Noise, Shift

TITLE = "Augmentation of 200 digits"
METHODS: dict[str, Augmentation | None] = {
    "as they are": None,
    "noise": Noise(0.1),
    "shift": Shift(0.7),
    "turn, zoom, shear, shift": Affine(rotate=12, zoom=0.12, shear=8, shift=0.7),
    "all of it": Compose(Affine(rotate=12, zoom=0.12, shear=8, shift=0.7), Noise(0.1)),
}


def run(out: Path = FIGURES, epochs: int = 60) -> dict[str, float]:
    """Accuracy of a convolutional network on the dev part."""
    train, dev = parts(few=200, images=True)
    results: dict[str, float] = {}
    runs = {}
    with saved_figure(out, "augmentation", 1, 2) as axes:
        for method, change in METHODS.items():
            tg.manual_seed(0)
            model = network()
            loader = DataLoader(train, 20, shuffle=True, transform=change, rng=0)
            optimizer = optim.Adam(model.parameters(), lr=0.002)
            runs[method] = trained(model, loader, dev, optimizer=optimizer, epochs=epochs)
            results[f"{method}: dev accuracy, %"] = last(runs[method])
            results[f"{method}: dev loss"] = last(runs[method], "dev_loss")
        curves(axes[0], runs, "dev_accuracy")
        rows = [train.x[:8, 0]] + [change(train.x[:8], rng=0)[:, 0] for change in METHODS.values() if change]
        axes[1].imshow(np.concatenate([np.concatenate(row, axis=1) for row in rows]), cmap="gray_r")
        axes[1].set_yticks(range(4, 40, 8), METHODS)
        axes[1].set_xticks([])
    return results


if __name__ == "__main__":
    show(globals())
