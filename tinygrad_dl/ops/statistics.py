"""Order statistics and interpolation, made of other operations: their derivatives follow."""

from __future__ import annotations

from math import ceil, floor
from math import prod as product
from typing import Any

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.arguments import checked
from tinygrad_dl.convert import values_of
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, tell
from tinygrad_dl.ops.accumulate import accumulating
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.index import take
from tinygrad_dl.ops.join import stack
from tinygrad_dl.ops.logic import isnan
from tinygrad_dl.ops.reduce import max, mean, min, sum
from tinygrad_dl.ops.rounding import clip
from tinygrad_dl.ops.shape import axis_of, broadcast_to, moveaxis, reshape, value_of
from tinygrad_dl.ops.sort import searchsorted, sort
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import Array, ArrayLike, Axis

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _rows(x: Array, axis: Axis, name: str) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """x sorted along one last axis that replaces all of `axis`; the shape without it, and with 1 there."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    gone = {axis_of(a, x.ndim, name) for a in axes}
    rest = [a for a in range(x.ndim) if a not in gone]
    shape = tuple(x.shape[a] for a in rest)
    length = product(x.shape[a] for a in gone)
    if not length:
        along = "" if axis is None else f" along axis {axis}"
        raise ShapeError(f"{name}: expected at least one element{along}, got shape {x.shape}")
    rows = reshape(moveaxis(x, tuple(rest), tuple(range(len(rest)))), (*shape, length))
    return sort(rows), shape, tuple(1 if a in gone else n for a, n in enumerate(x.shape))


@composed
@checked
def quantile(
    x: ArrayLike, q: ArrayLike, /, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    """The value below which the fraction q of the elements along axes lies, between two elements by `method`.

    With s sorted and k = q (n - 1): out = s_floor(k) + (k - floor(k)) * (s_ceil(k) - s_floor(k));
    nan if there is one.   Shape: that of q, then x's without `axis`. ValueRangeError for q outside [0, 1].
    >>> quantile(np.array([1.0, 2.0, 3.0, 4.0]), 0.5)
    array(2.5)
    """
    # Between which elements it lies depends on q: in func.vmap each example has its own.
    found = _each_quantile if isinstance(q, Value) and q.level is not None else _quantile
    return found(x, q, axis, method, keepdims, "quantile")


def _quantile(x: ArrayLike, q: ArrayLike, axis: Axis, method: str, keepdims: bool, name: str) -> Any:
    x = value_of(x)
    if active and isinstance(q, (Value, np.ndarray, np.generic)):
        tell("read", f"the q of {name}")
    fractions = np.asarray(values_of(q), np.float64)
    if not np.all((fractions >= 0) & (fractions <= 1)):
        raise ValueRangeError(f"{name}: expected q in [0, 1], got {q!r}")
    if method not in METHODS:
        raise ValueRangeError(f"{name}: expected a method of {', '.join(METHODS)}, got {method!r}")
    rows, shape, kept_shape = _rows(x, axis, name)
    shape = kept_shape if keepdims else shape
    weights: list[Any] = list(fractions.flat)
    if isinstance(q, Value) and (q.node is not None or q.level is not None):
        weights = list(reshape(q, (-1,)))
    found = [_between(rows, float(f), w, method) for f, w in zip(fractions.flat, weights)]
    if not fractions.ndim:
        return found[0] if found[0].shape == shape else reshape(found[0], shape)
    if not found:
        return reshape(take(rows, np.zeros(0, int), axis=-1), (*fractions.shape, *shape))
    return reshape(stack(found), (*fractions.shape, *shape))


_each_quantile = each_example(_quantile)


def _between(rows: Array, fraction: float, q: Array | float, method: str) -> Any:
    """The quantile of each sorted row; q is the fraction, as a Tensor if its gradient is wanted."""
    steps = rows.shape[-1] - 1
    place = fraction * steps
    low, high = floor(place), ceil(place)
    below, above, last = rows[..., low], rows[..., low + 1 if low < steps else low], rows[..., -1]
    if method == "linear":
        weight = float(q) * steps - low if isinstance(q, float) else q * steps - low
    else:
        weight = {"lower": 0.0, "higher": float(high - low), "midpoint": 0.5 * (high - low)}.get(
            method, float(round(place) - low)
        )
    if isinstance(weight, float) and weight in (0.0, 1.0):
        out = above if weight else below  # a mean with an infinity would not do
    else:
        out = below * (1 - weight) + above * weight
    return where(isnan(last), last, out)  # sorted last, a nan shows there


@composed
@checked
def median(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The middle element along axes (all of them by default), or the mean of the two in the middle.

    out = quantile(x, 0.5).   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> median(np.array([3.0, 1.0, 2.0]))
    array(2.)
    """
    return _quantile(x, 0.5, axis, "linear", keepdims, "median")


@composed
@checked
def ptp(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The range of the elements along axes (all of them by default).

    out = max(x) - min(x).   Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> ptp(np.array([3, 1, 2]))
    np.int64(2)
    """
    return max(x, axis=axis, keepdims=keepdims) - min(x, axis=axis, keepdims=keepdims)


@composed
@checked
@accumulating
def average(
    x: ArrayLike, /, axis: Axis = None, weights: ArrayLike | None = None, *, keepdims: bool = False
) -> Any:
    """The mean of the elements along axes, weighted.

    out = sum(x * w) / sum(w).   Shape: without `axis`; `weights` as x, or (N,) along one `axis`.
    >>> average(np.array([1.0, 3.0]), weights=np.array([3.0, 1.0]))
    np.float64(1.5)
    """
    x = value_of(x)
    if weights is None:
        return mean(x, axis=axis, keepdims=keepdims)
    share: Any = value_of(weights)
    if isinstance(axis, int) and share.ndim == 1 and x.ndim > 1:
        share = reshape(share, tuple(-1 if a == axis % x.ndim else 1 for a in range(x.ndim)))
    total = sum(broadcast_to(share, x.shape), axis=axis, keepdims=keepdims)
    return sum(x * share, axis=axis, keepdims=keepdims) / total


@composed
@checked
def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    /,
    left: ArrayLike | None = None,
    right: ArrayLike | None = None,
) -> Any:
    """The piecewise linear function through the points (xp, fp), at each x; xp rises.

    out = fp_i + (x - xp_i) (fp_(i+1) - fp_i) / (xp_(i+1) - xp_i) between points; outside `left`, `right`
    or the ends of fp.   Shape: that of x; xp (N,), fp (N,). At a point the segment before it gives the derivative.
    >>> interp(np.array([0.5, 9.0]), np.array([0.0, 1.0]), np.array([10.0, 20.0]))
    array([15., 20.])
    """
    x = value_of(x)
    # lists join the dtype of x, as numbers do
    xp, fp = (
        convert.asarray_of(v, x.dtype if x.dtype.kind == "f" else None) if isinstance(v, list) else v
        for v in (xp, fp)
    )
    xp, fp = value_of(xp), value_of(fp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.shape[0]:
        raise ShapeError(
            f"interp: expected xp and fp of shape (N,) with N > 0, got {xp.shape} and {fp.shape}"
        )
    below, above = x < xp[0], x > xp[-1]
    # outside, where the result is another, the pieces see a point of their own
    at = where(below | above, xp[0], x)
    if xp.shape[0] > 1:
        upper = clip(searchsorted(xp, at), 1, xp.shape[0] - 1)
        x0, x1, f0, f1 = take(xp, upper - 1), take(xp, upper), take(fp, upper - 1), take(fp, upper)
        inside = f0 + (at - x0) * ((f1 - f0) / where(x1 == x0, 1, x1 - x0))
    else:
        inside = where(isnan(at), at, fp[0])
    inside = where(above, fp[-1] if right is None else right, inside)
    return where(below, fp[0] if left is None else left, inside)
