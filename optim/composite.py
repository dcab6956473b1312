"""Schedules composed of others, one after the other or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from tinygrad_dl.arguments import Size, misfit
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.plateau import ReduceLROnPlateau
from tinygrad_dl.optim.scheduler import LastEpoch, LRScheduler


class CompositeScheduler(LRScheduler):
    """Base class of SequentialLR and ChainedScheduler."""

    def set_schedulers(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        """Store the schedules, all of one optimizer. Raises DTypeError, ValueRangeError."""
        name = type(self).__name__
        if optimizer is not None:
            self.validate_optimizer(optimizer)
        if not isinstance(schedulers, (list, tuple)):
            raise DTypeError(f"{name}: schedulers: expected a list of schedules, got {describe(schedulers)}")
        if not schedulers:
            raise ValueRangeError(f"{name}: schedulers: expected at least one schedule, got none")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise DTypeError(
                    f"{name}: schedulers: expected schedules, got {type(scheduler).__name__} as number {i}"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueRangeError(
                    f"{name}: schedulers: number {i} is a ReduceLROnPlateau, whose step needs a quantity: "
                    "call its step yourself"
                )
            if scheduler.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueRangeError(f"{name}: schedulers: number {i} belongs to another optimizer")
        self.optimizer = schedulers[0].optimizer
        self._schedulers = list(schedulers)

    def parts(self) -> list[LRScheduler]:
        """The schedule, and those that it is composed of."""
        return [self, *(part for scheduler in self._schedulers for part in scheduler.parts())]


class SequentialLR(CompositeScheduler):
    """Several schedules one after the other: number i runs from epoch milestones[i - 1], its own epoch 0.

    `last_epoch`: continue after that epoch, with the schedule that is then due.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: LastEpoch = -1,
    ) -> None:
        self.set_schedulers(schedulers, self.validate_optimizer(optimizer))
        name = type(self).__name__
        for option, value, hint in (
            ("milestones", milestones, Sequence[Size]),
            ("last_epoch", last_epoch, LastEpoch),
        ):
            problem = misfit(name, option, value, hint)
            if problem is not None:
                raise problem
        if len(milestones) != len(schedulers) - 1:
            raise ValueRangeError(
                f"SequentialLR: milestones: expected {len(schedulers) - 1} for {len(schedulers)} schedules, got "
                f"{len(milestones)}"
            )
        rising = all(x < y for x, y in pairwise(milestones))
        self.validate(rising, "milestones", "a rising sequence", milestones)
        self._milestones, self.last_epoch = list(milestones), 0
        # Each schedule's constructor took its initial step; only the first schedule may have.
        self.set_lrs([group["initial_lr"] for group in optimizer.param_groups])
        undo_initial_step(self, completely=last_epoch >= 0)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.initial_step()
        self._last_lr = first.get_last_lr()
        if last_epoch >= 0:
            self.advance_to(last_epoch + 1)

    def advance_to(self, epoch: int) -> None:
        """From the first epoch to a later one: at once where the schedule that is then due has a closed form."""
        i = bisect_right(self._milestones, epoch)
        due = self._schedulers[i]
        if type(due).closed_form is not LRScheduler.closed_form:
            self.last_epoch = epoch
            due._step_count = 1
            due.step_to(epoch - (self._milestones[i - 1] if i else 0))
            self._last_lr = due.get_last_lr()
            return
        stepped, self.optimizer.stepped = (
            self.optimizer.stepped,
            True,
        )  # these steps repeat what has been done
        try:
            for _ in range(epoch):
                self.step()
        finally:
            self.optimizer.stepped = stepped

    def initial_step(self) -> None:
        """The step into the first epoch, where this is part of another schedule."""
        self.last_epoch = 0
        self._schedulers[0].initial_step()
        self._last_lr = self._schedulers[0].get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Move on by one epoch. Raises ValueRangeError if an epoch is given."""
        self.validate(epoch is None, "epoch", "None", epoch)
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        if i and self._milestones[i - 1] == self.last_epoch:
            self._schedulers[i].step_to(0)
        else:
            self._schedulers[i].step()
        self._last_lr = self._schedulers[i].get_last_lr()

    def step_to(self, epoch: int) -> None:
        """Start again at epoch 0. Raises ValueRangeError for another epoch."""
        self.validate(epoch == 0, "epoch", "0", epoch)
        self.last_epoch = 0
        self._schedulers[0].step_to(0)
        self._last_lr = self._schedulers[0].get_last_lr()


class ChainedScheduler(CompositeScheduler):
    """Several schedules at once: each changes the rate that the one before it left."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.set_schedulers(schedulers, optimizer)
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def initial_step(self) -> None:
        """The step into the first epoch, where this is part of another schedule."""
        for scheduler in self._schedulers:
            scheduler.initial_step()
        self._last_lr = self._schedulers[-1].get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Move on by one epoch. Raises ValueRangeError if an epoch is given."""
        self.validate(epoch is None, "epoch", "None", epoch)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._schedulers[-1].get_last_lr()

    def step_to(self, epoch: int) -> None:
        """Start again at epoch 0. Raises ValueRangeError for another epoch."""
        self.validate(epoch == 0, "epoch", "0", epoch)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self.set_lrs([group["initial_lr"] for group in self.optimizer.param_groups])
        undo_initial_step(self)
        self.initial_step()


def undo_initial_step(scheduler: LRScheduler, completely: bool = False) -> None:
    """Undo the initial step of a schedule, or of all schedules that it is composed of.

    `completely`: also that they were made to continue after a later epoch.
    """
    parts = scheduler._schedulers if isinstance(scheduler, CompositeScheduler) else []
    for part in parts:
        undo_initial_step(part, completely)
    if not parts:
        scheduler.last_epoch = -1 if completely else scheduler.last_epoch - 1
