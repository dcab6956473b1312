"""Optimizers and learning-rate schedules, with PyTorch's names."""

if __name__ != "tinygrad_dl.optim":
    raise ImportError("this folder is the package tinygrad_dl.optim: write `from tinygrad_dl import optim`")

from typing import TYPE_CHECKING

from tinygrad_dl.optim import lr_scheduler
from tinygrad_dl.optim.adadelta import Adadelta
from tinygrad_dl.optim.adafactor import Adafactor
from tinygrad_dl.optim.adagrad import Adagrad
from tinygrad_dl.optim.adam import Adam, AdamW
from tinygrad_dl.optim.adamax import Adamax
from tinygrad_dl.optim.asgd import ASGD
from tinygrad_dl.optim.lbfgs import LBFGS
from tinygrad_dl.optim.muon import Muon
from tinygrad_dl.optim.nadam import NAdam
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.radam import RAdam
from tinygrad_dl.optim.regularization import decay_groups, l1_penalty, l2_penalty, weights
from tinygrad_dl.optim.rmsprop import RMSprop
from tinygrad_dl.optim.rprop import Rprop
from tinygrad_dl.optim.sgd import SGD

if TYPE_CHECKING:  # it needs nn, on the same floor: the package imports it after both
    from tinygrad_dl.optim import swa_utils

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "decay_groups",
    "l1_penalty",
    "l2_penalty",
    "lr_scheduler",
    "swa_utils",
    "weights",
]


if not TYPE_CHECKING:  # a type checker shall still report unknown names

    def __getattr__(name):
        from tinygrad_dl.vocabulary import unknown

        raise unknown(__name__, name, globals())
