"""L1, L2, dropout and their combinations on 150 digits, 30 of them mislabeled (course 2, week 1).

Without regularization the network memorizes the wrong labels, and does worse on the dev part.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from tinygrad_dl import nn, optim
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show
from tinygrad_dl.train import Penalty

TITLE = "L1, L2, dropout and mixtures on 150 digits, 30 of them mislabeled"
METHODS = {  # l1, l2, dropout rate
    "none": (0.0, 0.0, 0.0),
    "L1": (2e-4, 0.0, 0.0),
    "L2": (0.0, 1e-2, 0.0),
    "dropout": (0.0, 0.0, 0.4),
    "L1 and L2": (1e-4, 5e-3, 0.0),
    "L2 and dropout": (0.0, 5e-3, 0.4),
    "all three": (1e-4, 3e-3, 0.4),
}


def run(out: Path = FIGURES, epochs: int = 150, seeds: int = 3) -> dict[str, float]:
    """Mean accuracies over starts, and the share of weights that are nearly 0."""
    train, dev = parts(few=150)
    wrong = train.y.copy()
    wrong[:30] = (wrong[:30] + np.random.default_rng(0).integers(1, 10, 30)) % 10
    train = train.replaced(train.x, wrong)
    results: dict[str, float] = {}
    runs = {}
    for method, (l1, l2, dropped) in METHODS.items():
        trains, devs, small = [], [], []
        for seed in range(seeds):
            after = [partial(nn.Dropout, dropped)] if dropped else []
            model = perceptron(128, 128, after=after, seed=seed)
            runs[method] = trained(
                model,
                train,
                dev,
                optimizer=optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
                epochs=epochs,
                batch_size=25,
                callbacks=[Penalty(l1, l2)] if l1 or l2 else [],
            )
            trains.append(last(runs[method], "accuracy"))
            devs.append(last(runs[method]))
            small.append(100 * (abs(model[0].weight.data) < 1e-3).mean())
        results[f"{method}: training accuracy, %"] = sum(trains) / seeds
        results[f"{method}: dev accuracy, %"] = sum(devs) / seeds
        results[f"{method}: weights of the first layer below 0.001, %"] = float(sum(small) / seeds)
    with saved_figure(out, "few_digits", 1, 2) as axes:
        curves(axes[0], runs, "dev_loss")
        curves(axes[1], runs, "dev_accuracy")
    return results


if __name__ == "__main__":
    show(globals())
