"""Distances and similarities between vectors, and vectors scaled to unit length."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import NonNegative, Real
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.nn.functional.loss.arguments import as_value
from tinygrad_dl.ops.accumulate import accumulating
from tinygrad_dl.ops.elementwise import abs, where
from tinygrad_dl.ops.join import broadcast_arrays
from tinygrad_dl.ops.reduce import max, sum
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike


@accumulating
def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: NonNegative = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`.

    out = x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)).   x1 and x2 broadcast.
    >>> cosine_similarity(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])).round(4).tolist()
    [0.7071]
    """
    x1, x2 = broadcast_arrays(as_value(x1), as_value(x2))
    norms = []
    for x in (x1, x2):
        square = sum(x * x, axis=dim, keepdims=True)
        # The root has an infinite derivative at 0, so it is taken of 1 where eps replaces the norm.
        small = square <= eps * eps
        norms.append(where(small, eps, where(small, 1, square) ** 0.5))
    # Each vector is divided by its own norm: the product of two large norms could overflow.
    return sum(x1 / norms[0] * (x2 / norms[1]), axis=dim)  # type: ignore[return-value]


def _how_many(size: Any, dim: int, keepdim: bool) -> Any:
    """The norm for p = 0, the number of nonzero elements, which has derivative 0."""
    return sum(where(size == 0, size, 1), axis=dim, keepdims=keepdim)


@accumulating
def pairwise_distance(
    x1: ArrayLike, x2: ArrayLike, p: Real = 2.0, eps: Real = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of the difference of vectors along the last axis.

    out = (sum |x1 - x2 + eps|^p)^(1/p).   x1 and x2 broadcast.
    >>> pairwise_distance(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), eps=0.0).tolist()
    [5.0]
    """
    size = abs(as_value(x1) - as_value(x2) + eps)
    if p == float("inf"):
        return max(size, axis=-1, keepdims=keepdim)
    if p == 1:
        return sum(size, axis=-1, keepdims=keepdim)
    if p == 0:
        return _how_many(size, -1, keepdim)
    total = sum(size**p, axis=-1, keepdims=keepdim)
    # The root has an infinite derivative at 0; equal vectors get gradient 0.
    zero = total == 0
    return where(zero, 0, where(zero, 1, total) ** (1 / p))


def pdist(input: Array, p: Real = 2.0) -> Tensor:
    """The p-norm distances between all pairs of rows, in the order (0, 1), (0, 2), ..., (1, 2), ...

    input (N, D) -> (N (N - 1) / 2,).   Raises ShapeError.
    >>> pdist(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).round(4).tolist()
    [5.0, 1.0, 4.2426]
    """
    if input.ndim != 2:
        raise ShapeError(f"pdist: expected rows of shape (N, D), got {input.shape}")
    first, second = np.triu_indices(input.shape[0], 1)
    return pairwise_distance(input[first], input[second], p, 0.0)  # eps 0, as in PyTorch's pdist


@accumulating
def normalize(input: Array, p: Real = 2.0, dim: int = 1, eps: NonNegative = 1e-12) -> Tensor:
    """Vectors along `dim` divided by their p-norm, or by eps where that is smaller.

    >>> normalize(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    size = abs(input)
    if p == float("inf"):
        norm = max(size, axis=dim, keepdims=True)
    elif p == 0:
        norm = _how_many(size, dim, True)
    else:
        total = sum(size**p, axis=dim, keepdims=True)
        norm = where(total == 0, 0, where(total == 0, 1, total) ** (1 / p))
    divisor: Any = where(norm < eps, eps, norm)
    return input / divisor
