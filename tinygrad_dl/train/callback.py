"""Callbacks: methods that the Trainer calls at fixed points of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.train.history import format_value, higher_is_better

if TYPE_CHECKING:
    from tinygrad_dl.optim.lr_scheduler import LRScheduler
    from tinygrad_dl.train.trainer import Trainer


class Callback:
    """Base class of callbacks: a subclass overrides the methods it needs. `trainer.stop(reason)` ends training.

    A callback with state returns it from `state_dict` and restores it in `load_state_dict`, for resumed runs.
    """

    #: Whether it is called after the others, and so sees their effects.
    last = False

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch."""

    def on_backward(self, trainer: Trainer) -> None:
        """After the backward pass of a batch, before the optimizer step."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After the optimizer step of a batch."""

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        """After an epoch; `epoch` holds its values and may be added to."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also when training stops early, is interrupted or fails."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved by more than `min_delta` for `patience` epochs; restore the best weights.

    `monitor`: a name in the history. Larger is better for accuracy, F1 and the like, otherwise smaller is. Raises
    ValueRangeError if the quantity is not measured.
    """

    def __init__(
        self, monitor: str = "dev_loss", patience: int = 10, min_delta: float = 0.0, restore: bool = True
    ) -> None:
        if patience < 1 or min_delta < 0:
            raise ValueRangeError(
                "EarlyStopping: expected patience of at least 1 and min_delta of at least 0, got "
                f"patience={patience}, min_delta={min_delta}"
            )
        self.monitor, self.patience, self.min_delta, self.restore = monitor, patience, min_delta, restore
        self.best: float | None = None
        self.best_epoch = self.waited = 0
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.monitor not in epoch:
            hint = " Pass a dev part to fit()." if self.monitor.startswith("dev_") else ""
            raise ValueRangeError(
                f"EarlyStopping: monitor: expected one of {', '.join(epoch)}, got {self.monitor!r}.{hint}"
            )
        value = epoch[self.monitor]
        first = self.best is None or self.best != self.best  # no value yet, or only nan
        gain = None if first else (value - self.best) * (1 if higher_is_better(self.monitor) else -1)
        if gain is None or gain > self.min_delta:
            self.best, self.best_epoch, self.waited = value, epoch["epoch"], 0
            # state_dict copies, so later steps do not change these weights.
            self.weights = trainer.model.state_dict() if self.restore else None
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.stop(
                f"{self.monitor} has not improved since epoch {self.best_epoch} ({format_value(self.best)})"
            )

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.restore and self.weights is not None:
            trainer.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("best", "best_epoch", "waited", "weights")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class Schedule(Callback):
    """Schedule the learning rate by a function of the epoch, or by a scheduler of optim.lr_scheduler.

    lr = initial lr * schedule(epoch), with epochs from 0, fractional with per="batch". A scheduler is stepped after
    each epoch or batch; ReduceLROnPlateau is given the value of `monitor`. Raises ValueRangeError, DTypeError.
    """

    def __init__(
        self, schedule: Callable[[float], float] | LRScheduler, per: str = "epoch", monitor: str = "dev_loss"
    ) -> None:
        if per not in ("epoch", "batch"):
            raise ValueRangeError(f'Schedule: per: expected "epoch" or "batch", got {per!r}')
        if not callable(schedule) and not hasattr(schedule, "step"):
            raise DTypeError(
                f"Schedule: schedule: expected a function of the epoch or a scheduler, got {type(schedule).__name__}"
            )
        self.schedule: Any = schedule
        self.per, self.monitor = per, monitor
        self.initial: list[float] = []

    def on_fit_begin(self, trainer: Trainer) -> None:
        if not self.initial:
            self.initial = [group["lr"] for group in trainer.optimizer.param_groups]
        self._set(trainer)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        if self.per == "epoch":
            self._set(trainer)

    def _set(self, trainer: Trainer) -> None:
        if not hasattr(self.schedule, "step"):
            factor = self.schedule(trainer.epoch + trainer.batch / max(trainer.batches, 1))
            for group, initial in zip(trainer.optimizer.param_groups, self.initial):
                group["lr"] = initial * factor

    def on_batch_end(self, trainer: Trainer) -> None:
        if self.per == "batch":
            if hasattr(self.schedule, "step"):
                self.schedule.step()
            else:
                self._set(trainer)

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.per == "epoch" and hasattr(self.schedule, "step"):
            if type(self.schedule).__name__ == "ReduceLROnPlateau":
                self.schedule.step(epoch[self.monitor])
            else:
                self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        inner = self.schedule.state_dict() if hasattr(self.schedule, "state_dict") else None
        return {"initial": self.initial, "schedule": inner}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.initial = list(state["initial"])
        if state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])
