"""Averages of weights: the core's."""

from tinygrad_dl.optim.swa_utils import *  # noqa: F403
