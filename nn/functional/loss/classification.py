"""Classification losses as functions, with PyTorch's arguments. They never broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Probability
from tinygrad_dl.convert import values_of
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.kernels.losses import check_classes
from tinygrad_dl.modes import check_values
from tinygrad_dl.nn.functional.loss.arguments import (
    as_value,
    class_indices,
    class_weights,
    constant,
    elementwise_weight,
    fixed_weights,
    named_reduction,
    paired,
    reduced,
)
from tinygrad_dl.nn.warnings import warn_of_softmax
from tinygrad_dl.ops import losses
from tinygrad_dl.ops.activations import log_sigmoid, log_softmax, softplus
from tinygrad_dl.ops.elementwise import astype, where
from tinygrad_dl.ops.index import take, take_along_axis
from tinygrad_dl.ops.linear import linear
from tinygrad_dl.ops.logic import equal, not_equal
from tinygrad_dl.ops.losses import check_reduction
from tinygrad_dl.ops.reduce import mean, sum
from tinygrad_dl.ops.shape import expand_dims, reshape, squeeze
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike


def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: Probability = 0.0,
) -> Tensor:
    """The cross-entropy of the softmax of logits with a class, or with a probability for each class.

    loss_n = -sum_c q_c w_c log softmax(input_n)_c; "mean" divides by the sum of the weights of the classes.
    input (N, C, ...) or (C,); target (N, ...) of integers, or of input's shape. `ignore_index`: a target that
    does not count. `label_smoothing` e mixes the target with e / C for every class.
    >>> cross_entropy([[1000.0, 0.0]], [1])
    Tensor(1000.)
    """
    name = "cross_entropy"
    reduction = named_reduction(name, size_average, reduce, reduction)
    check_reduction(name, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueRangeError(f"{name}: expected label_smoothing from 0 to 1, got {label_smoothing!r}")
    x, y = as_value(input), as_value(target)
    warn_of_softmax(name, x, ("softmax",), "Pass the logits, without the softmax.")
    shape = x.shape
    if not shape:
        raise ShapeError(f"{name}: expected logits of shape (C,) or (N, C, ...), got a scalar")
    weights = None if weight is None else class_weights(name, weight, x, shape[1 if len(shape) > 1 else 0])
    if shape == y.shape and y.dtype.kind == "f":
        if ignore_index >= 0:
            raise ValueRangeError(
                f"{name}: ignore_index is for targets of classes, got ignore_index={ignore_index} with probabilities. "
                "Set the probabilities of what does not count to 0."
            )
        return _with_probabilities(x, y, weights, reduction, label_smoothing)
    weights = fixed_weights(name, weights)
    # In func.vmap each example may have weights of its own, which are no input of the operation.
    one_by_one = isinstance(weights, Value) and weights.level is not None
    loss_of: Any = _each_with_weights if one_by_one else losses.softmax_cross_entropy
    single = len(shape) == 1
    loss = loss_of(
        x[None] if single else x, y[None] if single else y, weight=weights, reduction=reduction,
        ignore_index=ignore_index, label_smoothing=label_smoothing,
    )  # fmt: skip
    return loss[0] if single and reduction == "none" else loss


@each_example
def _each_with_weights(x: Any, y: Any, *, weight: Any, **options: Any) -> Any:
    return losses.softmax_cross_entropy(x, y, weight=constant(weight, x.dtype), **options)


def _with_probabilities(
    x: Array, target: Array, weights: Array | None, reduction: str, label_smoothing: float
) -> Any:
    axis = 1 if x.ndim > 1 else 0
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    if weights is not None:
        target = target * weights.reshape(-1, *[1] * (x.ndim - axis - 1))
    loss = -sum(log_softmax(x, axis=axis) * target, axis=axis)
    return reduced(loss, reduction)


def linear_cross_entropy(
    input: Array,
    linear_weight: Array,
    target: ArrayLike,
    *,
    linear_bias: Array | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: Probability = 0.0,
    options: Any = None,
) -> Tensor:
    """The cross-entropy of the logits from a linear map of the input.

    loss = cross_entropy(input @ linear_weight.T + linear_bias, target).   input (N, in) or (in,),
    linear_weight (C, ..., in), linear_bias (C, ...). `options` tells PyTorch how to save memory; it changes no value
    and is accepted for that reason.
    >>> linear_cross_entropy(np.array([[1.0]]), np.array([[0.0], [1000.0]]), np.array([0]))
    np.float64(1000.0)
    """
    if len(linear_weight.shape) < 2:
        raise ShapeError(
            f"linear_cross_entropy: expected linear_weight of shape (C, ..., in), got {linear_weight.shape}"
        )
    classes, *others, features = linear_weight.shape
    count = classes
    for size in others:
        count *= size
    bias = None if linear_bias is None else reshape(linear_bias, (count,))
    # One product for all trailing axes of the classes.
    logits = linear(input, reshape(linear_weight, (count, features)), bias)
    if others:
        logits = reshape(logits, (*input.shape[:-1], classes, *others))
    ignored = -100 if ignore_index is None else ignore_index
    single = input.ndim == 1 and bool(others)
    if single:  # without a batch, but with several axes of targets
        logits, target = expand_dims(logits, 0), as_value(target)[None]
    loss = cross_entropy(
        logits, target, weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing
    )
    return loss[0] if single and reduction == "none" else loss


def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of classes, from log-probabilities.

    loss_n = -w[t] * input[n, t]; "mean" divides by the sum of the w[t].   input (N, C, ...) or (C,); target (N, ...).
    >>> nll_loss(np.log([[0.5, 0.5]]), np.array([1])).round(4)
    np.float64(0.6931)
    """
    reduction = named_reduction("nll_loss", size_average, reduce, reduction)
    name = "nll_loss"
    check_reduction(name, reduction)
    x, y = as_value(input), as_value(target)
    if not x.ndim:
        raise ShapeError(f"{name}: expected log-probabilities of shape (C,) or (N, C, ...), got a scalar")
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: expected floating log-probabilities, got {x.dtype}")
    weights = class_weights(name, weight, x, x.shape[1 if x.ndim > 1 else 0])
    if x.ndim == 1:
        loss = nll_loss(x[None], y[None], weights, ignore_index=ignore_index, reduction=reduction)
        return loss[0] if reduction == "none" else loss
    check_classes(name, x, y)
    index = class_indices(name, y, x.shape[1], ignore_index)
    counted = not_equal(index, ignore_index)
    # An ignored index may be out of range; class 0 stands in for it, with weight 0.
    safe = where(counted, index, 0)
    share = astype(where(counted, 1 if weights is None else take(weights, safe, axis=0), 0), x.dtype)
    picked = squeeze(take_along_axis(x, expand_dims(safe, 1), axis=1), axis=1)
    loss = where(counted, -picked * share, 0)
    if reduction != "mean":
        return reduced(loss, reduction)
    # An array and no number, so that operations that follow can be recorded.
    total = sum(share, keepdims=True)
    # Without a counted target the mean is 0 / 0, nan, as in PyTorch.
    return sum(loss / astype(where(equal(total, 0), np.nan, total), x.dtype))


def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The binary cross-entropy of probabilities; for logits use binary_cross_entropy_with_logits, which is exact.

    loss = -w (t log x + (1 - t) log(1 - x)), with logarithms clamped to at least -100.   input and target
    of the same shape;
    `weight` broadcasts to it. Raises ValueRangeError for an input outside of [0, 1].
    >>> binary_cross_entropy([0.5], [1.0])
    Tensor(0.6931472)
    """
    reduction = named_reduction("binary_cross_entropy", size_average, reduce, reduction)
    name = "binary_cross_entropy"
    x, y = paired(name, input, target, reduction)
    check_values(_check_probabilities, values_of(x), name)
    factor = None if weight is None else elementwise_weight(name, "weight", weight, x)
    loss = losses.binary_cross_entropy(x, y)
    return reduced(loss if factor is None else loss * factor, reduction)


def _check_probabilities(values: np.ndarray, name: str) -> None:
    # The logarithm would turn logits into nan without saying why.
    if ((values < 0) | (values > 1)).any():
        raise ValueRangeError(
            f"{name}: expected probabilities from 0 to 1, got values from {values.min():g} to {values.max():g}. "
            "For logits use binary_cross_entropy_with_logits."
        )


def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: ArrayLike | None = None,
) -> Tensor:
    """The binary cross-entropy of the logistic function s of logits, accurate at any magnitude.

    loss = -w (p t log s(x) + (1 - t) log(1 - s(x))).   input and target of the same shape; `weight` w and
    `pos_weight` p (for imbalanced classes) broadcast to it.
    >>> binary_cross_entropy_with_logits([-200.0], [1.0])
    Tensor(200.)
    """
    reduction = named_reduction("binary_cross_entropy_with_logits", size_average, reduce, reduction)
    name = "binary_cross_entropy_with_logits"
    x, y = paired(name, input, target, reduction)
    warn_of_softmax(name, x, ("sigmoid",), "Pass the logits, without the sigmoid.")
    if weight is None and pos_weight is None:
        return losses.bce_with_logits(x, y, reduction=reduction)
    loss = losses.bce_with_logits(x, y, reduction="none")
    if pos_weight is not None:
        # -t log s(x) counts p times instead of once
        loss = loss + (elementwise_weight(name, "pos_weight", pos_weight, x) - 1) * y * -log_sigmoid(x)
    if weight is not None:
        loss = loss * elementwise_weight(name, "weight", weight, x)
    return reduced(loss, reduction)


def soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The logistic loss of scores for targets -1 and 1.

    loss = log(1 + e^(-target * input)).   input and target of the same shape.
    >>> soft_margin_loss([0.0], [1.0])
    Tensor(0.6931472)
    """
    reduction = named_reduction("soft_margin_loss", size_average, reduce, reduction)
    x, y = paired("soft_margin_loss", input, target, reduction)
    return reduced(softplus(-y * x, threshold=float("inf")), reduction)


def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The binary cross-entropy of logits for several labels, averaged over the labels.

    loss_n = mean_c -w_c (t log s(x) + (1 - t) log(1 - s(x))).   input and target (N, C) or (C,); weight (C,).
    >>> multilabel_soft_margin_loss([[0.0, 0.0]], [[1.0, 0.0]])
    Tensor(0.6931472)
    """
    reduction = named_reduction("multilabel_soft_margin_loss", size_average, reduce, reduction)
    x, y = paired("multilabel_soft_margin_loss", input, target, reduction)
    loss = losses.bce_with_logits(x, y, reduction="none")
    if weight is not None:
        loss = loss * elementwise_weight("multilabel_soft_margin_loss", "weight", weight, x)
    return reduced(mean(loss, axis=-1), reduction)
