"""Schedules of the learning rate: the core's."""

from tinygrad_dl.optim import lr_scheduler as _core
from tinygrad_dl.optim.lr_scheduler import *  # noqa: F403

_LRScheduler = _core.LRScheduler
