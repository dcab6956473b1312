"""Optuna studies: their storage, their trials, and recovery from killed processes."""

from __future__ import annotations

import os
import socket
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tinygrad_dl.errors import missing_extra
from tinygrad_dl.files import alive

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

HEARTBEAT = 60  # seconds; a trial without a heartbeat for twice as long is considered dead


def optuna_module() -> Any:
    """Import Optuna. Raises MissingExtraError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in notebooks it warns about widgets that are not used here
            import optuna
    except ImportError:
        raise missing_extra("optuna", "search", "train.search") from None
    return optuna


class quiet(warnings.catch_warnings):
    """Silence Optuna's log and its warnings about experimental features; exceptions of an objective still propagate."""

    def __init__(self, optuna: ModuleType) -> None:
        super().__init__(record=False)
        self.logging = optuna.logging
        self.category = optuna.exceptions.ExperimentalWarning

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", self.category)
        self.verbosity = self.logging.get_verbosity()
        self.logging.set_verbosity(self.logging.ERROR)

    def __exit__(self, *error: Any) -> None:
        self.logging.set_verbosity(self.verbosity)
        super().__exit__(*error)


def open_storage(where: str | os.PathLike[str] | None) -> Any:
    """Open a journal file, an SQLite file, or the database of a URL; None means in memory."""
    if where is None:
        return None
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    where = os.fspath(where)
    if "://" not in where:
        os.makedirs(os.path.dirname(os.path.abspath(where)), exist_ok=True)
        if not where.endswith((".db", ".sqlite", ".sqlite3")):
            return JournalStorage(JournalFileBackend(where))
        if any(character in where for character in "?%#"):
            # These characters mean something in a URL. SQLAlchemy decodes the path once, and SQLite its URI again.
            where = f"file:{quote(quote(os.path.abspath(where)))}?uri=true"
        where = f"sqlite:///{where}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # heartbeats are experimental in Optuna
        return RDBStorage(where, heartbeat_interval=HEARTBEAT, grace_period=2 * HEARTBEAT)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that completed or were pruned."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]


def trial_count(study: Study) -> int:
    """Count the trials that finished or are running."""
    running = [t for t in study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
    return len(finished_trials(study)) + len(running)


def retry_killed(study: Study) -> None:
    """Enqueue the hyperparameters of trials whose process on this machine was killed."""
    if os.name != "posix":
        return
    with quiet(optuna_module()):
        retry = _retry_callback()
    for trial in study.get_trials(deepcopy=False):
        host, process = trial.user_attrs.get("process", ("", 0))
        if trial.state.name != "RUNNING" or host != socket.gethostname():
            continue
        if process == os.getpid() or not alive(process):
            study.tell(trial.number, state=type(trial.state).FAIL)
            retry(study, trial)


def _retry_callback() -> Any:
    """Return Optuna's own callback for retrying a trial, which tells a grid which of its points that is."""
    from optuna import storages

    # The name since Optuna 4.9, and the one before.
    callback = (
        getattr(storages, "RetryHeartbeatStaleTrialCallback", None) or storages.RetryFailedTrialCallback
    )
    return callback()
