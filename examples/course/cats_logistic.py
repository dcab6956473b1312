"""Logistic regression on the cats (course 1, week 2): weights from 0, learning rate 0.005, 2,000 iterations."""

from __future__ import annotations

from pathlib import Path

from tinygrad_dl import optim
from tinygrad_dl.course.network import accuracy, cross_entropy, network, of_iterations, tensors, train
from tinygrad_dl.course.record import show
from tinygrad_dl.data import datasets

TITLE = "Cats, logistic regression, learning rate 0.005"
REQUIRED_FILES = ("train_catvnoncat.h5", "test_catvnoncat.h5")
PUBLISHED = {
    "cost, iteration 0": "0.693147",
    "cost, iteration 100": "0.584508",
    "cost, iteration 200": "0.466949",
    "training accuracy": "99 %",
    "test accuracy": "70 %",
}


def run(data: Path, iterations: int = 2000) -> dict[str, float]:
    """Costs, and the accuracy on both sets."""
    x, y = tensors(datasets.load_cats(data / "train_catvnoncat.h5", dtype="float64"))
    model = network((12288, 1), seed=0, scale=lambda inputs: 0.0)
    costs = train(optim.SGD(model.parameters(), lr=0.005), cross_entropy(model, x, y), iterations, every=100)
    results = of_iterations({i: cost for i, cost in costs.items() if i <= 200})
    if iterations == 2000:
        test = tensors(datasets.load_cats(data / "test_catvnoncat.h5", dtype="float64"))
        results |= {"training accuracy": accuracy(model, x, y), "test accuracy": accuracy(model, *test)}
    return results


if __name__ == "__main__":
    show(globals())
