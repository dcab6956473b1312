"""ReduceLROnPlateau: a schedule that follows a measured quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, SupportsFloat

from tinygrad_dl.arguments import NonNegative, Size, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.scheduler import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a quantity has not improved for more than `patience` epochs.

    It improves when it is below best * (1 - threshold), with mode="max" above best * (1 + threshold), with
    threshold_mode="abs" beyond best -+ threshold. The next `cooldown` epochs are not counted; no rate falls
    below `min_lr`, or by less than `eps`. Call step(quantity) once per epoch. Raises ValueRangeError.

    >>> from tinygrad_dl import Tensor, optim
    >>> optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.5)
    >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (1.0, 1.0, 1.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.25]
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: NonNegative = 0.1,
        patience: Size = 10,
        threshold: NonNegative = 1e-4,
        threshold_mode: str = "rel",
        cooldown: Size = 0,
        min_lr: NonNegative | Sequence[NonNegative] = 0,
        eps: NonNegative = 1e-8,
    ) -> None:
        self.optimizer = self.validate_optimizer(optimizer)
        self.validate(factor < 1, "factor", "a number below 1", factor)
        self.validate(mode in ("min", "max"), "mode", '"min" or "max"', mode)
        self.validate(threshold_mode in ("rel", "abs"), "threshold_mode", '"rel" or "abs"', threshold_mode)
        self.mode, self.factor, self.patience, self.eps = mode, factor, patience, eps
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lrs = self.per_group("min_lr", min_lr)
        self.best = inf if mode == "min" else -inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = [float(group["lr"]) for group in optimizer.param_groups]

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Record the epoch's quantity, a number or a Tensor of one element, and set the rates."""
        try:
            current = float(metrics) if not isinstance(metrics, (str, bytes)) else None
        except (TypeError, ValueError):
            current = None
        if current is None:
            raise DTypeError(
                f"{type(self).__name__}.step: metrics: expected a number, such as a loss, got {describe(metrics)}"
            )
        if epoch is not None:
            self.validate_epoch(epoch)
        old = [float(group["lr"]) for group in self.optimizer.param_groups]
        while len(self.min_lrs) < len(old):  # groups were added
            self.min_lrs.append(self.shared("min_lr", self.min_lrs))
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            new = [max(lr * self.factor, low) for lr, low in zip(old, self.min_lrs)]
            self.set_lrs([after if before - after > self.eps else before for before, after in zip(old, new)])
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def is_better(self, current: float) -> bool:
        """Whether a quantity improves on the best one by more than the threshold."""
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * current < sign * self.best * (1 - sign * self.threshold)
        return sign * current < sign * self.best - self.threshold

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a `state_dict()`, also PyTorch's."""
        known = vars(self)
        super().load_state_dict({key: value for key, value in state_dict.items() if key in known})
