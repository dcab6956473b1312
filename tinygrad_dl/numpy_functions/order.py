"""NumPy's functions that sort, search and count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.numpy_functions.table import Data, Kind, choice, no_fields, permission, raw, stands_for
from tinygrad_dl.ops import join, logic, sets, sort
from tinygrad_dl.ops.index import take, take_along_axis
from tinygrad_dl.ops.shape import reshape, value_of
from tinygrad_dl.typing import ArrayLike, NDArray

KINDS = (None, "quicksort", "mergesort", "heapsort", "stable")


def _stable(what: str, kind: Kind, order: str | None, stable: bool | None) -> bool:
    no_fields(what, order)
    choice(what, "kind", kind, KINDS)
    if kind is not None and stable is not None:
        raise ValueRangeError(f"{what}: expected kind or stable, not both")
    # each kind gives the same values, and stable order is one that the others may give
    return True


@stands_for(np.sort)
def sort_(
    a: Data, axis: int | None = -1, kind: Kind = None, order: str | None = None, stable: bool | None = None
) -> Any:
    return sort.sort(value_of(a), axis=axis, stable=_stable("np.sort", kind, order, stable))


@stands_for(np.argsort)
def argsort(
    a: Data, axis: int | None = -1, kind: Kind = None, order: str | None = None, stable: bool | None = None
) -> Any:
    if _stable("np.argsort", kind, order, stable) and kind in (None, "quicksort") and not stable:
        return convert.wrap(np.argsort(np.asarray(raw(a)), axis, kind))
    return sort.argsort(value_of(a), axis=axis)


def _partition(
    what: str, a: ArrayLike, kth: int | Sequence[int], axis: int | None, kind: str, order: str | None
) -> Any:
    no_fields(what, order)
    choice(what, "kind", kind, ("introselect",))
    data = np.asarray(raw(a))
    return np.argpartition(data, kth, axis)


@stands_for(np.partition)
def partition(
    a: Data,
    kth: int | Sequence[int],
    axis: int | None = -1,
    kind: str = "introselect",
    order: str | None = None,
) -> Any:
    places = _partition("np.partition", a, kth, axis, kind, order)
    return take_along_axis(value_of(a), places, axis=axis)


@stands_for(np.argpartition)
def argpartition(
    a: Data,
    kth: int | Sequence[int],
    axis: int | None = -1,
    kind: str = "introselect",
    order: str | None = None,
) -> Any:
    return convert.wrap(_partition("np.argpartition", a, kth, axis, kind, order))


@stands_for(np.searchsorted)
def searchsorted(
    a: Data, v: Data, side: Literal["left", "right"] = "left", sorter: NDArray | None = None
) -> Any:
    choice("np.searchsorted", "side", side, ("left", "right"))
    return sort.searchsorted(value_of(a), v, side=side, sorter=sorter)


@stands_for(np.digitize)
def digitize(x: Data, bins: Data, right: bool = False) -> Any:
    return convert.wrap(np.digitize(raw(x), raw(bins), right))


@stands_for(np.nonzero)
def nonzero(a: Data) -> Any:
    return sort.nonzero(a)


@stands_for(np.argwhere)
def argwhere(a: Data) -> Any:
    return convert.wrap(np.argwhere(np.asarray(raw(a))))


@stands_for(np.flatnonzero)
def flatnonzero(a: Data) -> Any:
    return sort.nonzero(reshape(value_of(a), (-1,)))[0]


@stands_for(np.isin)
def isin(
    element: Data,
    test_elements: Data,
    assume_unique: bool = False,
    invert: bool = False,
    kind: str | None = None,
) -> Any:
    permission("np.isin", assume_unique=assume_unique)
    choice("np.isin", "kind", kind, (None, "sort", "table"))
    return logic.isin(element, test_elements, invert=invert)


@stands_for(np.unique)
def unique(
    ar: Data, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    permission("np.unique", sorted=sorted)  # in order in any case
    x = value_of(ar)
    _, places, inverse, counts = np.unique(raw(x), True, True, True, axis, equal_nan=equal_nan)
    values = take(reshape(x, (-1,)), places) if axis is None else take(x, places, axis=axis)
    parts = [values]
    for part, wanted in ((places, return_index), (inverse, return_inverse), (counts, return_counts)):
        if wanted:
            parts.append(convert.wrap(part) if isinstance(x, Value) else part)
    return parts[0] if len(parts) == 1 else tuple(parts)


@stands_for(getattr(np, "unique_all", None))
def unique_all(x: Data) -> Any:
    return sets.unique_all(x)


@stands_for(getattr(np, "unique_counts", None))
def unique_counts(x: Data) -> Any:
    return sets.unique_counts(x)


@stands_for(getattr(np, "unique_inverse", None))
def unique_inverse(x: Data) -> Any:
    return sets.unique_inverse(x)


@stands_for(getattr(np, "unique_values", None))
def unique_values(x: Data) -> Any:
    return sets.unique_values(x)


@stands_for(np.union1d)
def union1d(ar1: Data, ar2: Data) -> Any:
    return unique(join.concat([reshape(value_of(x), (-1,)) for x in (ar1, ar2)]))
