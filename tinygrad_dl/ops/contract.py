"""Operations that multiply and sum over axes: matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.shape import expand_dims, permute_dims


def matrix_transpose_of(x: Any) -> Any:
    """The last two axes swapped; arrays and Tensors alike."""
    return x.mT


def _matmul_hint(x: Any, y: Any) -> str | None:
    a, b = np.shape(x), np.shape(y)
    if not a or not b:
        return f"{a} @ {b}: both need at least one axis. Multiply by a number with *."
    second = b[-2] if len(b) > 1 else b[-1]
    which = "second-to-last of the second" if len(b) > 1 else "size of the second"
    if a[-1] != second:
        return (
            f"{a} @ {b}: the last size of the first ({a[-1]}) must equal the {which} ({second}). Transpose one of them?"
        )
    return f"{a} @ {b}: the sizes in front of the last two, {a[:-2]} and {b[:-2]}, do not broadcast. Reshape one of them?"


def _to_left(g: Any, y: Any, x_shape: Any) -> Any:
    if y.ndim == 1:
        return expand_dims(g, -1) * y if len(x_shape) > 1 else g * y
    if len(x_shape) == 1:
        return matmul(y, expand_dims(g, -1))[..., 0]
    return matmul(g, matrix_transpose_of(y))


def _to_right(g: Any, x: Any, y_shape: Any) -> Any:
    if x.ndim == 1:
        return expand_dims(x, -1) * expand_dims(g, -2) if len(y_shape) > 1 else x * g
    if len(y_shape) == 1:
        return matmul(matrix_transpose_of(x), expand_dims(g, -1))[..., 0]
    return matmul(matrix_transpose_of(x), g)


@op(
    _to_left,
    _to_right,
    cases=(
        Case((2, 3), (3, 4)), Case((3,), (3,)), Case((3,), (3, 2)), Case((2, 3), (3,)), Case((2, 1, 2, 3), (4, 3, 2)),
        Case((3,), (2, 3, 4)), Case((2, 4, 3), (3,)), Case((0, 3), (3, 2)), Case((2, 0), (0, 3)),
    ),
    label="@",
    hint=_matmul_hint,
    ufunc=np.matmul,
)  # fmt: skip
def matmul(x: Any, y: Any, /) -> Any:
    """The matrix product, over leading axes that broadcast; a vector counts as a row (left) or column (right).

    out[..., i, j] = sum_k x[..., i, k] * y[..., k, j].   x (..., N, K), y (..., K, M) -> (..., N, M).
    >>> matmul(np.array([[1, 2]]), np.array([[3], [4]]))
    array([[11]])
    """
    return np.matmul(x, y)
