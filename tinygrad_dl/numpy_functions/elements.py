"""NumPy's functions of single elements, and those of neighbors along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl.convert import constant
from tinygrad_dl.creation import check_device, spaced
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.numpy_functions.table import Data, cast, choice, described, permission, raw, stands_for
from tinygrad_dl.ops import (
    elementwise,
    join,
    logic,
    reduce,
    rounding,
    scan,
    sort,
    special,
    statistics,
    trigonometry,
)
from tinygrad_dl.ops.elementwise import where as choose
from tinygrad_dl.ops.index import take
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.shape import axis_of, broadcast_to, flip, moveaxis, reshape, value_of
from tinygrad_dl.typing import Array, ArrayLike, Axis, DTypeLike, ShapeLike


@stands_for(np.clip)
def clip(a: Data, a_min: Data = None, a_max: Data = None, min: Data = None, max: Data = None) -> Any:
    if (a_min is not None or a_max is not None) and (min is not None or max is not None):
        raise ValueRangeError("np.clip: expected a_min and a_max, or min and max, not both")
    return rounding.clip(
        value_of(a), a_min if a_min is not None else min, a_max if a_max is not None else max
    )


@stands_for(np.round, np.around)
def round(a: Data, decimals: int = 0) -> Any:
    return rounding.round(value_of(a), decimals)


@stands_for(np.fix)
def fix(x: Data) -> Any:
    return rounding.trunc(value_of(x))


@stands_for(np.real)
def real(val: Data) -> Any:
    return elementwise.real(value_of(val))


@stands_for(np.imag)
def imag(val: Data) -> Any:
    return elementwise.imag(value_of(val))


@stands_for(np.angle)
def angle(z: Data, deg: bool = False) -> Any:
    out = elementwise.angle(special.floating(value_of(z)))
    return out * (180 / np.pi) if deg else out


@stands_for(np.real_if_close)
def real_if_close(a: Data, tol: float = 100) -> Any:
    a = value_of(a)
    if a.dtype.kind != "c":
        return a
    limit = tol * np.finfo(a.dtype).eps if tol > 1 else tol
    return elementwise.real(a) if np.all(np.absolute(raw(a).imag) < limit) else a


@stands_for(np.sinc)
def sinc(x: Data) -> Any:
    y = special.floating(value_of(x)) * np.pi
    # near 0 by the series, which has the right derivatives of every order where sin(y) / y loses its digits
    near = np.absolute(raw(y)) < 0.25
    small, large = choose(near, y, 0), choose(near, 1, y)
    square: Any = small * small
    series: Any = 1.0
    for k in range(16, 0, -2):
        series = 1 - square / (k * (k + 1)) * series
    return choose(near, series, trigonometry.sin(large) / large)


@stands_for(np.nan_to_num)
def nan_to_num(
    x: Data, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    if not copy:
        raise DTypeError("np.nan_to_num: copy=False would overwrite x. Write x = np.nan_to_num(x).")
    x = value_of(x)
    if x.dtype.kind != "f":
        if x.dtype.kind == "c":
            raise DTypeError("np.nan_to_num: expected real values, got complex ones")
        return x
    info, data = np.finfo(x.dtype), raw(x)
    for mask, value in (
        (np.isnan(data), nan),
        (np.isposinf(data), info.max if posinf is None else posinf),
        (np.isneginf(data), info.min if neginf is None else neginf),
    ):
        x = choose(mask, np.asarray(value, x.dtype), x)
    return x


@stands_for(np.isclose)
def isclose(a: Data, b: Data, rtol: Data = 1e-5, atol: Data = 1e-8, equal_nan: bool = False) -> Any:
    return logic.isclose(a, b, rtol, atol, equal_nan)


@stands_for(np.allclose)
def allclose(a: Data, b: Data, rtol: Data = 1e-5, atol: Data = 1e-8, equal_nan: bool = False) -> bool:
    return bool(reduce.all(logic.isclose(a, b, rtol, atol, equal_nan)))


@stands_for(np.where)
def where(condition: Data, x: Data = None, y: Data = None) -> Any:
    if x is None and y is None:
        return sort.nonzero(condition)
    if x is None or y is None:
        raise DTypeError("np.where: expected both x and y, or neither of them")
    return choose(condition, x, y)


@stands_for(np.select)
def select(condlist: Data, choicelist: Data, default: Data = 0) -> Any:
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ShapeError(
            f"np.select: expected as many conditions as choices, at least one, got {len(condlist)} and "
            f"{len(choicelist)}"
        )
    out = default
    for condition, chosen in list(zip(condlist, choicelist))[::-1]:
        if np.asarray(raw(condition)).dtype != bool:
            raise DTypeError("np.select: expected conditions of booleans. Compare for a mask first?")
        out = choose(condition, chosen, out)
    return out


@stands_for(np.choose)
def choose_from(a: Data, choices: Data, mode: str = "raise") -> Any:
    choice("np.choose", "mode", mode, ("raise", "wrap", "clip"))
    index, parts = np.asarray(raw(a)), list(choices)
    if index.dtype.kind not in "iub":
        raise DTypeError(f"np.choose: expected integers to choose by, got {index.dtype}")
    if mode == "raise" and index.size and not (0 <= index.min() and index.max() < len(parts)):
        raise ValueRangeError(f"np.choose: expected indices from 0 to {len(parts) - 1}")
    index = index % len(parts) if mode == "wrap" else np.clip(index, 0, len(parts) - 1)
    out = parts[0]
    for k, part in enumerate(parts):
        out = choose(index == k, part, out)
    return out


# Along an axis


@stands_for(np.diff)
def diff(a: Data, n: int = 1, axis: int = -1, prepend: Data = None, append: Data = None) -> Any:
    return scan.diff(a, axis=axis, n=n, prepend=prepend, append=append)


@stands_for(np.ediff1d)
def ediff1d(ary: Data, to_end: Data = None, to_begin: Data = None) -> Any:
    parts = [scan.diff(reshape(value_of(ary), (-1,)))]
    if to_begin is not None:
        parts.insert(0, cast("np.ediff1d", reshape(value_of(to_begin), (-1,)), parts[0].dtype))
    if to_end is not None:
        parts.append(cast("np.ediff1d", reshape(value_of(to_end), (-1,)), parts[0].dtype))
    return join.concat(parts) if len(parts) > 1 else parts[0]


@stands_for(np.interp)
def interp(
    x: Data, xp: Data, fp: Data, left: Data = None, right: Data = None, period: float | None = None
) -> Any:
    if period is None:
        return statistics.interp(x, xp, fp, left, right)
    if period == 0:
        raise ValueRangeError("np.interp: period: expected a number other than 0, got 0")
    period = abs(period)  # left and right have no meaning then, as NumPy says
    x, xp, fp = value_of(x) % period, value_of(xp) % period, value_of(fp)
    if xp.ndim != 1 or xp.shape != fp.shape:
        raise ShapeError(f"np.interp: expected xp and fp of shape (N,), got {xp.shape} and {fp.shape}")
    order = np.argsort(raw(xp))
    xp, fp = take(xp, order), take(fp, order)
    xp = join.concat([xp[-1:] - period, xp, xp[:1] + period])
    return statistics.interp(x, xp, join.concat([fp[-1:], fp, fp[:1]]))


@stands_for(np.unwrap)
def unwrap(p: Data, discont: float | None = None, axis: int = -1, period: float = 2 * np.pi) -> Any:
    p = value_of(p)
    return p + (np.unwrap(raw(p), discont, axis, period=period) - raw(p))  # what is added is constant


@stands_for(np.gradient)
def gradient(f: Data, *varargs: Data, axis: Axis = None, edge_order: int = 1) -> Any:
    f = special.floating(value_of(f))
    choice("np.gradient", "edge_order", edge_order, (1, 2))
    given = range(f.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = [axis_of(a, f.ndim, "np.gradient") for a in given]
    if len(varargs) not in (0, 1, len(axes)):
        raise DTypeError(
            f"np.gradient: expected no spacing, one, or one for each of {len(axes)} axes, got {len(varargs)}"
        )
    spacings = [value_of(v) for v in varargs] or [value_of(np.float64(1.0))]
    spacings = spacings * len(axes) if len(spacings) == 1 else spacings
    for a in axes:
        if f.shape[a] < edge_order + 1:
            raise ShapeError(
                f"np.gradient: expected at least {edge_order + 1} elements along axis {a}, got {f.shape[a]}"
            )
    found = [_gradient(f, a, h, edge_order) for a, h in zip(axes, spacings)]
    return found[0] if len(found) == 1 else tuple(found)


def _gradient(f: Array, axis: int, spacing: Array, edge_order: int) -> Any:
    f = moveaxis(f, axis, -1)
    if spacing.ndim:
        if spacing.shape != (f.shape[-1],):
            raise ShapeError(
                f"np.gradient: expected {f.shape[-1]} coordinates along axis {axis}, got shape {spacing.shape}"
            )
        h = scan.diff(special.floating(spacing))
        even = bool(np.all(raw(h) == raw(h)[:1])) if not isinstance(spacing, Value) else False
    else:
        h, even = broadcast_to(spacing, (f.shape[-1] - 1,)), True
    if f.dtype.itemsize < 8 and h.dtype == np.float64 and not isinstance(spacing, Value):
        h = elementwise.astype(h, f.dtype)
    before, after = h[:-1], h[1:]
    if even:
        inner = (f[..., 2:] - f[..., :-2]) / (2.0 * before)
    else:
        inner = (
            -after / (before * (before + after)) * f[..., :-2]
            + (after - before) / (before * after) * f[..., 1:-1]
            + before / (after * (before + after)) * f[..., 2:]
        )
    if edge_order == 1:
        first = (f[..., 1:2] - f[..., :1]) / h[:1]
        last = (f[..., -1:] - f[..., -2:-1]) / h[-1:]
    else:
        p, q = h[:1], h[1:2]
        first = (
            -(2.0 * p + q) / (p * (p + q)) * f[..., :1]
            + (p + q) / (p * q) * f[..., 1:2]
            - p / (q * (p + q)) * f[..., 2:3]
        )
        p, q = h[-2:-1], h[-1:]
        last = (
            q / (p * (p + q)) * f[..., -3:-2]
            - (q + p) / (p * q) * f[..., -2:-1]
            + (2.0 * q + p) / (q * (p + q)) * f[..., -1:]
        )
    return moveaxis(join.concat([first, inner, last], axis=-1), -1, axis)


@stands_for(np.convolve)
def convolve(a: Data, v: Data, mode: str = "full") -> Any:
    choice("np.convolve", "mode", mode, ("full", "same", "valid"))
    a, v = _signal("np.convolve", a), _signal("np.convolve", v)
    return _convolved(*((a, v) if a.shape[0] >= v.shape[0] else (v, a)), mode)


@stands_for(np.correlate)
def correlate(a: Data, v: Data, mode: str = "valid") -> Any:
    choice("np.correlate", "mode", mode, ("full", "same", "valid"))
    a, v = _signal("np.correlate", a), elementwise.conj(_signal("np.correlate", v))
    if a.shape[0] >= v.shape[0]:
        return _convolved(a, flip(v), mode)
    return flip(_convolved(v, flip(a), mode))


def _signal(what: str, x: ArrayLike) -> Any:
    x = value_of(x)
    if x.ndim > 1 or not x.size:
        raise ShapeError(f"{what}: expected one axis and at least one element, got shape {x.shape}")
    return reshape(x, (-1,))


def _convolved(long: Array, short: Array, mode: str) -> Any:
    n, m = long.shape[0], short.shape[0]
    zeros = np.zeros(m - 1, long.dtype)
    padded = join.concat([zeros, long, zeros]) if m > 1 else long
    first = {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]
    count = {"full": n + m - 1, "same": n, "valid": n - m + 1}[mode]
    windows = first + np.arange(count)[:, None] + np.arange(m)
    return matmul(take(padded, windows), flip(short))


@stands_for(np.polyval)
def polyval(p: Data, x: Data) -> Any:
    p, x = value_of(p), value_of(x)
    if p.ndim != 1:
        raise ShapeError(f"np.polyval: expected coefficients of shape (N,), got {p.shape}")
    out = x * 0
    for k in range(p.shape[0]):
        out = out * x + p[k]
    return out


@stands_for(np.vander)
def vander(x: Data, N: int | None = None, increasing: bool = False) -> Any:
    x = value_of(x)
    if x.ndim != 1:
        raise ShapeError(f"np.vander: expected shape (N,), got {x.shape}")
    count = x.shape[0] if N is None else int(N)
    if count < 0:
        raise ValueRangeError(f"np.vander: N: expected an int of at least 0, got {N}")
    if not count:
        return (
            reshape(x[:0], (0, 0)) if not x.shape[0] else take(reshape(x, (-1, 1)), np.zeros(0, int), axis=1)
        )
    powers = [x * 0 + 1]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    return join.stack(powers if increasing else powers[::-1], axis=1)


# Grids


@stands_for(np.linspace)
def linspace(
    start: Data, stop: Data, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: DTypeLike | None = None, axis: int = 0, device: str | None = None,
) -> Any:  # fmt: skip
    check_device(device, "np.linspace")
    out, step = spaced("np.linspace", start, stop, num, endpoint)
    if dtype is not None:
        if np.issubdtype(np.dtype(dtype), np.integer):
            out = rounding.floor(out)
        out = cast("np.linspace", out, dtype, "unsafe")
    out = out if axis == 0 else moveaxis(out, 0, axis)
    return (out, step) if retstep else out


@stands_for(np.logspace)
def logspace(
    start: Data, stop: Data, num: int = 50, endpoint: bool = True, base: Data = 10.0,
    dtype: DTypeLike | None = None, axis: int = 0,
) -> Any:  # fmt: skip
    out = elementwise.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return cast("np.logspace", out, dtype, "unsafe")


# Filled like another


def _like(
    function: Callable[..., Any],
    a: ArrayLike,
    dtype: DTypeLike | None,
    order: str,
    subok: bool,
    shape: ShapeLike | None,
    device: str | None,
) -> np.ndarray:
    what = f"np.{function.__name__}"
    permission(what, subok=subok)
    choice(what, "order", order, ("C", "F", "A", "K"))
    if device not in (None, "cpu"):
        raise ValueRangeError(f'{what}: device: expected "cpu", the only one, got {device!r}')
    array: np.ndarray = function(np.asarray(described(a)), dtype=dtype, order=order, shape=shape)
    return array


@stands_for(np.zeros_like)
def zeros_like(
    a: Data,
    dtype: DTypeLike | None = None,
    order: str = "K",
    subok: bool = True,
    shape: ShapeLike | None = None,
    device: str | None = None,
) -> Any:
    return constant(_like(np.zeros_like, a, dtype, order, subok, shape, device))


@stands_for(np.ones_like)
def ones_like(
    a: Data,
    dtype: DTypeLike | None = None,
    order: str = "K",
    subok: bool = True,
    shape: ShapeLike | None = None,
    device: str | None = None,
) -> Any:
    return constant(_like(np.ones_like, a, dtype, order, subok, shape, device))


@stands_for(np.empty_like)
def empty_like(
    prototype: Data, dtype: DTypeLike | None = None, order: str = "K", subok: bool = True,
    shape: ShapeLike | None = None, device: str | None = None,
) -> Any:  # fmt: skip
    return constant(_like(np.empty_like, prototype, dtype, order, subok, shape, device))


@stands_for(np.full_like)
def full_like(
    a: Data, fill_value: Data, dtype: DTypeLike | None = None, order: str = "K", subok: bool = True,
    shape: ShapeLike | None = None, device: str | None = None,
) -> Any:  # fmt: skip
    out = _like(np.empty_like, a, dtype, order, subok, shape, device)
    if isinstance(fill_value, Value) and fill_value.node is not None:
        return broadcast_to(cast("np.full_like", fill_value, out.dtype, "unsafe"), out.shape)
    np.copyto(out, raw(fill_value), casting="unsafe")
    return constant(out)


@stands_for(np.copy)
def copy(a: Data, order: str = "K", subok: bool = False) -> Any:
    permission("np.copy", subok=subok)
    choice("np.copy", "order", order, ("C", "F", "A", "K"))
    return a.copy(order)


@stands_for(getattr(np, "astype", None))
def astype(x: Data, dtype: DTypeLike, copy: bool = True, device: str | None = None) -> Any:
    return elementwise.astype(x, dtype, copy=copy, device=device)
