"""NumPy's reductions with all their arguments: `where`, `initial`, `dtype`, `ddof`, and those that leave out nan."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.numpy_functions.table import Data, cast, described, mask_for, permission, stands_for
from tinygrad_dl.ops import elementwise, reduce, scan, sort, special, statistics
from tinygrad_dl.ops.elementwise import where as choose
from tinygrad_dl.ops.shape import axis_of, broadcast_to, reshape, value_of
from tinygrad_dl.typing import Array, ArrayLike, Axis, DTypeLike, NDArray, Scalar


def _filled(what: str, a: ArrayLike, where: ArrayLike, value: Scalar) -> Any:
    """The elements where a mask holds, and a value of their dtype elsewhere."""
    a = value_of(a)
    if where is True:
        return a
    return choose(mask_for(what, where, a), a, np.asarray(value).astype(a.dtype))


@stands_for(np.sum)
def sum(
    a: Data,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: Data = None,
    where: ArrayLike = True,
) -> Any:
    out = reduce.sum(_filled("np.sum", a, where, 0), axis=axis, dtype=dtype, keepdims=keepdims)
    return out if initial is None else _in_same_dtype(out + _number("np.sum", initial), out)


@stands_for(np.prod)
def prod(
    a: Data,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: Data = None,
    where: ArrayLike = True,
) -> Any:
    out = reduce.prod(_filled("np.prod", a, where, 1), axis=axis, dtype=dtype, keepdims=keepdims)
    return out if initial is None else _in_same_dtype(out * _number("np.prod", initial), out)


def _in_same_dtype(x: Array, like: Array) -> Any:
    return x if x.dtype == like.dtype else elementwise.astype(x, like.dtype)


def _number(what: str, initial: ArrayLike) -> Any:
    if np.ndim(described(initial)):
        raise ShapeError(f"{what}: initial: expected one number, got {describe(initial)}")
    return initial


def _lowest(dtype: np.dtype, sign: int) -> Any:
    if dtype.kind == "f":
        return sign * np.inf
    if dtype.kind == "b":
        return sign > 0
    info = np.iinfo(dtype)
    return info.max if sign > 0 else info.min


def _extreme(
    what: str,
    largest: bool,
    a: ArrayLike,
    axis: Axis,
    keepdims: bool,
    initial: Any,
    where: ArrayLike,
) -> Any:
    a = value_of(a)
    function, pair = (reduce.max, elementwise.maximum) if largest else (reduce.min, elementwise.minimum)
    if initial is None:
        if where is not True:
            raise ValueRangeError(f"{what}: where= needs initial=, the result where no element is chosen")
        return function(a, axis=axis, keepdims=keepdims)
    initial = _number(what, initial)
    filler = _lowest(a.dtype, -1 if largest else 1)
    axes = _axes(what, axis, a.ndim)
    if 0 in (a.shape[i] for i in axes):
        shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape) if keepdims or i not in axes)
        return elementwise.astype(broadcast_to(value_of(initial), shape), a.dtype)
    out = pair(function(_filled(what, a, where, filler), axis=axis, keepdims=keepdims), initial)
    return _in_same_dtype(out, a)


def _axes(what: str, axis: Axis, ndim: int) -> tuple[int, ...]:
    given = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(axis_of(i, ndim, what) for i in given)


@stands_for(np.max, np.amax)
def max(
    a: Data, axis: Axis = None, keepdims: bool = False, initial: Data = None, where: ArrayLike = True
) -> Any:
    return _extreme("np.max", True, a, axis, keepdims, initial, where)


@stands_for(np.min, np.amin)
def min(
    a: Data, axis: Axis = None, keepdims: bool = False, initial: Data = None, where: ArrayLike = True
) -> Any:
    return _extreme("np.min", False, a, axis, keepdims, initial, where)


@stands_for(np.ptp)
def ptp(a: Data, axis: Axis = None, keepdims: bool = False) -> Any:
    return statistics.ptp(a, axis=axis, keepdims=keepdims)


@stands_for(np.all)
def all(a: Data, axis: Axis = None, keepdims: bool = False, where: ArrayLike = True) -> Any:
    return reduce.all(_filled("np.all", a, where, True), axis=axis, keepdims=keepdims)


@stands_for(np.any)
def any(a: Data, axis: Axis = None, keepdims: bool = False, where: ArrayLike = True) -> Any:
    return reduce.any(_filled("np.any", a, where, False), axis=axis, keepdims=keepdims)


@stands_for(np.count_nonzero)
def count_nonzero(a: Data, axis: Axis = None, keepdims: bool = False) -> Any:
    return reduce.count_nonzero(a, axis=axis, keepdims=keepdims)


@stands_for(np.argmax)
def argmax(a: Data, axis: int | None = None, keepdims: bool = False) -> Any:
    return sort.argmax(a, axis=axis, keepdims=keepdims)


@stands_for(np.argmin)
def argmin(a: Data, axis: int | None = None, keepdims: bool = False) -> Any:
    return sort.argmin(a, axis=axis, keepdims=keepdims)


# Means and deviations


def _in_dtype(what: str, a: ArrayLike, dtype: DTypeLike | None) -> Array:
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise DTypeError(f"{what}: dtype: expected a floating dtype, got {np.dtype(dtype)}")
    return cast(what, a, dtype, "unsafe")


def _count(what: str, a: Array, axis: Axis, keepdims: bool, where: ArrayLike) -> Any:
    """How many elements the mask chooses for each result."""
    return np.sum(mask_for(what, where, a), axis=axis, keepdims=keepdims)


@stands_for(np.mean)
def mean(
    a: Data,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    where: ArrayLike = True,
) -> Any:
    return _mean("np.mean", a, axis, dtype, keepdims, where)


def _mean(
    what: str, a: ArrayLike, axis: Axis, dtype: DTypeLike | None, keepdims: bool, where: ArrayLike
) -> Any:
    a = _in_dtype(what, a, dtype)
    if where is True:
        return reduce.mean(a, axis=axis, keepdims=keepdims)
    total = reduce.sum(_filled(what, special.floating(a), where, 0), axis=axis, keepdims=keepdims)
    number = _count(what, a, axis, keepdims, where).astype(total.dtype)
    return total / number


def _corrected(what: str, ddof: float, correction: float | None) -> Any:
    if correction is None:
        return ddof
    if ddof != 0:
        raise ValueRangeError(f"{what}: expected ddof or correction, not both")
    return correction


def _variance(
    what: str,
    a: Any,
    axis: Axis,
    dtype: DTypeLike | None,
    ddof: float,
    keepdims: bool,
    where: ArrayLike,
    mean: Any,
) -> Any:
    a = special.floating(_in_dtype(what, a, dtype))
    a = _filled(what, a, where, 0)  # a nan left out must not reach the squares
    if mean is None:
        mean = _mean(what, a, axis, None, True, where)
    squares = elementwise.square(elementwise.abs(a - mean) if a.dtype.kind == "c" else a - mean)
    total = reduce.sum(_filled(what, squares, where, 0), axis=axis, keepdims=keepdims)
    number = np.maximum(_count(what, a, axis, keepdims, where) - ddof, 0)
    return total / number.astype(total.dtype)


def _root(x: Array) -> Any:
    still = x == 0  # the derivative is taken as 0 there, as std does
    return choose(still, 0, elementwise.sqrt(choose(still, 1, x)))


@stands_for(np.var)
def var(
    a: Data, axis: Axis = None, dtype: DTypeLike | None = None, ddof: float = 0, keepdims: bool = False,
    where: ArrayLike = True, mean: Data = None, correction: float | None = None,
) -> Any:  # fmt: skip
    ddof = _corrected("np.var", ddof, correction)
    if where is True and mean is None and dtype is None:
        return reduce.var(a, axis=axis, correction=ddof, keepdims=keepdims)
    return _variance("np.var", a, axis, dtype, ddof, keepdims, where, mean)


@stands_for(np.std)
def std(
    a: Data, axis: Axis = None, dtype: DTypeLike | None = None, ddof: float = 0, keepdims: bool = False,
    where: ArrayLike = True, mean: Data = None, correction: float | None = None,
) -> Any:  # fmt: skip
    ddof = _corrected("np.std", ddof, correction)
    if where is True and mean is None and dtype is None:
        return reduce.std(a, axis=axis, correction=ddof, keepdims=keepdims)
    return _root(_variance("np.std", a, axis, dtype, ddof, keepdims, where, mean))


@stands_for(np.average)
def average(
    a: Data, axis: Any = None, weights: Data = None, returned: bool = False, keepdims: bool = False
) -> Any:
    out = statistics.average(a, axis=axis, weights=weights, keepdims=keepdims)
    if not returned:
        return out
    a = value_of(a)
    total = statistics.average(elementwise.astype(a * 0, out.dtype) + 1, axis=axis, keepdims=keepdims)
    if weights is None:
        number = np.prod([a.shape[i] for i in _axes("np.average", axis, a.ndim)], dtype=int)
        return out, total * int(number)
    weights = value_of(weights)
    if weights.ndim != a.ndim and axis is not None:
        shape = tuple(n if i == axis_of(axis, a.ndim, "np.average") else 1 for i, n in enumerate(a.shape))
        weights = reshape(weights, shape)
    whole = broadcast_to(weights, a.shape)
    return out, elementwise.astype(reduce.sum(whole, axis=axis, keepdims=keepdims), out.dtype)


# Quantiles


@stands_for(np.median)
def median(a: Data, axis: Axis = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    permission("np.median", overwrite_input=overwrite_input)
    return statistics.median(a, axis=_tuple(axis), keepdims=keepdims)


def _tuple(axis: Axis | list[int] | NDArray) -> Any:
    return tuple(axis) if isinstance(axis, (list, np.ndarray)) and np.ndim(axis) else axis


@stands_for(np.quantile)
def quantile(
    a: Data, q: Data, axis: Axis = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False,
) -> Any:  # fmt: skip
    permission("np.quantile", overwrite_input=overwrite_input)
    return statistics.quantile(a, q, _tuple(axis), method=method, keepdims=keepdims)


@stands_for(np.percentile)
def percentile(
    a: Data, q: Data, axis: Axis = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False,
) -> Any:  # fmt: skip
    permission("np.percentile", overwrite_input=overwrite_input)
    fractions = q / 100 if hasattr(q, "node") else np.asarray(q, np.float64) / 100
    return statistics.quantile(a, fractions, _tuple(axis), method=method, keepdims=keepdims)


# Along an axis


def _flat(a: ArrayLike, axis: int | None) -> tuple[Any, Any]:
    a = value_of(a)
    return (reshape(a, (-1,)), 0) if axis is None else (a, axis)


@stands_for(np.cumsum)
def cumsum(a: Data, axis: int | None = None, dtype: DTypeLike | None = None) -> Any:
    a, axis = _flat(a, axis)
    return scan.cumulative_sum(a, axis=axis, dtype=dtype)


@stands_for(np.cumprod)
def cumprod(a: Data, axis: int | None = None, dtype: DTypeLike | None = None) -> Any:
    a, axis = _flat(a, axis)
    return scan.cumulative_prod(a, axis=axis, dtype=dtype)


@stands_for(getattr(np, "cumulative_sum", None))
def cumulative_sum(
    x: Data, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Any:
    return scan.cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)


@stands_for(getattr(np, "cumulative_prod", None))
def cumulative_prod(
    x: Data, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Any:
    return scan.cumulative_prod(x, axis=axis, dtype=dtype, include_initial=include_initial)


# Without nan


def _numbers(what: str, a: ArrayLike, where: ArrayLike) -> tuple[Any, Any]:
    """The array, and which of its elements count: numbers that the mask chooses."""
    a = value_of(a)
    data = np.asarray(getattr(a, "_data", a))
    counted = ~np.isnan(data) if data.dtype.kind in "fc" else np.ones(data.shape, bool)
    return a, counted if where is True else counted & mask_for(what, where, a)


@stands_for(np.nansum)
def nansum(
    a: Data,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: Data = None,
    where: ArrayLike = True,
) -> Any:
    a, counted = _numbers("np.nansum", a, where)
    return sum(a, axis, dtype, keepdims, initial, counted)


@stands_for(np.nanprod)
def nanprod(
    a: Data,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: Data = None,
    where: ArrayLike = True,
) -> Any:
    a, counted = _numbers("np.nanprod", a, where)
    return prod(a, axis, dtype, keepdims, initial, counted)


@stands_for(np.nancumsum)
def nancumsum(a: Data, axis: int | None = None, dtype: DTypeLike | None = None) -> Any:
    a, counted = _numbers("np.nancumsum", a, True)
    return cumsum(_filled("np.nancumsum", a, counted, 0), axis, dtype)


@stands_for(np.nancumprod)
def nancumprod(a: Data, axis: int | None = None, dtype: DTypeLike | None = None) -> Any:
    a, counted = _numbers("np.nancumprod", a, True)
    return cumprod(_filled("np.nancumprod", a, counted, 1), axis, dtype)


def _nan_extreme(
    what: str,
    largest: bool,
    a: ArrayLike,
    axis: Axis,
    keepdims: bool,
    initial: ArrayLike | None,
    where: ArrayLike,
) -> Any:
    x, counted = _numbers(what, a, where)
    if initial is not None:
        return _extreme(what, largest, x, axis, keepdims, initial, counted)
    if where is not True:
        raise ValueRangeError(f"{what}: where= needs initial=, the result where no element is chosen")
    filled = _filled(what, x, counted, _lowest(x.dtype, -1 if largest else 1))
    out = (reduce.max if largest else reduce.min)(filled, axis=axis, keepdims=keepdims)
    empty = ~np.any(counted, axis=axis, keepdims=keepdims)
    return choose(empty, np.asarray(np.nan, x.dtype), out) if np.any(empty) else out


@stands_for(np.nanmax)
def nanmax(
    a: Data, axis: Axis = None, keepdims: bool = False, initial: Data = None, where: ArrayLike = True
) -> Any:
    return _nan_extreme("np.nanmax", True, a, axis, keepdims, initial, where)


@stands_for(np.nanmin)
def nanmin(
    a: Data, axis: Axis = None, keepdims: bool = False, initial: Data = None, where: ArrayLike = True
) -> Any:
    return _nan_extreme("np.nanmin", False, a, axis, keepdims, initial, where)


@stands_for(np.nanmean)
def nanmean(
    a: Data,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    where: ArrayLike = True,
) -> Any:
    a, counted = _numbers("np.nanmean", a, where)
    return _mean("np.nanmean", a, axis, dtype, keepdims, counted)


@stands_for(np.nanvar)
def nanvar(
    a: Data, axis: Axis = None, dtype: DTypeLike | None = None, ddof: float = 0, keepdims: bool = False,
    where: ArrayLike = True, mean: Data = None, correction: float | None = None,
) -> Any:  # fmt: skip
    a, counted = _numbers("np.nanvar", a, where)
    ddof = _corrected("np.nanvar", ddof, correction)
    return _nan_below(
        _variance("np.nanvar", a, axis, dtype, ddof, keepdims, counted, mean), counted, axis, keepdims, ddof
    )


@stands_for(np.nanstd)
def nanstd(
    a: Data, axis: Axis = None, dtype: DTypeLike | None = None, ddof: float = 0, keepdims: bool = False,
    where: ArrayLike = True, mean: Data = None, correction: float | None = None,
) -> Any:  # fmt: skip
    return _root(nanvar(a, axis, dtype, ddof, keepdims, where, mean, correction))


def _nan_below(out: Array, counted: NDArray, axis: Axis, keepdims: bool, ddof: float) -> Any:
    """nan where no more elements count than are taken off."""
    few = np.sum(counted, axis=axis, keepdims=keepdims) <= ddof
    return choose(few, np.asarray(np.nan, out.dtype), out) if np.any(few) else out


# Sums of another kind


@stands_for(getattr(np, "trapezoid", None))
def trapezoid(y: Data, x: Data = None, dx: Data = 1.0, axis: int = -1) -> Any:
    y = value_of(y)
    axis = axis_of(axis, y.ndim, "np.trapezoid")
    later, earlier = (slice(1, None), slice(None, -1))
    front = (slice(None),) * axis
    width: Any = dx
    if x is not None:
        x = value_of(x)
        if x.ndim == 1:
            width = reshape(scan.diff(x), (-1,) + (1,) * (y.ndim - axis - 1))
        else:
            width = scan.diff(x, axis=axis)
    return reduce.sum(width * (y[(*front, later)] + y[(*front, earlier)]) / 2.0, axis=axis)
