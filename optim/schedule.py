"""LRScheduler: what all schedules share: epochs are counted, rates are written into the optimizer's groups."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.tensor import Tensor


class LRScheduler:
    """Base of the schedules. A subclass writes `at`, the rate as a function of the epoch, or `get_lr`.

    Making one sets the rate of epoch 0; each step() goes on by one epoch, after the optimizer's steps of that
    epoch. `last_epoch`: go on after that epoch, in groups that have "initial_lr". Where a subclass has
    `follow`, the rate comes from the last one, so that several schedules may act on one optimizer at once.
    Raises DTypeError, ValueRangeError.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = self.checked(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise ValueRangeError(
                    f"{type(self).__name__}: last_epoch: to go on after epoch {last_epoch}, group {i} needs its "
                    '"initial_lr", which the saved state of an optimizer with a schedule has: load that first'
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.begin()

    def checked(self, optimizer: Any) -> Optimizer:
        """The optimizer, if it is one. Raises DTypeError."""
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(
                f"{type(self).__name__}: optimizer: an optimizer is needed; {type(optimizer).__name__} came"
            )
        return optimizer

    def refuse(self, condition: bool, option: str, needed: str, came: object) -> None:
        """Raise ValueRangeError for an option if the condition is true."""
        if condition:
            raise ValueRangeError(f"{type(self).__name__}: {option}: {needed} is needed; {came!r} came")

    def each(self, option: str, value: Any) -> list[Any]:
        """An option's value for each group, given one for all or one each. Raises ShapeError."""
        groups = len(self.optimizer.param_groups)
        values = list(value) if isinstance(value, (list, tuple)) else [value] * groups
        if len(values) != groups:
            raise ShapeError(
                f"{type(self).__name__}: {option}: {len(values)} values came for {groups} groups of parameters"
            )
        return values

    def begin(self) -> None:
        """The step into the first epoch."""
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def at(self, base: float) -> float:
        """The rate in `last_epoch` of a group that began with the rate `base`."""
        raise DTypeError(
            f"{type(self).__name__}: a subclass of LRScheduler has to define at(base) or get_lr()"
        )

    def follow(self, lr: float, base: float) -> float:
        """The same, from the rate of the epoch before."""
        return self.at(base)

    def get_lr(self) -> list[float]:
        """The rates of `last_epoch`, one a group, from those of the epoch before."""
        groups = self.optimizer.param_groups
        return [self.follow(float(group["lr"]), base) for group, base in zip(groups, self.base_lrs)]

    def get_last_lr(self) -> list[float]:
        """The rates that are set now, one a group."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, or to a given one, and set the rates."""
        optimizer = self.optimizer
        if (
            self._step_count == 1
            and not optimizer.stepped
            and any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
        ):
            warnings.warn(
                f"{type(self).__name__}.step came before the first optimizer.step, so the first rate is never "
                "used. Call optimizer.step() first.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            self.write(self.get_lr())
        else:
            self.go_to(epoch)

    def go_to(self, epoch: int) -> None:
        """Set the rates of an epoch, whatever the last one was."""
        self.last_epoch = epoch
        self.write(self.closed())

    def closed(self) -> list[float]:
        """The rates of `last_epoch`, from nothing but the epoch where there is a formula for that."""
        has_formula = type(self).at is not LRScheduler.at
        return [self.at(base) for base in self.base_lrs] if has_formula else self.get_lr()

    def write(self, rates: Sequence[float]) -> None:
        """Set the rate of each group; a Tensor that is a group's rate stays and is filled."""
        for group, rate in zip(self.optimizer.param_groups, rates):
            if isinstance(group["lr"], Tensor):
                group["lr"]._data[...] = rate
            else:
                group["lr"] = rate
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions; of objects that can be called, their attributes."""
        return {key: saved(value) for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a `state_dict()`, also PyTorch's of the class of the same name."""
        for key, value in state_dict.items():
            setattr(self, key, restored(getattr(self, key, None), value))


def saved(value: Any) -> Any:
    """What of an attribute is saved."""
    if isinstance(value, (list, tuple)):
        return [saved(part) for part in value]
    if isinstance(value, LRScheduler):
        return value.state_dict()
    if callable(value):
        return dict(vars(value)) if not hasattr(value, "__code__") and hasattr(value, "__dict__") else None
    return value


def restored(now: Any, value: Any) -> Any:
    """An attribute after loading: schedules and callable objects are kept and take over their part."""
    if isinstance(now, LRScheduler):
        now.load_state_dict(value)
        return now
    if callable(now):
        if value:
            vars(now).update(value)
        return now
    if isinstance(now, list) and isinstance(value, Mapping):
        return sorted(key for key, count in value.items() for _ in range(count))  # PyTorch counts milestones
    if isinstance(now, (list, tuple)) and any(
        callable(part) or isinstance(part, LRScheduler) for part in now
    ):
        return type(now)(restored(*pair) for pair in zip(now, value))
    return value
