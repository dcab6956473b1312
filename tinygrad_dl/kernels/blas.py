"""Products of matrices as BLAS does them soonest."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.introspect import opt_func_info

from tinygrad_dl.backend import aligned

SMALL = 1 << 12  # elements of a first matrix up to which it does not matter where the result begins
THREADED = 1 << 18  # multiplications up to which OpenBLAS works on one core
MANY, NARROW = 1 << 8, 1 << 3  # rows; columns

# OpenBLAS's kernels for products of up to KERNEL multiplications take down to half the time of its others, but do not
# take a second matrix that lies column by column, as w.T does. One of up to TURNED elements is copied first.
KERNEL, TURNED = 10**6, 3 << 12


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of two matrices; BLAS writes a large one more quickly where it begins with a line of the cache."""
    multiplications = a.size * b.shape[1]
    if multiplications > THREADED and a.dtype == b.dtype:
        if multiplications <= KERNEL and b.size <= TURNED and _has_small_kernels():
            b = np.ascontiguousarray(b)
        if a.size > SMALL:
            return a.dot(b, aligned((a.shape[0], b.shape[1]), a.dtype))
    return a.dot(b)


def turned(w: np.ndarray, count: int) -> np.ndarray:
    """w.T, by which `count` rows are multiplied, some at a time: for many it is copied first, as in `dot`."""
    return w.T.copy() if count >= MANY else w.T


@lru_cache(maxsize=1)
def _has_small_kernels() -> bool:
    """Whether OpenBLAS has kernels for small products here: where NumPy, too, chose its loops for AVX-512."""
    chosen = opt_func_info("^maximum$", "float32").get("maximum", {}).values()
    return any(kind["current"].startswith(("AVX512", "X86_V4")) for kind in chosen)


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
