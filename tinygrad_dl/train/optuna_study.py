"""Optuna studies: their storage, their trials, and recovery from killed processes.

Several processes and machines may run trials of one study, and each of them may die at any moment. So what is counted
are not trials but attempts: a trial, and those that try it again because the process of the one before was killed.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import time
import warnings
import weakref
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from tinygrad_dl.errors import FileFormatError, ValueRangeError, missing_extra
from tinygrad_dl.files import alive

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

HEARTBEAT = 60  # seconds; a trial without a heartbeat for twice as long is considered dead
FIRST_LINE = 1 << 20  # bytes, at most, of the operation that makes a study
TRIES = 4  # of a trial whose process is killed each time, such as for want of memory
SURPLUS = "not needed: other processes had begun enough trials, or this one"


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


def open_storage(where: str | os.PathLike[str] | None, heartbeat: int = HEARTBEAT) -> Any:
    """Open a journal file, an SQLite file, or the database of a URL; None means in memory."""
    from optuna.storages import InMemoryStorage, JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if where is None:
        return InMemoryStorage()
    where = os.fspath(where)
    if "://" in where:
        return _open_database(where, heartbeat)
    os.makedirs(os.path.dirname(os.path.abspath(where)), exist_ok=True)
    if not where.endswith((".db", ".sqlite", ".sqlite3")):
        try:
            _refuse_other_file(where)
            return JournalStorage(JournalFileBackend(where))
        except (ValueError, IsADirectoryError) as error:
            raise FileFormatError(
                f"search.run: storage: expected a new file, or a journal of a search, got {where}, which is something "
                f"else: {error}"
            ) from None
    if any(character in where for character in "?%#"):
        # These characters mean something in a URL. SQLAlchemy decodes the path once, and SQLite its URI again.
        where = f"file:{quote(quote(os.path.abspath(where)))}?uri=true"
    return _open_database(f"sqlite:///{where}", heartbeat)


def _refuse_other_file(path: str) -> None:
    """Raise ValueError for a file that is not a journal, to whose end a search would write."""
    if not os.path.lexists(path):
        return
    with open(path, "rb") as file:
        first = file.readline(FIRST_LINE)
    if not first or (
        first.startswith(b"{") and not first.endswith(b"\n")
    ):  # another process is about to write it
        return
    record = json.loads(first)
    if not isinstance(record, dict) or "op_code" not in record:
        raise ValueError("its first line is not an operation")


def _open_database(url: str, heartbeat: int) -> Any:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import (
        ArgumentError,
        DatabaseError,
        IntegrityError,
        NoSuchModuleError,
        ProgrammingError,
    )

    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueRangeError(
            "search.run: storage: expected a path or a URL such as postgresql://user@host/name, got "
            f"{url.partition('://')[0]}://..., which has another form"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        # SQLAlchemy's own choice among the drivers changed from one version to the next.
        parsed = parsed.set(drivername="postgresql+psycopg")
    # A connection that the server closed meanwhile is opened again.
    options = {} if parsed.drivername.startswith("sqlite") else {"pool_pre_ping": True}
    for attempt in range(5):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # heartbeats are experimental in Optuna
                # Made before it is opened, so that the connections of an attempt that fails can be closed.
                storage: Any = RDBStorage.__new__(RDBStorage)
                try:
                    storage.__init__(
                        parsed.render_as_string(hide_password=False),
                        engine_kwargs=options,
                        heartbeat_interval=heartbeat,
                        grace_period=2 * heartbeat,
                    )
                except BaseException:
                    if hasattr(storage, "engine"):
                        storage.engine.dispose()
                    raise
            weakref.finalize(storage, storage.engine.dispose)  # closes its connections
            return storage
        except ImportError as error:
            if parsed.drivername == "postgresql+psycopg":
                raise missing_extra(
                    "psycopg", "postgresql", "search.run with a PostgreSQL database"
                ) from None
            raise ImportError(f"search.run: storage: {parsed.drivername}: {error}") from None
        except (IntegrityError, ProgrammingError):
            # Another process makes the tables of an empty database at the same moment.
            if attempt == 4:
                raise
            time.sleep(0.2 * (attempt + 1))
        except NoSuchModuleError:
            raise ValueRangeError(
                "search.run: storage: expected the URL of a database that SQLAlchemy knows, such as "
                f"postgresql://user@host/name, got {parsed.drivername}://..."
            ) from None
        except DatabaseError as error:  # it is away, or the file is something else
            reason = str(error.orig).strip().splitlines()[0]
            raise ValueRangeError(
                f"search.run: storage: expected a database that can be opened, got {parsed}: {reason}"
            ) from None
    raise AssertionError


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that completed or were pruned."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]


def is_surplus(trial: FrozenTrial) -> bool:
    """Whether a process began a trial and left it to others; its objective was not called."""
    return trial.user_attrs.get("reason") == SURPLUS


def origin(trial: FrozenTrial) -> int:
    """The number of the trial that this one tries again, or its own."""
    first = trial.system_attrs.get("failed_trial")
    return trial.number if first is None else int(first)


def attempts(trials: Iterable[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """The trials by the number of the first one that they try again, in order."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        if not is_surplus(trial):
            found.setdefault(origin(trial), []).append(trial)
    return found


def outcome(tried: list[FrozenTrial]) -> str:
    """What has become of a trial and those that try it again: "finished", "running", "waiting", "killed" or "failed".

    "killed": nobody tries it again yet. "failed" are those that do not count: the objective raised an exception.
    """
    states = {trial.state.name for trial in tried}
    if states & {"COMPLETE", "PRUNED"}:
        return "finished"
    for state in ("RUNNING", "WAITING"):
        if state in states:
            return state.lower()
    if any("reason" in trial.user_attrs for trial in tried):
        return "failed"
    if not any("process" in trial.user_attrs or "grid_id" in trial.system_attrs for trial in tried):
        return "failed"  # killed before it had any hyperparameter
    return "killed" if len(tried) < TRIES else "finished"


class Tally(NamedTuple):
    """How many trials finished, are running and wait to be tried again; `killed`: those that are to be."""

    finished: int
    running: int
    waiting: int
    killed: list[FrozenTrial]

    @property
    def begun(self) -> int:
        """How many have a result, or will have one."""
        return self.finished + self.running + self.waiting + len(self.killed)


def tally(study: Study) -> Tally:
    """Count the trials of a study."""
    found: dict[str, list[FrozenTrial]] = {}
    for tried in attempts(study.get_trials(deepcopy=False)).values():
        found.setdefault(outcome(tried), []).append(tried[-1])
    finished, running, waiting = (len(found.get(state, [])) for state in ("finished", "running", "waiting"))
    return Tally(finished, running, waiting, found.get("killed", []))


def sign(study: Study, trial: Trial) -> None:
    """Note in a trial which process runs it. A first heartbeat comes before: without one it is never found dead."""
    storage = study._storage
    if getattr(storage, "get_heartbeat_interval", lambda: None)() is not None:
        storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
    trial.set_user_attr("process", [socket.gethostname(), os.getpid()])


def not_needed(study: Study, number: int, limit: int) -> bool:
    """Whether a trial that has just begun is one too many, since processes on other machines begin some as well.

    Numbers of trials are given out one by one, so that of any two such trials the later one gives way.
    """
    trials = study.get_trials(deepcopy=False)
    known, trial = attempts(trials), trials[number]
    first, point = origin(trial), trial.system_attrs.get("grid_id")

    def precedes(other: FrozenTrial) -> bool:
        begun_before = other.number < number and other.state.name in ("RUNNING", "WAITING")
        return other.number != number and (begun_before or other.state.name in ("COMPLETE", "PRUNED"))

    same = known.get(first, [])
    if point is not None:
        same = [other for other in trials if other.system_attrs.get("grid_id") == point]
    if any(precedes(other) and not is_surplus(other) for other in same):
        return True
    ahead = sum(other < first and outcome(tried) != "failed" for other, tried in known.items())
    return first == number and ahead >= limit


def retry_killed(study: Study, own: bool = False) -> None:
    """Enqueue the hyperparameters of trials whose process was killed.

    Of this machine's processes it is seen whether they live; trials of other machines have heartbeats, in databases.
    `own`: whether trials of this process are dead, too, since it has just begun to search.
    """
    optuna = optuna_module()
    with quiet(optuna):
        for trial in study.get_trials(deepcopy=False):
            if trial.state.name != "RUNNING" or os.name != "posix":
                continue
            host, process = trial.user_attrs.get("process", ("", 0))
            if host == socket.gethostname() and (own and process == os.getpid() or not alive(process)):
                fail(study, trial)
        optuna.storages.fail_stale_trials(study)
        _drop_doubled(study)
        retry = _retry_callback()
        for trial in tally(study).killed:
            again = copy.deepcopy(trial)  # the callback changes its history
            # Until another process has signed it, nobody runs it.
            again.user_attrs = {key: value for key, value in trial.user_attrs.items() if key != "process"}
            retry(study, again)


def _drop_doubled(study: Study) -> None:
    """Take trials off the queue that two processes put there at the same moment, once one of them has a result."""
    optuna, storage = optuna_module(), study._storage
    for tried in attempts(study.get_trials(deepcopy=False)).values():
        for trial in tried if outcome(tried) == "finished" else ():
            if trial.state.name == "WAITING":
                try:
                    storage.set_trial_user_attr(trial._trial_id, "reason", SURPLUS)
                    storage.set_trial_state_values(trial._trial_id, type(trial.state).FAIL)
                except optuna.exceptions.UpdateFinishedTrialError:
                    pass  # another process was faster


def fail(study: Study, trial: FrozenTrial) -> None:
    """Mark a trial as failed, unless it has ended meanwhile."""
    optuna = optuna_module()
    # A grid's sampler would stop the study, which is an error outside of its loop.
    sampler, study.sampler = study.sampler, optuna.samplers.RandomSampler()
    try:
        study.tell(trial.number, state=type(trial.state).FAIL, skip_if_finished=True)
    except optuna.exceptions.UpdateFinishedTrialError:
        pass  # another process was faster
    finally:
        study.sampler = sampler


class Unsigned:
    """Trials that began and whose process is unknown: it was killed in between, if that lasts.

    Their age is measured here, since clocks of machines differ.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._seen: dict[int, float] = {}

    def fail(self, study: Study) -> None:
        """Mark those that have been so for too long as failed."""
        now = time.monotonic()
        unsigned = {
            t.number: t
            for t in study.get_trials(deepcopy=False)
            if t.state.name == "RUNNING" and "process" not in t.user_attrs
        }
        self._seen = {number: self._seen.get(number, now) for number in unsigned}
        for number, since in self._seen.items():
            if now - since > self.patience:
                fail(study, unsigned[number])


def _retry_callback() -> Any:
    """Return Optuna's own callback for retrying a trial, which tells a grid which of its points that is."""
    from optuna import storages

    # The name since Optuna 4.9, and the one before.
    callback = (
        getattr(storages, "RetryHeartbeatStaleTrialCallback", None) or storages.RetryFailedTrialCallback
    )
    return callback()
