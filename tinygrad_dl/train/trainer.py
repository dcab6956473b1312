"""Trainer: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_dl import Tensor, asarray, config, no_grad
from tinygrad_dl.data import DataLoader, TensorDataset
from tinygrad_dl.errors import AnomalyError, DTypeError, ValueRangeError
from tinygrad_dl.nn import Module
from tinygrad_dl.optim import Optimizer
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.history import History
from tinygrad_dl.train.metrics import Metric, Metrics
from tinygrad_dl.train.progress import Progress
from tinygrad_dl.typing import Array, NDArray, RandomLike

# Without gradients nothing is saved for a backward pass, so batches may be larger than in training.
EVALUATION_BATCH_SIZE = 1024


class Trainer:
    """Train a model: loss, gradients and an optimizer step per batch, evaluation on the dev part per epoch.

    `loss(model(x), y)` is a scalar Tensor. `metrics`: names or functions, see train.metrics. `callbacks`:
    Callback objects, called at the points that Callback names. `progress`: "auto", "bar", "epoch" or "off". A loss
    of nan or infinity raises AnomalyError unless `allow_nan`. The results are in `history`, even after an
    interruption. Raises DTypeError, ValueRangeError.
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        *,
        metrics: Iterable[str] | Mapping[str, Metric] = (),
        callbacks: Iterable[Callback] = (),
        progress: str = "auto",
        allow_nan: bool = False,
    ) -> None:
        if not callable(model) or not hasattr(model, "state_dict"):
            raise DTypeError(f"Trainer: model: expected an nn.Module, got {type(model).__name__}")
        if not callable(loss):
            raise DTypeError(
                f"Trainer: loss: expected a callable such as nn.MSELoss(), got {type(loss).__name__}"
            )
        if not hasattr(optimizer, "param_groups"):
            raise DTypeError(
                "Trainer: optimizer: expected an optimizer such as optim.Adam(model.parameters()), got "
                f"{type(optimizer).__name__}"
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = Metrics(metrics, loss)
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise DTypeError(f"Trainer: callbacks: expected Callback objects, got {callback!r}")
        self.callbacks.sort(key=lambda callback: callback.last)
        self.progress = Progress(progress)
        self.allow_nan = allow_nan
        self.history = History()
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

    def fit(
        self,
        train: Any,
        dev: Any = None,
        epochs: int = 10,
        *,
        batch_size: int = 64,
        rng: RandomLike = None,
    ) -> History:
        """Train for `epochs` more epochs and return the history of all of them.

        `train`, `dev`: a DataLoader, a data set, or a tuple (x, y). Anything but a loader is loaded in shuffled
        batches of `batch_size`, in an order seeded by `rng`. Raises AnomalyError, ValueRangeError.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueRangeError(f"Trainer.fit: epochs: expected an integer of at least 0, got {epochs!r}")
        self.loader = train if _is_loader(train) else DataLoader(train, batch_size, shuffle=True, rng=rng)
        self.batches = len(self.loader)
        if not self.batches:
            raise ValueRangeError(
                "Trainer.fit: expected at least one batch, got none: the training part is empty, or smaller than "
                "one batch with drop_last=True"
            )
        self.first_epoch, self.epochs, self.batch = self.epoch, int(epochs), 0
        self.stopping, self.interrupted, self.history.stopped = False, True, ""
        callbacks = [*self.callbacks, self.progress]
        self._backward = [c for c in callbacks if type(c).on_backward is not Callback.on_backward]
        self._batch_end = [c for c in callbacks if type(c).on_batch_end is not Callback.on_batch_end]
        # on_fit_end is called for exactly those whose on_fit_begin was, whatever fails in between.
        started: list[Callback] = []
        try:
            for callback in callbacks:
                started.append(callback)
                callback.on_fit_begin(self)
            while self.epoch < self.first_epoch + self.epochs and not self.stopping:
                for callback in callbacks:
                    callback.on_epoch_begin(self)
                values = self._epoch(dev)
                self.history.epochs.append(values)
                self.epoch += 1
                self.batch = 0
                for callback in callbacks:
                    callback.on_epoch_end(self, values)
            self.interrupted = False
        except KeyboardInterrupt:
            self.history.stopped = f"interrupted in epoch {self.epoch + 1}"
            raise
        finally:
            for callback in started:
                callback.on_fit_end(self)
        return self.history

    def stop(self, reason: str) -> None:
        """Stop training after this epoch; the reason is stored in the history."""
        self.stopping = True
        self.history.stopped = reason

    def write(self, text: str) -> None:
        """Print a line of text without disturbing the progress bar."""
        self.progress.write(text)

    def _epoch(self, dev: Any) -> dict[str, Any]:
        begin = time.perf_counter()
        lr = float(self.optimizer.param_groups[0]["lr"])
        outputs, targets = [], []
        total = count = 0.0
        self.model.train()
        for number, batch in enumerate(self.loader, 1):
            self.batch = number
            output, target, loss, size = self._train_step(batch)
            total += loss * size
            count += size
            self.running_loss = total / count
            if self.metrics:
                outputs.append(output)
                targets.append(target)
            for callback in self._batch_end:
                callback.on_batch_end(self)
        values: dict[str, Any] = {"epoch": self.epoch + 1, "loss": total / count}
        if self.metrics:
            values.update(self.metrics(outputs, targets))
        if dev is not None:
            values.update({f"dev_{name}": value for name, value in self.evaluate(dev).items()})
        return {**values, "lr": lr, "seconds": time.perf_counter() - begin}

    def _train_step(self, batch: Any) -> tuple[NDArray, NDArray, float, int]:
        """One optimizer step; returns outputs, targets, the loss, and the number of examples."""
        self.optimizer.zero_grad()
        output, target = self.forward(batch)
        loss = self.loss(output, target)
        value = loss.item()
        if not self.allow_nan and not -float("inf") < value < float("inf"):
            raise AnomalyError(
                f"Trainer: expected a finite loss, got {value} in epoch {self.epoch + 1}, batch {self.batch}. Is the "
                f"learning rate ({self.optimizer.param_groups[0]['lr']:g}) too high, or is there nan in the data? "
                "detect_anomaly() finds the operation."
            )
        loss.backward()
        for callback in self._backward:
            callback.on_backward(self)
        self.optimizer.step()
        return output.data, target.data, value, len(target.data)

    def forward(self, batch: Any) -> tuple[Any, Any]:
        """Return output and target for a batch (x, ..., y); override it for batches of another structure."""
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise DTypeError(
                f"Trainer: expected a batch (x, y), got {type(batch).__name__}. For batches of another structure "
                "override Trainer.forward(batch)."
            )
        *inputs, target = batch
        return self.model(*inputs), target

    def _evaluation_batches(self, data: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
        """Yield output and target of every batch in eval mode and without a graph; then restore the mode."""
        loader = data if _is_loader(data) else DataLoader(data, batch_size)
        training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                for batch in loader:
                    yield self.forward(batch)
        finally:
            self.model.train(training)

    def evaluate(self, data: Any, batch_size: int = EVALUATION_BATCH_SIZE) -> dict[str, float]:
        """Return loss and metrics on a data set, a tuple (x, y) or a loader, in eval mode. Raises ValueRangeError."""
        total = count = 0.0
        outputs, targets = [], []
        for output, target in self._evaluation_batches(data, batch_size):
            size = len(target.data)
            total += self.loss(output, target).item() * size
            count += size
            outputs.append(output.data)
            targets.append(target.data)
        if not count:
            raise ValueRangeError("Trainer.evaluate: expected at least one example, got none")
        return {"loss": total / count, **(self.metrics(outputs, targets) if self.metrics else {})}

    def predict(self, x: Array | TensorDataset, batch_size: int = EVALUATION_BATCH_SIZE) -> NDArray:
        """Return the outputs for inputs x (N, ...), or for the x of a data set, in eval mode."""
        x = x.x if isinstance(x, TensorDataset) else x
        array = x.data if isinstance(x, Tensor) else np.asarray(x)
        training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                # At least one batch, so that the outputs for no examples have the right shape.
                starts = range(0, max(len(array), 1), batch_size)
                return np.concatenate([self.model(asarray(array[i : i + batch_size])).data for i in starts])
        finally:
            self.model.train(training)

    # Saving and resuming

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to resume the run bit for bit: see `load_state_dict`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "history": self.history.epochs,
            "stopped": self.history.stopped,
            "epoch": self.epoch,
            "first_epoch": self.first_epoch,
            "loader": {
                "seed": getattr(self.loader, "seed", None),
                "epoch": getattr(self.loader, "epoch", None),
            },
            "generators": [generator.bit_generator.state for generator in self._generators()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, in a Trainer constructed the same way; `fit` then resumes the run.

        Raises ValueRangeError if the saved run had other callbacks or random generators.
        """
        generators = self._generators()
        for what, expected, got in (
            ("callbacks", len(self.callbacks), len(state["callbacks"])),
            ("random generators", len(generators), len(state["generators"])),
        ):
            if expected != got:
                raise ValueRangeError(
                    f"Trainer.load_state_dict: expected {expected} {what} as in this Trainer, got {got}"
                )
        self.optimizer.load_state_dict(state["optimizer"])
        self.model.load_state_dict(state["model"])
        for callback, saved in zip(self.callbacks, state["callbacks"]):
            callback.load_state_dict(saved)
        self.history.epochs = [dict(epoch) for epoch in state["history"]]
        self.epoch, self.first_epoch = state["epoch"], state["first_epoch"]
        self.history.stopped = state["stopped"]
        self.stopping = bool(state["stopped"])
        if self.loader is not None and state["loader"]["seed"] is not None and hasattr(self.loader, "seed"):
            self.loader.seed, self.loader.epoch = state["loader"]["seed"], state["loader"]["epoch"]
        for generator, saved in zip(generators, state["generators"]):
            generator.bit_generator.state = saved

    def _generators(self) -> list[np.random.Generator]:
        """Return the default generator and those stored in modules, each once."""
        generators = {id(config.default_rng()): config.default_rng()}
        for module in self.model.modules():
            for value in vars(module).values():
                if isinstance(value, np.random.Generator):
                    generators[id(value)] = value
        return list(generators.values())


def _is_loader(data: Any) -> bool:
    """Whether iterating yields batches: a DataLoader, or any iterable that is not a data set or a tuple of arrays."""
    return isinstance(data, DataLoader) or not (
        isinstance(data, (tuple, np.ndarray)) or hasattr(data, "__getitem__")
    )
