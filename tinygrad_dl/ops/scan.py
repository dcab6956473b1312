"""Operations that run along an axis: cumulative sums and products, recurrences, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import Bounds, checked
from tinygrad_dl.errors import AxisError
from tinygrad_dl.op import Case, Domain, Joint, op
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.logic import not_equal
from tinygrad_dl.ops.shape import axis_of, broadcast_to, flip, moveaxis, value_of
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import ArrayLike, DTypeLike, NDArray, Scalar

Times = Annotated[int, Bounds(least=0)]
ALONG = (
    Case((4,)), Case((2, 3), axis=0), Case((2, 3, 4), axis=-2), Case((0, 2), axis=0),
    Case((3,), include_initial=True), Case((2, 3), axis=1, include_initial=True),
)  # fmt: skip


def _the_axis(axis: int | None, ndim: int, name: str) -> int:
    if axis is None:
        if ndim > 1:
            raise AxisError(f"{name}: which axis? An array with {ndim} axes needs axis=")
        return 0
    return int(axis)


def _with_initial(x: NDArray, axis: int, value: Scalar) -> NDArray:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (1, 0)
    return np.pad(x, widths, constant_values=value)


def _from_the_end(g: NDArray, axis: int | None, include_initial: bool) -> NDArray:
    axis = 0 if axis is None else axis
    sums = flip(cumulative_sum(flip(g, axis), axis=axis), axis)
    return _leaving_first(sums, axis) if include_initial else sums


def _leaving_first(x: NDArray, axis: int) -> NDArray:
    return x[(slice(None),) * (axis % x.ndim) + (slice(1, None),)]


def _leaving_last(x: NDArray, axis: int) -> NDArray:
    return x[(slice(None),) * (axis % x.ndim) + (slice(None, -1),)]


@op(
    lambda g, axis, include_initial: _from_the_end(g, axis, include_initial),
    cases=ALONG,
    accumulates=True,
    batch=batching.along_one,
    jvp="linear",
    math=(r"\sum_{j \le i} x_j", r"\sum_{j \ge i} g_j"),
)
def cumulative_sum(
    x: NDArray, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Any:
    """The sums of the first elements along an axis, which may be left out for one axis only.

    out_k = x_1 + ... + x_k.   Shape: same as x; with `include_initial` one more along `axis`, a 0 in front.
    >>> cumulative_sum(np.array([1, 2, 3]))
    array([1, 3, 6])
    """
    axis = _the_axis(axis, np.ndim(x), "cumulative_sum")
    sums = np.cumsum(x, axis=axis, dtype=dtype)
    return _with_initial(sums, axis, 0) if include_initial else sums


def _earlier(y: NDArray) -> NDArray:
    """The values one step earlier along the last axis, a 0 in front."""
    return concat([where(False, y[..., :1], 0), y[..., :-1]], axis=-1)  # as 0 times infinity is nan


def _back(g: NDArray, a: NDArray) -> NDArray:
    """What reaches each step from its own result and all later ones: the recurrence run from the end."""
    flipped = flip(a, -1)
    return flip(linear_recurrence(flip(g, -1), _earlier(flipped)), -1)


@op(
    lambda g, a: _back(g, a),
    lambda g, out, a: _back(g, a) * _earlier(out),
    cases=(
        Case((4,), (4,)),
        Case((2, 3), (2, 3)),
        Case((2, 3), (3,)),
        Case((0,), (0,)),
        Case((2, 0), (2, 0)),
    ),
    accumulates=True,
    batch=batching.elementwise,
    jvp=(lambda t, a: linear_recurrence(t, a), lambda t, out, a: linear_recurrence(t * _earlier(out), a)),
    math=("h_t = a_t h_{t-1} + x_t", r"\delta_t = g_t + a_{t+1} \delta_{t+1}", r"\delta_t \, h_{t-1}"),
)
def linear_recurrence(x: NDArray, a: NDArray, /) -> Any:
    """A value carried along the last axis: multiplied at each step, then added to.

    out_k = x_k + a_k * out_(k-1), out_0 = x_0: moving averages, discounted sums.   Shapes broadcast together.
    >>> linear_recurrence(np.array([1.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.5]))
    array([1.  , 1.5 , 1.75])
    """
    x, a = np.broadcast_arrays(x, a)
    out = np.array(x, np.result_type(x, a))
    for k in range(1, x.shape[-1]):
        out[..., k] += a[..., k] * out[..., k - 1]
    return out


def _product_rule(g: NDArray, x: NDArray, out: NDArray, axis: int | None, include_initial: bool) -> Any:
    # out_k holds x_i once for k >= i, so the derivative is (product before i) * r_i with
    # r_i = g_i + x_(i+1) r_(i+1): no division, so zeros are no exception
    axis = 0 if axis is None else axis
    if include_initial:
        g, before = _leaving_first(g, axis), _leaving_last(out, axis)
    else:
        before = _leaving_last(cumulative_prod(x, axis=axis, include_initial=True), axis)
    g, x, before = (moveaxis(v, axis, -1) for v in (g, x, before))
    return moveaxis(before * _back(g, x), -1, axis)


def _fast_product_rule(
    g: NDArray, x: NDArray, out: NDArray, axis: int | None, include_initial: bool
) -> NDArray:
    if not np.all(np.isfinite(out)) or not np.all(out):
        return _product_rule(g, x, out, axis, include_initial)
    return _from_the_end(g * out, axis, include_initial) / x


def _products_moved(
    ts: Sequence[Any], x: NDArray, out: NDArray, axis: int | None, include_initial: bool
) -> Any:
    # d_k = x_k d_(k-1) + (product before k) * t_k: no division here either
    axis, (t,) = 0 if axis is None else axis, ts
    before = _leaving_last(cumulative_prod(x, axis=axis, include_initial=True), axis)
    moved = moveaxis(linear_recurrence(moveaxis(t * before, axis, -1), moveaxis(x, axis, -1)), -1, axis)
    if not include_initial:
        return moved
    first = out[(slice(None),) * (axis % out.ndim) + (slice(0, 1),)]
    return concat([first * 0, moved], axis=axis)


def _fast_products_moved(
    ts: Sequence[Any], x: NDArray, out: NDArray, axis: int | None, include_initial: bool
) -> Any:
    if not np.all(np.isfinite(out)) or not np.all(out):
        return _products_moved(ts, x, out, axis, include_initial)
    return out * cumulative_sum(ts[0] / x, axis=axis, include_initial=include_initial)


@op(
    _product_rule,
    fast=(_fast_product_rule,),
    jvp=Joint(_products_moved, _fast_products_moved),
    domain=Domain(avoid=(0,), gap=0.3),
    cases=(*ALONG, Case(np.array([0.0, 2.0, 3.0])), Case(np.array([[2.0, 0.0, 3.0, 0.0, 1.0]]), axis=1)),
    accumulates=True,
    batch=batching.along_one,
    math=(r"\prod_{j \le i} x_j", r"\sum_{k \ge i} g_k \prod_{j \le k, \, j \ne i} x_j"),
)
def cumulative_prod(
    x: NDArray, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Any:
    """The products of the first elements along an axis; the derivative is exact with zeros too.

    out_k = x_1 * ... * x_k.   Shape: same as x; with `include_initial` one more along `axis`, a 1 in front.
    >>> cumulative_prod(np.array([1, 2, 3]))
    array([1, 2, 6])
    """
    axis = _the_axis(axis, np.ndim(x), "cumulative_prod")
    products = np.cumprod(x, axis=axis, dtype=dtype)
    return _with_initial(products, axis, 1) if include_initial else products


@composed
@checked
def diff(
    x: Any,
    /,
    *,
    axis: int = -1,
    n: Times = 1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Any:
    """The differences of neighbors along an axis, taken n times, with `prepend` and `append` at the ends.

    out_k = x_(k+1) - x_k.   Shape: same as x but n less along `axis`; a number to put at an end counts as one
    element there. Raises ValueRangeError for a negative n.
    >>> diff(np.array([1, 4, 9]))
    array([3, 5])
    """
    x = value_of(x)
    if not x.ndim:
        raise AxisError("diff: expected at least one axis, got shape ()")
    axis = axis_of(axis, x.ndim, "diff")
    if n == 0:
        return x
    one = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    ends = [None if end is None else value_of(end) for end in (prepend, append)]
    before, after = (broadcast_to(end, one) if end is not None and not end.ndim else end for end in ends)
    parts = [part for part in (before, x, after) if part is not None]
    x = concat(parts, axis=axis) if len(parts) > 1 else x
    for _ in range(min(int(n), x.shape[axis])):  # then nothing is left
        later, earlier = _leaving_first(x, axis), _leaving_last(x, axis)
        x = not_equal(later, earlier) if x.dtype == bool else later - earlier
    return x
