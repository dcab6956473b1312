"""Learning-rate schedules, under PyTorch's name."""

from tinygrad_dl.optim.composite import ChainedScheduler, SequentialLR
from tinygrad_dl.optim.cyclic import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from tinygrad_dl.optim.decay import (
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
from tinygrad_dl.optim.plateau import ReduceLROnPlateau
from tinygrad_dl.optim.scheduler import LRScheduler

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
