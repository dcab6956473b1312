"""Rows of a table by index: the lookup of an embedding, and the sum that is its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.op import Case, op


@op(
    lambda g, w_shape, indices: scatter_rows(g, indices, w_shape[0]),
    cases=(
        Case((4, 3), np.array([[0, 2], [2, 1]])),
        Case((4, 3), np.array(1)),
        Case((4, 3), np.zeros((0,), int)),
    ),
)
def rows(w: Any, /, indices: Any) -> Any:
    """Rows of a table by index, the lookup of an embedding; gradients of a row that is met repeatedly add up.

    out[...] = w[indices[...]].   w (V, D), indices (...) -> (..., D).
    >>> rows(np.array([[1.0], [2.0]]), np.array([1, 1])).tolist()
    [[2.0], [2.0]]
    """
    return w[indices]


@op(
    lambda g, indices: rows(g, indices),
    cases=(
        Case((2, 2, 3), np.array([[0, 2], [2, 1]]), 4), Case((3,), np.array(1), 4),
        Case((0, 3), np.zeros((0,), int), 4),
    ),
)  # fmt: skip
def scatter_rows(x: Any, /, indices: Any, count: int) -> Any:
    """A table of `count` rows with x added at the indices: the counterpart of rows.

    out = zeros; out[indices[...]] += x[...].   x (..., D), indices (...) -> (count, D).
    >>> scatter_rows(np.array([[1.0], [10.0]]), np.array([1, 1]), 2).tolist()
    [[0.0], [11.0]]
    """
    width = x.shape[-1]
    flat, values = indices.reshape(-1), x.reshape(indices.size, width)
    out = np.zeros((count, width), x.dtype)
    if not flat.size:
        return out
    # Sorted, equal indices are runs. Few of a kind are added in rounds, the first of each run, then the second:
    # within a round no index repeats. Long runs go to reduceat. Both are quicker than np.add.at.
    order = np.argsort(flat, kind="stable")
    met = flat[order]
    starts = np.flatnonzero(np.append(True, met[1:] != met[:-1]))
    lengths = np.diff(np.append(starts, met.size))
    if lengths.max() > 12:
        out[met[starts]] = np.add.reduceat(values[order], starts, axis=0)
        return out
    out[met[starts]] = values[order[starts]]
    for turn in range(1, int(lengths.max())):
        starts, lengths = starts[lengths > turn], lengths[lengths > turn]
        out[met[starts]] += values[order[starts + turn]]
    return out
