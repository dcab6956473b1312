"""Linear algebra: the array API standard's `linalg`, and NumPy's functions beyond it."""

from __future__ import annotations

from typing import Any

from numpy.linalg import LinAlgError

from tinygrad_dl.arguments import explained
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.ops.diagonals import diagonal as diagonal_in
from tinygrad_dl.ops.diagonals import trace as trace_in
from tinygrad_dl.ops.linalg import check_matrix, det, inv, matrix_power, slogdet, solve
from tinygrad_dl.ops.matmul import cross, matmul, matrix_transpose, multi_dot, operand, tensordot, vecdot
from tinygrad_dl.ops.matmul import outer as outer_of_all
from tinygrad_dl.ops.norms import cond, lstsq, matrix_norm, matrix_rank, norm, pinv, vector_norm
from tinygrad_dl.ops.spectral import eig, eigh, eigvals, eigvalsh, svd, svdvals
from tinygrad_dl.ops.triangular import cholesky, qr
from tinygrad_dl.signatures import composed

__all__ = [
    "LinAlgError", "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "inv", "lstsq", "matmul", "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot",
    "norm", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip


@composed
@explained
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of matrices; `offset` above (or, negative, below) the main one.

    out[..., i] = x[..., i, i + offset].   x (..., M, N) -> (..., K). Raises MatrixError for fewer axes.
    >>> diagonal([[1, 2], [3, 4]])
    Tensor([1, 4])
    """
    x = operand("diagonal", x)
    check_matrix("diagonal", x)
    return diagonal_in(x, offset, -2, -1)


@composed
@explained
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of the diagonal of matrices; `offset` above (or, negative, below) the main one.

    out = sum_i x[..., i, i + offset].   x (..., M, N) -> (...). Raises MatrixError for fewer than two axes.
    >>> trace([[1, 2], [3, 4]])
    Tensor(5)
    """
    x = operand("trace", x)
    check_matrix("trace", x)
    return trace_in(x, offset, -2, -1, dtype=dtype)


@composed
@explained
def outer(x: Any, y: Any, /) -> Any:
    """The products of all elements of one vector with all of another.

    out[i, j] = x[i] * y[j].   x (M), y (N) -> (M, N). Raises ShapeError unless both have one axis.
    >>> outer([1, 2], [3, 4])
    Tensor([[3, 4],
            [6, 8]])
    """
    x, y = operand("outer", x), operand("outer", y)
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(
            f"outer: expected two vectors, got {x.shape} and {y.shape}. tinygrad_dl.outer flattens them."
        )
    return outer_of_all(x, y)
