"""Optimizers and schedules: their constructors, and the steps that schedules take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, optim


def parameters() -> list[Tensor]:
    p = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    p.grad = Tensor(np.ones((2, 3), np.float32))
    return [p]


def optimizer() -> optim.Optimizer:
    return optim.SGD(parameters(), lr=0.1)


OPTIMIZERS = (
    "SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "ASGD", "LBFGS",
    "Muon", "Adafactor",
)  # fmt: skip
SCHEDULES = {
    "StepLR": lambda: with_arguments(optimizer(), 2),
    "MultiStepLR": lambda: with_arguments(optimizer(), [1, 2]),
    "ExponentialLR": lambda: with_arguments(optimizer(), 0.9),
    "CosineAnnealingLR": lambda: with_arguments(optimizer(), 5),
    "CosineAnnealingWarmRestarts": lambda: with_arguments(optimizer(), 5),
    "LinearLR": lambda: with_arguments(optimizer()),
    "ConstantLR": lambda: with_arguments(optimizer()),
    "PolynomialLR": lambda: with_arguments(optimizer()),
    "OneCycleLR": lambda: with_arguments(optimizer(), 0.1, total_steps=10),
    "CyclicLR": lambda: with_arguments(optimizer(), 0.01, 0.1),
    "ReduceLROnPlateau": lambda: with_arguments(optimizer()),
}


def calls() -> Iterator[Call]:
    yield from calls_of(optim, {name: lambda: with_arguments(parameters(), lr=0.1) for name in OPTIMIZERS})
    yield from calls_of(optim.lr_scheduler, SCHEDULES)
