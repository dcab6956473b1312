"""Schedules of the learning rate, under the name by which PyTorch's users import them."""

from tinygrad_dl.optim.combined import ChainedScheduler, ReduceLROnPlateau, SequentialLR
from tinygrad_dl.optim.cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from tinygrad_dl.optim.decays import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    InverseSqrtLR,
    InverseTimeLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StaircaseLR,
    StepLR,
)
from tinygrad_dl.optim.schedule import LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InverseSqrtLR",
    "InverseTimeLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StaircaseLR",
    "StepLR",
]
