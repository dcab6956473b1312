"""Decays of the learning rate (course 2, week 2): none, 1 / (1 + k t), exponential, 1 / sqrt(t), steps, a cosine."""

from __future__ import annotations

import math
from pathlib import Path

from tinygrad_dl import optim
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show
from tinygrad_dl.train import Schedule

TITLE = "Decays of the learning rate"
EPOCHS = 30
DECAYS = {
    "none": lambda epoch: 1.0,
    "1 / (1 + 0.3 epoch)": lambda epoch: 1 / (1 + 0.3 * epoch),
    "0.9 ** epoch": lambda epoch: 0.9**epoch,
    "1 / sqrt(epoch + 1)": lambda epoch: 1 / math.sqrt(epoch + 1),
    "a third every 10 epochs": lambda epoch: 3.0 ** -(epoch // 10),
    "half a cosine": lambda epoch: 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS)),
}


def run(out: Path = FIGURES, epochs: int = EPOCHS) -> dict[str, float]:
    """Loss and accuracy of gradient descent with small batches of 16, from a high initial rate."""
    train, dev = parts(few=600)
    runs = {}
    for name, decay in DECAYS.items():
        model = perceptron(64)
        optimizer = optim.SGD(model.parameters(), lr=0.5)
        runs[name] = trained(
            model, train, dev, optimizer=optimizer, epochs=epochs, batch_size=16, callbacks=[Schedule(decay)]
        )
    with saved_figure(out, "rate_decays", 1, 2) as axes:
        curves(axes[0], runs, "lr", "learning rate")
        curves(axes[1], runs, "loss", log=True)
    results = {f"{name}: training loss": last(history, "loss") for name, history in runs.items()}
    return results | {f"{name}: dev accuracy, %": last(history) for name, history in runs.items()}


if __name__ == "__main__":
    show(globals())
