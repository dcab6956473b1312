"""Optuna's studies: where they are stored, what they hold, and what a killed process left in them."""

from __future__ import annotations

import os
import socket
import warnings
from pathlib import Path
from typing import Any

from tinygrad_dl.errors import missing_extra

HEARTBEAT = 60  # seconds; a trial on a machine that has been silent for twice as long is taken for dead


def optuna_module() -> Any:
    """Optuna itself. Raises MissingExtraError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook it misses widgets that are not used here
            import optuna
    except ImportError:
        raise missing_extra("optuna", "search", "train.search") from None
    return optuna


class quiet(warnings.catch_warnings):
    """Optuna without its log (what an objective raises comes out of `run`) and its remarks on new interfaces."""

    def __init__(self, optuna: Any) -> None:
        super().__init__(record=False)
        self.logging = optuna.logging
        self.category = optuna.exceptions.ExperimentalWarning

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", self.category)
        self.before = self.logging.get_verbosity()
        self.logging.set_verbosity(self.logging.ERROR)

    def __exit__(self, *error: Any) -> None:
        self.logging.set_verbosity(self.before)
        super().__exit__(*error)


def storage_at(where: str | os.PathLike[str] | None) -> Any:
    """A journal file, an SQLite file, or the database behind a URL; None: in memory."""
    if where is None:
        return None
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    where = os.fspath(where)
    if "://" not in where:
        os.makedirs(os.path.dirname(os.path.abspath(where)), exist_ok=True)
        if not where.endswith((".db", ".sqlite", ".sqlite3")):
            return JournalStorage(JournalFileBackend(where))
        where = f"sqlite:///{where}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # heartbeats are called experimental
        return RDBStorage(where, heartbeat_interval=HEARTBEAT, grace_period=2 * HEARTBEAT)


def finished(study: Any) -> list[Any]:
    """The trials that ended by themselves."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]


def counted(study: Any) -> int:
    """How many trials ended or are under way."""
    running = [t for t in study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
    return len(finished(study)) + len(running)


def retry_killed(study: Any) -> None:
    """Trials of this machine's processes that are no more: their hyperparameters are tried again."""
    if os.name != "posix":
        return
    with quiet(optuna_module()):
        again = _retry()
    for trial in study.get_trials(deepcopy=False):
        host, process = trial.user_attrs.get("process", ("", 0))
        if trial.state.name != "RUNNING" or host != socket.gethostname():
            continue
        if process == os.getpid() or not alive(process):
            study.tell(trial.number, state=type(trial.state).FAIL)
            again(study, trial)


def _retry() -> Any:
    """Optuna's own way to try a trial again; a grid must know which of its points that is."""
    from optuna import storages

    # The name since Optuna 4.9, and the one before.
    made = getattr(storages, "RetryHeartbeatStaleTrialCallback", None) or storages.RetryFailedTrialCallback
    return made()


def alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # In a container nobody may have taken note of its end: it is dead, but still has its number.
    status = Path("/proc", str(process), "stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
