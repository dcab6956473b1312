"""The training loop, its history and callbacks, hyperparameter search, and scikit-learn estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_dl.train import search
from tinygrad_dl.train.callback import Callback, EarlyStopping, Schedule
from tinygrad_dl.train.checkpoint import Checkpoint
from tinygrad_dl.train.diagnosis import Finding, diagnose
from tinygrad_dl.train.examine import Examination, examine
from tinygrad_dl.train.history import History
from tinygrad_dl.train.logs import Log
from tinygrad_dl.train.lr_finder import Rates, find_rate
from tinygrad_dl.train.mlflow import MLflow
from tinygrad_dl.train.monitor import Monitor
from tinygrad_dl.train.parallel import DataParallel
from tinygrad_dl.train.progress import Progress
from tinygrad_dl.train.regularize import AveragedWeights, ClipGradients, Penalty
from tinygrad_dl.train.tensorboard import TensorBoard
from tinygrad_dl.train.trainer import Trainer

if TYPE_CHECKING:
    from tinygrad_dl.train.estimator import Classifier, Regressor

__all__ = [
    "AveragedWeights",
    "Callback",
    "Checkpoint",
    "Classifier",
    "ClipGradients",
    "DataParallel",
    "EarlyStopping",
    "Examination",
    "Finding",
    "History",
    "Log",
    "MLflow",
    "Monitor",
    "Penalty",
    "Progress",
    "Rates",
    "Regressor",
    "Schedule",
    "TensorBoard",
    "Trainer",
    "diagnose",
    "examine",
    "find_rate",
    "search",
]


if not TYPE_CHECKING:  # a type checker shall still report unknown names

    def __getattr__(name):
        # The estimators derive from scikit-learn's classes: it is imported on first use.
        if name in ("Classifier", "Regressor"):
            from tinygrad_dl.train import estimator

            return getattr(estimator, name)
        from tinygrad_dl.vocabulary import unknown

        raise unknown(__name__, name, __all__)
