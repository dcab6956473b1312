"""Norms of weights: what both forms of weight and spectral normalization compute with."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.modes import effect
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Buffer
from tinygrad_dl.ops import reduce
from tinygrad_dl.ops.elementwise import positive
from tinygrad_dl.ops.shape import permute_dims, reshape
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, RandomLike


def slice_norms(v: Tensor, dim: int | None) -> Any:
    """The norms of v's slices along `dim`, or of all of v."""
    axes = None if dim is None else tuple(a for a in range(v.ndim) if a != dim % v.ndim)
    return reduce.sum(v * v, axis=axes, keepdims=dim is not None) ** 0.5


def as_matrix(weight: Array, dim: int) -> Any:
    """The weight as a matrix, `dim` first."""
    # dim 0 is in place already.
    if dim:
        weight = permute_dims(weight, (dim, *[a for a in range(weight.ndim) if a != dim]))
    rows = weight.shape[0]
    return reshape(weight, (rows, weight.size // rows if rows else 0))


def normalized(x: np.ndarray, eps: float) -> np.ndarray:
    """The vector x divided by its norm."""
    # A weight of zeros has no direction; eps avoids dividing by 0.
    return x / max(float(np.linalg.norm(x)), eps)


def power_iteration(
    weight: Tensor, dim: int, u: Tensor, v: Tensor, times: int, eps: float, rows_first: bool = False
) -> None:
    """Move the buffers u and v toward the first singular vectors of the weight as a matrix, in place.

    v is computed from u first, or with `rows_first` u from v.
    """
    effect(_power_iteration, weight, dim, u, v, times, eps, rows_first, changes=(u, v))


def _power_iteration(
    weight: Tensor, dim: int, u: Tensor, v: Tensor, times: int, eps: float, rows_first: bool
) -> None:
    matrix = as_matrix(weight._data, dim)
    if rows_first:
        matrix, u, v = matrix.T, v, u
    for _ in range(times):
        v._data[...] = normalized(matrix.T @ u._data, eps)
        u._data[...] = normalized(matrix @ v._data, eps)


def divide_by_sigma(weight: Array, dim: int, u: Tensor, v: Tensor) -> Any:
    """The weight divided by the singular value that belongs to u and v."""
    # Copies, because the buffers change in place before a backward pass may read them.
    return weight / reduce.sum((as_matrix(weight, dim) @ positive(v)) * positive(u))


def random_unit_vector(size: int, like: Tensor, eps: float, rng: RandomLike) -> Buffer:
    """A random unit vector in the dtype of a weight."""
    return Buffer(normalized(default_rng(rng).standard_normal(size), eps).astype(like.dtype))


def output_axis(module: Module) -> int:
    """The axis of a weight that counts outputs: the first, or the second in transposed convolutions."""
    return int(any(kind.__name__.startswith("ConvTranspose") for kind in type(module).__mro__))
