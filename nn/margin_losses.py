"""Losses that ask for a margin, as functions, with PyTorch's arguments. They never broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl.errors import IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.nn.loss_arguments import as_value, constant, named_reduction, paired, reduced
from tinygrad_dl.nn.regression_losses import pairwise_distance
from tinygrad_dl.ops.activations import relu
from tinygrad_dl.ops.elementwise import minimum, where
from tinygrad_dl.ops.index import take_along_axis
from tinygrad_dl.ops.losses import check_reduction, check_same_shape
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.rounding import clip


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """How far the first score fails to beat the second (target 1), or the second the first (target -1).

    loss = max(0, -target * (input1 - input2) + margin).   All of the same shape.
    >>> margin_ranking_loss([1.0], [3.0], [1.0])
    Tensor(2.)
    """
    reduction = named_reduction("margin_ranking_loss", size_average, reduce, reduction)
    input1, input2 = paired("margin_ranking_loss", input1, input2, reduction)
    input1, target = paired("margin_ranking_loss", input1, target, reduction)
    return reduced(clip(-target * (input1 - input2) + margin, 0), reduction)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """For distances of pairs that belong together (target 1) or not (target -1).

    loss = input where target is 1, max(0, margin - input) where it is -1.   input and target of the same shape.
    >>> hinge_embedding_loss([0.5, 0.5], [1.0, -1.0], reduction="none")
    Tensor([0.5, 0.5])
    """
    reduction = named_reduction("hinge_embedding_loss", size_average, reduce, reduction)
    input, target = paired("hinge_embedding_loss", input, target, reduction)
    apart = where(target != 1, clip(margin - input, 0), 0)
    return reduced(apart + where(target != -1, input, 0), reduction)


def _angles(name: str, input1: Any, input2: Any, target: Any) -> tuple[Any, Any, Any]:
    input1, input2, target = as_value(input1), as_value(input2), as_value(target)
    check_same_shape(name, input1, input2)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise ShapeError(
            f"{name}: inputs (N, D) with a target (N,), or inputs (D,) with a target (), are needed; "
            f"{input1.shape} and {target.shape} came"
        )
    return input1, input2, target


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """For vectors that should point the same way (target 1) or not (target -1).

    loss = 1 - cos where target is 1, max(0, cos - margin) where it is -1.   inputs (N, D) or (D,), target (N,) or ().
    >>> cosine_embedding_loss([[1.0, 0.0]], [[0.0, 1.0]], [1])
    Tensor(1.)
    """
    reduction = named_reduction("cosine_embedding_loss", size_average, reduce, reduction)
    check_reduction("cosine_embedding_loss", reduction)
    input1, input2, target = _angles("cosine_embedding_loss", input1, input2, target)
    eps = 1e-12
    dot = sum(input1 * input2, axis=-1)
    square1, square2 = sum(input1 * input1, axis=-1) + eps, sum(input2 * input2, axis=-1) + eps
    cos = dot / (square1 * square2) ** 0.5
    kind = constant(target, np.int64)
    loss = where(kind == 1, 1 - cos, where(kind == -1, clip(cos - margin, 0), 0))
    return reduced(loss, reduction)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The hinge loss for several classes: every other score should stay a margin below that of the class.

    loss_n = sum_{i != t} w[t] * max(0, margin - input[t] + input[i])^p / C, p 1 or 2.   input (N, C) or (C,).
    >>> multi_margin_loss([[1.0, 0.5]], [0])
    Tensor(0.25)
    """
    reduction = named_reduction("multi_margin_loss", size_average, reduce, reduction)
    name = "multi_margin_loss"
    check_reduction(name, reduction)
    if p not in (1, 2):
        raise ValueRangeError(f"{name}: p is 1 or 2; {p!r} came")
    input, target = as_value(input), as_value(target)
    if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
        if not (input.ndim == 1 and target.shape == (1,)):
            raise ShapeError(
                f"{name}: input (N, C) with a target (N,) is needed; {input.shape} and {target.shape} came"
            )
    index = constant(target, np.int64).reshape(input.shape[:-1])
    classes = input.shape[-1]
    if ((index < 0) | (index >= classes)).any():
        raise IndexRangeError(f"{name}: the target holds a class outside of 0 to {classes - 1}")
    right = take_along_axis(input, index[..., None], axis=-1)
    other = np.arange(classes) != index[..., None]
    loss = relu(margin - right + input)
    loss = where(other, loss if p == 1 else loss * loss, 0)
    if weight is not None:
        loss = loss * constant(weight, input.dtype)[index][..., None]
    return reduced(sum(loss, axis=-1) / classes, reduction)


def multilabel_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """The hinge loss for several labels: scores of labels should stay 1 above all others.

    loss_n = sum_{j in labels, i not in labels} max(0, 1 - input[j] + input[i]) / C.   input and target (N, C) or
    (C,); a row of the target lists labels and ends at its first -1.
    >>> multilabel_margin_loss([[0.5, 0.0]], [[0, -1]])
    Tensor(0.25)
    """
    reduction = named_reduction("multilabel_margin_loss", size_average, reduce, reduction)
    name = "multilabel_margin_loss"
    check_reduction(name, reduction)
    input, target = as_value(input), as_value(target)
    check_same_shape(name, input, target)
    index = constant(target, np.int64)
    classes = input.shape[-1] if input.ndim else 1
    if not input.ndim:
        input, index = input.reshape((1,)), index.reshape(1)
    listed = np.logical_and.accumulate(index >= 0, axis=-1)
    if (index >= classes).any():
        raise IndexRangeError(f"{name}: the target holds a class outside of 0 to {classes - 1}")
    safe = np.where(listed, index, 0)
    is_label = np.zeros(input.shape, bool)
    np.logical_or.at(is_label, (*np.indices(safe.shape)[:-1], safe), listed)
    scores = take_along_axis(input, safe, axis=-1)
    pairs = relu(1 - scores[..., :, None] + input[..., None, :])
    counted = listed[..., :, None] & ~is_label[..., None, :]
    return reduced(sum(where(counted, pairs, 0), axis=(-2, -1)) / classes, reduction)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The anchor should lie nearer to the positive example than to the negative one, by a margin.

    loss = max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of the difference.   All (N, D)
    or (D,). `swap`: the negative's distance to the positive counts, if it is smaller.   Source: Schroff 2015.
    >>> triplet_margin_loss([[0.0]], [[2.0]], [[2.5]], eps=0.0)
    Tensor(0.5)
    """
    reduction = named_reduction("triplet_margin_loss", size_average, reduce, reduction)

    def distance(x: Any, y: Any) -> Any:
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Any:  # fmt: skip
    """triplet_margin_loss with a distance of one's own; by default pairwise_distance."""
    name = "triplet_margin_loss"
    distance = pairwise_distance if distance_function is None else distance_function
    anchor, positive = paired(name, anchor, positive, reduction)
    anchor, negative = paired(name, anchor, negative, reduction)
    if margin <= 0:
        raise ValueRangeError(f"{name}: margin is above 0; {margin!r} came")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clip(near - far + margin, 0), reduction)
