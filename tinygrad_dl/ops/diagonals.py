"""Operations on diagonals: taking them out, laying them down, summing them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import explained, refuse_huge
from tinygrad_dl.errors import AxisError, ShapeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.matmul import operand
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import ArrayLike, DTypeLike, NDArray, ShapeLike


def _diagonal_all(call: batching.Call) -> Any:
    axis1, axis2 = batching.axes_of(call, (call.options["axis1"], call.options["axis2"]))
    return call.run(*call.inputs, axis1=axis1, axis2=axis2)


def _from_diagonal_all(call: batching.Call) -> Any:
    shape = tuple(call.options["shape"])
    axis1, axis2 = batching.axes_of(call, (call.options["axis1"], call.options["axis2"]), len(shape))
    return call.run(*call.inputs, shape=(call.size, *shape), axis1=axis1, axis2=axis2)


@op(
    lambda g, x_shape, offset, axis1, axis2: from_diagonal(g, x_shape, offset, axis1, axis2),
    cases=(
        Case((2, 3)),
        Case((4, 2, 3), 1, -2, -1),
        Case((3, 2, 3), -1, 0, 2),
        Case((2, 2), 5),
        Case((0, 2)),
    ),
    batch=_diagonal_all,
    jvp="linear",
    math=(r"x_{i, \, i + k}", r"g_i \cdot [j = i + k]"),
)
def diagonal(x: NDArray, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the matrices in two axes; `offset` above (or, negative, below) the main one.

    out[..., i] = x[i, i + offset, ...].   Shape: without the two axes, the diagonal last.
    >>> diagonal(np.array([[1, 2], [3, 4]]))
    array([1, 4])
    """
    return np.diagonal(x, offset, axis1, axis2)


@op(
    lambda g, offset, axis1, axis2: diagonal(g, offset, axis1, axis2),
    cases=(
        Case((2,), (2, 3), 0, 0, 1),
        Case((4, 2), (4, 2, 3), 1, -2, -1),
        Case((2, 2), (3, 2, 3), -1, 0, 2),
    ),
    batch=_from_diagonal_all,
    jvp="linear",
    math=(r"x_i \cdot [j = i + k]", r"g_{i, \, i + k}"),
)
def from_diagonal(x: NDArray, /, shape: ShapeLike, offset: int, axis1: int, axis2: int) -> Any:
    """Zeros of the given shape with x laid on a diagonal: the counterpart of diagonal.

    diagonal(out, offset, axis1, axis2) = x.   Shape: `shape`.
    >>> from_diagonal(np.array([1, 2]), (2, 2), 0, 0, 1)
    array([[1, 0],
           [0, 2]])
    """
    refuse_huge("from_diagonal", "shape", shape)
    out = np.zeros(shape, x.dtype)
    lines = np.diagonal(out, offset, axis1, axis2)
    lines.flags.writeable = True  # a view of `out`, which nothing else refers to yet
    lines[...] = x
    return out


@composed
@explained
def diag(x: ArrayLike, /, k: int = 0) -> Any:
    """A matrix with the vector x on its diagonal; of a matrix, its diagonal.

    x (N) -> (N + |k|, N + |k|); x (M, N) -> its k-th diagonal. Raises ShapeError for other numbers of axes.
    >>> diag(np.array([1, 2]))
    array([[1, 0],
           [0, 2]])
    """
    x = operand("diag", x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {x.shape}. See diagonal.")
    n = x.shape[0] + abs(k)
    return from_diagonal(x, (n, n), k, 0, 1)


@composed
@explained
def trace(
    x: ArrayLike, /, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dtype: DTypeLike | None = None
) -> Any:
    """The sum of the diagonal of the matrices in two axes.

    out = sum_i x[i, i + offset, ...].   Shape: without the two axes. Raises AxisError for fewer.
    >>> trace(np.array([[1, 2], [3, 4]]))
    np.int64(5)
    """
    x = operand("trace", x)
    if x.ndim < 2:
        raise AxisError(f"trace: expected at least two axes, got shape {x.shape}")
    return sum(diagonal(x, offset, axis1, axis2), axis=-1, dtype=dtype)
