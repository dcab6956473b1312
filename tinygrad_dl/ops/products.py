"""Products of matrices as BLAS does them soonest."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_dl.backend import aligned

SMALL, THREADED = 1 << 12, 1 << 18  # elements; multiplications from which OpenBLAS works on several cores
MANY, NARROW = 1 << 8, 1 << 3  # rows; columns


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of two matrices; BLAS writes a large one more quickly where it begins with a line of the cache."""
    if a.size <= SMALL or a.size * b.shape[1] < THREADED or a.dtype != b.dtype:
        return a.dot(b)
    return a.dot(b, aligned((a.shape[0], b.shape[1]), a.dtype))


def mapped(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows @ matrix; many rows of a few columns lie column by column, as all that follows goes along them sooner."""
    if len(rows) < MANY or matrix.shape[1] > NARROW or len(matrix) > 3 * NARROW:
        return dot(rows, matrix)
    return matrix.T.dot(rows.T).T


@lru_cache(maxsize=16)
def ones(shape: Any, dtype: Any) -> np.ndarray:
    """An array of ones, the same for all callers alike."""
    array = np.ones(shape, dtype)
    array.flags.writeable = False
    return array


def sum_rows(matrix: np.ndarray) -> np.ndarray:
    """The sum of the rows, as a product with ones: `add.reduce` strides, and takes several times as long."""
    return ones(len(matrix), matrix.dtype).dot(matrix)
