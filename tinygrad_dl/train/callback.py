"""Callbacks: methods that the Trainer calls at fixed points of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinygrad_dl.arguments import Count, NonNegative, checked, described
from tinygrad_dl.directions import Mode
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.train.history import format_value

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer


class Callback:
    """Base class of callbacks: a subclass overrides the methods it needs. `trainer.stop(reason)` ends training.

    A callback with state returns it from `state_dict` and restores it in `load_state_dict`, for resumed runs.
    """

    #: Whether it is called after the others, and so sees their effects.
    last = False
    #: Whether it writes files or prints: of several ranks, rank 0 alone calls it.
    rank_zero_only = False

    def watches_step(self) -> bool:
        """Whether it looks into the next step, by hooks on modules: that step is then run eagerly."""
        return False

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

    def __repr__(self) -> str:
        return described(self)


class GradientCallback(Callback):
    """A callback that changes the gradients after each backward pass, in the same way at every step.

    `change` names what is done, so that it can belong to a compiled step: a function of the model and its arguments.
    What the function returns, such as a norm, is given to `note` after the step.
    """

    def change(self) -> tuple[Any, ...]:
        """A function, and the numbers that it is called with after the model."""
        raise DTypeError(f"{type(self).__name__} does not define change")

    def note(self, result: Any) -> None:
        """After the optimizer step: what the function returned."""

    def on_backward(self, trainer: Trainer) -> None:
        function, *numbers = self.change()
        self.note(function(trainer.model, *numbers))


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved by more than `min_delta` for `patience` epochs; restore the best weights.

    `monitor`: a name in the history. `mode`: "max" if larger values of it are better, "min" if smaller ones are;
    losses, the built-in metrics and the names of scikit-learn's scorers need none. It begins again with each call
    of fit, except where that resumes a run. Raises ValueRangeError if the quantity is not measured.
    """

    @checked
    def __init__(
        self,
        monitor: str = "dev_loss",
        patience: Count = 10,
        min_delta: NonNegative = 0.0,
        restore: bool = True,
        mode: Mode | None = None,
    ) -> None:
        self.monitor, self.patience, self.min_delta = monitor, int(patience), float(min_delta)
        self.restore = restore
        self._trainer: Trainer | None = None
        self.mode: Mode | None = mode
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = None
        self.best_epoch = self.waited = 0
        self.weights: dict[str, Any] | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        if not trainer.resuming:
            self._begin()
        self._trainer = trainer
        # Before the first epoch: nobody should learn it after an hour of training.
        trainer.history._rises("EarlyStopping: monitor", self.monitor, self.mode)

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.monitor not in epoch:
            raise not_measured("EarlyStopping", self.monitor, epoch)
        value = epoch[self.monitor]
        if not isinstance(value, (int, float, np.integer, np.floating)):
            raise DTypeError(
                f"EarlyStopping: monitor: expected a quantity that is a number, got {self.monitor}={value!r}"
            )
        value, best = float(value), self.best
        sign = 1 if trainer.history._rises("EarlyStopping: monitor", self.monitor, self.mode) else -1
        # The first value counts as better, and any value is better than nan.
        if best is None or best != best or sign * (value - best) > self.min_delta:
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
        # Another Trainer's weights may be left where its own fit was interrupted before it began.
        if self.restore and self.weights is not None and self._trainer is trainer:
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

    @checked
    def __init__(
        self,
        schedule: Callable[[float], float] | Any,  # or a scheduler: anything with step
        per: Literal["epoch", "batch"] = "epoch",
        monitor: str = "dev_loss",
    ) -> None:
        if not callable(schedule) and not hasattr(schedule, "step"):
            raise DTypeError(
                f"Schedule: schedule: expected a function of the epoch or a scheduler, got {type(schedule).__name__}"
            )
        self.schedule: Any = schedule
        self.per, self.monitor = per, monitor
        self._steps = hasattr(schedule, "step")  # a scheduler rather than a function
        self._plateau = any(cls.__name__ == "ReduceLROnPlateau" for cls in type(schedule).__mro__)
        self.initial: list[float] = []
        self._optimizer: Any = None  # whose rates `initial` holds
        if self._plateau and per == "batch":
            raise ValueRangeError(
                'Schedule: per: expected "epoch" for ReduceLROnPlateau, which follows a value per epoch, got "batch"'
            )

    def on_fit_begin(self, trainer: Trainer) -> None:
        groups = trainer.optimizer.param_groups
        if self._steps:
            if getattr(self.schedule, "optimizer", trainer.optimizer) is not trainer.optimizer:
                raise ValueRangeError(
                    "Schedule: schedule: expected a scheduler of this Trainer's optimizer, got one of another optimizer"
                )
            mode = getattr(self.schedule, "mode", None)
            rises = trainer.history.higher_is_better(self.monitor)
            if self._plateau and rises is not None and mode != ("max" if rises else "min"):
                raise ValueRangeError(
                    f'Schedule: expected ReduceLROnPlateau(mode="{"max" if rises else "min"}") for {self.monitor}, '
                    f"got mode={mode!r}"
                )
        elif not trainer.resuming and self._optimizer is not trainer.optimizer:
            self.initial = []
        self._optimizer = trainer.optimizer
        # Groups that were added since start from their own rates.
        self.initial += [float(group["lr"]) for group in groups[len(self.initial) :]]
        self._set(trainer)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        if self.per == "epoch":
            self._set(trainer)

    def _set(self, trainer: Trainer) -> None:
        if self._steps:
            return
        # An epoch that is resumed in its middle begins with a batch after the first.
        within = trainer.batch / max(trainer.batches, 1) if self.per == "batch" else 0
        epoch = trainer.epoch + within
        factor = self.schedule(epoch)
        try:
            rates = [initial * float(factor) for initial in self.initial]
        except (TypeError, ValueError):
            raise DTypeError(
                f"Schedule: schedule: expected a function that returns a number, got {factor!r} for epoch {epoch:g}"
            ) from None
        for group, rate in zip(trainer.optimizer.param_groups, rates):
            if hasattr(group["lr"], "data"):
                group["lr"].data[...] = rate  # a Tensor stays the object that it is
            else:
                group["lr"] = rate

    def on_batch_end(self, trainer: Trainer) -> None:
        if self.per == "batch":
            if self._steps:
                self.schedule.step()
            else:
                self._set(trainer)

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.per != "epoch" or not self._steps:
            return
        if not self._plateau:
            self.schedule.step()
        elif self.monitor in epoch:
            self.schedule.step(epoch[self.monitor])
        else:
            raise not_measured("Schedule", self.monitor, epoch)

    def state_dict(self) -> dict[str, Any]:
        inner = self.schedule.state_dict() if hasattr(self.schedule, "state_dict") else None
        return {"initial": list(self.initial), "schedule": inner}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.initial = list(state["initial"])
        if state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])


def not_measured(callback: str, monitor: str, epoch: Mapping[str, Any]) -> ValueRangeError:
    """The error for a quantity that no epoch has."""
    hint = " Pass a dev part to fit()." if monitor.startswith("dev_") else ""
    return ValueRangeError(f"{callback}: monitor: expected one of {', '.join(epoch)}, got {monitor!r}.{hint}")
