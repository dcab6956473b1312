"""Schedules given by one formula for all epochs: factors, steps, decay, warm-up, cosine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import cos, pi, sqrt

import numpy as np

from tinygrad_dl.arguments import Count, NonNegative, Positive, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.scheduler import LastEpoch, LRScheduler
from tinygrad_dl.optim.typing import Group
from tinygrad_dl.tensor import Tensor

Factor = Callable[[int], float]


class LambdaLR(LRScheduler):
    """lr(e) = initial lr * lr_lambda(e); one function for all groups, or a list with one per group.

    >>> from tinygrad_dl import Tensor, optim
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.5)
    >>> schedule = LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: LastEpoch = -1
    ) -> None:
        self.optimizer = self.validate_optimizer(optimizer)
        self.lr_lambdas: list[Factor] = self.per_group("lr_lambda", lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise DTypeError(
                    f"{type(self).__name__}: lr_lambda: expected a function of the epoch, got "
                    f"{type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    def include_group(self, group: Group) -> None:
        self.lr_lambdas.append(self.shared("lr_lambda", self.lr_lambdas))
        super().include_group(group)

    def factors(self) -> list[float]:
        """What the functions give for `last_epoch`. Raises DTypeError where it is no number."""
        found = [function(self.last_epoch) for function in self.lr_lambdas]
        for factor in found:
            if not isinstance(factor, (int, float, np.number, np.ndarray, Tensor)):
                raise DTypeError(
                    f"{type(self).__name__}: lr_lambda: expected a function that returns a number, got one that "
                    f"returns {describe(factor)}"
                )
        return [float(factor) for factor in found]

    def get_lr(self) -> list[float]:
        return [base_lr * factor for factor, base_lr in zip(self.factors(), self.base_lrs)]


class MultiplicativeLR(LambdaLR):
    """lr(e) = lr(e - 1) * lr_lambda(e), from e = 1; one function for all groups, or a list with one per group."""

    def get_lr(self) -> list[float]:
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        return [rate * factor for factor, rate in zip(self.factors(), rates)]


class StepLR(LRScheduler):
    """lr(e) = initial lr * gamma**floor(e / step_size)."""

    @checked
    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: NonNegative = 0.1, last_epoch: LastEpoch = -1
    ) -> None:
        self.validate(step_size > 0, "step_size", "a number of epochs above 0", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def chainable_form(self, lr: float, base_lr: float) -> float:
        return lr if self.last_epoch == 0 or self.last_epoch % self.step_size else lr * self.gamma

    def closed_form(self, base_lr: float) -> float:
        return base_lr * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr(e) = initial lr * gamma**(number of milestones at or before e)."""

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: NonNegative = 0.1,
        last_epoch: LastEpoch = -1,
    ) -> None:
        if isinstance(milestones, (Tensor, np.ndarray)):
            milestones = milestones.reshape(-1).tolist()
        epochs = list(milestones)
        for epoch in epochs:
            if not isinstance(epoch, (int, float, np.number)) or not epoch >= 0:
                raise DTypeError(
                    f"MultiStepLR: milestones: expected epochs, such as 30, got {describe(epoch)}"
                )
        self.milestones, self.gamma = sorted(epochs), gamma
        super().__init__(optimizer, last_epoch)

    def chainable_form(self, lr: float, base_lr: float) -> float:
        return lr * self.gamma ** self.milestones.count(self.last_epoch)

    def closed_form(self, base_lr: float) -> float:
        return base_lr * self.gamma ** bisect_right(self.milestones, self.last_epoch)


class ConstantLR(LRScheduler):
    """lr(e) = initial lr * factor before epoch total_iters, then initial lr."""

    @checked
    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: LastEpoch = -1
    ) -> None:
        self.validate(0 < factor <= 1, "factor", "a number above 0 and at most 1", factor)
        self.validate(total_iters >= 0, "total_iters", "a number of epochs of at least 0", total_iters)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def chainable_form(self, lr: float, base_lr: float) -> float:
        if self.last_epoch == 0:
            return lr * self.factor
        return lr * (1.0 / self.factor) if self.last_epoch == self.total_iters else lr

    def closed_form(self, base_lr: float) -> float:
        return base_lr if self.last_epoch >= self.total_iters else base_lr * self.factor


class LinearLR(LRScheduler):
    """lr(e) = initial lr * f, f rising linearly from start_factor to end_factor over total_iters epochs."""

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: LastEpoch = -1,
    ) -> None:
        self.validate(0 < start_factor <= 1, "start_factor", "a number above 0 and at most 1", start_factor)
        self.validate(0 <= end_factor <= 1, "end_factor", "a number in [0, 1]", end_factor)
        self.validate(total_iters > 0, "total_iters", "a number of epochs above 0", total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def chainable_form(self, lr: float, base_lr: float) -> float:
        rise, epoch = self.end_factor - self.start_factor, self.last_epoch
        if epoch == 0:
            return lr * self.start_factor
        if self._is_initial or epoch > self.total_iters:
            return lr
        return lr * (1.0 + rise / (self.total_iters * self.start_factor + (epoch - 1) * rise))

    def closed_form(self, base_lr: float) -> float:
        share = min(self.total_iters, self.last_epoch) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * share)


class ExponentialLR(LRScheduler):
    """lr(e) = initial lr * gamma**e."""

    @checked
    def __init__(self, optimizer: Optimizer, gamma: NonNegative, last_epoch: LastEpoch = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def chainable_form(self, lr: float, base_lr: float) -> float:
        return lr if self._is_initial else lr * self.gamma

    def closed_form(self, base_lr: float) -> float:
        return base_lr * self.gamma**self.last_epoch


class PolynomialLR(LRScheduler):
    """lr(e) = initial lr * (1 - min(e, total_iters) / total_iters)**power."""

    @checked
    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: NonNegative = 1.0, last_epoch: LastEpoch = -1
    ) -> None:
        self.validate(total_iters > 0, "total_iters", "a number of epochs above 0", total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def chainable_form(self, lr: float, base_lr: float) -> float:
        if self._is_initial or self.last_epoch > self.total_iters:
            return lr
        left, before = (1.0 - e / self.total_iters for e in (self.last_epoch, self.last_epoch - 1))
        return lr * (left / before) ** self.power

    def closed_form(self, base_lr: float) -> float:
        return base_lr * (1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """lr(e) = eta_min + (initial lr - eta_min) * (1 + cos(pi * e / T_max)) / 2; after T_max it rises again.

    Source: Loshchilov, Hutter 2017, without the restarts.
    """

    @checked
    def __init__(
        self, optimizer: Optimizer, T_max: float, eta_min: NonNegative = 0.0, last_epoch: LastEpoch = -1
    ) -> None:
        self.validate(T_max > 0, "T_max", "a number of epochs above 0", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def chainable_form(self, lr: float, base_lr: float) -> float:
        if self._is_initial:
            return lr
        epoch, period = self.last_epoch, self.T_max
        if self._step_count == 1 and epoch > 0:
            return self.closed_form(base_lr)
        if (epoch - 1 - period) % (2 * period) == 0:  # at eta_min the ratio below would be 0 / 0
            return lr + (base_lr - self.eta_min) * (1 - cos(pi / period)) / 2
        ratio = (1 + cos(pi * epoch / period)) / (1 + cos(pi * (epoch - 1) / period))
        return ratio * (lr - self.eta_min) + self.eta_min

    def closed_form(self, base_lr: float) -> float:
        return self.eta_min + (base_lr - self.eta_min) * (1 + cos(pi * self.last_epoch / self.T_max)) / 2


class InverseTimeLR(LRScheduler):
    """lr(e) = initial lr / (1 + decay * e).

    >>> from tinygrad_dl import Tensor, optim
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.5)
    >>> schedule = InverseTimeLR(optimizer, decay=1.0)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    @checked
    def __init__(self, optimizer: Optimizer, decay: NonNegative, last_epoch: LastEpoch = -1) -> None:
        self.decay = decay
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base_lr: float) -> float:
        return base_lr / (1.0 + self.decay * self.last_epoch)


class StaircaseLR(LRScheduler):
    """lr(e) = initial lr / (1 + decay * floor(e / interval)): a staircase version of InverseTimeLR."""

    @checked
    def __init__(
        self, optimizer: Optimizer, decay: NonNegative, interval: Count = 1, last_epoch: LastEpoch = -1
    ) -> None:
        self.validate(interval > 0, "interval", "a number of epochs above 0", interval)
        self.decay, self.interval = decay, interval
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base_lr: float) -> float:
        return base_lr / (1.0 + self.decay * (self.last_epoch // self.interval))


class InverseSqrtLR(LRScheduler):
    """lr(e) = initial lr * k / sqrt(e + 1); e = 0 is the epoch that courses call epoch 1."""

    @checked
    def __init__(self, optimizer: Optimizer, k: Positive = 1.0, last_epoch: LastEpoch = -1) -> None:
        self.validate(k > 0, "k", "a number above 0", k)
        self.k = k
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base_lr: float) -> float:
        return base_lr * self.k / sqrt(self.last_epoch + 1)
