"""LRScheduler, the base class of schedules: it counts epochs and writes rates into the optimizer's groups."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from math import inf
from typing import Annotated, Any, TypeAlias, TypeVar

import numpy as np

from tinygrad_dl.arguments import Bounds, checked, described, misfit
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import active, effect
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.typing import Group
from tinygrad_dl.tensor import Tensor

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
#: The epoch to continue after; -1 is the beginning.
LastEpoch: TypeAlias = Annotated[int, Bounds(least=-1)]


def told(step: F) -> F:
    """A schedule's step as a side effect that compiled training steps repeat."""

    @wraps(step)
    def call(self: LRScheduler, *args: Any, **options: Any) -> Any:
        if not active:
            return step(self, *args, **options)
        given = inspect.signature(step).bind(self, *args, **options).args
        return effect(step, *given, changes=self.parts())

    return call  # type: ignore[return-value]


class LRScheduler:
    """Base class of the schedules. A subclass defines `closed_form`, the rate in an epoch, or `get_lr`.

    The constructor sets the rate of epoch 0; each step(), called after the optimizer's steps of an epoch, moves
    on by one epoch. `last_epoch`: continue after that epoch, in groups that have "initial_lr". A subclass that
    defines `chainable_form`, the rate from the previous one, works with other schedules on one optimizer.
    A group that is added to the optimizer later is scheduled from the next step on; the rate that it then has is
    its initial rate. Raises DTypeError, ValueRangeError.

    >>> from tinygrad_dl import Tensor, optim
    >>> class HalvingLR(LRScheduler):
    ...     def closed_form(self, base_lr):
    ...         return base_lr / 2**self.last_epoch
    >>> schedule = HalvingLR(optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.5))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = told(cls.step)  # type: ignore[method-assign]

    def parts(self) -> list[LRScheduler]:
        """The schedule, and those that it is composed of."""
        return [self]

    @checked
    def __init__(self, optimizer: Optimizer, last_epoch: LastEpoch = -1) -> None:
        self.optimizer = self.validate_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise ValueRangeError(
                    f"{type(self).__name__}: last_epoch: to continue after epoch {last_epoch}, group {i} needs its "
                    '"initial_lr", which the saved state of an optimizer with a schedule has: load that first'
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.initial_step()

    def validate_optimizer(self, optimizer: object) -> Optimizer:
        """The argument, if it is an optimizer. Raises DTypeError."""
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(
                f"{type(self).__name__}: optimizer: expected an optimizer, got {type(optimizer).__name__}"
            )
        return optimizer

    def validate(self, valid: bool, option: str, expected: str, got: object) -> None:
        """Raise ValueRangeError for an option unless it is valid."""
        if not valid:
            raise ValueRangeError(f"{type(self).__name__}: {option}: expected {expected}, got {got!r}")

    def per_group(self, option: str, value: T | Sequence[T]) -> list[T]:
        """An option's value for each group, given one for all or one per group. Raises ShapeError."""
        groups = len(self.optimizer.param_groups)
        values: list[Any] = list(value) if isinstance(value, (list, tuple, range)) else [value] * groups
        if isinstance(value, (np.ndarray, Tensor)):
            values = value.reshape(-1).tolist() if value.size > 1 or value.ndim else [value.item()] * groups
        if len(values) != groups:
            raise ShapeError(
                f"{type(self).__name__}: {option}: expected one value per group, {groups}, got {len(values)}"
            )
        return values

    def shared(self, option: str, values: Sequence[T]) -> T:
        """The value for a group that was added later: that of all others. Raises ShapeError if they differ."""
        if any(value is not values[0] and value != values[0] for value in values):
            raise ShapeError(
                f"{type(self).__name__}.step: {option}: expected one value per group, "
                f"{len(self.optimizer.param_groups)}, got {len(values)}: a group was added to the optimizer. Give one "
                "value for all groups, or make a new schedule"
            )
        return values[0]

    def include_group(self, group: Group) -> None:
        """Schedule a group that was added to the optimizer after the schedule was made."""
        group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs.append(group["initial_lr"])

    def include_new_groups(self) -> None:
        """Schedule the groups that were added to the optimizer since the last step."""
        for group in self.optimizer.param_groups[len(self.base_lrs) :]:
            self.include_group(group)

    def initial_step(self) -> None:
        """The step into the first epoch, which the constructor takes."""
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def closed_form(self, base_lr: float) -> float:
        """The rate in `last_epoch` of a group whose initial rate was `base_lr`."""
        raise DTypeError(
            f"{type(self).__name__}: a subclass of LRScheduler has to define closed_form(base_lr) or get_lr()"
        )

    def chainable_form(self, lr: float, base_lr: float) -> float:
        """The same, computed from the rate of the previous epoch."""
        return self.closed_form(base_lr)

    def get_lr(self) -> list[float]:
        """The rates of `last_epoch`, one per group, from those of the previous epoch."""
        groups = self.optimizer.param_groups
        return [
            self.chainable_form(float(group["lr"]), base_lr) for group, base_lr in zip(groups, self.base_lrs)
        ]

    def get_last_lr(self) -> list[float]:
        """The current rates, one per group."""
        return self._last_lr

    def __repr__(self) -> str:
        text = described(self, without=("optimizer", "last_epoch"))[:-1]
        rates = ", ".join(f"{rate:.4g}" for rate in getattr(self, "_last_lr", ()))
        now = f"epoch {self.last_epoch}, lr {rates}" if rates else f"epoch {self.last_epoch}"
        return f"{text}{'' if text.endswith('(') else ', '}{now})"

    @told
    def step(self, epoch: int | None = None) -> None:
        """Move on to the next epoch, or to a given one, and set the rates."""
        optimizer = self.optimizer
        if (
            self._step_count == 1
            and not optimizer.stepped
            and any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
        ):
            warnings.warn(
                f"{type(self).__name__}.step was called before the first optimizer.step, so the first rate is "
                "never used. Call optimizer.step() first.",
                stacklevel=3,
            )
        if epoch is not None:
            self.validate_epoch(epoch)
        self.include_new_groups()
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            self.set_lrs(self.get_lr())
        else:
            self.step_to(epoch)

    def validate_epoch(self, epoch: object) -> None:
        """Raise unless `epoch` is a number of at least 0."""
        problem = misfit(
            f"{type(self).__name__}.step", "epoch", epoch, Annotated[float, Bounds(least=0, below=inf)]
        )
        if problem is not None:
            raise problem

    def step_to(self, epoch: int) -> None:
        """Set the rates of an epoch, whatever the previous one was."""
        self.include_new_groups()
        self.last_epoch = epoch
        self.set_lrs(self.closed_form_lrs())

    def closed_form_lrs(self) -> list[float]:
        """The rates of `last_epoch`, computed from the epoch alone where the schedule has a closed form."""
        if type(self).closed_form is LRScheduler.closed_form:
            return self.get_lr()
        return [self.closed_form(base_lr) for base_lr in self.base_lrs]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        """Set the rate of each group; where it is a Tensor, in place."""
        for group, lr in zip(self.optimizer.param_groups, lrs):
            if isinstance(group["lr"], Tensor):
                group["lr"]._data[...] = lr
            else:
                group["lr"] = lr
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer and functions; of callable objects, their attributes."""
        return {key: saved_attribute(value) for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a `state_dict()`, also that of PyTorch's class of the same name."""
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            raise DTypeError(f"{where}: state_dict: expected a dict, got {describe(state_dict)}")
        for key, value in state_dict.items():
            current = getattr(self, str(key), None)
            if isinstance(current, (int, float)) and not isinstance(value, (int, float, np.generic)):
                raise DTypeError(f"{where}: {key}: expected a number, got {describe(value)}")
        for key, value in state_dict.items():
            setattr(self, key, restored_attribute(getattr(self, key, None), value))


def saved_attribute(value: Any) -> Any:
    """An attribute as it is saved."""
    if isinstance(value, (list, tuple)):
        return [saved_attribute(part) for part in value]
    if isinstance(value, LRScheduler):
        return value.state_dict()
    if callable(value):
        return dict(vars(value)) if not hasattr(value, "__code__") and hasattr(value, "__dict__") else None
    return value


def restored_attribute(current: Any, value: Any) -> Any:
    """An attribute after loading: schedules and callable objects stay and load their own state."""
    if isinstance(current, LRScheduler):
        current.load_state_dict(value)
        return current
    if callable(current):
        if value:
            vars(current).update(value)
        return current
    if isinstance(current, list) and isinstance(value, Mapping):
        return sorted(key for key, count in value.items() for _ in range(count))  # PyTorch counts milestones
    if isinstance(current, (list, tuple)) and any(
        callable(part) or isinstance(part, LRScheduler) for part in current
    ):
        return type(current)(restored_attribute(*pair) for pair in zip(current, value))
    return value
