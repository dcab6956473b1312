"""Operations that reduce axes: sums, means, extremes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod as product
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.convert import conjugated
from tinygrad_dl.op import Case, Domain, Joint, op
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.scan import cumulative_prod
from tinygrad_dl.ops.shape import broadcast_to, expand_dims, flip, permute_dims, reshape
from tinygrad_dl.typing import Axis, DTypeLike, NDArray, Shape

AXES = (Case((2, 3)), Case((2, 3, 4), axis=1), Case((2, 3, 4), axis=(0, -1), keepdims=True), Case(()))


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return axis if isinstance(axis, tuple) else (axis,)


def expand_reduced(g: NDArray, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> NDArray:
    """A reduced value with its reduced axes put back with size 1."""
    if keepdims or not g.ndim:  # without axes it broadcasts as it is
        return g
    return expand_dims(g, tuple(a % len(shape) for a in _axes(axis, len(shape))))


def broadcast_back(g: NDArray, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> NDArray:
    """A reduced value copied along the axes that were reduced."""
    return broadcast_to(expand_reduced(g, shape, axis, keepdims), shape)


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements go into one reduced value."""
    return product(shape[a] for a in _axes(axis, len(shape)))


@op(
    lambda g, x_shape, axis, keepdims: broadcast_back(g, x_shape, axis, keepdims),
    cases=(*AXES, Case((0, 2), axis=0)),
    accumulates=True,
    batch=batching.along,
    jvp="linear",
    math=(r"\sum_i x_i", "g"),
)
def sum(x: NDArray, /, axis: Axis = None, *, dtype: DTypeLike | None = None, keepdims: bool = False) -> Any:
    """The sum of the elements along axes (all of them by default).

    out = x_1 + ... + x_n.   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> sum(np.array([[1, 2], [3, 4]]), axis=0)
    array([4, 6])
    """
    return np.sum(x, axis=axis, dtype=dtype, keepdims=keepdims)


@op(
    lambda g, x_shape, axis, keepdims: broadcast_back(g / count(x_shape, axis), x_shape, axis, keepdims),
    cases=AXES,
    accumulates=True,
    batch=batching.along,
    jvp="linear",
    math=(r"\frac{1}{n} \sum_i x_i", r"\frac{g}{n}"),
)
def mean(x: NDArray, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The mean of the elements along axes (all of them by default).

    out = (x_1 + ... + x_n) / n.   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([2., 3.])
    """
    return np.mean(x, axis=axis, keepdims=keepdims)


def _fast_to_extremes(
    g: NDArray, out: NDArray, x: NDArray, x_shape: Shape, axis: Axis, keepdims: bool
) -> NDArray:
    best = expand_reduced(out, x_shape, axis, keepdims)
    hit = np.equal(x, best)
    if np.count_nonzero(hit) != np.size(best) or np.any(best != best):  # ties or nan
        return _to_extremes(g, out, x, x_shape, axis, keepdims)
    return expand_reduced(g, x_shape, axis, keepdims) * hit


def _to_extremes(g: NDArray, out: NDArray, x: NDArray, x_shape: Shape, axis: Axis, keepdims: bool) -> NDArray:
    best = expand_reduced(out, x_shape, axis, keepdims)
    hit = (x == best) | ((x != x) & (best != best))  # a nan is its own extreme
    return expand_reduced(g, x_shape, axis, keepdims) * hit / sum(hit, axis=axis, keepdims=True)


def _of_extremes(ts: Sequence[Any], out: Any, x: Any, x_shape: Shape, axis: Axis, keepdims: bool) -> Any:
    best = expand_reduced(out, x_shape, axis, keepdims)
    hit = (x == best) | ((x != x) & (best != best))
    return sum(ts[0] * hit, axis=axis, keepdims=keepdims) / sum(hit, axis=axis, keepdims=keepdims)


def _fast_of_extremes(
    ts: Sequence[Any], out: NDArray, x: NDArray, x_shape: Shape, axis: Axis, keepdims: bool
) -> Any:
    hit = np.equal(x, expand_reduced(out, x_shape, axis, keepdims))
    if np.count_nonzero(hit) != np.size(out) or np.any(out != out):  # ties or nan
        return _of_extremes(ts, out, x, x_shape, axis, keepdims)
    axes = _normalized(axis, np.ndim(x))
    last = tuple(range(-len(axes), 0))  # so that what is picked comes in the order of the result
    return np.moveaxis(ts[0], axes, last)[np.moveaxis(hit, axes, last)].reshape(np.shape(out))


@op(
    _to_extremes,
    fast=(_fast_to_extremes,),
    domain=Domain(distinct=True),
    cases=AXES,
    kinks="ties share the gradient evenly",
    batch=batching.along,
    jvp=Joint(_of_extremes, _fast_of_extremes),
    math=(r"\max_i x_i", r"g \cdot \frac{[x_i = \mathrm{out}]}{\sum_j [x_j = \mathrm{out}]}"),
)
def max(x: NDArray, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The largest element along axes (all of them by default); nan if there is one.

    out = max(x_1, ..., x_n).   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> max(np.array([[1, 5], [3, 4]]), axis=0)
    array([3, 5])
    """
    return np.max(x, axis=axis, keepdims=keepdims)


@op(
    _to_extremes,
    fast=(_fast_to_extremes,),
    domain=Domain(distinct=True),
    cases=AXES,
    kinks="ties share the gradient evenly",
    batch=batching.along,
    jvp=Joint(_of_extremes, _fast_of_extremes),
    math=(r"\min_i x_i", r"g \cdot \frac{[x_i = \mathrm{out}]}{\sum_j [x_j = \mathrm{out}]}"),
)
def min(x: NDArray, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The smallest element along axes (all of them by default); nan if there is one.

    out = min(x_1, ..., x_n).   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> min(np.array([[1, 5], [3, 4]]), axis=0)
    array([1, 4])
    """
    return np.min(x, axis=axis, keepdims=keepdims)


def _normalized(axis: Axis, ndim: int) -> tuple[int, ...]:
    return tuple(a % ndim for a in _axes(axis, ndim)) if ndim else ()


def _without_itself(x: NDArray, axis: Axis) -> NDArray:
    """For each element, the product of all the others along the axes: no division, so zeros may be there."""
    axes = _normalized(axis, x.ndim)
    order = (*(a for a in range(x.ndim) if a not in axes), *axes)
    moved = permute_dims(x, order)
    row = reshape(moved, (*moved.shape[: x.ndim - len(axes)], product(moved.shape[x.ndim - len(axes) :])))
    before = cumulative_prod(row, axis=-1, include_initial=True)[..., :-1]
    after = flip(cumulative_prod(flip(row, -1), axis=-1, include_initial=True)[..., :-1], -1)
    others = reshape(before * after, moved.shape)
    return permute_dims(others, tuple(order.index(a) for a in range(x.ndim)))


def _product_rule(g: NDArray, x: NDArray, x_shape: Shape, axis: Axis, keepdims: bool) -> NDArray:
    return expand_reduced(g, x_shape, axis, keepdims) * _without_itself(x, axis) if x_shape else g


def _fast_product_rule(
    g: NDArray, out: NDArray, x: NDArray, x_shape: Shape, axis: Axis, keepdims: bool
) -> NDArray:
    if not np.all(np.isfinite(out)) or not np.all(out):
        return _product_rule(g, x, x_shape, axis, keepdims)
    return expand_reduced(g * out, x_shape, axis, keepdims) / x


def _product_moved(ts: Sequence[Any], x: Any, x_shape: Shape, axis: Axis, keepdims: bool) -> Any:
    return sum(ts[0] * _without_itself(x, axis), axis=axis, keepdims=keepdims) if x_shape else ts[0]


def _fast_product_moved(
    ts: Sequence[Any], out: NDArray, x: NDArray, x_shape: Shape, axis: Axis, keepdims: bool
) -> Any:
    if not np.all(np.isfinite(out)) or not np.all(out):
        return _product_moved(ts, x, x_shape, axis, keepdims)
    return out * sum(ts[0] / x, axis=axis, keepdims=keepdims)


@op(
    _product_rule,
    fast=(_fast_product_rule,),
    cases=(
        *AXES,
        Case(np.array([0.0, 2.0, 3.0])),
        Case(np.array([[0.0, 0.0, 3.0], [1.0, 2.0, 0.0]]), axis=1),
    ),
    accumulates=True,
    batch=batching.along,
    jvp=Joint(_product_moved, _fast_product_moved),
    math=(r"\prod_i x_i", r"g \prod_{j \ne i} x_j"),
)
def prod(x: NDArray, /, axis: Axis = None, *, dtype: DTypeLike | None = None, keepdims: bool = False) -> Any:
    """The product of the elements along axes (all of them by default), differentiable at zeros too.

    out = x_1 * ... * x_n, 1 for no elements.   Shape: without `axis`; with size 1 there if `keepdims`.
    >>> prod(np.array([[1, 2], [3, 4]]), axis=0)
    array([3, 8])
    """
    return np.prod(x, axis=axis, dtype=dtype, keepdims=keepdims)


def _of_variance(t: Any, x: Any, x_shape: Shape, axis: Axis, correction: Any, keepdims: bool) -> Any:
    freedom = count(x_shape, axis) - float(correction)
    return sum(t * conjugated(_centered(x, axis)), axis=axis, keepdims=keepdims) * _divided(2, freedom)


def _of_deviation(
    t: Any, out: Any, x: Any, x_shape: Shape, axis: Axis, correction: Any, keepdims: bool
) -> Any:
    freedom, still = count(x_shape, axis) - float(correction), out == 0
    change = sum(t * conjugated(_centered(x, axis)), axis=axis, keepdims=keepdims)
    return where(still, 0, change / where(still, 1, out)) * _divided(1, freedom)


def _centered(x: NDArray, axis: Axis) -> NDArray:
    return x - mean(x, axis=axis, keepdims=True)


@op(
    lambda g, x, x_shape, axis, correction, keepdims: (
        expand_reduced(g, x_shape, axis, keepdims)
        * conjugated(_centered(x, axis))
        * _divided(2, count(x_shape, axis) - float(correction))
    ),
    cases=(*AXES, Case((4,), correction=1), Case((2, 3), axis=1, correction=0.5)),
    accumulates=True,
    batch=batching.along,
    jvp=(_of_variance,),
    math=(r"\frac{1}{n - c} \sum_i (x_i - \overline{x})^2", r"\frac{2 g}{n - c} (x_i - \overline{x})"),
)
def var(x: NDArray, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False) -> Any:
    """The variance of the elements along axes (all of them by default).

    out = sum_i |x_i - mean|^2 / (n - correction), real.   Shape: without `axis`; with size 1 there if `keepdims`.
    >>> var(np.array([1.0, 3.0]))
    np.float64(1.0)
    """
    return np.var(x, axis=axis, ddof=correction, keepdims=keepdims)


def _divided(x: float, y: float) -> float:
    return x / y if y > 0 else np.nan


def _deviation_rule(
    g: NDArray, out: NDArray, x: NDArray, x_shape: Shape, axis: Axis, correction: float, keepdims: bool
) -> NDArray:
    deviation = expand_reduced(out, x_shape, axis, keepdims)
    # where nothing deviates the derivative, and those of higher order, are taken as 0
    still = deviation == 0
    derivative = where(still, 0, conjugated(_centered(x, axis)) / where(still, 1, deviation))
    return (
        expand_reduced(g, x_shape, axis, keepdims)
        * derivative
        * _divided(1, count(x_shape, axis) - float(correction))
    )


@op(
    _deviation_rule,
    domain=Domain(distinct=True),
    cases=(
        Case((2, 3)),
        Case((2, 3, 4), axis=1),
        Case((2, 3, 4), axis=(0, -1), keepdims=True),
        Case((4,), correction=1),
    ),
    kinks="0 where all elements are equal",
    accumulates=True,
    batch=batching.along,
    jvp=(_of_deviation,),
    math=(
        r"\sqrt{\frac{1}{n - c} \sum_i (x_i - \overline{x})^2}",
        r"\frac{g \, (x_i - \overline{x})}{(n - c) \, \mathrm{out}}",
    ),
)
def std(x: NDArray, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False) -> Any:
    """The standard deviation of the elements along axes (all of them by default).

    out = sqrt(var(x)).   Shape: without `axis`; with size 1 there if `keepdims`.
    >>> std(np.array([1.0, 3.0]))
    np.float64(1.0)
    """
    return np.std(x, axis=axis, ddof=correction, keepdims=keepdims)


@op(None, cases=AXES, batch=batching.along)
def all(x: NDArray, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Whether every element along axes (all of them by default) is true, that is, not 0.

    out = x_1 and ... and x_n, True for no elements.   Shape: without `axis`; with size 1 there if `keepdims`.
    >>> all(np.array([[True, False], [True, True]]), axis=1)
    array([False,  True])
    """
    return np.all(x, axis=axis, keepdims=keepdims)


@op(None, cases=AXES, batch=batching.along)
def any(x: NDArray, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Whether some element along axes (all of them by default) is true, that is, not 0.

    out = x_1 or ... or x_n, False for no elements.   Shape: without `axis`; with size 1 there if `keepdims`.
    >>> any(np.array([[True, False], [False, False]]), axis=1)
    array([ True, False])
    """
    return np.any(x, axis=axis, keepdims=keepdims)


@op(None, cases=AXES, batch=batching.along)
def count_nonzero(x: NDArray, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """How many elements along axes (all of them by default) are not 0.

    out: integers.   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> count_nonzero(np.array([[1, 0], [0, 0]]), axis=1)
    array([1, 0])
    """
    return np.sum(np.not_equal(x, 0), axis=axis, keepdims=keepdims, dtype=np.intp)
