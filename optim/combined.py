"""Schedules made of others, one after the other or all at once; and one that follows a measured quantity."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.schedule import LRScheduler


class Combined(LRScheduler):
    """What SequentialLR and ChainedScheduler share."""

    def take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        """Keep the schedules, all of one optimizer. Raises DTypeError, ValueRangeError."""
        name = type(self).__name__
        if not schedulers:
            raise ValueRangeError(f"{name}: schedulers: there are none")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise DTypeError(
                    f"{name}: schedulers: number {i} is no schedule but {type(scheduler).__name__}"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueRangeError(
                    f"{name}: schedulers: number {i} is a ReduceLROnPlateau, whose step needs the quantity: "
                    "call its step yourself"
                )
            if scheduler.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueRangeError(f"{name}: schedulers: number {i} belongs to another optimizer")
        self.optimizer = schedulers[0].optimizer
        self._schedulers = list(schedulers)


class SequentialLR(Combined):
    """Several schedules one after the other: number i runs from epoch milestones[i - 1], its own epoch 0."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.take(schedulers, self.checked(optimizer))
        if len(milestones) != len(schedulers) - 1:
            raise ValueRangeError(
                f"SequentialLR: milestones: {len(schedulers)} schedules need {len(schedulers) - 1}; "
                f"{len(milestones)} came"
            )
        rising = all(x < y for x, y in zip(milestones, milestones[1:]))
        self.refuse(not rising, "milestones", "a rising sequence", milestones)
        self._milestones, self.last_epoch = list(milestones), last_epoch + 1
        # Each schedule took its first step when it was made; only the first of them may have.
        self.write([group["initial_lr"] for group in optimizer.param_groups])
        undo(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.begin()
        self._last_lr = first.get_last_lr()

    def begin(self) -> None:
        """The step into the first epoch, if this is part of another schedule."""
        self.last_epoch = 0
        self._schedulers[0].begin()
        self._last_lr = self._schedulers[0].get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Go on by an epoch. Raises ValueRangeError if one is given."""
        self.refuse(epoch is not None, "epoch", "None", epoch)
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        if i and self._milestones[i - 1] == self.last_epoch:
            self._schedulers[i].go_to(0)
        else:
            self._schedulers[i].step()
        self._last_lr = self._schedulers[i].get_last_lr()

    def go_to(self, epoch: int) -> None:
        """Begin anew. Raises ValueRangeError for another epoch than 0."""
        self.refuse(epoch != 0, "epoch", "0", epoch)
        self.last_epoch = 0
        self._schedulers[0].go_to(0)
        self._last_lr = self._schedulers[0].get_last_lr()


class ChainedScheduler(Combined):
    """Several schedules at once: each changes the rate that the one before it left."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.take(schedulers, optimizer)
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def begin(self) -> None:
        """The step into the first epoch, if this is part of another schedule."""
        for scheduler in self._schedulers:
            scheduler.begin()
        self._last_lr = self._schedulers[-1].get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Go on by an epoch. Raises ValueRangeError if one is given."""
        self.refuse(epoch is not None, "epoch", "None", epoch)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._schedulers[-1].get_last_lr()

    def go_to(self, epoch: int) -> None:
        """Begin anew. Raises ValueRangeError for another epoch than 0."""
        self.refuse(epoch != 0, "epoch", "0", epoch)
        self.write([group["initial_lr"] for group in self.optimizer.param_groups])
        undo(self)
        self.begin()


def undo(scheduler: LRScheduler) -> None:
    """Take back the first step of a schedule, or of all that it is made of."""
    parts = scheduler._schedulers if isinstance(scheduler, Combined) else []
    for part in parts:
        undo(part)
    if not parts:
        scheduler.last_epoch -= 1


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a quantity has not got better for more than `patience` epochs.

    Better: below best * (1 - threshold), with mode="max" above best * (1 + threshold), with
    threshold_mode="abs" best -+ threshold. For `cooldown` epochs after that none is counted; no rate falls
    below `min_lr` or by less than `eps`. step(quantity) is called each epoch. Raises ValueRangeError.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = self.checked(optimizer)
        self.refuse(not factor < 1, "factor", "a number below 1", factor)
        self.refuse(mode not in ("min", "max"), "mode", '"min" or "max"', mode)
        self.refuse(threshold_mode not in ("rel", "abs"), "threshold_mode", '"rel" or "abs"', threshold_mode)
        self.mode, self.factor, self.patience, self.eps = mode, factor, patience, eps
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lrs = self.each("min_lr", min_lr)
        self.best = inf if mode == "min" else -inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = [float(group["lr"]) for group in optimizer.param_groups]

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of the epoch's quantity, a number or a Tensor of one element, and set the rates."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            old = [float(group["lr"]) for group in self.optimizer.param_groups]
            least = (self.min_lrs + self.min_lrs[-1:] * len(old))[: len(old)]  # groups may have been added
            new = [max(rate * self.factor, low) for rate, low in zip(old, least)]
            self.write([after if before - after > self.eps else before for before, after in zip(old, new)])
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def is_better(self, current: float) -> bool:
        """Whether a quantity is better than the best, by the threshold at least."""
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * current < sign * self.best * (1 - sign * self.threshold)
        return sign * current < sign * self.best - self.threshold

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a `state_dict()`, also PyTorch's."""
        known = vars(self)
        super().load_state_dict({key: value for key, value in state_dict.items() if key in known})
