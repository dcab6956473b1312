"""Margin losses as functions, with PyTorch's arguments. They never broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tinygrad_dl.arguments import Positive, Real
from tinygrad_dl.convert import beside
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import effect
from tinygrad_dl.nn.functional.distance import pairwise_distance
from tinygrad_dl.nn.functional.loss.arguments import (
    as_value,
    class_indices,
    class_weights,
    constant,
    integers,
    named_reduction,
    paired,
    reduced,
)
from tinygrad_dl.ops.accumulate import accumulating
from tinygrad_dl.ops.activations import relu
from tinygrad_dl.ops.elementwise import minimum, where
from tinygrad_dl.ops.index import take, take_along_axis
from tinygrad_dl.ops.logic import equal, not_equal
from tinygrad_dl.ops.losses import check_reduction, check_same_shape
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.rounding import clip
from tinygrad_dl.ops.shape import expand_dims, reshape
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike


def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: Real = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The hinge loss of a ranking: the first score should exceed the second (target 1), or the reverse (target -1).

    loss = max(0, -target * (input1 - input2) + margin).   All of the same shape.
    >>> margin_ranking_loss([1.0], [3.0], [1.0])
    Tensor(2.)
    """
    reduction = named_reduction("margin_ranking_loss", size_average, reduce, reduction)
    x1, x2 = paired("margin_ranking_loss", input1, input2, reduction)
    x1, y = paired("margin_ranking_loss", x1, target, reduction)
    return reduced(clip(-y * (x1 - x2) + margin, 0), reduction)


def hinge_embedding_loss(
    input: ArrayLike,
    target: ArrayLike,
    margin: Real = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The loss of distances of pairs that belong together (target 1) or not (target -1).

    loss = input where target is 1, max(0, margin - input) where it is -1.   input and target of the same shape.
    >>> hinge_embedding_loss([0.5, 0.5], [1.0, -1.0], reduction="none")
    Tensor([0.5, 0.5])
    """
    reduction = named_reduction("hinge_embedding_loss", size_average, reduce, reduction)
    x, y = paired("hinge_embedding_loss", input, target, reduction)
    apart = where(y != 1, clip(margin - x, 0), 0)
    return reduced(apart + where(y != -1, x, 0), reduction)


def _angles(name: str, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> tuple[Any, Any, Any]:
    x1, x2, y = as_value(input1), as_value(input2), as_value(target)
    check_same_shape(name, x1, x2)
    if x1.ndim not in (1, 2) or y.shape != x1.shape[:-1]:
        raise ShapeError(
            f"{name}: expected inputs (N, D) with a target (N,), or inputs (D,) with a target (), "
            f"got {x1.shape} and {y.shape}"
        )
    return x1, x2, y


def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: Real = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The loss of vectors that should point in the same direction (target 1) or not (target -1).

    loss = 1 - cos where target is 1, max(0, cos - margin) where it is -1.   inputs (N, D) or (D,), target (N,) or ().
    >>> cosine_embedding_loss([[1.0, 0.0]], [[0.0, 1.0]], [1])
    Tensor(1.)
    """
    reduction = named_reduction("cosine_embedding_loss", size_average, reduce, reduction)
    check_reduction("cosine_embedding_loss", reduction)
    x1, x2, y = _angles("cosine_embedding_loss", input1, input2, target)
    # Inside the root, as in PyTorch, so that the derivative is finite at zero vectors.
    eps = 1e-12
    dot = sum(x1 * x2, axis=-1)
    square1, square2 = sum(x1 * x1, axis=-1) + eps, sum(x2 * x2, axis=-1) + eps
    cos = dot / (square1 * square2) ** 0.5
    kind = constant(y, None)
    loss = where(equal(kind, 1), 1 - cos, where(equal(kind, -1), clip(cos - margin, 0), 0))
    return reduced(loss, reduction)


@accumulating
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: Literal[1, 2] = 1,
    margin: Real = 1.0,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The hinge loss for several classes: every other score should be lower than the target's by a margin.

    loss_n = sum_{i != t} w[t] * max(0, margin - input[t] + input[i])^p / C, p 1 or 2.   input (N, C) or (C,).
    >>> multi_margin_loss([[1.0, 0.5]], [0])
    Tensor(0.25)
    """
    reduction = named_reduction("multi_margin_loss", size_average, reduce, reduction)
    name = "multi_margin_loss"
    check_reduction(name, reduction)
    if p not in (1, 2):
        raise ValueRangeError(f"{name}: expected p to be 1 or 2, got {p!r}")
    x, y = as_value(input), as_value(target)
    if x.ndim not in (1, 2) or y.shape != x.shape[:-1]:
        if not (x.ndim == 1 and y.shape == (1,)):
            raise ShapeError(f"{name}: expected input (N, C) and target (N,), got {x.shape} and {y.shape}")
    classes = x.shape[-1]
    index = reshape(class_indices(name, y, classes), x.shape[:-1])
    weights = class_weights(name, weight, x, classes)
    own = expand_dims(index, -1)
    target_score = take_along_axis(x, own, axis=-1)
    # The target's own score does not count against itself.
    other = not_equal(beside(x, np.arange(classes)), own)
    loss = relu(margin - target_score + x)
    loss = where(other, loss if p == 1 else loss * loss, 0)
    if weights is not None:
        loss = loss * take(weights, own, axis=0)
    return reduced(sum(loss, axis=-1) / classes, reduction)


@each_example
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The hinge loss for several labels: the scores of labels should exceed all others by 1.

    loss_n = sum_{j in labels, i not in labels} max(0, 1 - input[j] + input[i]) / C.   input and target (N, C) or
    (C,); a row of the target lists labels and ends at its first -1.
    >>> multilabel_margin_loss([[0.5, 0.0]], [[0, -1]])
    Tensor(0.25)
    """
    reduction = named_reduction("multilabel_margin_loss", size_average, reduce, reduction)
    name = "multilabel_margin_loss"
    check_reduction(name, reduction)
    x, y = as_value(input), as_value(target)
    check_same_shape(name, x, y)
    index = integers(name, "target", y)
    classes = x.shape[-1] if x.ndim else 1
    if not classes:
        raise ShapeError(f"multilabel_margin_loss: expected at least one class, got the shape {x.shape}")
    if not x.ndim:
        x = x.reshape((1,))
    labels, counted = effect(_listed_labels, index, classes)
    scores = take_along_axis(x, labels, axis=-1)
    pairs = relu(1 - scores[..., :, None] + x[..., None, :])
    return reduced(sum(where(counted, pairs, 0), axis=(-2, -1)) / classes, reduction)


def _listed_labels(index: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The listed labels, with class 0 in place of what follows the first -1, and which pairs (label, other) count."""
    index = np.atleast_1d(index)
    listed = np.logical_and.accumulate(index >= 0, axis=-1)
    if (index >= classes).any():
        raise IndexRangeError(
            f"multilabel_margin_loss: expected target classes from 0 to {classes - 1}, got a class outside of that "
            "range"
        )
    safe = np.where(listed, index, 0)
    is_label = np.zeros(index.shape, bool)
    # .at accumulates: a label may be listed twice.
    np.logical_or.at(is_label, (*np.indices(safe.shape)[:-1], safe), listed)
    return safe, listed[..., :, None] & ~is_label[..., None, :]


def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: Positive = 1.0,
    p: Real = 2.0,
    eps: Real = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The anchor should be closer to the positive example than to the negative one, by a margin.

    loss = max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of the difference.   All (N, D)
    or (D,). `swap`: the negative's distance to the positive counts, if it is smaller.   Source: Schroff 2015.
    >>> triplet_margin_loss([[0.0]], [[2.0]], [[2.5]], eps=0.0)
    Tensor(0.5)
    """
    reduction = named_reduction("triplet_margin_loss", size_average, reduce, reduction)

    def distance(x: Array, y: Array) -> Tensor:
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: Positive = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """triplet_margin_loss with a custom distance; by default pairwise_distance."""
    name = "triplet_margin_loss"
    distance = pairwise_distance if distance_function is None else distance_function
    anchor, positive = paired(name, anchor, positive, reduction)
    anchor, negative = paired(name, anchor, negative, reduction)
    if margin <= 0:
        raise ValueRangeError(f"{name}: expected margin above 0, got {margin!r}")
    d_positive, d_negative = distance(anchor, positive), distance(anchor, negative)
    if swap:
        d_negative = minimum(d_negative, distance(positive, negative))
    return reduced(clip(d_positive - d_negative + margin, 0), reduction)
