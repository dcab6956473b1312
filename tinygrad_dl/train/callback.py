"""Callbacks: what happens at the turning points of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.train.history import rises, shown

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer


class Callback:
    """Base of callbacks: a subclass defines the moments it wants. `trainer.stop(reason)` ends training.

    A callback with a memory gives it in `state_dict` and takes it in `load_state_dict`, for resumed runs.
    """

    #: Whether it acts after the others, and so sees what they did.
    last = False

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch."""

    def on_backward(self, trainer: Trainer) -> None:
        """After the gradients of a batch are there, before the step."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After the step."""

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        """After an epoch, whose figures are in `epoch` and may be added to."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also when training is stopped, interrupted or fails."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""


class EarlyStopping(Callback):
    """Stop when a quantity has not improved by `min_delta` for `patience` epochs; restore the best weights.

    `monitor`: a name of the history. Better is larger for accuracy and its like, else smaller. Raises
    ValueRangeError if the quantity is not measured.
    """

    def __init__(
        self, monitor: str = "dev_loss", patience: int = 10, min_delta: float = 0.0, restore: bool = True
    ) -> None:
        if patience < 1 or min_delta < 0:
            raise ValueRangeError(
                f"EarlyStopping: patience of at least 1 and min_delta of at least 0 are needed; {patience}, "
                f"{min_delta} came"
            )
        self.monitor, self.patience, self.min_delta, self.restore = monitor, patience, min_delta, restore
        self.best: float | None = None
        self.best_epoch = self.waited = 0
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.monitor not in epoch:
            hint = " Give fit() a dev part." if self.monitor.startswith("dev_") else ""
            raise ValueRangeError(
                f"EarlyStopping: {self.monitor!r} is not measured; there are {', '.join(epoch)}.{hint}"
            )
        value = epoch[self.monitor]
        new = self.best is None or self.best != self.best  # nan
        gain = None if new else (value - self.best) * (1 if rises(self.monitor) else -1)
        if gain is None or gain > self.min_delta:
            self.best, self.best_epoch, self.waited = value, epoch["epoch"], 0
            self.weights = trainer.model.state_dict() if self.restore else None
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.stop(
                f"{self.monitor} has not improved since epoch {self.best_epoch} ({shown(self.best)})"
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
    """Change the learning rate: by a function of the epoch, or by a scheduler of optim.lr_scheduler.

    lr = initial lr * factor(epoch), epochs from 0, fractions with per="batch". A scheduler is stepped after
    each epoch, or batch; one that wants a quantity (ReduceLROnPlateau) is given `monitor`. Raises
    DTypeError.
    """

    def __init__(
        self, schedule: Callable[[float], float] | Any, per: str = "epoch", monitor: str = "dev_loss"
    ) -> None:
        if per not in ("epoch", "batch"):
            raise ValueRangeError(f'Schedule: per: "epoch" or "batch" is needed; {per!r} came')
        if not callable(schedule) and not hasattr(schedule, "step"):
            raise DTypeError(
                f"Schedule: a function of the epoch or a scheduler is needed; {type(schedule).__name__} came"
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
