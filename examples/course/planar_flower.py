"""One hidden layer on the planar flower (course 1, week 3): tanh, learning rate 1.2.

Data: np.random.seed(1); weights: seed 2 for every hidden size, times 0.01. The learning rate is so high that the
training of 4 hidden units is chaotic from iteration 7,000 on, that of 20 and 50 before 5,000: results then depend on
rounding errors.
Copies of the notebook print 0.218612, 0.218607 or 0.218633 for iteration 9,000. So the last rows give the range over
initial weights that differ by one part in 1e9: it contains the published results.
"""

from __future__ import annotations

import numpy as np

from tinygrad_dl import nn, optim
from tinygrad_dl.course.network import accuracy, cross_entropy, network, of_iterations, tensors, train
from tinygrad_dl.course.record import show
from tinygrad_dl.data import datasets

TITLE = "Planar flower, 2-4-1, tanh, learning rate 1.2"
PUBLISHED = {
    "cost, iteration 0": "0.693048",
    "cost, iteration 1000": "0.288083",
    "cost, iteration 2000": "0.254385",
    "cost, iteration 3000": "0.233864",
    "cost, iteration 4000": "0.226792",
    "cost, iteration 5000": "0.222644",
    "cost, iteration 9000": "0.218612",
    "accuracy": "90 %",
    "accuracy, 1 hidden unit": "67.5 %",
    "accuracy, 2 hidden units": "67.25 %",
    "accuracy, 3 hidden units": "90.75 %",
    "accuracy, 4 hidden units": "90.5 %",
    "accuracy, 5 hidden units": "91.25 %",
    "accuracy, 20 hidden units": "90.0 %",
    "accuracy, 50 hidden units": "90.25 %",
}
SEEDS = (0, 1, 2, 3, 4)
CHAOTIC = {"cost, iteration 9000": 2e-4, "accuracy, 20 hidden units": 1.0, "accuracy, 50 hidden units": 1.0}


def trained(hidden: int, iterations: int, seed: int | None = None) -> tuple[dict[int, float], float]:
    """Costs and accuracy of a network with `hidden` hidden units; `seed`: of a tiny change of the weights."""
    x, y = tensors(datasets.planar_flower(dtype="float64"))
    model = network((2, hidden, 1), seed=2, scale=lambda inputs: 0.01, activation=nn.Tanh)
    if seed is not None:
        draw = np.random.default_rng(seed)
        for p in model.parameters():
            p.data *= 1 + 1e-9 * draw.standard_normal(p.shape)
    optimizer = optim.SGD(model.parameters(), lr=1.2)
    calm = hidden <= 5 and iterations <= 5000  # where a program's rounding leads to the same digits
    costs = train(optimizer, cross_entropy(model, x, y), iterations, every=1000, compiled=calm)
    return costs, accuracy(model, x, y)


def run(iterations: int = 10_000, sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 20, 50)) -> dict[str, float]:
    """Costs of 2-4-1 and accuracies by hidden size."""
    costs, percent = trained(4, iterations)
    results = of_iterations({i: cost for i, cost in costs.items() if i <= 5000 or i == 9000})
    if iterations == 10_000:
        results["accuracy"] = percent
    for hidden in sizes:
        units = "unit" if hidden == 1 else "units"
        results[f"accuracy, {hidden} hidden {units}"] = trained(hidden, iterations // 2)[1]
    if iterations == 10_000:
        costs_at_end = [trained(4, 9_001, seed)[0][9000] for seed in SEEDS]
        results |= value_range("cost, iteration 9000", [results["cost, iteration 9000"], *costs_at_end])
        for hidden in sizes[-2:]:
            what = f"accuracy, {hidden} hidden units"
            results |= value_range(
                what, [results[what], *(trained(hidden, 5_000, seed)[1] for seed in SEEDS)]
            )
    return results


def value_range(what: str, values: list[float]) -> dict[str, float]:
    """The lowest and highest value of a result."""
    return {f"{what}: lowest of {len(values)} starts": min(values), f"{what}: highest": max(values)}


if __name__ == "__main__":
    show(globals())
