"""The training loop, its history and callbacks, and scikit-learn estimators."""

from __future__ import annotations

from tinygrad_dl.train.callback import Callback, EarlyStopping, Schedule
from tinygrad_dl.train.history import History
from tinygrad_dl.train.progress import Progress
from tinygrad_dl.train.trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "History", "Progress", "Schedule", "Trainer"]
