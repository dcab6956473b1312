"""The distinct values of an array."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.arguments import explained
from tinygrad_dl.graph import Value
from tinygrad_dl.ops.index import getitem
from tinygrad_dl.ops.shape import reshape, value_of
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import ArrayLike


class UniqueAll(NamedTuple):
    """What unique_all returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What unique_counts returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What unique_inverse returns."""

    values: Any
    inverse_indices: Any


@explained
def unique_all(x: ArrayLike, /) -> UniqueAll:
    """The distinct values in order, where each occurs first, which one each element is, and how many of each.

    values (K,), indices (K,) into the flattened x, inverse_indices of x's shape: values[inverse_indices] = x,
    counts (K,). Each nan counts as distinct. The gradient of a value goes to its first occurrence.
    >>> unique_all(np.array([2, 1, 2])).counts
    array([1, 2])
    """
    x = value_of(x)
    data = x._data if isinstance(x, Value) else x
    _, indices, inverse, counts = np.unique(
        data, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    values = getitem(reshape(x, (-1,)), indices)
    found = (indices, inverse.reshape(data.shape), counts)
    return UniqueAll(values, *(map(convert.wrap, found) if isinstance(x, Value) else found))


@explained
def unique_counts(x: ArrayLike, /) -> UniqueCounts:
    """The distinct values in order, and how many of each there are; see unique_all.

    Shapes: values (K,), counts (K,).
    >>> unique_counts(np.array([2, 1, 2])).values
    array([1, 2])
    """
    every = unique_all(x)
    return UniqueCounts(every.values, every.counts)


@explained
def unique_inverse(x: ArrayLike, /) -> UniqueInverse:
    """The distinct values in order, and which of them each element is; see unique_all.

    Shapes: values (K,), inverse_indices that of x; values[inverse_indices] = x.
    >>> unique_inverse(np.array([2, 1, 2])).inverse_indices
    array([1, 0, 1])
    """
    every = unique_all(x)
    return UniqueInverse(every.values, every.inverse_indices)


@composed
@explained
def unique_values(x: ArrayLike, /) -> Any:
    """The distinct values in order; see unique_all.

    Shape: (K,).
    >>> unique_values(np.array([2, 1, 2]))
    array([1, 2])
    """
    return unique_all(x).values
