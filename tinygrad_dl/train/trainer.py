"""Trainer: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import numpy as np

from tinygrad_dl import Tensor, asarray, config, no_grad
from tinygrad_dl.arguments import Count, Size, brief, checked, hinted, refuse_unfit
from tinygrad_dl.data import DataLoader, Dataset
from tinygrad_dl.data.dataset import DataLike, Examples
from tinygrad_dl.data.loader import refuse_other_data
from tinygrad_dl.data.tables import Table, is_frame
from tinygrad_dl.directions import Mode
from tinygrad_dl.errors import AnomalyError, DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.nn import Module
from tinygrad_dl.nn.summary import parameter_count
from tinygrad_dl.nn.warnings import warn_once
from tinygrad_dl.optim import Optimizer
from tinygrad_dl.train.callback import Callback, EarlyStopping, GradientCallback
from tinygrad_dl.train.history import History, format_value
from tinygrad_dl.train.inputs import (
    as_array,
    evaluation_data,
    is_series,
    prediction_inputs,
    refuse_text,
    training_data,
)
from tinygrad_dl.train.metrics import Metric, Metrics, Results
from tinygrad_dl.train.parallel import (
    DataParallel,
    Parallel,
    data_facts,
    parts_of,
    settings,
    weight_of,
    world_of,
)
from tinygrad_dl.train.programs import (
    NotFinite,
    Programs,
    evaluation_of,
    prediction_of,
    scalar,
    step_of,
    update_of,
)
from tinygrad_dl.train.progress import Progress
from tinygrad_dl.train.regularize import AveragedWeights
from tinygrad_dl.typing import ArrayLike, NDArray, RandomLike

# Without gradients nothing is saved for a backward pass, so batches may be larger than in training.
EVALUATION_BATCH_SIZE = 1024

FEW = 20  # calls of which no program is made

STATE = (
    "model",
    "optimizer",
    "callbacks",
    "history",
    "stopped",
    "epoch",
    "first_epoch",
    "loader",
    "generators",
)


class _SoFar:
    """What an epoch has while it is trained: the loss times the weights, these, and what the metrics need."""

    def __init__(self, lr: float, metrics: Metrics) -> None:
        self.lr, self.seconds = lr, 0.0
        self.batch = 0  # batches that are complete
        self.total = self.count = 0.0
        self.results = Results(metrics)
        self.streams: list[Any] | None = None  # of a run on several ranks that is resumed: generators of each

    def add(self, loss: float, size: float) -> None:
        self.total += loss
        self.count += size
        self.batch += 1


def _kind(made: object) -> str:
    """What an object is: its class, or the class itself."""
    return f"the class {made.__name__}" if isinstance(made, type) else type(made).__name__


class Trainer:
    """Train a model: loss, gradients and an optimizer step per batch, evaluation on the dev part per epoch.

    `loss(model(x), y)` is a scalar Tensor. `metrics`: names or functions, see train.metrics. `callbacks`:
    Callback objects, called at the points that Callback names. `progress`: "auto", "bar", "epoch" or "off". A loss
    of nan or infinity raises AnomalyError unless `allow_nan`. `decide(output)`: the predictions for the metrics,
    with a loss of your own. `compile`: "auto" runs steps and evaluations as compiled programs where the planned epochs
    are worth making them, True always, with a warning where a program cannot repeat them, False never (see
    tg.compile). `distributed`: "mpi", or a DataParallel, trains on the processes that mpirun or srun started: each
    batch is cut among them, and the results are those of one process (see docs/howto/several-machines). The results
    are in `history`, even after an interruption. Raises DTypeError, ValueRangeError.
    """

    @hinted
    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        *,
        metrics: str | Iterable[str] | Mapping[str, Metric | tuple[Metric, Mode] | None] = (),
        callbacks: Iterable[Callback] = (),
        progress: str = "auto",
        allow_nan: bool = False,
        decide: Callable[[NDArray], Any] | None = None,
        compile: bool | Literal["auto"] = "auto",
        distributed: Literal["mpi"] | DataParallel | None = None,
    ) -> None:
        if not callable(model) or not hasattr(model, "state_dict"):
            raise DTypeError(f"Trainer: model: expected an nn.Module, got {type(model).__name__}")
        if not callable(loss) or isinstance(loss, type):
            raise DTypeError(f"Trainer: loss: expected a callable such as nn.MSELoss(), got {_kind(loss)}")
        if not hasattr(optimizer, "param_groups"):
            raise DTypeError(
                "Trainer: optimizer: expected an optimizer such as optim.Adam(model.parameters()), got "
                f"{_kind(optimizer)}"
            )
        if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
            raise DTypeError(
                f"Trainer: callbacks: expected a list of Callback objects, got {type(callbacks).__name__}"
            )
        refuse_unfit(_settings, (), {"allow_nan": allow_nan, "compile": compile}, "Trainer")
        if compile is True and type(self).forward is not Trainer.forward:
            raise ValueRangeError(
                f"Trainer: compile: expected False or 'auto', got True: {type(self).__name__} has a forward of its "
                "own, and what is compiled is loss(model(x), y)"
            )
        self._settings = settings(distributed)
        self.world = world_of(self._settings)  # the processes that it works on
        self._parallel: Parallel | None = None  # during a fit on several
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = Metrics(metrics, loss, decide)
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise DTypeError(f"Trainer: callbacks: expected Callback objects, got {callback!r}")
        self.callbacks.sort(key=lambda callback: callback.last)
        final = [
            type(c).__name__
            for c in self.callbacks
            if isinstance(c, EarlyStopping) and c.restore or isinstance(c, AveragedWeights) and c.apply
        ]
        if len(final) > 1:
            warn_once(
                f"Trainer: final weights {final}",
                f"Trainer: callbacks: {' and '.join(final)} each set the final weights; the last of them in the list, "
                f"{final[-1]}, wins. Pass restore=False to EarlyStopping, or apply=False to AveragedWeights.",
            )
        self.progress = Progress(progress)
        self.allow_nan = allow_nan
        self.history = History(modes=self.metrics.modes)
        self.epoch = 0  # completed epochs
        self.first_epoch = 0  # epochs completed before this call of fit
        self.epochs = 0  # epochs of this call of fit
        self.batch = self.batches = 0  # of the current epoch: current, total
        self.running_loss = float("nan")  # mean over the current epoch so far
        self.loader: Any = None
        # Callbacks that define these two methods: they are called per batch, so the others are skipped.
        self._backward: list[Callback] = []
        self._batch_end: list[Callback] = []
        self.stopping = False  # whether training ends after this epoch
        self.interrupted = False  # whether an exception ended training
        self.resuming = False  # whether the current or next call of fit goes on with a saved run
        self.fits: list[int] = []  # the epochs completed before each call of fit
        self._calls = 0  # of fit, those of a loaded run included
        self._later: Mapping[str, Any] | None = None  # a saved run that is beyond the current call of fit
        self.table: Table | None = None  # the preparation of the frame that was fitted
        self.compile = compile
        self._size: int = 0  # of the first batch of an epoch
        self._so_far: _SoFar | None = None  # of the epoch that has begun
        self._saved_loader: Mapping[str, Any] | None = None  # of a saved run, until there is a loader
        self._forget_programs()

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            # Reached only when the attribute does not exist.
            from tinygrad_dl.vocabulary import unknown

            raise unknown("Trainer", name, dir(type(self)), type(self).__name__)

    @hinted
    def fit(
        self,
        train: DataLike,
        y: DataLike | None = None,
        dev: DataLike | int | None = None,
        epochs: int = 10,
        *,
        target: str | None = None,
        batch_size: int = 64,
        rng: RandomLike = None,
    ) -> History:
        """Train for `epochs` more epochs and return the history of all of them: `fit(x, y)` or `fit(train, dev)`.

        `train`, `dev`: a DataLoader, a data set, or a tuple (x, y); where the second argument is an array, the first
        two are x and y. With `target`, the name of what to predict, also a pandas or polars frame, which a data.Table
        prepares (the Trainer's `table`), or a dict of arrays. A function that makes a generator of batches, or a
        generator, whose batches are kept. Anything but a loader is loaded in shuffled batches of `batch_size`, in an
        order seeded by `rng`. Raises AnomalyError, ValueRangeError.
        """
        if y is not None and target is not None and dev is None:  # fit(frame, dev, target=...)
            y, dev = None, y
        own = type(self).forward is not Trainer.forward
        if y is None and target is None and not own and isinstance(train, (np.ndarray, Tensor)):
            raise DTypeError("Trainer.fit: y: expected targets beside the array x: fit(x, y), got none")
        train, table = training_data("Trainer.fit", train, y, target)
        self.table = self.table if table is None else table
        if dev is not None and not isinstance(dev, (int, np.integer)) and not hasattr(dev, "__next__"):
            dev = evaluation_data("Trainer.fit: dev", dev, None, target, self.table)
        if isinstance(dev, (int, np.integer)):  # fit(train, dev, epochs)
            epochs, dev = dev, None
        if y is not None and _is_target(train, y):
            train = (as_array(train), as_array(y))
            refuse_text("Trainer.fit", *train)
        elif y is not None:
            if dev is not None:
                raise DTypeError(
                    "Trainer.fit: y: expected an array of targets beside the array x, got "
                    f"{type(y).__name__} beside {type(train).__name__}"
                )
            dev = y
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueRangeError(f"Trainer.fit: epochs: expected an integer of at least 0, got {epochs!r}")
        refuse_unfit(_settings, (), {"epochs": epochs, "batch_size": batch_size, "rng": rng}, "Trainer.fit")
        # Before anything is trained: a dev part of another kind would be noticed after an epoch.
        if dev is not None:
            if hasattr(dev, "__next__"):  # it would be empty after one epoch
                raise DTypeError(
                    "Trainer.fit: dev: expected a data set, a tuple of arrays (x, y), or a loader, got "
                    f"{type(dev).__name__}"
                )
            loader_of("Trainer.fit: dev", dev, EVALUATION_BATCH_SIZE, sized=False)
        loader = loader_of("Trainer.fit: train", train, int(batch_size), shuffle=True, rng=rng)
        if rng is not None:
            self.world.agree("Trainer.fit: rng", getattr(loader, "seed", None))
        if not len(loader):
            raise ValueRangeError(
                "Trainer.fit: expected at least one batch, got none: the training part is empty, or smaller than "
                "one batch with drop_last=True"
            )
        self.loader, self.batches = parts_of(loader, self.world), len(loader)
        self.epochs = int(epochs)
        if not self.resuming:
            self._begin_epoch_at(None)
        self._load_loader()
        self._calls += 1
        if self._later is not None:
            self._resume(self._later)  # the call of fit before this one found a checkpoint of a later one
        else:
            self.first_epoch, self.stopping, self.history.stopped = self.epoch, False, ""
            self.fits.append(self.epoch)
        self.interrupted = True
        # What writes files and prints is called on one rank.
        callbacks = [
            c for c in (*self.callbacks, self.progress) if not (self.world.rank and c.rank_zero_only)
        ]
        self._backward = [c for c in callbacks if type(c).on_backward is not Callback.on_backward]
        self._batch_end = [c for c in callbacks if type(c).on_batch_end is not Callback.on_batch_end]
        # on_fit_end is called for exactly those whose on_fit_begin was, whatever fails in between.
        started: list[Callback] = []
        try:
            if self.world.size > 1:
                self._begin_parallel(loader, dev)
            self._run(callbacks, started, dev)
        finally:
            # Nothing is left to end here, unless Ctrl-C came between the two.
            self._end(started)
            self.resuming = False
            if self._parallel is not None:
                self._end_parallel(loader)
        return self.history

    def _begin_parallel(self, loader: Any, dev: Any) -> None:
        assert self._settings is not None
        self._parallel = Parallel(self, self.world, self._settings)
        tested = (
            None if dev is None else loader_of("Trainer.fit: dev", dev, EVALUATION_BATCH_SIZE, sized=False)
        )
        self._parallel.begin({**data_facts("train", loader), **data_facts("dev", tested)})
        if self.compile is True and self._parallel.synchronizes:
            warn_once(
                "Trainer: distributed compile",
                "Trainer: compile: forward and backward passes run eagerly, as batch normalization exchanges its "
                "statistics with the other ranks within them",
            )

    def _end_parallel(self, loader: Any) -> None:
        parallel, self._parallel = self._parallel, None
        assert parallel is not None
        parallel.close()
        if hasattr(loader, "epoch"):
            loader.epoch = self.loader.epoch  # the next fit goes on from there

    def _run(self, callbacks: list[Callback], started: list[Callback], dev: DataLike | None) -> None:
        """The epochs of a call of fit, and the calls of the callbacks."""
        try:
            for callback in callbacks:
                started.append(callback)
                callback.on_fit_begin(self)
            while self._later is None and self.epoch < self.first_epoch + self.epochs and not self.stopping:
                for callback in callbacks:
                    callback.on_epoch_begin(self)
                parallel = self._parallel
                if parallel is not None:
                    parallel.seed_streams(1 + self.world.rank)
                values = self._epoch(dev)
                if parallel is not None:
                    parallel.check(now=True)
                    values = self.world.broadcast(values)
                    parallel.seed_streams(0)
                self.history.epochs.append(values)
                self.epoch += 1
                self.batch = 0
                for callback in callbacks:
                    callback.on_epoch_end(self, values)
                if parallel is not None:
                    parallel.agree_to_stop()
            self.interrupted = False
        except KeyboardInterrupt:
            self.history.stopped = f"interrupted in epoch {self.epoch + 1}"
            raise
        finally:
            self._end(started)

    def _end(self, callbacks: list[Callback]) -> None:
        """End the callbacks in order; those after one that fails, too."""
        if callbacks:
            try:
                callbacks.pop(0).on_fit_end(self)
            finally:
                self._end(callbacks)

    def stop(self, reason: str) -> None:
        """Stop training after this epoch; the reason is stored in the history."""
        self.stopping = True
        self.history.stopped = reason

    def write(self, text: str) -> None:
        """Print a line of text without disturbing the progress bar; of several ranks, rank 0 does."""
        if not self.world.rank:
            self.progress.write(text)

    def _epoch(self, dev: DataLike | None) -> dict[str, Any]:
        begin = time.perf_counter()
        done = self._so_far
        if done is None:
            done = self._so_far = _SoFar(float(self.optimizer.param_groups[0]["lr"]), self.metrics)
        elif done.streams is not None and self._parallel is not None:
            self._parallel.restore_streams(done.streams)
        earlier, sums = done.seconds, self._sums_the_loss()
        self.model.train()
        batches: Iterable[Any] = self.loader
        if done.batch and not hasattr(batches, "load_state_dict"):
            batches = islice(batches, done.batch, None)
        for number, batch in enumerate(batches, done.batch + 1):
            self.batch = number
            output, target, loss, size = self._train_step(batch)
            if self.metrics:
                done.results.add(output, target)
            done.add(loss * (1 if sums else size), size)
            done.seconds = earlier + time.perf_counter() - begin
            self.running_loss = done.total / done.count
            if self._parallel is not None:
                self._parallel.steps += 1
                self._parallel.check()
            for callback in self._batch_end:
                callback.on_batch_end(self)
        values: dict[str, Any] = {"epoch": self.epoch + 1, "loss": done.total / done.count}
        if self.metrics:
            values.update(self._all_of(done.results, self._parallel).values())
        if dev is not None:
            self._in_fit = True
            try:
                found = self.evaluate(dev)
            finally:
                self._in_fit = False
            values.update({f"dev_{name}": value for name, value in found.items()})
        self._so_far = None
        return {**values, "lr": done.lr, "seconds": earlier + time.perf_counter() - begin}

    def _train_step(self, batch: object) -> tuple[NDArray, NDArray, float, int]:
        """One optimizer step; returns outputs, targets, the loss, and the number of examples.

        On several ranks the outputs and targets are those of this one, None without an example; the rest is of all.
        """
        # The first step is eager, since some optimizers' first update is another than the following ones.
        if self._compiles() and self.optimizer.state and not any(c.watches_step() for c in self.callbacks):
            return self._programmed_step(batch)
        self.optimizer.zero_grad()
        if self._parallel is not None:
            return self._parallel_step(batch, self._parallel)
        output, target = self.forward(batch)
        if self.batch <= 1 or not self._size:
            self._size = len(_array(target))
        if self.metrics and self.batch == 1:
            self.metrics.refuse_undecided(_array(output), _array(target))
        loss = scalar(self.loss(output, target))
        value = float(loss.item())
        if not self.allow_nan and not -float("inf") < value < float("inf"):
            raise self._not_finite(value)
        loss.backward()
        for callback in self._backward:
            callback.on_backward(self)
        self.optimizer.step()
        return _array(output), _array(target), value, len(_array(target))

    def _parallel_step(self, batch: Any, parallel: Parallel) -> Any:
        """The same on several ranks: the gradients, the loss and the number of examples are those of all ranks."""
        reducer, mean = parallel.reducer, not self._sums_the_loss()
        size = _rows(batch)
        output: Any = None
        target: Any = None
        if size or parallel.synchronizes:
            output, target = self.forward(batch)
        if self.batch <= 1 or not self._size:
            self._size = size
        if not size:
            if output is not None:
                reducer.backward(parallel.empty_pass(output), 0.0, 0.0, 0.0, mean=mean)
            else:
                reducer.average(0.0, 0.0, 0.0, mean=mean)
            return self._updated(parallel, None, None)
        if self.metrics and self.batch == 1:
            self.metrics.refuse_undecided(_array(output), _array(target))
        loss = scalar(self.loss(output, target))
        weight = weight_of(self.loss, _array(target)) if mean else 1.0
        reducer.backward(loss, weight, float(loss.item()) * weight if weight else 0.0, size, mean=mean)
        return self._updated(parallel, _array(output), _array(target))

    def _updated(self, parallel: Parallel, output: Any, target: Any) -> Any:
        """The end of a step on several ranks, when the gradients are averaged."""
        total, size = parallel.reducer.sums
        value = total if self._sums_the_loss() else total / parallel.reducer.weight
        if not self.allow_nan and not -float("inf") < value < float("inf"):
            self.optimizer.zero_grad()  # as where the loss is looked at before the backward pass
            raise self._not_finite(value)
        for callback in self._backward:
            callback.on_backward(self)
        optimizer = self.optimizer
        if self.compile is False or not optimizer.state:
            optimizer.step()
        else:
            # A program of its own, which does not depend on the batch: all ranks make it at the same step, and so
            # compute the same bits, whenever each makes those of its parts of the batches.
            steps = (self.first_epoch + self.epochs) * self.batches
            self._program("update", lambda: update_of(optimizer), id(optimizer))(steps)
        return output, target, value, int(size)

    def _not_finite(self, value: float) -> AnomalyError:
        return AnomalyError(
            f"Trainer: expected a finite loss, got {value} in epoch {self.epoch + 1}, batch {self.batch}. Is the "
            f"learning rate ({self.optimizer.param_groups[0]['lr']:g}) too high, or is there nan in the data? "
            "detect_anomaly() finds the operation."
        )

    def __repr__(self) -> str:
        optimizer = f"{type(self.optimizer).__name__}(lr={self._rate()})"
        loss = getattr(self.loss, "__name__", type(self.loss).__name__)
        parts = [type(self.model).__name__, loss, optimizer]
        names = [*self.metrics.functions, *(type(callback).__name__ for callback in self.callbacks)]
        return f"{type(self).__name__}({', '.join(parts + names)}; {self._state()})"

    def _rate(self) -> str:
        groups = self.optimizer.param_groups
        return " and ".join(dict.fromkeys(f"{float(group['lr']):.4g}" for group in groups)) or "none"

    def _state(self) -> str:
        """Where the run is, in words."""
        epochs = self.history.epochs
        if not epochs:
            return "not trained yet"
        losses = [
            f"{name.replace('_', ' ')} {format_value(epochs[-1][name])}"
            for name in ("loss", "dev_loss")
            if name in epochs[-1]
        ]
        return ", ".join([f"{len(epochs)} epoch{'' if len(epochs) == 1 else 's'}", *losses])

    def _repr_html_(self) -> str:
        from tinygrad_dl import markup
        from tinygrad_dl.train.notebook import history_html

        count = parameter_count(self.model)
        rows = [
            ("model", f"{type(self.model).__name__}, {count:,} parameters"),
            ("loss", brief(self.loss)),
            ("optimizer", f"{type(self.optimizer).__name__}, lr {self._rate()}"),
            ("metrics", ", ".join(self.metrics.functions)),
            ("callbacks", ", ".join(map(brief, self.callbacks))),
            ("state", self._state()),
        ]
        cells = [[f"<b>{name}</b>", markup.text(value)] for name, value in rows if value]
        return markup.table(["", ""], cells, left=(0, 1)) + history_html(self.history)

    # Compiled steps

    def _compiles(self) -> bool:
        """Whether steps may be programs; those of a Trainer with a `forward` of its own are not."""
        return (
            self.compile is not False
            and type(self).forward is Trainer.forward
            and "forward" not in vars(self)
            and not (self._parallel is not None and self._parallel.synchronizes and self.model.training)
        )

    def _forget_programs(self) -> None:
        self._programs: dict[str, tuple[tuple[Any, ...], Programs]] = {}
        self._size = 0
        self._in_fit = False

    def __getstate__(self) -> dict[str, Any]:
        # Programs belong to this process, and to the objects that they were made for.
        return {**vars(self), "_programs": {}, "_parallel": None}

    def _program(self, what: str, make: Callable[[], Callable[..., Any]], *parts: Any) -> Programs:
        """The program of a kind, made again where what it was made of has been replaced."""
        found = self._programs.get(what)
        if found is None or found[0] != parts:
            roots = [self.model, self.loss, self.optimizer]
            passes = {"step": 2, "update": 0}.get(what, 1)
            found = self._programs[what] = parts, Programs(make(), roots, self.compile is True, passes)
        return found[1]

    def _programmed_step(self, batch: Any) -> tuple[NDArray, NDArray, float, int]:
        """A step as one program; as two, where callbacks look at the gradients between."""
        *_, target = _parts(batch)
        size, parallel = len(_array(target)), self._parallel
        if self.batch <= 1 or not self._size:
            self._size = size
        epochs = self.first_epoch + self.epochs
        planned = (
            epochs * self.batches if size == self._size else epochs
        )  # a smaller batch at the end of each
        # On several ranks a loss that is not finite concerns all of them. The gradients are averaged between this
        # program and that of the update.
        allow_nan = self.allow_nan or parallel is not None
        parts = id(self.model), id(self.loss), id(self.optimizer), allow_nan
        known = parallel is None and all(_is_change(c) for c in self._backward)
        changes = tuple(c.change() for c in self._backward) if known else None  # type: ignore[attr-defined]
        model, loss, optimizer = self.model, self.loss, self.optimizer
        if parallel is not None and not size:
            self.optimizer.zero_grad()
            return self._averaged(parallel, None, target, 0.0)
        run = self._program(
            "step", lambda: step_of(model, loss, optimizer, _functions(changes), allow_nan), *parts, changes
        )
        try:
            output, value, *found = run(planned, *batch)
        except NotFinite as error:
            self.optimizer.zero_grad()  # as where the loss is looked at before the backward pass
            raise self._not_finite(error.value) from None
        if self.metrics and self.batch == 1:
            self.metrics.refuse_undecided(_array(output), _array(target))
        if parallel is not None:
            return self._averaged(parallel, output, target, float(value.item()))
        if changes is None:
            for callback in self._backward:
                callback.on_backward(self)
            self._program("update", lambda: update_of(optimizer), id(optimizer))(planned)
        for callback, result in zip(self._backward, found):
            callback.note(result)  # type: ignore[attr-defined]
        return _array(output), _array(target), float(value.item()), size

    def _averaged(self, parallel: Parallel, output: Any, target: Any, value: float) -> Any:
        """What follows a compiled backward pass on several ranks."""
        mean, size = not self._sums_the_loss(), len(_array(target))
        weight = weight_of(self.loss, _array(target)) if mean and size else float(size > 0)
        parallel.reducer.average(weight, value * weight if weight else 0.0, size, mean=mean)
        found = (None, None) if output is None else (_array(output), _array(target))
        return self._updated(parallel, *found)

    def _sums_the_loss(self) -> bool:
        """Whether the loss is a sum over the examples of a batch; otherwise it is their mean."""
        return getattr(self.loss, "reduction", None) == "sum"

    def forward(self, batch: Any) -> tuple[Any, Any]:
        """Return output and target for a batch (x, ..., y); override it for batches of another structure."""
        *inputs, target = _parts(batch)
        return self.model(*inputs), target

    def _evaluated(self, batches: Iterable[Any], visit: Callable[[Any], None]) -> None:
        """Call `visit` with each batch in eval mode and without a graph; then each module has its mode again."""
        modes = [(module, module.training) for module in self.model.modules()]

        @no_grad()  # rather than `with`, whose end Ctrl-C may precede
        def run() -> None:
            self.model.eval()
            for batch in batches:
                visit(batch)

        # Twice: Ctrl-C right before the inner line must not leave the model in eval mode.
        try:
            try:
                run()
            finally:
                _restore(modes)
        finally:
            _restore(modes)

    def _evaluated_batch(self, batch: Any, planned: int) -> tuple[Any, Any, Tensor]:
        """Output, target and loss of a batch, of which `planned` will come."""
        if planned < FEW or not self._compiles():
            output, target = self.forward(batch)
            return output, target, scalar(self.loss(output, target))
        model, loss = self.model, self.loss
        run = self._program("evaluation", lambda: evaluation_of(model, loss), id(model), id(loss))
        output, value = run(planned, *_parts(batch))
        return output, batch[-1], value

    @hinted
    @checked
    def evaluate(
        self,
        data: DataLike,
        y: DataLike | Count | None = None,
        batch_size: Count = EVALUATION_BATCH_SIZE,
        *,
        target: str | None = None,
    ) -> dict[str, float]:
        """Return loss and metrics on what fit takes, in eval mode: a data set, x and y, a loader, a frame.

        A frame is prepared as the one that was fitted. Raises ValueRangeError.
        """
        if isinstance(y, (int, np.integer)):  # evaluate(data, batch_size)
            batch_size, y = int(y), None
        data = evaluation_data("Trainer.evaluate", data, y, target, self.table)
        total = count = 0.0
        results = Results(self.metrics)
        batches = loader_of("Trainer.evaluate", data, int(batch_size), sized=False)
        planned = self.first_epoch + self.epochs if self._in_fit else _count(batches)
        # Within fit all ranks are here; one that calls it by itself evaluates all of the data.
        parallel = self._parallel if self._in_fit else None
        figures: list[tuple[float, float, float]] = []  # of each batch: loss times weight, weight, examples
        if parallel is not None:
            batches = parts_of(batches, self.world)

        def visit(batch: Any) -> None:
            nonlocal total, count
            if parallel is not None and not _rows(batch):
                results.add(None, None)
                figures.append((0.0, 0.0, 0.0))
                return
            output, target, value = self._evaluated_batch(batch, planned)
            size = len(_array(target))
            total += float(value.item()) * (1 if self._sums_the_loss() else size)
            count += size
            if self.metrics:
                results.add(_array(output), _array(target))
            if parallel is not None:
                weight = weight_of(self.loss, _array(target))
                figures.append((float(value.item()) * weight if weight else 0.0, weight, size))

        self._evaluated(batches, visit)
        if parallel is not None:
            losses, weights, sizes = parallel.totals(figures)
            count = float(sizes.sum())
            if not self._sums_the_loss():
                total = float((losses / weights * sizes).sum())
            else:
                total = float(self.world.reduce(np.array(total)))
        if not count:
            raise ValueRangeError("Trainer.evaluate: expected at least one example, got none")
        found = self._all_of(results, parallel).values() if self.metrics else {}
        return {"loss": total / count, **found}

    def _all_of(self, results: Results, parallel: Parallel | None) -> Results:
        """The results of all ranks."""
        if parallel is None:
            return results
        every = Results(self.metrics)
        every.load([parallel.gathered(column) for column in results.columns()])
        return every

    @hinted
    @checked
    def predict(self, x: DataLike, batch_size: Count = EVALUATION_BATCH_SIZE) -> NDArray:
        """Return the outputs for inputs x (N, ...), in eval mode.

        What fit takes is taken, too: a data set, a tuple (x, y), a loader or a frame, in its order; the targets are
        not used. Of a frame that was fitted, `table.predictions(outputs)` are names of classes or numbers in its unit.
        Raises ShapeError, DTypeError, ValueRangeError.
        """
        x = prediction_inputs(x, self.table)
        batches = self._prediction_batches(x, int(batch_size))
        outputs: list[NDArray] = []
        planned = _count(batches) or _count(x) // int(batch_size)

        def visit(batch: object) -> None:
            if isinstance(batch, (tuple, list)) and len(batch) == 1:
                (batch,) = batch
            whole = isinstance(batch, (Tensor, np.ndarray))
            if whole or self._compiles():
                outputs.append(self._output(planned, batch if whole else _parts(batch)[:-1]))
            else:
                outputs.append(_array(self.forward(batch)[0]))

        self._evaluated(batches, visit)
        if not outputs:
            raise ValueRangeError("Trainer.predict: expected at least one batch, got none")
        return np.concatenate(outputs)

    def _output(self, planned: int, inputs: Any) -> NDArray:
        """The output for a batch of inputs, of which `planned` will come."""
        inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        if planned < FEW or not self._compiles():
            return _array(self.model(*inputs))
        model = self.model
        run = self._program("prediction", lambda: prediction_of(model), id(model))
        return _array(run(planned, *inputs))

    def _prediction_batches(self, x: DataLike, batch_size: int) -> Iterable[Any]:
        rows = x if isinstance(x, list) else []
        if isinstance(x, (tuple, Dataset, Mapping)) or any(
            isinstance(row, (tuple, dict)) for row in rows[:1]
        ):
            loader = DataLoader(x if isinstance(x, (tuple, Dataset, Mapping)) else rows, batch_size)
            arrays = getattr(loader.dataset, "arrays", ())
            # At least one batch, so that the outputs for no examples have the right shape.
            return loader if len(loader) else [tuple(map(asarray, arrays))] if arrays else []
        if isinstance(x, (Tensor, np.ndarray, list)) or hasattr(x, "__array__"):
            try:
                # Numbers take the default dtype, as in Tensor(numbers); arrays keep theirs.
                array = asarray(x).data if isinstance(x, (Tensor, list)) else np.asarray(x)
            except ValueError as error:
                raise ShapeError(f"Trainer.predict: x: expected rows of equal length: {error}") from None
            if array.dtype.kind not in "fiubc":
                raise DTypeError(f"Trainer.predict: x: expected numbers, got {array.dtype}")
            if not array.ndim:
                raise ShapeError("Trainer.predict: x: expected inputs (N, ...), got a single number")
            starts = range(0, max(len(array), 1), batch_size)
            return (asarray(array[i : i + batch_size]) for i in starts)
        return loader_of("Trainer.predict: x", x, batch_size, sized=False)

    # Saving and resuming

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to resume the run bit for bit: see `load_state_dict`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "history": [dict(epoch) for epoch in self.history.epochs],
            "stopped": self.history.stopped,
            "epoch": self.epoch,
            "first_epoch": self.first_epoch,
            "fits": list(self.fits),
            "kind": type(self.optimizer).__name__,
            "loader": self._loader_state(),
            "within": self._within(),
            "generators": self._streams(),
            "streams": None if self._parallel is None else self._parallel.seed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, in a Trainer constructed the same way; `fit` then resumes the run.

        Raises ValueRangeError if the saved run had another optimizer, callbacks or random generators.
        """
        missing = [name for name in STATE if not isinstance(state, Mapping) or name not in state]
        if missing:
            raise ValueRangeError(
                f"Trainer.load_state_dict: state: expected what Trainer.state_dict returns, got {type(state).__name__} "
                f"without {', '.join(missing)}"
            )
        generators = self._generators()
        for what, expected, got in (
            ("callbacks", len(self.callbacks), len(state["callbacks"])),
            ("random generators", len(generators), len(state["generators"])),
        ):
            if expected != got:
                raise ValueRangeError(
                    f"Trainer.load_state_dict: expected {expected} {what} as in this Trainer, got {got}"
                )
        kind = type(self.optimizer).__name__
        if state.get("kind", kind) != kind:
            raise ValueRangeError(
                f"Trainer.load_state_dict: expected the state of {kind}, this Trainer's optimizer, got that of "
                f"{state['kind']}"
            )
        before = self.model.state_dict()
        self.model.load_state_dict(state["model"])
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except BaseException:
            self.model.load_state_dict(before)  # all or nothing
            raise
        for callback, saved in zip(self.callbacks, state["callbacks"]):
            callback.load_state_dict(saved)
        self.history.epochs = [dict(epoch) for epoch in state["history"]]
        self.epoch, self.first_epoch = state["epoch"], state["first_epoch"]
        self.fits = list(state.get("fits", [self.first_epoch]))
        self._calls, self.resuming, self._later = len(self.fits), True, None
        self.history.stopped = state["stopped"]
        self.stopping = bool(state["stopped"])
        self._begin_epoch_at(state.get("within"))
        self._saved_loader = state["loader"]
        self._load_loader()
        if self._parallel is not None and state.get("streams") is not None:
            self._parallel.seed = state["streams"]
        for generator, saved in zip(generators, state["generators"]):
            generator.bit_generator.state = saved

    def _loader_state(self) -> dict[str, Any]:
        """Where the loader is: after the batches that are trained."""
        if not hasattr(self.loader, "state_dict"):
            return {name: getattr(self.loader, name, None) for name in ("seed", "epoch")}
        state: dict[str, Any] = self.loader.state_dict()
        return {**state, "batch": self._so_far.batch} if self._so_far is not None else state

    def _load_loader(self) -> None:
        """Bring the loader to where that of a saved run was."""
        state = self._saved_loader
        if self.loader is None or state is None:
            return
        self._saved_loader = None
        if state["seed"] is None or not hasattr(self.loader, "seed"):
            return
        if hasattr(self.loader, "load_state_dict"):
            self.loader.load_state_dict(state)
        else:
            self.loader.seed, self.loader.epoch = state["seed"], state["epoch"]

    def _within(self) -> dict[str, Any] | None:
        """What an epoch has so far, to go on with it; on several ranks of all of them, which come here together."""
        done, parallel = self._so_far, self._parallel
        if done is None or not done.batch or (parallel is None and self.world.size > 1):
            return None
        streams = None if parallel is None else self.world.gather(self._streams())
        results = self._all_of(done.results, parallel).joined()
        return {
            **{name: getattr(done, name) for name in ("lr", "seconds", "batch", "total", "count")},
            "results": results,
            "streams": streams,
            "size": self._size,
        }

    def _begin_epoch_at(self, within: Mapping[str, Any] | None) -> None:
        """Begin the next epoch at its first batch, or go on with one that was saved."""
        self.batch, self._size = 0, 0
        self._so_far = None
        if within is None:
            return
        done = self._so_far = _SoFar(within["lr"], self.metrics)
        for name in ("seconds", "batch", "total", "count", "streams"):
            setattr(done, name, within[name])
        if within["results"][0] is not None:  # rank 0 has those of all ranks
            done.results.load([[column if not self.world.rank else None] for column in within["results"]])
        self.batch = done.batch
        self._size = within["size"] if self.world.size == 1 else 0

    def _streams(self) -> list[Any]:
        return [generator.bit_generator.state for generator in self._generators()]

    def _resume(self, state: Mapping[str, Any]) -> None:
        """Load the state of a run into this call of fit.

        A script may call fit several times. Where the saved run is in a later call than this one, this one is
        finished: it trains nothing, and the later one loads the state again.
        """
        call = self._calls
        later = call < len(state.get("fits", ()))
        self.load_state_dict({**state, "loader": {"seed": None}} if later else state)
        self._calls = call
        self._later = state if later else None
        self.first_epoch = self.fits[min(call, len(self.fits)) - 1]

    def _generators(self) -> list[np.random.Generator]:
        """Return the default generator and those stored in modules, each once."""
        generators = {id(config.default_rng()): config.default_rng()}
        for module in self.model.modules():
            for value in vars(module).values():
                if isinstance(value, np.random.Generator):
                    generators[id(value)] = value
        return list(generators.values())


def _settings(
    epochs: Size = 0,
    batch_size: Count = 1,
    rng: RandomLike = None,
    allow_nan: bool = False,
    compile: bool | Literal["auto"] = False,
) -> None:
    """The options of Trainer and fit, for refuse_unfit."""


def _parts(batch: object) -> Sequence[Any]:
    """The parts (x, ..., y) of a batch."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise DTypeError(
            f"Trainer: expected a batch (x, y), got {type(batch).__name__}. For batches of another structure "
            "override Trainer.forward(batch)."
        )
    return batch


def _rows(batch: Any) -> int:
    """How many examples a batch has."""
    while isinstance(batch, (tuple, list, dict)) and batch:
        batch = next(iter(batch.values() if isinstance(batch, dict) else batch))
    return len(batch)


def _count(batches: Any) -> int:
    """How many batches there are, if that is known."""
    return len(batches) if hasattr(batches, "__len__") else 0


def _is_change(callback: Callback) -> bool:
    """Whether what a callback does to gradients can belong to a compiled step."""
    return isinstance(callback, GradientCallback) and (
        type(callback).on_backward is GradientCallback.on_backward
    )


def _functions(changes: Sequence[tuple[Any, ...]] | None) -> list[Callable[[Any], Any]] | None:
    """What callbacks do to gradients, as functions of the model."""
    if changes is None:
        return None

    def bound(function: Callable[..., Any], *numbers: Any) -> Callable[[Any], Any]:
        return lambda model: function(model, *numbers)

    return [bound(*change) for change in changes]


def _array(x: ArrayLike) -> NDArray:
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def loader_of(called: str, data: DataLike, batch_size: int, sized: bool = True, **options: Any) -> Any:
    """A loader for what `fit` takes: data that is one already, or a DataLoader. Raises DTypeError."""
    if _is_data_set(data):
        if not isinstance(data, (tuple, np.ndarray)):
            refuse_other_data(called, data)
        return DataLoader(data, batch_size, **options)
    if hasattr(data, "__iter__") and not (sized and not hasattr(data, "__len__")):
        return data
    raise DTypeError(
        f"{called}: expected a data set, a tuple of arrays (x, y), or a loader{' with __len__' if sized else ''}, got "
        f"{type(data).__name__}"
    )


def _is_target(x: Any, y: Any) -> bool:
    """Whether two arguments are arrays x and y, rather than two data sets, such as lists of pairs (x, y)."""
    return all(
        isinstance(a, (np.ndarray, Tensor))
        or is_frame(a)
        or is_series(a)
        or (isinstance(a, list) and not isinstance(next(iter(a), None), (tuple, dict)))
        for a in (x, y)
    )


def _restore(modes: list[tuple[Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _is_data_set(data: DataLike) -> TypeGuard[Examples]:
    """Whether iterating yields examples: not for a DataLoader, or any iterable without an index."""
    arrays = isinstance(data, (tuple, np.ndarray))
    return not isinstance(data, DataLoader) and (arrays or hasattr(data, "__getitem__"))
