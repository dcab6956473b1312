"""Indexing and assignment: picking elements out, and putting them in."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import IndexRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.op import Case, op


def plain_key(key: Any) -> Any:
    """An index with arrays in the place of Tensors and lists."""
    if type(key) is tuple:
        return tuple(plain_key(k) for k in key)
    if isinstance(key, Value):
        data = key._data
        if data.dtype.kind not in "iub":
            raise IndexRangeError(f"indexing: integers, slices or booleans are needed; an array of {data.dtype} came")
        return int(data) if data.ndim == 0 and data.dtype.kind in "iu" else data
    return np.asarray(key, dtype=None if len(key) else int) if type(key) is list else key


def is_basic(key: Any) -> bool:
    """Whether a key picks every element at most once, and so may be written without adding up."""
    parts = key if type(key) is tuple else (key,)
    return all(
        k is None or k is Ellipsis or isinstance(k, (int, slice, np.integer, bool)) or getattr(k, "dtype", None) == bool
        for k in parts
    )


@op(
    lambda g, x_shape, key: place(g, key, x_shape),
    cases=(
        Case((4, 3), 1), Case((4, 3), (slice(None, None, -2), None, Ellipsis)), Case((4, 3), np.array([0, 0, 2])),
        Case((4, 3), (slice(1, 3), np.array([2, 2]))), Case((3,), np.array([True, False, True])), Case((), ()),
        Case((4, 3, 2), (np.array([0, 1, 0]), slice(None), np.array([1, 1, 1]))),
    ),
)  # fmt: skip
def getitem(x: Any, /, key: Any) -> Any:
    """The elements that an index picks: integers, slices, None, Ellipsis, integer arrays, masks, mixed.

    out = x[key]; the gradients of an element picked repeatedly add up.   Shape: as NumPy's indexing gives it.
    >>> getitem(np.array([1, 2, 3]), slice(1, None))
    array([2, 3])
    """
    return x[key]


@op(
    lambda g, key: getitem(g, key),
    cases=(
        Case((2, 3), slice(1, 3), (4, 3)), Case((3, 3), np.array([0, 0, 2]), (4, 3)),
        Case((2,), np.array([True, False, True]), (3,)),
    ),
)  # fmt: skip
def place(x: Any, /, key: Any, shape: Any) -> Any:
    """Zeros of the given shape with x added at an index: the counterpart of getitem.

    out = zeros(shape); out[key] += x, repeated indices adding up.   Shape: `shape`.
    >>> place(np.array([1, 10]), np.array([0, 0]), (3,))
    array([11,  0,  0])
    """
    out = np.zeros(shape, x.dtype)
    if is_basic(key):
        out[key] = x
    else:
        np.add.at(out, key, x)
    return out


@op(
    lambda g, key: setitem(g, 0, key),
    lambda g, key: getitem(g, key),
    cases=(Case((4, 3), (2, 3), slice(1, 3)), Case((4, 3), (), 2), Case((3,), (2,), np.array([0, 2]))),
)
def setitem(x: Any, value: Any, /, key: Any) -> Any:
    """A copy of x with a value put in at an index, as `x[key] = value` does it.

    Shape: same as x; the value broadcasts to that of x[key].
    >>> setitem(np.array([1, 2, 3]), 0, 1)
    array([1, 0, 3])
    """
    out = np.array(x)
    out[key] = value
    return out
