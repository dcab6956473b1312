"""Trainer: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_dl import Tensor, asarray, config, no_grad
from tinygrad_dl.data import DataLoader, TensorDataset
from tinygrad_dl.errors import AnomalyError, DTypeError, ValueRangeError
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.history import History
from tinygrad_dl.train.metrics import Metrics
from tinygrad_dl.train.progress import Progress

EVALUATED_TOGETHER = 1024  # examples a forward pass without gradients


class Trainer:
    """Train a model: for each batch loss, gradients and a step; after each epoch the figures of the dev part.

    `loss(model(x), y)` is a scalar Tensor. `metrics`: names or functions, see train.metrics. `callbacks`
    act at the moments that Callback names. `progress`: "auto", "bar", "epoch" or "off". A loss of nan or
    infinity raises AnomalyError unless `allow_nan`. What was reached is in `history`, also after an
    interruption.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any, Any], Any],
        optimizer: Any,
        *,
        metrics: Iterable[str] | Mapping[str, Any] = (),
        callbacks: Iterable[Callback] = (),
        progress: str = "auto",
        allow_nan: bool = False,
    ) -> None:
        if not callable(model) or not hasattr(model, "state_dict"):
            raise DTypeError(f"Trainer: model: an nn.Module is needed; {type(model).__name__} came")
        if not callable(loss):
            raise DTypeError(
                f"Trainer: loss: a loss such as nn.MSELoss() is needed; {type(loss).__name__} came"
            )
        if not hasattr(optimizer, "param_groups"):
            raise DTypeError(
                "Trainer: optimizer: one such as optim.Adam(model.parameters()) is needed; "
                f"{type(optimizer).__name__} "
                "came"
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = Metrics(metrics, loss)
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise DTypeError(f"Trainer: callbacks: a Callback is needed; {callback!r} came")
        self.callbacks.sort(key=lambda callback: callback.last)
        self.progress = Progress(progress)
        self.allow_nan = allow_nan
        self.history = History()
        self.epoch = 0  # epochs done
        self.first_epoch = 0  # epochs done before this fit
        self.epochs = 0  # epochs of this fit
        self.batch = self.batches = 0  # of the current epoch: done, in all
        self.running_loss = float("nan")  # mean over the current epoch so far
        self.loader: Any = None
        self._backward: list[Callback] = []  # those of the callbacks that act then
        self._batch_end: list[Callback] = []
        self.stopping = False  # training ends after this epoch
        self.interrupted = False  # by an exception

    def fit(
        self,
        train: Any,
        dev: Any = None,
        epochs: int = 10,
        *,
        batch_size: int = 64,
        rng: np.random.Generator | int | None = None,
    ) -> History:
        """Train for so many epochs more; returns the history of all.

        `train`, `dev`: a DataLoader, a data set, or a tuple (x, y). What is no loader is loaded in shuffled
        batches of `batch_size`, in an order seeded by `rng`. Raises AnomalyError, ValueRangeError.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueRangeError(
                f"Trainer.fit: epochs: a whole number of at least 0 is needed; {epochs!r} came"
            )
        self.loader = train if _is_loader(train) else DataLoader(train, batch_size, shuffle=True, rng=rng)
        self.batches = len(self.loader)
        if not self.batches:
            raise ValueRangeError(
                "Trainer.fit: the training part has no batch: it is empty, or smaller than one batch"
            )
        self.first_epoch, self.epochs, self.batch = self.epoch, int(epochs), 0
        self.stopping, self.interrupted, self.history.stopped = False, True, ""
        everyone = [*self.callbacks, self.progress]
        self._backward = [c for c in everyone if type(c).on_backward is not Callback.on_backward]
        self._batch_end = [c for c in everyone if type(c).on_batch_end is not Callback.on_batch_end]
        begun: list[Callback] = []
        try:
            for callback in everyone:
                begun.append(callback)
                callback.on_fit_begin(self)
            while self.epoch < self.first_epoch + self.epochs and not self.stopping:
                for callback in everyone:
                    callback.on_epoch_begin(self)
                figures = self._epoch(dev)
                self.history.epochs.append(figures)
                self.epoch += 1
                self.batch = 0
                for callback in everyone:
                    callback.on_epoch_end(self, figures)
            self.interrupted = False
        except KeyboardInterrupt:
            self.history.stopped = f"interrupted in epoch {self.epoch + 1}"
            raise
        finally:
            for callback in begun:
                callback.on_fit_end(self)
        return self.history

    def stop(self, reason: str) -> None:
        """End training after this epoch; the reason goes to the history."""
        self.stopping = True
        self.history.stopped = reason

    def say(self, text: str) -> None:
        """Show a line of text where the progress is shown."""
        self.progress.say(text)

    def _epoch(self, dev: Any) -> dict[str, Any]:
        begin = time.perf_counter()
        rate = float(self.optimizer.param_groups[0]["lr"])
        outputs, targets = [], []
        total = count = 0.0
        self.model.train()
        for number, batch in enumerate(self.loader, 1):
            self.batch = number
            output, target, loss, size = self._train_on(batch)
            total += loss * size
            count += size
            self.running_loss = total / count
            if self.metrics:
                outputs.append(output)
                targets.append(target)
            for callback in self._batch_end:
                callback.on_batch_end(self)
        figures: dict[str, Any] = {"epoch": self.epoch + 1, "loss": total / count}
        if self.metrics:
            figures.update(self.metrics(outputs, targets))
        if dev is not None:
            figures.update({f"dev_{name}": value for name, value in self.evaluate(dev).items()})
        return {**figures, "lr": rate, "seconds": time.perf_counter() - begin}

    def _train_on(self, batch: Any) -> tuple[np.ndarray, np.ndarray, float, int]:
        self.optimizer.zero_grad()
        output, target = self.forward(batch)
        loss = self.loss(output, target)
        value = loss.item()
        if not self.allow_nan and not -float("inf") < value < float("inf"):
            raise AnomalyError(
                f"Trainer: the loss became {value} in epoch {self.epoch + 1}, batch {self.batch}. Is the "
                "learning rate "
                f"({self.optimizer.param_groups[0]['lr']:g}) too high, or nan in the data? "
                "detect_anomaly() finds the "
                "operation."
            )
        loss.backward()
        for callback in self._backward:
            callback.on_backward(self)
        self.optimizer.step()
        return output.data, target.data, value, len(target.data)

    def forward(self, batch: Any) -> tuple[Any, Any]:
        """Output and target of a batch (x, ..., y); a subclass may take batches of other forms."""
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise DTypeError(
                "Trainer: each batch is a tuple (x, y); for other forms define forward(batch) in a subclass. "
                f"{type(batch).__name__} came"
            )
        *inputs, target = batch
        return self.model(*inputs), target

    def _passes(self, data: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
        """Outputs and targets of every batch, in eval mode and without a graph; the mode is put back."""
        loader = data if _is_loader(data) else DataLoader(data, batch_size)
        training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                for batch in loader:
                    yield self.forward(batch)
        finally:
            self.model.train(training)

    def evaluate(self, data: Any, batch_size: int = EVALUATED_TOGETHER) -> dict[str, float]:
        """Loss and metrics of a data set, a tuple (x, y) or a loader, in eval mode."""
        total = count = 0.0
        outputs, targets = [], []
        for output, target in self._passes(data, batch_size):
            size = len(target.data)
            total += self.loss(output, target).item() * size
            count += size
            outputs.append(output.data)
            targets.append(target.data)
        if not count:
            raise ValueRangeError("Trainer.evaluate: there are no examples")
        return {"loss": total / count, **(self.metrics(outputs, targets) if self.metrics else {})}

    def predict(self, x: Any, batch_size: int = EVALUATED_TOGETHER) -> np.ndarray:
        """The outputs for inputs x (N, ...), or for the x of a data set, in eval mode."""
        x = x.x if isinstance(x, TensorDataset) else x
        array = x.data if isinstance(x, Tensor) else np.asarray(x)
        training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                pieces = range(0, max(len(array), 1), batch_size)
                return np.concatenate([self.model(asarray(array[i : i + batch_size])).data for i in pieces])
        finally:
            self.model.train(training)

    # Saving a run

    def state_dict(self) -> dict[str, Any]:
        """Everything a run needs to go on in the same bits: see `load_state_dict`."""
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
        """Take over what `state_dict` gave, in a Trainer made the same way; then the run goes on.

        Raises ValueRangeError for a run of another kind.
        """
        generators = self._generators()
        for what, ours, theirs in (
            ("callbacks", len(self.callbacks), len(state["callbacks"])),
            ("random generators", len(generators), len(state["generators"])),
        ):
            if ours != theirs:
                raise ValueRangeError(
                    f"Trainer.load_state_dict: the saved run had {theirs} {what}, this one has {ours}"
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
        """The default generator and those that modules hold, each once."""
        found = {id(config.default_rng()): config.default_rng()}
        for module in self.model.modules():
            for value in vars(module).values():
                if isinstance(value, np.random.Generator):
                    found[id(value)] = value
        return list(found.values())


def _is_loader(data: Any) -> bool:
    """Whether iterating this gives batches: a DataLoader, or anything with a length that is no data set."""
    return isinstance(data, DataLoader) or not (
        isinstance(data, (tuple, np.ndarray)) or hasattr(data, "__getitem__")
    )
