"""Four layers on the cats (course 1, week 4): 12288-20-7-5-1, ReLU, seed 1 by sqrt(inputs), learning rate 0.0075."""

from __future__ import annotations

from pathlib import Path

from tinygrad_dl import optim
from tinygrad_dl.course.network import accuracy, cross_entropy, network, of_iterations, tensors, train
from tinygrad_dl.course.record import show
from tinygrad_dl.data import datasets

TITLE = "Cats, four layers, 12288-20-7-5-1, learning rate 0.0075"
REQUIRED_FILES = ("train_catvnoncat.h5", "test_catvnoncat.h5")
PUBLISHED = {
    "cost, iteration 0": "0.771749",
    "cost, iteration 100": "0.672053",
    "cost, iteration 200": "0.648263",
    "cost, iteration 300": "0.611507",
    "cost, iteration 400": "0.567047",
    "cost, iteration 2400": "0.092878",
    "training accuracy": "98.56 %",
    "test accuracy": "80 %",
}


def run(data: Path, iterations: int = 2500) -> dict[str, float]:
    """Costs, and the accuracy on both sets."""
    x, y = tensors(datasets.load_cats(data / "train_catvnoncat.h5", dtype="float64"))
    model = network((12288, 20, 7, 5, 1), seed=1, scale=lambda inputs: inputs**-0.5)
    costs = train(optim.SGD(model.parameters(), lr=0.0075), cross_entropy(model, x, y), iterations, every=100)
    results = of_iterations({i: cost for i, cost in costs.items() if i <= 400 or i == 2400})
    if iterations == 2500:
        test = tensors(datasets.load_cats(data / "test_catvnoncat.h5", dtype="float64"))
        results |= {"training accuracy": accuracy(model, x, y), "test accuracy": accuracy(model, *test)}
    return results


if __name__ == "__main__":
    show(globals())
