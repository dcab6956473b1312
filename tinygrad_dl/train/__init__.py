"""The training loop, its history and callbacks, and scikit-learn estimators."""

from __future__ import annotations

from tinygrad_dl.train.callback import Callback, EarlyStopping, Schedule
from tinygrad_dl.train.checkpoint import Checkpoint
from tinygrad_dl.train.history import History
from tinygrad_dl.train.logs import Log, TensorBoard
from tinygrad_dl.train.progress import Progress
from tinygrad_dl.train.regularize import AveragedWeights, ClipGradients, Penalty
from tinygrad_dl.train.trainer import Trainer

__all__ = [
    "AveragedWeights",
    "Callback",
    "Checkpoint",
    "ClipGradients",
    "EarlyStopping",
    "History",
    "Log",
    "Penalty",
    "Progress",
    "Schedule",
    "TensorBoard",
    "Trainer",
]
