"""Standardisation, the core of batch, layer, group, instance and RMS normalisation; and a scale with a shift."""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.kernels.blas import ones, sum_rows
from tinygrad_dl.kernels.layout import channels_first, channels_last, repeated, scratch
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.elementwise import sqrt
from tinygrad_dl.ops.reduce import mean, sum
from tinygrad_dl.ops.shape import reshape

# Sums of products, and sums

# A run of this many elements is summed by BLAS, row by row; shorter ones by einsum and add.reduce.
LONG_RUN = 16


def _runs(a: np.ndarray, kept: tuple[int, ...]) -> int:
    """How many rows `a` has if the axes behind the last kept one are made one; 0 if those rows are no long runs."""
    run = prod(a.shape[max(kept, default=-1) + 1 :])
    return a.size // run if run >= LONG_RUN and a.flags.c_contiguous else 0


def _dotted(a: np.ndarray, b: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """The sum of a * b over all axes but `kept`, with size 1 on the others, without a large temporary."""
    if a.ndim == 2 and kept == (1,):
        return (sum_rows(a * b) if a.size < LARGE else np.einsum("ij,ij->j", a, b))[None]
    if kept == (1,) and (wide := _wide(a)) is not None and (other := _wide(b)) is not None:
        return _folded(np.einsum("ij,ij->j", wide, other), a)
    rows = _runs(a, kept) if b.flags.c_contiguous and a.dtype == b.dtype else 0
    if rows:
        sums = np.vecdot(a.reshape(rows, -1), b.reshape(rows, -1))
        return _gathered(_with_ones(sums, a, kept), kept)
    axes = list(range(a.ndim))
    out = np.einsum(a, axes, b, axes, list(kept))
    return out.reshape([a.shape[i] if i in kept else 1 for i in axes])


def _summed(a: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """The sum of a over all axes but `kept`, with size 1 on the others."""
    if a.ndim == 2 and kept == (1,):
        return sum_rows(a)[None]
    if kept == (1,) and (wide := _wide(a)) is not None:
        return _folded(sum_rows(wide), a)
    rows = _runs(a, kept)
    if rows:
        matrix = a.reshape(rows, -1)
        return _gathered(_with_ones(matrix.dot(ones(matrix.shape[1], a.dtype)), a, kept), kept)
    return a.sum(axis=tuple(i for i in range(a.ndim) if i not in kept), keepdims=True)


# A row of few channels costs what its start costs: where arrays lie channels last, many places are taken as one row.
WIDE = 512  # elements of a row


def _wide(a: np.ndarray) -> np.ndarray | None:
    """The memory of an (N, C, *S) that lies channels last, as rows of several places; None if it lies otherwise."""
    if a.ndim < 3 or not a.size or not (last := channels_last(a)).flags.c_contiguous:
        return None
    return last.reshape(-1, _width(a.size, a.shape[1]))


@lru_cache(maxsize=256)
def _width(size: int, channels: int) -> int:
    return channels * gcd(size // channels, max(1, WIDE // channels))


def _folded(sums: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Sums of the columns of `_wide(a)` as sums of the channels of `a`, with size 1 on the other axes."""
    return np.add.reduce(sums.reshape(-1, a.shape[1]), axis=0).reshape(1, -1, *[1] * (a.ndim - 2))


def _applied(function: np.ufunc, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """function(a, b), where b broadcasts to a; written to `out`, if given."""
    by_channel = (
        a.ndim > 2 and b.size == a.shape[1] and b.shape[1 - a.ndim :] == (b.size, *[1] * (a.ndim - 2))
    )
    wide = _wide(a) if by_channel and (out is None or out is a) else None
    if wide is None:
        return function(a, b, out=out)
    made = function(wide, repeated(b, wide.shape[1] // b.size), out=None if out is None else wide)
    return a if out is a else channels_first(made.reshape(channels_last(a).shape))


def _with_ones(sums: np.ndarray, a: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """Sums over the axes of `a` behind the last kept one, with size 1 on those."""
    last = max(kept, default=-1) + 1
    return sums.reshape(*a.shape[:last], *[1] * (a.ndim - last))


def _gathered(a: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """Sums that still have size 1 where they were summed, summed on over all axes but the kept ones."""
    rest = _rest(a.shape, kept)
    return np.add.reduce(a, axis=rest, keepdims=True) if rest else a


@lru_cache(maxsize=256)
def _rest(shape: tuple[int, ...], kept: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i, size in enumerate(shape) if i not in kept and size != 1)


def _fitting(ndim: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The axes of an array of `ndim` axes along which a parameter of the given shape varies."""
    return () if shape is None else tuple(ndim - len(shape) + i for i, size in enumerate(shape) if size != 1)


class Layout(NamedTuple):
    """How x and its parameters lie to each other: what can be known from their shapes."""

    shape: tuple[int, ...]  # in which x is taken
    fit: tuple[tuple[int, ...] | None, tuple[int, ...] | None]  # in which w and b are
    elements: int  # how many elements a mean is of
    kept: tuple[int, ...]  # axes along which the statistics vary
    w: tuple[int, ...]  # axes along which w varies
    b: tuple[int, ...]
    both: tuple[int, ...]  # kept and w
    small: bool  # whether the statistics times w have fewer elements than x
    apart: bool  # whether the entries of axis 0 do not depend on each other
    along_rows: bool  # whether the statistics are the same along the last axis of something large


@lru_cache(maxsize=256)
def _layout(
    shape: tuple[int, ...], axis: tuple[int, ...], w_shape: Any, b_shape: Any, view: Any = None, fit: Any = None
) -> Layout:  # fmt: skip
    whole = shape if view is None else view
    fits: Any = tuple(None if own is None else own if fit is None else fit for own in (w_shape, b_shape))
    for name, own, taken in zip(("weight", "bias"), (w_shape, b_shape), fits):
        if own is not None and (prod(own) != prod(taken) or _widens(taken, whole)):
            raise ShapeError(f"standardize: the {name} of shape {own} does not fit x of shape {shape}")
    ndim = len(whole)
    kept = tuple(a for a in range(ndim) if a not in axis)
    w, b = (_fitting(ndim, taken) for taken in fits)
    both = tuple(sorted({*kept, *w}))
    small = w_shape is None or len(both) < ndim
    apart = 0 in kept and 0 not in w and 0 not in b
    along_rows = ndim - 1 in axis and prod(whole) >= LARGE
    return Layout(whole, fits, prod(whole[a] for a in axis), kept, w, b, both, small, apart, along_rows)


def _widens(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    return len(shape) > len(whole) or any(a not in (1, b) for a, b in zip(shape[::-1], whole[::-1]))


def _over(a: np.ndarray, function: np.ufunc, b: np.ndarray) -> np.ndarray:
    """function(a, b), written over a if they have one dtype."""
    return _applied(function, a, b, a if a.ndim and a.dtype == b.dtype else None)


# From this many elements on rows are taken as they lie, in parts that a core's cache holds through all passes.
LARGE, PIECE = 1 << 14, 1 << 17


class _RowsAsTheyLie(np.errstate):
    """NumPy's error state, in which what is the same along rows is not copied, spread out, to buffers.

    The copies take twice the time of the pass itself.
    """

    def __enter__(self) -> None:
        super().__enter__()
        np.setbufsize(16)  # the error state restores it


def _pieces(x: np.ndarray, layout: Layout) -> list[slice]:
    """Parts of axis 0 that are computed one after the other; all of it as one where they depend on each other."""
    if x.size <= PIECE or not layout.apart or not x.flags.c_contiguous:
        return [slice(None)]
    step = max(1, PIECE * len(x) // x.size)
    return [slice(begin, begin + step) for begin in range(0, len(x), step)]


def _near_zero(mean: Any, variance: Any) -> bool:
    """Whether means lie so near to 0 that moments about 0, which save a pass, cost the variance two bits at most."""
    return bool((mean * mean <= 4 * variance).all())


# Standardisation


def _seen(a: Any, shape: tuple[int, ...] | None) -> Any:
    return a if a is None or shape is None else reshape(a, shape)


def _standardize_rule(
    g: Any, x: Any, w: Any, axis: Any, eps: Any, center: Any, view: Any, fit: Any, needs: Any,
    x_shape: Any, w_shape: Any, b_shape: Any,
) -> Any:  # fmt: skip
    g, x, w = _seen(g, view), _seen(x, view), _seen(w, fit)
    d = x - mean(x, axis=axis, keepdims=True) if center else x
    scale = 1 / sqrt(mean(d * d, axis=axis, keepdims=True) + eps)
    hat = d * scale
    h = g if w is None else g * w
    inner = h - hat * mean(h * hat, axis=axis, keepdims=True)
    gx = scale * (inner - mean(h, axis=axis, keepdims=True) if center else inner)
    gw, gb = g * hat if needs[1] else None, g * 1 if needs[2] else None
    if view is None:
        return gx, gw, gb
    rest = tuple(a for a in range(len(view)) if a not in _fitting(len(view), fit))
    return (
        reshape(gx, x_shape),
        None if gw is None else reshape(sum(gw, axis=rest), w_shape),
        None if gb is None else reshape(sum(gb, axis=rest), b_shape),
    )


def _standardize_fast(
    g: Any, x: Any, w: Any, average: Any, scale: Any, factor: Any, axis: Any, view: Any, fit: Any, needs: Any,
    w_shape: Any, b_shape: Any,
) -> Any:  # fmt: skip
    layout = _layout(x.shape, axis, w_shape or None, b_shape or None, view, fit)  # of None the shape is ()
    x_shape = x.shape
    # The gradient is written as it lies in memory, so that no view of it has to be copied.
    whole = np.empty(x_shape, g.dtype) if needs[0] and g.flags.c_contiguous else None
    gx: Any = whole
    if view is not None:
        g, x = g.reshape(view), x.reshape(view)
        gx = None if whole is None else whole.reshape(view)
    w = None if w is None else w.reshape(layout.fit[0])
    with _RowsAsTheyLie() if layout.along_rows and x.flags.c_contiguous else nullcontext():
        parts = [slice(None)] if whole is None else _pieces(x, layout)
        if len(parts) == 1:
            gx, gw, gb = _pulled(g, x, w, average, scale, factor, gx, layout, needs)
        else:
            gw = gb = None
            for part in parts:
                m, s, f = (None if a is None else a[part] for a in (average, scale, factor))
                _, more_w, more_b = _pulled(g[part], x[part], w, m, s, f, gx[part], layout, needs)
                gw, gb = more_w if gw is None else gw + more_w, more_b if gb is None else gb + more_b
    return (
        gx.reshape(x_shape) if whole is None and needs[0] else whole,
        None if gw is None else gw.reshape(w_shape),
        None if gb is None else gb.reshape(b_shape),
    )


def _pulled(
    g: Any, x: Any, w: Any, average: Any, scale: Any, factor: Any, gx: Any, layout: Layout, needs: Any
) -> Any:
    # gx = h - mean(h) - d * scale^2 * mean(h * d), h = g * w * scale, d = x - mean(x), means along the axes not kept
    kept, both, count = layout.kept, layout.both, layout.elements or 1
    gw = gb = total = None
    room = scratch("standardize", x.shape, x.dtype) if x.flags.c_contiguous else None
    # Moments about 0 save a pass over what is large and not taken in parts; the mean's rounding loses as much as they.
    raw = average is not None and layout.along_rows and layout.small and not layout.apart
    d = x if average is None or raw else _applied(np.subtract, x, average, room)
    if factor is None:
        gx = np.multiply(g, scale, out=gx)
        gw = _dotted(gx, d, layout.w) if needs[1] else None
        gb = _summed(g, layout.b) if needs[2] else None
        if needs[0]:
            gx *= w
            share = _dotted(gx, d, kept)
            if average is not None:
                total = _summed(gx, kept) / -count
    else:
        # Sums over the axes along which neither w nor the statistics vary serve all three.
        products, sums = _dotted(g, d, both), _summed(g, both)
        if raw:
            products -= average * sums
        if needs[1]:
            gw = _gathered(products * scale, layout.w)
        if needs[2]:
            gb = _gathered(sums, layout.b) if {*layout.b} <= {*both} else _summed(g, layout.b)
        if needs[0]:
            share = _gathered(products * factor, kept)
            if average is not None:
                total = _gathered(sums * factor, kept) / -count
            gx = _applied(np.multiply, g, factor, gx)
    if needs[0]:
        share *= scale * scale / -count
        if raw:
            total -= average * share
        d = _applied(np.multiply, d, share, room if d is x else d)
        if total is not None:
            d = _applied(np.add, d, total, d)
        gx += d
    return gx, gw, gb


def _forward(
    x: Any, w: Any, b: Any, layout: Layout, eps: float, center: bool, out: Any = None
) -> tuple[Any, ...]:
    """The result (written to `out`, if given), the mean, the variance, 1 / deviation, and that times w if small."""
    average: Any = None
    variance: Any = None
    d, shift = x, b
    if center:
        average = _summed(x, layout.kept) / layout.elements
        if layout.along_rows and layout.small:
            variance = _dotted(x, x, layout.kept) / layout.elements - average * average
        if variance is None or not _near_zero(average, variance):
            d, variance = _applied(np.subtract, x, average, out), None
    raw = variance is not None
    if variance is None:
        variance = _dotted(d, d, layout.kept) / layout.elements
    scale = (variance + eps) ** -0.5
    factor: Any = (scale if w is None else scale * w) if layout.small else None  # one pass for both
    first = scale if factor is None else factor
    out = _applied(np.multiply, x, first, out) if d is x else _over(d, np.multiply, first)
    if factor is None:
        out = _over(out, np.multiply, w)
    if raw:
        shift = average * -factor if b is None else b - average * factor
    if shift is not None:
        out = _over(out, np.add, shift)
    return out, average, variance, scale, factor


@op(
    _standardize_rule,
    fast=(_standardize_fast,),
    joint=True,
    inputs=3,
    cached=("average", "scale", "factor"),
    cases=(
        Case((5, 3), (3,), (3,), axis=(0,)), Case((4, 6), (6,), (6,), axis=(1,)), Case((4, 6), None, None, axis=(1,)),
        Case((2, 3, 4), (3, 1), (3, 1), axis=(0, 2)), Case((2, 3, 4), (3, 4), None, axis=(1, 2), center=False),
        Case((2, 3, 4), (4,), (4,), axis=(0, 2)), Case((0, 3), (3,), (3,), axis=(1,)),
        Case((2, 6, 3), (6,), (6,), axis=(2, 3), view=(2, 2, 3, 3), fit=(2, 3, 1)),
        Case((2, 3, 2, 2), (3,), None, axis=(0, 2), view=(2, 3, 4), fit=(3, 1)),
    ),
)  # fmt: skip
def standardize(
    x: Any, w: Any = None, b: Any = None, /, axis: tuple[int, ...] = (0,), eps: float = 1e-5, *,
    center: bool = True, moments: Any = None, view: Any = None, fit: Any = None,
) -> Any:  # fmt: skip
    """Zero mean and unit variance along axes, then a scale and a shift: the core of every normalisation layer.

    out = (x - mean) / sqrt(variance + eps) * w + b, with the biased variance; `center=False` leaves the mean in
    and divides by the root mean square.   x (...), w and b broadcast to x, axis: axes >= 0 -> same as x.
    `view`, `fit`: the shapes in which x, and w and b, are taken. `moments`: a function that is called with the
    mean and the variance. Raises ShapeError. Source: Ioffe and Szegedy 2015.
    >>> standardize(np.array([[1.0], [3.0]]), eps=0.0)
    array([[-1.],
           [ 1.]])
    """
    shape = x.shape
    layout = _layout(shape, axis, None if w is None else w.shape, None if b is None else b.shape, view, fit)
    if view is not None:
        x = x.reshape(view)
    if fit is not None:
        w, b = (None if p is None else p.reshape(fit) for p in (w, b))
    state = _RowsAsTheyLie if layout.along_rows and x.flags.c_contiguous else np.errstate
    with state(invalid="ignore", divide="ignore"):
        parts = _pieces(x, layout)
        if len(parts) == 1 or not center or any(p is not None and p.dtype != x.dtype for p in (w, b)):
            out, average, variance, scale, factor = _forward(x, w, b, layout, eps, center)
        else:
            out = np.empty(x.shape, x.dtype)
            found = [_forward(x[part], w, b, layout, eps, center, out[part]) for part in parts]
            average, variance, scale, factor = (
                None if kind[0] is None else np.concatenate(kind) for kind in list(zip(*found))[1:]
            )
    if moments is not None:
        moments(average, variance)
    return out if view is None else out.reshape(shape), average, scale, factor


# A scale and a shift


def _affine_fast(g: Any, x: Any, scale: Any, scale_shape: Any, shift_shape: Any, needs: Any) -> Any:
    gx = g * scale if needs[0] else None
    gs = _dotted(g, x, _fitting(g.ndim, scale_shape)).reshape(scale_shape) if needs[1] else None
    gb = _summed(g, _fitting(g.ndim, shift_shape)).reshape(shift_shape) if needs[2] else None
    return gx, gs, gb


@op(
    lambda g, x, scale, needs: (g * scale, g * x if needs[1] else None, g * 1 if needs[2] else None),
    fast=(_affine_fast,),
    joint=True,
    inputs=3,
    cases=(Case((4, 3), (3,), (3,)), Case((2, 3, 4), (3, 1), (3, 1)), Case((2, 3, 4), (4,), (1, 1, 4))),
)
def affine(x: Any, scale: Any, shift: Any, /) -> Any:
    """A scale and a shift, in one pass each way.

    out = x * scale + shift.   scale and shift broadcast to x.
    >>> affine(np.array([1.0, 2.0]), np.array([3.0]), np.array([1.0]))
    array([4., 7.])
    """
    if _widens(scale.shape, x.shape) or _widens(shift.shape, x.shape):
        raise ShapeError(
            f"affine: scale {scale.shape} and shift {shift.shape} do not fit x of shape {x.shape}"
        )
    return _over(x * scale, np.add, shift)
