"""Two layers on the cats (course 1, week 4): 12288-7-1, ReLU, weights seed 1 times 0.01, learning rate 0.0075."""

from __future__ import annotations

from pathlib import Path

from tinygrad_dl import optim
from tinygrad_dl.course.network import accuracy, cross_entropy, network, of_iterations, tensors, train
from tinygrad_dl.course.record import show
from tinygrad_dl.data import datasets

TITLE = "Cats, two layers, 12288-7-1, learning rate 0.0075"
REQUIRED_FILES = ("train_catvnoncat.h5", "test_catvnoncat.h5")
PUBLISHED = {
    "cost, iteration 0": "0.693050",
    "cost, iteration 100": "0.646432",
    "cost, iteration 200": "0.632514",
    "cost, iteration 300": "0.601502",
    "cost, iteration 400": "0.560197",
    "cost, iteration 2400": "0.048555",
    "training accuracy": "100 %",
    "test accuracy": "72 %",
}


def run(data: Path, iterations: int = 2500) -> dict[str, float]:
    """Costs, and the accuracy on both sets."""
    x, y = tensors(datasets.load_cats(data / "train_catvnoncat.h5", dtype="float64"))
    model = network((12288, 7, 1), seed=1, scale=lambda inputs: 0.01)
    costs = train(optim.SGD(model.parameters(), lr=0.0075), cross_entropy(model, x, y), iterations, every=100)
    results = of_iterations({i: cost for i, cost in costs.items() if i <= 400 or i == 2400})
    if iterations == 2500:
        test = tensors(datasets.load_cats(data / "test_catvnoncat.h5", dtype="float64"))
        results |= {"training accuracy": accuracy(model, x, y), "test accuracy": accuracy(model, *test)}
    return results


if __name__ == "__main__":
    show(globals())
