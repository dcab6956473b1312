"""Weight initialization (course 2, week 1): 2-10-5-1 with ReLU on two circles.

Learning rate 0.01, 15,000 iterations. Data: make_circles with noise 0.05, 300 points of seed 1 to train on, 100 of
seed 2 to test; weights: seed 3. With large initial weights the first cost of the notebook is infinite (log 0);
computed from logits it is finite, and the gradients are the same. At iterations 2,000 and 4,000 with He initialization
the notebook prints 0.6751286264523371 and 0.6082958970572938, sometimes quoted with a digit lost.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_dl import optim
from tinygrad_dl.course.network import accuracy, cross_entropy, he, network, of_iterations, tensors, train
from tinygrad_dl.course.record import show
from tinygrad_dl.data import datasets

TITLE = "Initialization, circles, 2-10-5-1, learning rate 0.01"
PUBLISHED = {
    "zeros: cost, iteration 0": "0.693147",
    "zeros: cost, iteration 14000": "0.693147",
    "zeros: training accuracy": "50 %",
    "zeros: test accuracy": "50 %",
    "ten times normal: training accuracy": "83 %",
    "ten times normal: test accuracy": "86 %",
    "He: cost, iteration 0": "0.883054",
    "He: cost, iteration 1000": "0.687983",
    "He: cost, iteration 2000": "0.675129",
    "He: cost, iteration 3000": "0.652612",
    "He: cost, iteration 4000": "0.608296",
    "He: cost, iteration 14000": "0.073579",
    "He: training accuracy": "99.3 %",
    "He: test accuracy": "96 %",
}
SCALES: dict[str, Callable[[int], float]] = {
    "zeros": lambda inputs: 0.0,
    "ten times normal": lambda inputs: 10.0,
    "He": he,
}


def run(iterations: int = 15_000) -> dict[str, float]:
    """Costs, and the accuracy on both sets, for each initialization."""
    x, y = tensors(datasets.circles(dtype="float64"))
    test = tensors(datasets.circles(n=100, seed=2, dtype="float64"))
    results: dict[str, float] = {}
    for start, scale in SCALES.items():
        model = network((2, 10, 5, 1), seed=3, scale=scale)
        costs = train(
            optim.SGD(model.parameters(), lr=0.01), cross_entropy(model, x, y), iterations, every=1000
        )
        printed = {i: cost for i, cost in costs.items() if f"{start}: cost, iteration {i}" in PUBLISHED}
        results |= of_iterations(printed, f"{start}: ")
        if iterations == 15_000:
            results[f"{start}: training accuracy"] = accuracy(model, x, y)
            results[f"{start}: test accuracy"] = accuracy(model, *test)
    return results


if __name__ == "__main__":
    show(globals())
