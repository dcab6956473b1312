"""Early stopping (course 2, week 1): 150 digits, 30 of them mislabeled, trained until the dev loss rises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinygrad_dl import optim
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show
from tinygrad_dl.train import EarlyStopping

TITLE = "Early stopping on 150 digits, 30 of them mislabeled"


def run(out: Path = FIGURES, epochs: int = 200) -> dict[str, float]:
    """When training stops, and the dev loss of the restored weights and of those after all epochs."""
    train, dev = parts(few=150)
    wrong = train.y.copy()
    wrong[:30] = (wrong[:30] + np.random.default_rng(0).integers(1, 10, 30)) % 10
    train = train.replaced(train.x, wrong)
    runs, models = {}, {}
    for name, callbacks in (("to the end", []), ("stopped early", [EarlyStopping(patience=15)])):
        models[name] = perceptron(128, 128)
        optimizer = optim.SGD(models[name].parameters(), lr=0.05)
        runs[name] = trained(
            models[name], train, dev, optimizer=optimizer, epochs=epochs, batch_size=25, callbacks=callbacks
        )
    with saved_figure(out, "early_stopping", 1, 2) as axes:
        curves(axes[0], runs, "loss")
        curves(axes[1], runs, "dev_loss")
    best = runs["stopped early"].best("dev_loss")
    return {
        "epochs until it stops": float(len(runs["stopped early"])),
        "epoch whose weights are kept": float(best["epoch"]),
        "dev loss of the weights kept": best["dev_loss"],
        "dev accuracy of the weights kept, %": 100 * best["dev_accuracy"],
        f"dev loss after {epochs} epochs": last(runs["to the end"], "dev_loss"),
        f"dev accuracy after {epochs} epochs, %": last(runs["to the end"]),
        f"training accuracy after {epochs} epochs, %": last(runs["to the end"], "accuracy"),
    }


if __name__ == "__main__":
    show(globals())
