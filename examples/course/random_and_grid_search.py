"""Random against grid search (course 2, week 3): 25 settings of learning rate and L2, scored on the dev part.

A grid tries five values of each, random draws 25. Both are uniform on a logarithmic scale. For real searches, with
pruning and several processes, see tinygrad_dl.train.search.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinygrad_dl import optim
from tinygrad_dl.course.digits import FIGURES, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show
from tinygrad_dl.train import Penalty

TITLE = "Random against grid search for learning rate and L2"
RATES, L2 = (1e-3, 10.0), (1e-6, 1.0)


def settings(side: int, seed: int) -> dict[str, np.ndarray]:
    """Return side**2 settings (rate, l2) for each method, as exponents of 10."""
    (low_rate, high_rate), (low_l2, high_l2) = np.log10(RATES), np.log10(L2)
    grid = np.meshgrid(np.linspace(low_rate, high_rate, side), np.linspace(low_l2, high_l2, side))
    drawn = np.random.default_rng(seed).uniform((low_rate, low_l2), (high_rate, high_l2), (side * side, 2))
    return {"grid": np.stack(grid, axis=-1).reshape(-1, 2), "random": drawn}


def run(out: Path = FIGURES, epochs: int = 5, side: int = 5) -> dict[str, float]:
    """The best setting that each method finds, and how many different rates it tried."""
    train, dev = parts(few=400)
    results: dict[str, float] = {}
    with saved_figure(out, "random_and_grid_search", 1, 2) as axes:
        for ax, (method, tried) in zip(axes, settings(side, seed=0).items()):
            scores = []
            for rate, l2 in 10.0**tried:
                model = perceptron(64)
                optimizer = optim.SGD(model.parameters(), lr=rate)
                with np.errstate(
                    over="ignore", invalid="ignore"
                ):  # too high a learning rate is among the settings
                    history = trained(
                        model,
                        train,
                        dev,
                        optimizer=optimizer,
                        epochs=epochs,
                        batch_size=32,
                        callbacks=[Penalty(l2=l2)],
                    )
                scores.append(last(history))
            best = int(np.argmax(scores))
            results[f"{method}: best dev accuracy, %"] = scores[best]
            results[f"{method}: its learning rate"] = float(10.0 ** tried[best, 0])
            results[f"{method}: its l2"] = float(10.0 ** tried[best, 1])
            results[f"{method}: different rates tried"] = float(len(np.unique(tried[:, 0])))
            points = ax.scatter(*tried.T, c=scores, vmin=0, vmax=100, cmap="viridis")
            ax.plot(*tried[best], "r*", markersize=16, fillstyle="none")
            ax.set(xlabel="log10 of the learning rate", ylabel="log10 of l2", title=method)
        ax.figure.colorbar(points, ax=list(axes), label="dev accuracy, %")
    return results


if __name__ == "__main__":
    show(globals())
