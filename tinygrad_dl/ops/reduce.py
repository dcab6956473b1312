"""Operations that reduce axes: sums, means, extremes."""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.shape import broadcast_to, expand_dims

AXES = (Case((2, 3)), Case((2, 3, 4), axis=1), Case((2, 3, 4), axis=(0, -1), keepdims=True), Case(()))


def kept(g: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """A reduced value with its reduced axes put back with size 1."""
    if keepdims or axis is None and not g.ndim:
        return g
    axes = range(len(shape)) if axis is None else axis if type(axis) is tuple else (axis,)
    return expand_dims(g, tuple(a % len(shape) for a in axes)) if shape else g


def spread(g: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """A reduced value copied along the axes that were reduced."""
    return broadcast_to(kept(g, shape, axis, keepdims), shape)


def count(shape: tuple[int, ...], axis: Any) -> int:
    """How many elements go into one reduced value."""
    axes = range(len(shape)) if axis is None else axis if type(axis) is tuple else (axis,)
    return product(shape[a] for a in axes)


@op(lambda g, x_shape, axis, keepdims: spread(g, x_shape, axis, keepdims), cases=(*AXES, Case((0, 2), axis=0)))
def sum(x: Any, /, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum of the elements along axes (all of them by default).

    out = x_1 + ... + x_n.   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> sum(np.array([[1, 2], [3, 4]]), axis=0)
    array([4, 6])
    """
    return np.sum(x, axis=axis, dtype=dtype, keepdims=keepdims)


@op(lambda g, x_shape, axis, keepdims: spread(g / count(x_shape, axis), x_shape, axis, keepdims), cases=AXES)
def mean(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The mean of the elements along axes (all of them by default).

    out = (x_1 + ... + x_n) / n.   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([2., 3.])
    """
    return np.mean(x, axis=axis, keepdims=keepdims)


def _to_extremes(g: Any, out: Any, x: Any, x_shape: Any, axis: Any, keepdims: bool) -> Any:
    best = kept(out, x_shape, axis, keepdims)
    hit = (x == best) | ((x != x) & (best != best))  # a nan is its own extreme
    return kept(g, x_shape, axis, keepdims) * hit / sum(hit, axis=axis, keepdims=True)


@op(
    lambda g, out, x, x_shape, axis, keepdims: _to_extremes(g, out, x, x_shape, axis, keepdims),
    domain=Domain(distinct=True),
    cases=AXES,
    kinks="ties share the gradient evenly",
)
def max(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The largest element along axes (all of them by default); nan if there is one.

    out = max(x_1, ..., x_n).   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> max(np.array([[1, 5], [3, 4]]), axis=0)
    array([3, 5])
    """
    return np.max(x, axis=axis, keepdims=keepdims)


@op(
    lambda g, out, x, x_shape, axis, keepdims: _to_extremes(g, out, x, x_shape, axis, keepdims),
    domain=Domain(distinct=True),
    cases=AXES,
    kinks="ties share the gradient evenly",
)
def min(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The smallest element along axes (all of them by default); nan if there is one.

    out = min(x_1, ..., x_n).   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> min(np.array([[1, 5], [3, 4]]), axis=0)
    array([1, 4])
    """
    return np.min(x, axis=axis, keepdims=keepdims)
