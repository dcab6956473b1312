"""Softmax regression (course 2, week 3): one layer for ten digits; gradients by formula and by the fused loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.course.digits import FIGURES, last, parts, perceptron, saved_figure, trained
from tinygrad_dl.course.record import show

TITLE = "Softmax regression on the digits"


def run(out: Path = FIGURES, epochs: int = 40) -> dict[str, float]:
    """Accuracies, and how far the gradient of the loss is from (softmax - one-hot) / m."""
    train, dev = parts()
    model = perceptron()
    layer = model[0]
    nn.functional.cross_entropy(layer(tg.asarray(train.x)), tg.asarray(train.y)).backward()
    scores = np.exp(train.x @ layer.weight.data.T)
    softmax = scores / scores.sum(axis=1, keepdims=True)
    by_formula = (softmax - np.eye(10)[train.y]).T @ train.x / len(train)
    error = float(np.abs(layer.weight.grad.data - by_formula).max())
    history = trained(model, train, dev, optimizer=optim.SGD(model.parameters(), lr=0.5), epochs=epochs)
    with saved_figure(out, "softmax_regression", 2, 5, size=1.8) as axes:
        for digit, ax in enumerate(axes.flat):
            ax.imshow(layer.weight.data[digit].reshape(8, 8), cmap="RdBu_r", vmin=-2, vmax=2)
            ax.set_title(f"for {digit}")
            ax.axis("off")
    return {
        "largest difference of the gradient from its formula": error,
        "training accuracy, %": last(history, "accuracy"),
        "dev accuracy, %": last(history),
    }


if __name__ == "__main__":
    show(globals())
