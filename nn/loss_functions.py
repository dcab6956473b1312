"""Losses as functions, with PyTorch's arguments: the common ones. They never broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import calls
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.nn.notices import warn_of_softmax
from tinygrad_dl.ops import losses, reduce, special
from tinygrad_dl.ops.losses import check_classes, check_reduction, check_same_shape
from tinygrad_dl.tensor import Tensor, asarray


def as_values(name: str, x: Any, target: Any) -> tuple[Any, Any]:
    """Lists and numbers as Tensors; integer or boolean targets in the dtype of the prediction."""
    x = x if isinstance(x, (Value, np.ndarray)) else asarray(x)
    target = target if isinstance(target, (Value, np.ndarray)) else asarray(target)
    if target.dtype != x.dtype and (target.dtype.kind in "biu" or x.dtype.kind == target.dtype.kind == "f"):
        target = target.astype(x.dtype)
    return x, target


def reduced(loss: Any, reduction: str) -> Any:
    """The mean of the losses, their sum, or all of them."""
    return loss if reduction == "none" else reduce.mean(loss) if reduction == "mean" else reduce.sum(loss)


def mse_loss(x: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """The squared error; with `weight`, a weighted mean.

    loss = (x - target)^2.   x and target of the same shape.
    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """
    check_reduction("mse_loss", reduction)
    x, target = as_values("mse_loss", x, target)
    check_same_shape("mse_loss", x, target)
    if weight is None:
        return losses.squared_error(x, target, reduction=reduction)
    check_same_shape("mse_loss (weight)", x, weight)
    loss = losses.squared_error(x, target, reduction="none") * weight
    return reduced(loss, reduction) if reduction != "mean" else reduce.sum(loss) / reduce.sum(weight)


def cross_entropy(
    x: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """The cross-entropy of the softmax of logits with a class, or with a probability for each class.

    loss_n = -sum_c q_c w_c log softmax(x_n)_c; "mean" divides by the sum of the targets' weights (for class indices).
    x (N, C, ...) or (C,); target (N, ...) of integers, or of x's shape. `ignore_index`: targets that do not count.
    `label_smoothing` e mixes the target with e / C for every class.
    >>> cross_entropy(Tensor([[1000.0, 0.0]]), [1])
    Tensor(1000.)
    """
    check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueRangeError(
            f"cross_entropy: label_smoothing is a fraction, from 0 to 1; {label_smoothing!r} came"
        )
    x = x if isinstance(x, (Value, np.ndarray)) else asarray(x)
    target = target if isinstance(target, (Value, np.ndarray)) else asarray(target)
    warn_of_softmax("cross_entropy", x, ("softmax",), "Pass the logits, without the softmax.")
    if not x.ndim:
        raise ShapeError(
            "cross_entropy: logits of at least one axis, (C,) or (N, C, ...), are needed; () came"
        )
    weights = None if weight is None else calls.asarray_of(weight)
    if weights is not None and weights.shape != (x.shape[1 if x.ndim > 1 else 0],):
        raise ShapeError(f"cross_entropy: weight has the shape {weights.shape}; one number a class is needed")
    if x.shape == target.shape and target.dtype.kind == "f":
        return _with_probabilities(x, target, weights, reduction, label_smoothing)
    if x.ndim == 1:
        check_classes("cross_entropy", x[None], target[None])
        loss = cross_entropy(x[None], target[None], weights, ignore_index, reduction, label_smoothing)
        return loss[0] if reduction == "none" else loss
    check_classes("cross_entropy", x, target)
    return losses.softmax_cross_entropy(
        x,
        target,
        weight=weights,
        reduction=reduction,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )


def _with_probabilities(x: Any, target: Any, weights: Any, reduction: str, label_smoothing: float) -> Any:
    axis = 1 if x.ndim > 1 else 0
    log_p = special.log_softmax(x, axis=axis)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    if weights is not None:
        target = target * weights.reshape(-1, *[1] * (x.ndim - axis - 1))
    loss = -reduce.sum(log_p * target, axis=axis)
    if reduction == "mean":
        count = max(loss.size if isinstance(loss, (Value, np.ndarray)) else 1, 1)
        return reduce.sum(loss) / count
    return reduced(loss, reduction)


def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """The binary cross-entropy of the logistic function s of logits, exact at any size.

    loss = -w (p t log s(x) + (1 - t) log(1 - s(x))).   x and target of the same shape; `weight` w and
    `pos_weight` p (for imbalanced classes) broadcast to it.
    >>> binary_cross_entropy_with_logits(Tensor([-200.0]), Tensor([1.0]))
    Tensor(200.)
    """
    name = "binary_cross_entropy_with_logits"
    check_reduction(name, reduction)
    x, target = as_values(name, x, target)
    check_same_shape(name, x, target)
    warn_of_softmax(name, x, ("sigmoid",), "Pass the logits, without the sigmoid.")
    if weight is None and pos_weight is None:
        return losses.bce_with_logits(x, target, reduction=reduction)
    loss = losses.bce_with_logits(x, target, reduction="none")
    if pos_weight is not None:
        # -t log s(x) counts p times instead of once, and -log s(x) is the loss for the target 1
        loss = loss + (pos_weight - 1) * target * losses.bce_with_logits(x, target * 0 + 1, reduction="none")
    return reduced(loss if weight is None else loss * weight, reduction)
