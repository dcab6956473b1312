"""Losses as modules."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.nn import loss_functions as functions
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Buffer
from tinygrad_dl.ops.losses import check_reduction
from tinygrad_dl.tensor import Tensor


def _buffer(value: Any) -> Buffer | None:
    return None if value is None else Buffer(value)


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction


class MSELoss(_Loss):
    """The mean squared error; for regression.

    loss = mean((x - target)^2).   x and target of the same shape.
    >>> MSELoss()(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions x."""
        return functions.mse_loss(x, target, self.reduction)


class CrossEntropyLoss(_Loss):
    """The cross-entropy of the softmax of logits; for one class out of several.

    See nn.functional.cross_entropy for formula, shapes and options.
    >>> CrossEntropyLoss()(Tensor([[1000.0, 0.0]]), Tensor([1]))
    Tensor(1000.)
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index, self.label_smoothing = _buffer(weight), ignore_index, label_smoothing

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of logits x."""
        return functions.cross_entropy(
            x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class BCEWithLogitsLoss(_Loss):
    """The binary cross-entropy of the logistic function of logits; for yes or no, one answer or several.

    See nn.functional.binary_cross_entropy_with_logits for formula, shapes and options.
    >>> BCEWithLogitsLoss()(Tensor([-200.0]), Tensor([1.0]))
    Tensor(200.)
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = _buffer(weight), _buffer(pos_weight)

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of logits x."""
        return functions.binary_cross_entropy_with_logits(
            x, target, self.weight, self.reduction, self.pos_weight
        )
