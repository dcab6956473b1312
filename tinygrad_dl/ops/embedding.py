"""Rows of a table by index: the lookup of an embedding, and the sum that is its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Size
from tinygrad_dl.batching import Call
from tinygrad_dl.kernels import scatter
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.shape import moveaxis
from tinygrad_dl.typing import NDArray


def _rows_all(call: Call) -> Any:
    return call.inputs[0][:, call.options["indices"]]


def _scatter_all(call: Call) -> Any:
    # The examples lie side by side in longer rows.
    x, size = moveaxis(call.inputs[0], 0, -2), call.size
    width = x.shape[-1]
    long = call.run(x.reshape((*x.shape[:-2], size * width)))
    return moveaxis(long.reshape((long.shape[0], size, width)), 1, 0)


@op(
    lambda g, w_shape, indices: scatter_rows(g, indices, w_shape[0]),
    cases=(
        Case((4, 3), np.array([[0, 2], [2, 1]])),
        Case((4, 3), np.array(1)),
        Case((4, 3), np.zeros((0,), int)),
    ),
    batch=_rows_all,
    jvp="linear",
    math=("w_{k_i}", r"\sum_{i \, : \, k_i = j} g_i"),
)
def rows(w: NDArray, /, indices: NDArray) -> Any:
    """Rows of a table by index, the lookup of an embedding; gradients of a row that is looked up repeatedly add up.

    out[...] = w[indices[...]].   w (V, D), indices (...) -> (..., D).
    >>> rows(np.array([[1.0], [2.0]]), np.array([1, 1])).tolist()
    [[2.0], [2.0]]
    """
    return w[indices]


@op(
    lambda g, indices: rows(g, indices),
    kernel=scatter.scatter_rows,
    cases=(
        Case((2, 2, 3), np.array([[0, 2], [2, 1]]), 4), Case((3,), np.array(1), 4),
        Case((0, 3), np.zeros((0,), int), 4),
    ), accumulates=True,
    batch=_scatter_all, jvp="linear",
    math=(r"\sum_{i \, : \, k_i = j} x_i", "g_{k_i}"),
)  # fmt: skip
def scatter_rows(x: NDArray, /, indices: NDArray, count: Size) -> Any:
    """A table of `count` rows with the rows of x added at the indices: the transpose of rows.

    out = zeros; out[indices[...]] += x[...].   x (..., D), indices (...) -> (count, D).
    >>> scatter_rows(np.array([[1.0], [10.0]]), np.array([1, 1]), 2).tolist()
    [[0.0], [11.0]]
    """
    out = np.zeros((count, x.shape[-1]), x.dtype)
    np.add.at(out, indices, x)
    return out
