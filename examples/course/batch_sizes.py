"""Sizes of the mini-batch (course 2, week 2): from single examples to the whole batch, the same epochs each."""

from __future__ import annotations

import time
from pathlib import Path

from tinygrad_dl import optim
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show

TITLE = "Sizes of the mini-batch"


def run(out: Path = FIGURES, epochs: int = 10) -> dict[str, float]:
    """Loss, accuracy and seconds of gradient descent of rate 0.05."""
    train, dev = parts()
    results: dict[str, float] = {}
    runs = {}
    for size in (1, 8, 32, 128, 512, len(train)):
        name = f"batches of {size}" if size > 1 else "single examples"
        model = perceptron(64)
        optimizer = optim.SGD(model.parameters(), lr=0.05)
        begin = time.perf_counter()
        runs[name] = trained(model, train, dev, optimizer=optimizer, epochs=epochs, batch_size=size)
        results[f"{name}: seconds"] = round(time.perf_counter() - begin, 2)
        results[f"{name}: training loss"] = last(runs[name], "loss")
        results[f"{name}: dev accuracy, %"] = last(runs[name])
    with saved_figure(out, "batch_sizes", 1, 2) as axes:
        curves(axes[0], runs, "loss", log=True)
        curves(axes[1], runs, "dev_accuracy")
    return results


if __name__ == "__main__":
    show(globals())
