"""Optimizers and learning-rate schedules, with PyTorch's names."""

if __name__ != "tinygrad_dl.optim":
    raise ImportError("this folder is the package tinygrad_dl.optim: write `from tinygrad_dl import optim`")

from tinygrad_dl.optim.adam import Adam
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer"]
