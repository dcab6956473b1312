"""Hyperparameter search: a thin layer over Optuna, which samples, prunes, stores and plots.

    found = search.run(objective, {"lr": search.LogUniform(1e-4, 1)}, trials=30)

Needs the extra `search`. Optuna's own study is `found.study`.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_dl.errors import AnomalyError, DTypeError, ValueRangeError, missing_extra
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.history import rises, shown
from tinygrad_dl.train.optuna_study import counted, finished, optuna_module, quiet, retry_killed, storage_at
from tinygrad_dl.train.space import Choice, LogUniform, OneMinus, Range, Uniform, Whole, narrowed

if TYPE_CHECKING:
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


LARGE_RANGE = 30  # from here on an axis is logarithmic, as in learning curves


class Setting(dict[str, Any]):
    """The hyperparameters of one trial, by name; `report` and `pruning` let a hopeless trial end early."""

    def __init__(self, values: Mapping[str, Any], trial: Any) -> None:
        super().__init__(values)
        self.trial = trial  # Optuna's
        self._reports = 0

    def report(self, value: float) -> None:
        """Tell how the trial does after one more epoch; ends it when others did better by then."""
        self.trial.report(float(value), self._reports)
        self._reports += 1
        if self.trial.should_prune():
            raise optuna_module().TrialPruned(f"worse than others after {self._reports} reports")

    def pruning(self, quantity: str = "dev_loss") -> Callback:
        """A callback for Trainer that reports one quantity after every epoch."""
        return _Pruning(self, quantity)


class _Pruning(Callback):
    def __init__(self, setting: Setting, quantity: str) -> None:
        self.setting, self.quantity = setting, quantity

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.quantity not in epoch:
            raise ValueRangeError(
                f"Setting.pruning: {self.quantity!r} is not measured; there are {', '.join(epoch)}"
            )
        wrong = rises(self.quantity) != (self.setting.trial.study.direction.name == "MAXIMIZE")
        if wrong:
            raise ValueRangeError(
                f"Setting.pruning: better values of {self.quantity} lie the other way than those of the search; "
                "give run(..., maximize=True) for what should rise"
            )
        self.setting.report(epoch[self.quantity])


class Found(NamedTuple):
    """The outcome of a search; `study` is Optuna's, with everything that Optuna offers."""

    study: Any
    space: dict[str, Range]

    @property
    def best(self) -> dict[str, Any]:
        """The best trial's hyperparameters. Raises ValueRangeError if no trial ended well."""
        return _settings(self._best(), self.space)

    @property
    def best_value(self) -> float:
        """What the objective returned for them."""
        return float(self._best().value)

    def _best(self) -> Any:
        ranked = self.ranked
        if not ranked:
            raise ValueRangeError(
                f"search: none of {len(self.study.trials)} trials ended with a finite value; "
                "see Found.table() for the reasons"
            )
        return ranked[0]

    @property
    def ranked(self) -> list[Any]:
        """Optuna's trials that ran to their end, the best first."""
        done = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
        return sorted(done, key=lambda t: t.value, reverse=self.study.direction.name == "MAXIMIZE")

    def table(self, limit: int | None = None) -> str:
        """The trials as lines of text: those that ran to their end with the best first, then the others."""
        others = [t for t in self.study.get_trials(deepcopy=False) if t.state.name != "COMPLETE"]
        rows = [["trial", "value", *self.space, ""]]
        for trial in [*self.ranked, *others][:limit]:
            value = "" if trial.value is None or trial.state.name != "COMPLETE" else shown(trial.value)
            settings = _settings(trial, self.space) if len(trial.params) == len(self.space) else {}
            said = "" if trial.state.name == "COMPLETE" else trial.state.name.lower()
            said += f": {trial.user_attrs['reason']}" if "reason" in trial.user_attrs else ""
            rows.append(
                [str(trial.number), value, *(shown(settings.get(name, "")) for name in self.space), said]
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
        return "\n".join(
            "  ".join([*(c.rjust(w) for c, w in zip(row, widths)), row[-1]]).rstrip() for row in rows
        )

    def plot(self, kind: str = "history") -> Any:
        """One of Optuna's plots as a matplotlib figure.

        "history": the value of every trial; "slice": value against each hyperparameter; "curves": what the
        trials reported; "importance", "contour", "parallel".
        """
        if kind not in PLOTS:
            raise ValueRangeError(f"Found.plot: kind is one of {', '.join(PLOTS)}; {kind!r} came")
        if not self.ranked:
            self._best()  # raises, with what to do
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
            axes = axes[0]  # plots with several axes come as an array
        values = [t.value for t in self.ranked]
        if kind in ("history", "slice", "curves") and 0 < LARGE_RANGE * min(values) < max(values):
            axes.set_yscale("log")
        plt.close(axes.figure)  # no window; the figure itself stays
        return axes.figure

    def finer(self, keep: float = 0.25) -> dict[str, Range]:
        """The space around the best share of the trials: coarse to fine.

        Ranges shrink to where those trials lie, and a little beyond; choices to those they made.
        """
        if not 0 < keep <= 1:
            raise ValueRangeError(f"Found.finer: keep is a share, 0 < keep <= 1; {keep!r} came")
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
    sampler: Any = "tpe",
    pruner: Any = "median",
    storage: str | os.PathLike[str] | None = None,
    name: str = "search",
    processes: int = 1,
    rng: int | None = None,
) -> Found:
    """Search until the study `name` in `storage` has so many trials: what was done before counts.

    `objective(setting)`: a number, from a dict of hyperparameters; a diverged training (nan, AnomalyError)
    counts as pruned. `space`: a range for each name. `sampler`: "tpe", "random", "grid" or Optuna's;
    `pruner`: "median", None or Optuna's. `storage`: a journal file, a file *.db or *.sqlite, or a database
    URL, which several machines may share; several `processes` need one, and an objective of a module.
    Raises ValueRangeError, DTypeError, MissingExtraError.
    """
    optuna = optuna_module()
    space = dict(space)
    _check(objective, space, trials, sampler, storage, processes)
    # "maximize" stands with the study: a resumed search must not turn round.
    how = {"study_name": name, "storage": storage_at(storage), "load_if_exists": True}
    with quiet(optuna):
        study = optuna.create_study(**how, direction="maximize" if maximize else "minimize")
    if (study.direction.name == "MAXIMIZE") != maximize:
        raise ValueRangeError(
            f"search.run: the study {name!r} in {storage} {study.direction.name.lower()}s; give another name="
        )
    retry_killed(study)
    left = trials - counted(study)
    if sampler == "grid":
        left = min(left, _grid_size(space) - len(finished(study)))
    if left > 0:
        work = _Work(objective, space, trials, sampler, pruner, storage, name, rng, os.getpid())
        if processes == 1:
            work(0, study)
        else:
            _in_processes(work, min(processes, left))
    return Found(study, space)


def _in_processes(work: _Work, count: int) -> None:
    import pickle
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing import get_context

    try:
        pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise DTypeError(
            "search.run: with several processes the objective must be a function of a module, "
            f"not a lambda or an inner function: {error}"
        ) from None
    # A fresh interpreter each: a forked one would share locks and threads with this one.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        futures: list[Future[None]] = [pool.submit(work.__call__, number) for number in range(count)]
        for future in futures:
            future.result()


class _Work(NamedTuple):
    """What a process does: trials, until the study has enough of them."""

    objective: Callable[[Setting], float]
    space: dict[str, Range]
    trials: int
    sampler: Any
    pruner: Any
    storage: str | os.PathLike[str] | None
    name: str
    rng: int | None
    parent: int

    def __call__(self, number: int, study: Any = None) -> None:
        optuna = optuna_module()
        with quiet(optuna):
            if study is None:
                study = optuna.load_study(study_name=self.name, storage=storage_at(self.storage))
            study.sampler, study.pruner = (
                self._sampler(optuna, number, len(study.trials)),
                self._pruner(optuna),
            )
            states = optuna.trial.TrialState
            those = (states.COMPLETE, states.PRUNED, states.RUNNING)
            enough = optuna.study.MaxTrialsCallback(self.trials, states=those)
            study.optimize(self._value, callbacks=[enough, self._orphaned])
            # A grid ends once each point has been tried; those of killed trials wait to be tried again.
            while counted(study) < self.trials and study.get_trials(deepcopy=False, states=(states.WAITING,)):
                study.optimize(self._value, callbacks=[enough, self._orphaned])

    def _orphaned(self, study: Any, trial: Any) -> None:
        if os.name == "posix" and self.parent not in (os.getpid(), os.getppid()):
            # The search was killed: a process of it must not go on alone, nor wait for more work for ever.
            os._exit(1)

    def _value(self, trial: Any) -> float:
        trial.set_user_attr("process", [socket.gethostname(), os.getpid()])
        setting = Setting({name: part.suggest(trial, name) for name, part in self.space.items()}, trial)
        try:
            value = float(self.objective(setting))
            reason = "" if value == value else "the objective returned nan"
        except AnomalyError as error:
            reason = str(error).split(". ")[0]
        if reason:
            trial.set_user_attr("reason", reason)
            raise optuna_module().TrialPruned(reason)
        return value

    def _sampler(self, optuna: Any, number: int, before: int) -> Any:
        if self.sampler not in SAMPLERS:
            return self.sampler
        seed = self.rng
        if seed is not None and self.sampler != "grid":
            # Another process, or a resumed search, must not draw the same again.
            import numpy as np

            seed = int(np.random.SeedSequence([seed, number, before]).generate_state(1)[0])
        if self.sampler == "random":
            return optuna.samplers.RandomSampler(seed)
        if self.sampler == "grid":
            return optuna.samplers.GridSampler(
                {part.stored(n): part.grid() for n, part in self.space.items()}, seed
            )
        # constant_liar: points that others are trying right now are not tried twice.
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def _pruner(self, optuna: Any) -> Any:
        if self.pruner is None:
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner() if self.pruner == "median" else self.pruner


def _check(
    objective: Any, space: dict[str, Range], trials: Any, sampler: Any, storage: Any, processes: Any
) -> None:
    if not callable(objective):
        raise DTypeError(
            f"search.run: objective: a function of a setting is needed; {type(objective).__name__} came"
        )
    if not space:
        raise ValueRangeError("search.run: space: at least one hyperparameter is needed")
    for name, part in space.items():
        if not isinstance(part, Range):
            raise DTypeError(
                f"search.run: space[{name!r}]: a range such as LogUniform(1e-4, 1) or Choice('a', 'b') is needed; "
                f"{part!r} came"
            )
    for what, value in (("trials", trials), ("processes", processes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueRangeError(
                f"search.run: {what}: a whole number of at least 1 is needed; {value!r} came"
            )
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise ValueRangeError(
            f"search.run: sampler is one of {', '.join(SAMPLERS)}, or Optuna's; {sampler!r} came"
        )
    if processes > 1 and storage is None:
        raise ValueRangeError(
            "search.run: several processes meet in a storage; give storage='runs/search.journal'"
        )


def _grid_size(space: Mapping[str, Range]) -> int:
    size = 1
    for part in space.values():
        size *= len(part.grid())
    return size


def _settings(trial: Any, space: Mapping[str, Range]) -> dict[str, Any]:
    return {name: part.of(trial.params[part.stored(name)]) for name, part in space.items()}
