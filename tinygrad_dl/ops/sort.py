"""Sorting and searching: order, positions of extremes, and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tinygrad_dl import batching, convert
from tinygrad_dl.arguments import explained
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.index import take_along_axis
from tinygrad_dl.ops.shape import reshape, value_of
from tinygrad_dl.typing import ArrayLike, NDArray, Shape

ORDERED = (
    Case((5,)), Case((2, 3), axis=0), Case((2, 3, 4), axis=1, descending=True), Case((0,)),
    Case((4,), stable=False), Case((2, 3), axis=None), Case((2, 3), axis=None, descending=True),
)  # fmt: skip
PLACES = (
    Case((5,)),
    Case((2, 3), axis=0),
    Case((2, 3, 4), axis=-1, keepdims=True),
    Case((2, 3), keepdims=True),
)


def _order(x: NDArray, axis: int | None, descending: bool, stable: bool) -> NDArray:
    if axis is None:
        x, axis = x.reshape(-1), 0
    kind: Any = "stable" if stable else "quicksort"
    if not descending:
        return np.argsort(x, axis=axis, kind=kind)
    # turned around twice, so that equal elements keep their order
    size = x.shape[axis]
    return size - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind=kind), axis)


def _in_order(t: Any, axis: Any, order: Any) -> Any:
    return take_along_axis(reshape(t, (-1,)) if axis is None else t, order, axis=0 if axis is None else axis)


def _places(call: batching.Call) -> Any:
    out = batching.along_one(call) if call.options["axis"] is not None else None
    if out is not None:
        return out
    flat = call.inputs[0].reshape((call.size, int(np.prod(call.shape(), dtype=int))))
    out = call.run(flat, axis=1, keepdims=False)
    return out.reshape((call.size, *(1,) * len(call.shape()))) if call.options["keepdims"] else out


def _put_back(g: NDArray, x_shape: Shape, axis: int | None, order: NDArray) -> NDArray:
    places = argsort(order, axis=0 if axis is None else axis)
    return reshape(take_along_axis(g, places, axis=0 if axis is None else axis), x_shape)


def _put_in_order(g: NDArray, x_shape: Shape, axis: int | None, order: NDArray) -> NDArray:
    out = np.empty_like(g)
    np.put_along_axis(out, order, g, 0 if axis is None else axis)
    return out.reshape(x_shape)


@op(
    _put_back,
    fast=(_put_in_order,),
    cached=("order",),
    domain=Domain(distinct=True),
    cases=ORDERED,
    kinks="equal elements keep their order, each its own gradient",
    batch=batching.along_one,
    jvp=(_in_order,),
    math=(r"x_{\pi_i} \text{ in order}", r"g_{\pi^{-1}_i}"),
)
def sort(x: NDArray, /, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order along an axis, nan last; `stable` keeps the order of equal ones.

    out_1 <= out_2 <= ..., or >= if `descending`.   Shape: same as x; with axis=None those of the flattened x,
    (N,). Raises AxisError without the axis.
    >>> sort(np.array([3, 1, 2]))
    array([1, 2, 3])
    """
    order = _order(x, axis, descending, stable)
    return np.take_along_axis(x, order, axis), order


@op(None, domain=Domain(distinct=True), cases=ORDERED, batch=batching.along_one)
def argsort(x: NDArray, /, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Any:
    """The indices that put the elements in order along an axis.

    take_along_axis(x, out, axis) = sort(x, axis).   Shape: same as x; (N,) with axis=None, of the flattened x.
    Raises AxisError without the axis.
    >>> argsort(np.array([3, 1, 2]))
    array([1, 2, 0])
    """
    return _order(x, axis, descending, stable)


@op(None, domain=Domain(distinct=True), cases=PLACES, batch=_places)
def argmax(x: NDArray, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the largest element along an axis, the first of equals; by default of the flattened x.

    x[out] = max(x).   Shape: without `axis`; 1 there if `keepdims`. Raises ShapeError for no elements.
    >>> argmax(np.array([[1, 5], [3, 4]]), axis=0)
    array([1, 0])
    """
    return np.argmax(x, axis=axis, keepdims=keepdims)


@op(None, domain=Domain(distinct=True), cases=PLACES, batch=_places)
def argmin(x: NDArray, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the smallest element along an axis, the first of equals; by default of the flattened x.

    x[out] = min(x).   Shape: without `axis`; 1 there if `keepdims`. Raises ShapeError for no elements.
    >>> argmin(np.array([[1, 5], [3, 4]]), axis=0)
    array([0, 1])
    """
    return np.argmin(x, axis=axis, keepdims=keepdims)


def _search_hint(x: NDArray, values: NDArray, side: str, sorter: NDArray | None) -> str | None:
    return (
        f"expected a sorted array with one axis, (N,), got shape {np.shape(x)}" if np.ndim(x) != 1 else None
    )


@op(
    None,
    None,
    hint=_search_hint,
    cases=(
        Case(np.array([0.0, 1.0, 2.0]), (2, 3)), Case(np.array([0.0, 1.0]), np.array([1.0]), side="right"),
        Case(np.array([2.0, 0.0, 1.0]), (4,), sorter=np.array([1, 2, 0])),
    ),
    batch=lambda call: call.run(*call.inputs) if not call.batched[0] else None,
)  # fmt: skip
def searchsorted(
    x: NDArray, values: NDArray, /, *, side: Literal["left", "right"] = "left", sorter: NDArray | None = None
) -> Any:
    """Where values would be put into a sorted array so that it stays sorted.

    "left": x[out-1] < value <= x[out]; "right": x[out-1] <= value < x[out].   Shape: of `values`, x (N,).
    >>> searchsorted(np.array([1, 3, 5]), np.array([3, 6]))
    array([1, 3])
    """
    return np.searchsorted(x, values, side=side, sorter=sorter)


@explained
def nonzero(x: ArrayLike, /) -> tuple[Any, ...]:
    """The indices of the elements that are not 0, an array for each axis, so that x[nonzero(x)] are these.

    Shapes: (K,) each, for K such elements. Raises ShapeError for a value without axes.
    >>> nonzero(np.array([[0, 7], [8, 0]]))
    (array([0, 1]), array([1, 0]))
    """
    x = value_of(x)
    if not x.ndim:
        raise ShapeError("nonzero: expected at least one axis, got shape (). Use reshape(x, (1,)) first.")
    if isinstance(x, Value):
        return tuple(convert.wrap(positions) for positions in np.nonzero(x._data))
    return np.nonzero(x)


@explained
def where_safe(condition: ArrayLike, f: Callable[..., Any], x: ArrayLike, other: ArrayLike, /) -> Any:
    """f(x) where the condition holds, `other` elsewhere; f sees only the x of where it holds.

    out = f(x) if condition else other. With where(condition, f(x), other) an infinite or nan derivative of f
    would spoil the gradient at positions not taken too (0 * inf); here they are filled with another x before f,
    which works element by element.   Shapes broadcast together.
    >>> from tinygrad_dl import Tensor, sqrt
    >>> where_safe(Tensor([False, True]), sqrt, Tensor([-1.0, 4.0]), 0.0)
    Tensor([0., 2.])
    """
    condition, x = value_of(condition), value_of(x)
    taken = np.asarray(condition._data if isinstance(condition, Value) else condition, bool)
    values = x._data if isinstance(x, Value) else x
    mask, filled = np.broadcast_arrays(taken, values)
    if not mask.any():
        return where(condition, x, other)
    # one of the values taken: the only ones of which it is known that f can be computed there
    inside = filled[mask].flat[0]
    return where(condition, f(where(condition, x, inside)), other)
