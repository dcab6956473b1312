"""Hyperparameter search: a thin layer over Optuna, which does the sampling, pruning, storage and plots.

    found = search.run(objective, {"lr": search.LogUniform(1e-4, 1)}, trials=30)

Requires the extra `search`. The Optuna study itself is `found.study`.
"""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from tinygrad_dl.arguments import Bounds, Count, refuse_unfit
from tinygrad_dl.directions import Mode
from tinygrad_dl.errors import AnomalyError, DTypeError, ProcessError, ValueRangeError, missing_extra
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.engines import Dask, Engine, Processes
from tinygrad_dl.train.history import format_value
from tinygrad_dl.train.optuna_study import (
    HEARTBEAT,
    SURPLUS,
    Tally,
    Unsigned,
    finished_trials,
    is_surplus,
    not_needed,
    open_storage,
    optuna_module,
    quiet,
    retry_killed,
    sign,
    tally,
)
from tinygrad_dl.train.space import Choice, LogUniform, OneMinus, Range, Uniform, Whole, narrowed
from tinygrad_dl.viz.plots.axes import plain_labels

if TYPE_CHECKING:
    from types import ModuleType

    from distributed import Client
    from matplotlib.figure import Figure
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from tinygrad_dl.train.trainer import Trainer

__all__ = ["Choice", "Found", "LogUniform", "OneMinus", "Setting", "Uniform", "Whole", "run"]

SAMPLERS = ("tpe", "random", "grid")
PLOTS = {
    "history": "plot_optimization_history",
    "slice": "plot_slice",
    "curves": "plot_intermediate_values",
    "importance": "plot_param_importances",
    "contour": "plot_contour",
    "parallel": "plot_parallel_coordinate",
}
# A value axis becomes logarithmic where the largest value is so many times the smallest, as in learning curves.
LARGE_RANGE = 30
REPR_TRIALS = 10
POLL = 0.2  # seconds between looks at trials that other machines run, where there is nothing else to do
LOOK = 2.0  # seconds between looks for killed processes


class Setting(dict[str, Any]):
    """The hyperparameters of one trial, by name; `report` and `pruning` stop an unpromising trial early."""

    def __init__(self, values: Mapping[str, Any], trial: Trial) -> None:
        super().__init__(values)
        self.trial = trial  # of Optuna
        self._reports = 0

    def report(self, value: float) -> None:
        """Report the value after one more epoch; ends the trial if the pruner finds it worse than the others."""
        self.trial.report(float(value), self._reports)
        self._reports += 1
        if self.trial.should_prune():
            raise optuna_module().TrialPruned(f"worse than other trials after {self._reports} reports")

    def pruning(self, quantity: str = "dev_loss", mode: Mode | None = None) -> Callback:
        """Return a Trainer callback that reports one quantity after every epoch.

        `mode`: "max" or "min", for a metric whose name does not tell which values are better.
        """
        return _Pruning(self, quantity, mode)


class _Pruning(Callback):
    def __init__(self, setting: Setting, quantity: str, mode: Mode | None = None) -> None:
        if mode not in (None, "max", "min"):
            raise ValueRangeError(f'Setting.pruning: mode: expected "max" or "min", got {mode!r}')
        self.setting, self.quantity = setting, quantity
        self.mode: Mode | None = mode

    def on_fit_begin(self, trainer: Trainer) -> None:
        # Before the first epoch: nobody should learn it after an hour of training.
        trainer.history._rises("Setting.pruning", self.quantity, self.mode)

    def _refuse_other_direction(self, trainer: Trainer) -> None:
        maximizes = self.setting.trial.study.direction.name == "MAXIMIZE"
        if trainer.history._rises("Setting.pruning", self.quantity, self.mode) != maximizes:
            raise ValueRangeError(
                f"Setting.pruning: expected a quantity to {'maximize' if maximizes else 'minimize'} as the search "
                f"does, got {self.quantity}. Pass maximize={not maximizes} to search.run?"
            )

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.quantity not in epoch:
            raise ValueRangeError(
                f"Setting.pruning: expected one of {', '.join(epoch)}, got {self.quantity!r}"
            )
        self._refuse_other_direction(trainer)
        self.setting.report(epoch[self.quantity])


class Found(NamedTuple):
    """The outcome of a search; `study` is the Optuna study, with everything that Optuna offers."""

    study: Study
    space: dict[str, Range]

    @property
    def best(self) -> dict[str, Any]:
        """The hyperparameters of the best trial. Raises ValueRangeError if no trial completed."""
        return _settings(self._best(), self.space)

    @property
    def best_value(self) -> float:
        """The value of the objective for `best`."""
        value = self._best().value
        assert value is not None
        return float(value)

    def _best(self) -> FrozenTrial:
        ranked = self.ranked
        if not ranked:
            raise ValueRangeError(
                f"search: expected a trial with a finite value, got none of {len(self.study.trials)} trials. "
                "Found.table() shows the reasons."
            )
        return ranked[0]

    @property
    def ranked(self) -> list[FrozenTrial]:
        """The completed Optuna trials, best first."""
        complete = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
        return sorted(complete, key=lambda t: t.value or 0.0, reverse=self.study.direction.name == "MAXIMIZE")

    def table(self, limit: int | None = None) -> str:
        """Return the trials as a text table: the completed ones, best first, then the others."""
        others = [
            t
            for t in self.study.get_trials(deepcopy=False)
            if t.state.name != "COMPLETE" and not is_surplus(t)
        ]
        rows = [["trial", "value", *self.space, ""]]
        for trial in [*self.ranked, *others][:limit]:
            value = "" if trial.value is None or trial.state.name != "COMPLETE" else format_value(trial.value)
            settings = _settings(trial, self.space) if len(trial.params) == len(self.space) else {}
            outcome = "" if trial.state.name == "COMPLETE" else trial.state.name.lower()
            outcome += f": {trial.user_attrs['reason']}" if "reason" in trial.user_attrs else ""
            rows.append(
                [
                    str(trial.number),
                    value,
                    *(format_value(settings.get(name, "")) for name in self.space),
                    outcome,
                ]
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
        return "\n".join(
            "  ".join([*(c.rjust(w) for c, w in zip(row, widths)), row[-1]]).rstrip() for row in rows
        )

    def plot(self, kind: str = "history") -> Figure:
        """Return one of Optuna's plots as a matplotlib figure.

        "history": the value of every trial; "slice": value against each hyperparameter; "curves": the reported
        values; "importance", "contour", "parallel". Raises ValueRangeError, MissingExtraError.
        """
        if kind not in PLOTS:
            raise ValueRangeError(f"Found.plot: kind: expected one of {', '.join(PLOTS)}, got {kind!r}")
        if not self.ranked:
            self._best()  # raises an error that says what to do
        optuna = optuna_module()
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise missing_extra("matplotlib", "viz", "Found.plot") from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)
            axes = getattr(optuna.visualization.matplotlib, PLOTS[kind])(self.study)
        while not hasattr(axes, "figure"):
            axes = axes[0]  # plots with several axes return an array of them
        values = [t.value or 0.0 for t in self.ranked]
        if kind in ("history", "slice", "curves") and 0 < LARGE_RANGE * min(values) < max(values):
            axes.set_yscale("log")
        plt.close(axes.figure)  # no window; the figure itself remains usable
        figure: Figure = axes.figure
        plain_labels(figure)
        return figure

    def __repr__(self) -> str:
        ranked, count = self.ranked, len(self.study.get_trials(deepcopy=False))
        if not ranked:
            return f"Found({count} trials, none completed)"
        best = ", ".join(f"{name}={_shown(value)}" for name, value in self.best.items())
        return f"Found({count} trials, best value {format_value(self.best_value)} with {best})"

    def _repr_html_(self) -> str:
        from tinygrad_dl import markup

        ranked, trials = self.ranked, self.study.get_trials(deepcopy=False)
        heading = f"{len(trials)} trials, {len(ranked)} of them completed"
        rows = []
        for trial in ranked[:REPR_TRIALS]:
            settings = _settings(trial, self.space)
            cells = [str(trial.number), _shown(float(trial.value or 0.0)), *map(_shown, settings.values())]
            cells = [markup.text(cell) for cell in cells]
            rows.append([markup.colored(c, markup.GREEN) for c in cells] if trial is ranked[0] else cells)
        if len(ranked) > REPR_TRIALS:
            rows.append([f"… {len(ranked) - REPR_TRIALS} more, see .table() …"])
        values = [(t.number, t.value) for t in trials if t.state.name == "COMPLETE" and t.value is not None]
        numbers, found = [float(n) for n, _ in values], [float(v) for _, v in values]
        best = [
            (max if self.study.direction.name == "MAXIMIZE" else min)(found[: i + 1])
            for i in range(len(found))
        ]
        curve = markup.chart(
            [markup.Line("trials", numbers, found, markup.GRAY), markup.Line("best so far", numbers, best)],
            "The value of each trial",
            x_label="trial",
        )
        head = ["trial", "value", *map(markup.text, self.space)]
        listed = markup.table(head, rows) if rows else ""
        return markup.paragraph(heading) + markup.block(listed, curve)

    def finer(self, keep: float = 0.25) -> dict[str, Range]:
        """Return the space around the best fraction `keep` of the trials, for a finer second search.

        Ranges shrink to the values of those trials and a margin; choices to the ones they made.
        """
        if not 0 < keep <= 1:
            raise ValueRangeError(f"Found.finer: keep: expected a fraction, 0 < keep <= 1, got {keep!r}")
        self._best()
        ranked = self.ranked
        best = ranked[: max(1, round(keep * len(ranked)))]
        return {
            name: narrowed(part, [t.params[part.stored(name)] for t in best])
            for name, part in self.space.items()
        }


def run(
    objective: Callable[[Setting], float],
    space: Mapping[str, Range],
    trials: int = 30,
    *,
    maximize: bool = False,
    sampler: str | BaseSampler = "tpe",
    pruner: Literal["median"] | BasePruner | None = "median",
    storage: str | os.PathLike[str] | None = None,
    name: str = "search",
    processes: int | None = None,
    client: Client | None = None,
    heartbeat: int = HEARTBEAT,
    rng: int | None = None,
) -> Found:
    """Search until the study `name` in `storage` has `trials` trials; earlier ones of a resumed search count.

    `objective(setting)` returns a number for a dict of hyperparameters; a training that diverges (nan, AnomalyError)
    counts as pruned. `space`: a range for each name. `sampler`: "tpe", "random", "grid" or a sampler of Optuna;
    `pruner`: "median", None or a pruner of Optuna. `storage`: a journal file, a *.db or *.sqlite file, or a
    database URL, which several machines may share. Several `processes` require a storage and an objective that is
    defined at the top level of a module; so do the workers of a Dask cluster, `client`, but for the objective, which
    may be any function. A trial whose process is killed is run again, up to 4 times; in a database that of another
    machine, too, once it has given no sign for twice `heartbeat` seconds. Raises ValueRangeError, DTypeError,
    ProcessError, MissingExtraError.
    """
    if not isinstance(space, Mapping):
        raise DTypeError(
            "search.run: space: expected a dict of ranges such as {'lr': LogUniform(1e-4, 1)}, got "
            f"{type(space).__name__}"
        )
    optuna = optuna_module()
    space = dict(space)
    options = {
        "maximize": maximize,
        "storage": storage,
        "name": name,
        "heartbeat": heartbeat,
        "rng": rng,
    }
    refuse_unfit(_options, (), options, "search.run")
    _validate(objective, space, trials, sampler, storage, processes, client)
    if not (pruner is None or (isinstance(pruner, str) and pruner == "median") or hasattr(pruner, "prune")):
        raise ValueRangeError(
            f'search.run: pruner: expected "median", None or a pruner of Optuna, got {pruner!r}'
        )
    if storage is not None and "://" not in os.fspath(storage):
        storage = os.path.abspath(storage)  # the other processes may be in other folders
    with quiet(optuna):
        study = optuna.create_study(
            study_name=name,
            storage=open_storage(storage, heartbeat),
            load_if_exists=True,
            direction="maximize" if maximize else "minimize",
        )
    # The direction is stored with the study: a resumed search must not reverse it.
    if (study.direction.name == "MAXIMIZE") != maximize:
        raise ValueRangeError(
            f"search.run: maximize: expected a study that {'maximize' if maximize else 'minimize'}s, got {name!r} "
            f"in {storage}, which {study.direction.name.lower()}s. Pass another name=."
        )
    _refuse_other_space(study, space, name)
    retry_killed(study, own=True)
    if sampler == "grid":
        others = [t for t in finished_trials(study) if "grid_id" not in t.system_attrs]
        trials = min(trials, len(others) + _grid_size(space))
    worker = _Worker(objective, space, trials, sampler, pruner, storage, name, heartbeat, rng)
    unsigned = Unsigned(2 * heartbeat)
    if client is None and processes in (None, 1):
        _run_here(worker, study, unsigned)
        return Found(study, space)
    missing = max(trials - tally(study).finished, 1)
    if client is None:
        _refuse_nameless(worker)
        engine: Engine = Processes(min(processes or 1, missing))
    else:
        engine = Dask(client, processes)
    try:
        _run_elsewhere(worker, study, engine, unsigned)
    finally:
        engine.close()
    return Found(study, space)


def _run_here(worker: _Worker, study: Study, unsigned: Unsigned) -> None:
    """Run trials in this process until there are enough, those of other machines included."""
    with quiet(optuna_module()):
        worker.equip(study, 0)
    while worker.lacks(tally(study)):
        while worker.begin(study):
            pass
        if worker.lacks(tally(study)):
            time.sleep(POLL)
            unsigned.fail(study)
            retry_killed(study)


def _run_elsewhere(worker: _Worker, study: Study, engine: Engine, unsigned: Unsigned) -> None:
    """Have trials run by an engine until there are enough; each is a call of its own, so that none is too many."""
    error: BaseException | None = None
    calls = barren = known = 0
    look = -math.inf  # when to look for killed processes
    while True:
        if time.monotonic() >= look:
            unsigned.fail(study)
            retry_killed(study)
            look = time.monotonic() + LOOK
        missing = worker.trials - tally(study).finished if error is None else 0
        if not engine.busy and missing <= 0:
            break
        while engine.busy < min(engine.slots, missing):
            engine.start(worker.__call__, calls)
            calls += 1
        idle = False
        for ended in engine.wait(LOOK):
            error = error or ended.error
            idle = idle or ended.result is False
            if ended.died:
                look = -math.inf
                # One death after the other and no trial in between: none will ever begin.
                count = len(study.get_trials(deepcopy=False))
                barren, known = (barren + 1 if count == known else 0), count
                if barren > max(engine.slots, 3):
                    error = error or ProcessError(
                        f"search.run: expected processes that run trials, got {barren} in a row that ended before "
                        'their first one. Is the call of search.run below `if __name__ == "__main__":`?'
                    )
        if idle:
            time.sleep(POLL)
    if error is not None:
        raise error


def _options(
    maximize: bool = False,
    storage: str | os.PathLike[str] | None = None,
    name: str = "search",
    heartbeat: Count = HEARTBEAT,
    rng: Annotated[int, Bounds(least=0)] | None = None,
) -> None:
    """The options of run, for refuse_unfit."""


def _refuse_other_space(study: Study, space: Mapping[str, Range], name: str) -> None:
    """Raise ValueRangeError if the trials of a study that is resumed had other hyperparameters or choices."""
    expected = {part.stored(key): part for key, part in space.items()}
    for trial in finished_trials(study):
        other = [
            key
            for key in trial.params.keys() | expected.keys()
            if key not in trial.params
            or key not in expected
            or not expected[key].compatible(trial.distributions[key])
        ]
        if other:
            raise ValueRangeError(
                f"search.run: space: expected the hyperparameters and choices of the trials that the study {name!r} "
                f"has, got others for {', '.join(sorted(other))}. Pass another name=."
            )


def _refuse_nameless(worker: _Worker) -> None:
    import pickle

    try:
        pickle.dumps(worker)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise DTypeError(
            "search.run: objective: expected a function at the top level of a module, which several processes "
            f"can import, got a lambda, a nested function or the like: {error}"
        ) from None


class _Surplus(Exception):
    """Ends a trial that is not needed."""


class _Worker(NamedTuple):
    """What each process runs: a trial at a time, unless the study has enough of them."""

    objective: Callable[[Setting], float]
    space: dict[str, Range]
    trials: int
    sampler: str | BaseSampler
    pruner: Literal["median"] | BasePruner | None
    storage: str | os.PathLike[str] | None
    name: str
    heartbeat: int
    rng: int | None

    def __call__(self, number: int) -> bool:
        """Run a trial in a process of its own. Returns False if none is left to begin."""
        study = _opened(self.storage, self.name, self.heartbeat)
        self.equip(study, number)
        return self.begin(study)

    def lacks(self, found: Tally) -> bool:
        """Whether trials have no result yet."""
        return found.finished < self.trials

    def equip(self, study: Study, number: int) -> None:
        """Give a study the sampler and the pruner."""
        optuna = optuna_module()
        with quiet(optuna):
            study.sampler = self._sampler(optuna, number, len(study.get_trials(deepcopy=False)))
            study.pruner = self._pruner(optuna)

    def begin(self, study: Study) -> bool:
        """Run a trial, one that waits to be tried again before a new one. Returns False if none is left to begin."""
        found = tally(study)
        if not found.waiting and found.begun >= self.trials:
            return False
        number, error = -1, None

        def evaluate(trial: Trial) -> float:
            nonlocal number, error
            number = trial.number
            sign(study, trial)
            if not_needed(study, number, self.trials):
                trial.set_user_attr("reason", SURPLUS)
                raise _Surplus
            try:
                return self._evaluate(trial)
            except optuna_module().TrialPruned:
                raise
            except Exception as raised:
                error = raised
                trial.set_user_attr("reason", f"{type(raised).__name__}: {raised}".strip(": ")[:200])
                raise

        optuna = optuna_module()
        try:
            with quiet(optuna):
                study.optimize(evaluate, n_trials=1, catch=(_Surplus,))
        except Exception:
            if error is not None:
                raise error  # noqa: B904  Optuna's own one may hide it
            # This process was silent for so long that others consider it dead, and try its trial again.
            if number < 0 or study.get_trials(deepcopy=False)[number].state.name != "FAIL":
                raise
        return True

    def _evaluate(self, trial: Trial) -> float:
        setting = Setting({name: part.suggest(trial, name) for name, part in self.space.items()}, trial)
        try:
            value = self.objective(setting)
            try:
                value = float(value)
            except (TypeError, ValueError):
                raise DTypeError(
                    f"search.run: objective: expected a function that returns a number, got one that returned {value!r}"
                ) from None
            reason = "" if value == value else "the objective returned nan"
        except AnomalyError as error:
            reason = str(error).split(". ")[0]
        if reason:
            trial.set_user_attr("reason", reason)
            raise optuna_module().TrialPruned(reason)
        return value

    def _sampler(self, optuna: ModuleType, number: int, trials_before: int) -> Any:
        if not isinstance(self.sampler, str):
            return self.sampler
        seed = self.rng
        if seed is not None and self.sampler != "grid":
            # Another process, or a resumed search, must not draw the same values again.
            import numpy as np

            seed = int(np.random.SeedSequence([seed, number, trials_before]).generate_state(1)[0])
        if self.sampler == "random":
            return optuna.samplers.RandomSampler(seed)
        if self.sampler == "grid":
            return optuna.samplers.GridSampler(
                {part.stored(n): part.grid() for n, part in self.space.items()}, seed
            )
        # constant_liar: points that other processes are evaluating now are not drawn again.
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def _pruner(self, optuna: ModuleType) -> Any:
        if self.pruner is None:
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner() if self.pruner == "median" else self.pruner


_thread = threading.local()


def _opened(storage: str | os.PathLike[str] | None, name: str, heartbeat: int) -> Study:
    """The study of a process of a search. It stays open for the next trial, which need not read all trials again."""
    key = storage, name, heartbeat
    if getattr(_thread, "key", None) != key:
        optuna = optuna_module()
        with quiet(optuna):
            _thread.study = optuna.load_study(study_name=name, storage=open_storage(storage, heartbeat))
        _thread.key = key
    study: Study = _thread.study
    return study


def _validate(
    objective: object,
    space: Mapping[str, object],
    trials: int,
    sampler: object,
    storage: object,
    processes: int | None,
    client: object,
) -> None:
    if not callable(objective):
        raise DTypeError(
            f"search.run: objective: expected a function of a Setting, got {type(objective).__name__}"
        )
    if not space:
        raise ValueRangeError("search.run: space: expected at least one hyperparameter, got none")
    for name, part in space.items():
        if not isinstance(part, Range):
            raise DTypeError(
                f"search.run: space[{name!r}]: expected a range such as LogUniform(1e-4, 1) or Choice('a', 'b'), "
                f"got {part!r}"
            )
    for option, value in (("trials", trials), ("processes", 1 if processes is None else processes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueRangeError(f"search.run: {option}: expected an integer of at least 1, got {value!r}")
    if not hasattr(sampler, "sample_relative") and not (isinstance(sampler, str) and sampler in SAMPLERS):
        raise ValueRangeError(
            f"search.run: sampler: expected one of {', '.join(SAMPLERS)}, or a sampler of Optuna, got {sampler!r}"
        )
    if client is not None and not (hasattr(client, "submit") and hasattr(client, "nthreads")):
        raise DTypeError(
            f"search.run: client: expected a dask.distributed.Client, got {type(client).__name__}"
        )
    if getattr(client, "asynchronous", False):
        raise ValueRangeError("search.run: client: expected one that waits, got Client(asynchronous=True)")
    if (processes not in (None, 1) or client is not None) and storage is None:
        raise ValueRangeError(
            "search.run: storage: expected one that several processes can share, got None. Pass "
            + ("storage='runs/search.journal'." if client is None else "the URL of a database.")
        )


def _grid_size(space: Mapping[str, Range]) -> int:
    size = 1
    for part in space.values():
        size *= len(part.grid())
    return size


def _shown(value: object) -> str:
    return format_value(value) if isinstance(value, float) else repr(value)


def _settings(trial: FrozenTrial, space: Mapping[str, Range]) -> dict[str, Any]:
    return {name: part.of(trial.params[part.stored(name)]) for name, part in space.items()}
