"""Cyclic schedules: warm restarts, one cycle, many cycles. The last two change momentum as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, floor, log, pi
from typing import Any

import numpy as np

from tinygrad_dl.arguments import Count, NonNegative, Positive, Probability, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.scheduler import LastEpoch, LRScheduler
from tinygrad_dl.optim.typing import Finite, Group
from tinygrad_dl.tensor import Tensor


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2, periodically.

    T_cur: epochs since the last restart; T_i: length of the period, at first T_0, then T_mult times the
    previous one. step(epoch) accepts fractions: epoch + batch / batches. Source: Loshchilov, Hutter 2017.
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: NonNegative = 0.0,
        last_epoch: LastEpoch = -1,
    ) -> None:
        self.validate(isinstance(T_0, int) and T_0 > 0, "T_0", "an integer above 0", T_0)
        self.validate(isinstance(T_mult, int) and T_mult > 0, "T_mult", "an integer above 0", T_mult)
        self.T_0 = self.T_i = T_0
        self.T_mult, self.eta_min = T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def closed_form(self, base_lr: float) -> float:
        return self.eta_min + (base_lr - self.eta_min) * (1 + cos(pi * self.T_cur / self.T_i)) / 2

    def step(self, epoch: float | None = None) -> None:
        """Move on by one epoch, or to a given one, which may be fractional."""
        if epoch is not None:
            self.validate_epoch(epoch)
        self.include_new_groups()
        self._step_count += 1
        if self._is_initial and self.last_epoch >= 0:  # to continue, however many periods have passed
            self.step_to(self.last_epoch + 1)
        elif epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
            self.set_lrs(self.get_lr())
        else:
            self.step_to(epoch or 0)

    def step_to(self, epoch: float) -> None:
        """Set the rates of an epoch, which may be fractional."""
        self.validate(epoch >= 0, "epoch", "a number of at least 0", epoch)
        self.include_new_groups()
        periods, begin = 0, 0
        if self.T_mult == 1:
            begin = int(epoch // self.T_0) * self.T_0
        elif epoch >= self.T_0:
            periods = int(log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            begin = self.T_0 * (self.T_mult**periods - 1) // (self.T_mult - 1)
        self.T_i, self.T_cur = self.T_0 * self.T_mult**periods, epoch - begin
        self.last_epoch = floor(epoch)
        self.set_lrs(self.get_lr())


class MomentumCycle(LRScheduler):
    """Base class of OneCycleLR and CyclicLR: momentum, or the first of `betas`, falls while the rate rises."""

    cycle_momentum: bool

    def init_momentum(
        self, base_momentum: float | Sequence[float], max_momentum: float | Sequence[float], last_epoch: int
    ) -> None:
        """Write the bounds into the groups. Raises ValueRangeError if the optimizer has no momentum."""
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ValueRangeError(
                f"{type(self).__name__}: cycle_momentum: expected an optimizer with momentum or betas, got "
                f"{type(self.optimizer).__name__}. Pass cycle_momentum=False"
            )
        self.base_momentums = self.per_group("base_momentum", base_momentum)
        self.max_momentums = self.per_group("max_momentum", max_momentum)
        if last_epoch == -1:
            groups = self.optimizer.param_groups
            for group, low, high in zip(groups, self.base_momentums, self.max_momentums):
                group["base_momentum"], group["max_momentum"] = low, high
                self.set_momentum(group, high)

    def include_group(self, group: Group) -> None:
        if self.cycle_momentum:
            for name, values in (
                ("base_momentum", self.base_momentums),
                ("max_momentum", self.max_momentums),
            ):
                values.append(group.setdefault(name, self.shared(name, values)))
        super().include_group(group)

    def set_momentum(self, group: Group, momentum: float) -> None:
        """Set the momentum of a group."""
        if "betas" in self.optimizer.defaults:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class OneCycleLR(MomentumCycle):
    """One cycle: up from max_lr / div_factor to max_lr, then down to 1 / final_div_factor of the initial rate.

    The rise takes the fraction pct_start of all steps. Momentum goes from max_momentum to base_momentum and
    back. `three_phase`: down to the initial rate as fast as up, then to the final one. `total_steps`, or
    `epochs` * `steps_per_epoch`: the number of step() calls, one per batch. anneal_strategy: "cos" or
    "linear". Raises ValueRangeError. Source: Smith, Topin 2018.
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: NonNegative | Sequence[NonNegative],
        total_steps: int | None = None,
        epochs: Count | None = None,
        steps_per_epoch: Count | None = None,
        pct_start: Probability = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: NonNegative | Sequence[NonNegative] = 0.85,
        max_momentum: NonNegative | Sequence[NonNegative] = 0.95,
        div_factor: Positive = 25.0,
        final_div_factor: Positive = 1e4,
        three_phase: bool = False,
        last_epoch: LastEpoch = -1,
    ) -> None:
        self.optimizer = self.validate_optimizer(optimizer)
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueRangeError(
                "OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither"
            )
        self.total_steps = (epochs or 0) * (steps_per_epoch or 0) if total_steps is None else total_steps
        valid = isinstance(self.total_steps, int) and self.total_steps > 0
        self.validate(valid, "total_steps", "an integer above 0", self.total_steps)
        self.validate(0 <= pct_start <= 1, "pct_start", "a number in [0, 1]", pct_start)
        known = ("cos", "linear")
        self.validate(anneal_strategy in known, "anneal_strategy", '"cos" or "linear"', anneal_strategy)
        self._anneal_func_type, self.cycle_momentum = anneal_strategy, cycle_momentum
        peak = float(pct_start * self.total_steps) - 1
        low, high = ("max_momentum", "base_momentum") if cycle_momentum else ("", "")
        phases = [(peak, "initial_lr", "max_lr", low, high)]
        if three_phase:
            phases += [(2.0 * peak, "max_lr", "initial_lr", high, low)]
            phases += [(self.total_steps - 1.0, "initial_lr", "min_lr", low, low)]
        else:
            phases += [(self.total_steps - 1.0, "max_lr", "min_lr", high, low)]
        self._schedule_phases: list[dict[str, Any]] = [dict(zip(PHASE, phase)) for phase in phases]
        max_lrs = self.per_group("max_lr", max_lr)
        if cycle_momentum:
            self.init_momentum(base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, max_lrs):
                group["max_lr"], group["initial_lr"] = lr, lr / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueRangeError(
                f"OneCycleLR.step: expected at most {self.total_steps} calls, got call {step}: the cycle is over. "
                "total_steps is the number of batches in all epochs"
            )
        phases = self._schedule_phases
        last = len(phases) - 1
        i = next((i for i in range(last) if step <= phases[i]["end_step"]), last)
        phase, begin, end = phases[i], phases[i - 1]["end_step"] if i else 0.0, phases[i]["end_step"]
        fraction = (step - begin) / (end - begin) if end != begin else 1.0
        lrs = []
        for group in self.optimizer.param_groups:
            lrs.append(self.interpolate(group[phase["start_lr"]], group[phase["end_lr"]], fraction))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self.set_momentum(group, self.interpolate(*ends, fraction))
        return lrs

    def include_group(self, group: Group) -> None:
        scheduled = self.optimizer.param_groups[: len(self.base_lrs)]
        for name in ("max_lr", "initial_lr", "min_lr"):
            group.setdefault(name, self.shared("max_lr", [other[name] for other in scheduled]))
        super().include_group(group)

    def interpolate(self, start: float, end: float, fraction: float) -> float:
        """The value at a fraction of the way from start to end."""
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (cos(pi * fraction) + 1)
        return start + (end - start) * fraction


PHASE = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")


class CyclicLR(MomentumCycle):
    """Up and down between base_lr and max_lr, linearly; call step() after each batch.

    lr = base_lr + (max_lr - base_lr) * height * scale: height goes from 0 to 1 in step_size_up steps and back
    in step_size_down; scale is 1 ("triangular"), 1 / 2**(cycle - 1) ("triangular2"), gamma**step
    ("exp_range"), or scale_fn of the cycle or of the step, as scale_mode ("cycle", "iterations") says.
    Momentum moves in the opposite direction. Raises ValueRangeError. Source: Smith 2017.
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: NonNegative | Sequence[NonNegative],
        max_lr: NonNegative | Sequence[NonNegative],
        step_size_up: Finite = 2000,
        step_size_down: Finite | None = None,
        mode: str = "triangular",
        gamma: NonNegative = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: NonNegative | Sequence[NonNegative] = 0.8,
        max_momentum: NonNegative | Sequence[NonNegative] = 0.9,
        last_epoch: LastEpoch = -1,
    ) -> None:
        self.optimizer = self.validate_optimizer(optimizer)
        base_lrs = self.per_group("base_lr", base_lr)
        self.max_lrs = self.per_group("max_lr", max_lr)
        self.validate(step_size_up > 0, "step_size_up", "a number of steps above 0", step_size_up)
        down = step_size_up if step_size_down is None else step_size_down
        self.validate(down > 0, "step_size_down", "a number of steps above 0", down)
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        known = ("triangular", "triangular2", "exp_range")
        self.validate(mode in known or scale_fn is not None, "mode", f"one of {known}", mode)
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.validate(
            scale_mode in ("cycle", "iterations"), "scale_mode", '"cycle" or "iterations"', scale_mode
        )
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.init_momentum(base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            self.set_lrs(base_lrs)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def include_group(self, group: Group) -> None:
        base_lr = self.shared("base_lr", self.base_lrs)
        self.max_lrs.append(self.shared("max_lr", self.max_lrs))
        super().include_group(group)
        self.base_lrs[-1] = base_lr

    def scale_fn(self, x: float) -> float:
        """The scale of a cycle, given its number, or of a step."""
        if self._scale_fn_custom is not None:
            scale = self._scale_fn_custom(x)
            if not isinstance(scale, (int, float, np.number, np.ndarray, Tensor)):
                raise DTypeError(
                    f"CyclicLR: scale_fn: expected a function that returns a number, got one that returns "
                    f"{describe(scale)}"
                )
            return float(scale)
        return {"triangular": 1.0, "triangular2": 0.5 ** (x - 1)}.get(self.mode) or self.gamma**x

    def get_lr(self) -> list[float]:
        cycle = floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            groups = self.optimizer.param_groups
            for group, low, high in zip(groups, self.base_momentums, self.max_momentums):
                self.set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs)]
