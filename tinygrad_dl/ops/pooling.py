"""Pooling: the largest element, or the mean, of windows that slide over any number of axes of space."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels.layout import (
    by_place,
    channels_first,
    cropped,
    empty_space,
    in_order_of,
    lies_channels_last,
    padded,
)
from tinygrad_dl.kernels.windows import Frame, frame, padded_sizes
from tinygrad_dl.op import Case, Domain, op


def _frame(
    name: str, sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Frame:
    f = frame(name, sizes, kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)
    for k, d, pair in zip(f.kernel, f.dilation, f.asked):
        if max(pair) > (d * (k - 1) + 1) // 2:
            raise ValueRangeError(
                f"{name}: padding={padding!r} must be at most half of the kernel {f.kernel}: "
                "a window would hold nothing but padding"
            )
    return f


def _check(name: str, x: Any) -> None:
    if x.ndim < 3:
        raise ShapeError(f"{name}: x must be (N, C, *S) with at least one axis of space; {x.shape} came")


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _reduced(x: np.ndarray, f: Frame, ufunc: np.ufunc) -> np.ndarray:
    """Windows reduced axis by axis: as many steps as the kernel's sizes add up to, not as they multiply."""
    for i, (k, s, d, count) in enumerate(zip(f.kernel, f.stride, f.dilation, f.counts)):
        front = (slice(None),) * (i + 2)
        parts = [x[(*front, slice(o * d, o * d + (count - 1) * s + 1, s))] for o in range(k)]
        x = ufunc(parts[0], parts[1]) if k > 1 else parts[0]
        for part in parts[2:]:
            ufunc(x, part, out=x)
    return x


def _zeros_like_windows(g: np.ndarray, f: Frame) -> np.ndarray:
    """Zeros of padded space, in the memory order of g; undefined where windows cover all of it and do not overlap."""
    n, c = g.shape[:2]
    grown = padded_sizes(f.sizes, f.pads)
    new = np.empty if f.kernel == f.stride and _apart(f) and f.reach() == grown else np.zeros
    if lies_channels_last(g):
        return channels_first(new((n, *grown, c), g.dtype))
    return new((n, c, *grown), g.dtype)


def _apart(f: Frame) -> bool:
    """Whether no two windows share an element."""
    return all(s >= d * (k - 1) + 1 for k, s, d in zip(f.kernel, f.stride, f.dilation))


# Maxima

# Windows of a block of examples that are gone over several times, so that it stays in the cache.
CACHED = 2**15


def _hits(x: np.ndarray, out: np.ndarray, f: Frame, step: int) -> Iterator[Any]:
    """Where windows hold their first maximum (or nan): for `step` examples at a time and each place of the kernel the
    slice of examples, the place, its slices of padded space, and a mask, which the next step overwrites."""
    xp = padded(x, f.pads, _lowest(x.dtype))
    lost = out.size > 0 and x.dtype.kind == "f" and bool(np.isnan(out.max()))
    low = xp is not x and bool((out == _lowest(x.dtype)).any())
    inside = padded(np.ones((1, 1, *f.sizes), bool), f.pads, False) if low else None
    places, final = f.places(), prod(f.kernel) - 1
    # In one piece and in the same memory each time: what is compared stays in the cache.
    last = lies_channels_last(xp)
    parts = empty_space(min(step, len(out)), out.shape[1], f.counts, x.dtype, last)
    seen, taken = by_place(xp, last), by_place(parts, last)
    hits = np.empty_like(parts, bool)
    free = np.empty_like(hits)  # the windows whose maximum has not been met yet
    for i in range(0, len(out), step):
        few = slice(i, i + step)
        top = out[few]
        part, hit, left = (a[: len(top)] for a in (parts, hits, free))
        for number, (offset, at) in enumerate(places):
            if number and number == final:
                yield few, offset, at, left
                break
            taken[: len(top)] = seen[few][(..., *at)]
            np.equal(part, top, out=hit)
            if inside is not None:  # -inf itself is the maximum: padding must not be taken for it
                hit &= inside[(..., *at)]
            if lost:
                hit |= np.isnan(part)
            if number:
                hit &= left
                left ^= hit
            else:
                np.logical_not(hit, out=left)
            yield few, offset, at, hit


def _to_max_fast(
    g: Any, x: Any, out: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
) -> Any:
    f = _frame("max_pool", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    dx, apart, g = _zeros_like_windows(out, f), _apart(f), in_order_of(g, out)
    step = max(1, CACHED * len(out) // max(1, out.size))
    last = lies_channels_last(dx)
    part = empty_space(min(step, len(out)), out.shape[1], f.counts, out.dtype, last)
    to, of = by_place(dx, last), by_place(part, last)
    for few, _, at, hit in _hits(x, out, f, step):
        # In one piece, and then put in; the mask made numbers first, as a product converts it in small pieces.
        given = part[: len(hit)]
        given[...] = hit
        given *= g[few]
        if apart:
            to[few][(..., *at)] = of[: len(hit)]
        else:
            dx[few][(..., *at)] += given
    return cropped(dx, f.pads)


def _to_max(
    g: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any, x_shape: Any
) -> Any:
    places = max_pool_indices(x, kernel, stride, padding, dilation, ceil_mode)
    return put_in_space(g, places, x_shape[2:])


MAXIMA = (
    Case((2, 2, 4, 4), kernel=2), Case((1, 2, 5), kernel=3, stride=2, padding=1),
    Case((1, 1, 4, 5), kernel=(2, 3), stride=1, dilation=(2, 1)), Case((2, 1, 5), kernel=2, ceil_mode=True),
    Case((1, 1, 2, 3, 4), kernel=2), Case((1, 1, 3, 3), kernel=3, stride=2, padding=1, ceil_mode=True),
)  # fmt: skip


@op(
    _to_max,
    fast=(_to_max_fast,),
    inputs=1,
    domain=Domain(distinct=True),
    cases=MAXIMA,
    kinks="the first maximum of a window gets the whole gradient",
)
def max_pool(
    x: Any, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """The largest element of each window; outside of x counts as -inf, and a nan stays one.

    out[n, c, p] = max over k of padded x[n, c, p * stride + k * dilation]; stride: the kernel by default.
    x (N, C, *S) -> (N, C, *L).   Raises ShapeError if the kernel does not fit.
    >>> max_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[3., 2.]]])
    """
    _check("max_pool", x)
    f = _frame("max_pool", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    out = _reduced(padded(x, f.pads, _lowest(x.dtype)), f, np.maximum)
    return out.copy() if out.base is not None and out.base is x else out


@op(None, inputs=1, cases=MAXIMA)
def max_pool_indices(
    x: Any, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """Where in space the first maximum of each window stands: one number, the last axis counting fastest.

    x (N, C, *S) -> (N, C, *L), int64.   See max_pool.
    >>> max_pool_indices(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[1, 2]]])
    """
    _check("max_pool_indices", x)
    f = _frame("max_pool", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    out = _reduced(padded(x, f.pads, _lowest(x.dtype)), f, np.maximum)
    found = np.zeros(out.shape, np.int64)
    steps = [prod(f.sizes[i + 1 :]) for i in range(len(f.sizes))]
    starts: Any = 0
    for i, (count, s, (lo, _), step) in enumerate(zip(f.counts, f.stride, f.pads, steps)):
        along = (np.arange(count) * s - lo) * step
        starts = starts + along.reshape(-1, *(1,) * (len(f.sizes) - 1 - i))
    for few, offset, _, hit in _hits(x, out, f, max(1, len(out))):
        place = sum(o * d * step for o, d, step in zip(offset, f.dilation, steps))
        found[few][hit] = place
    return found + starts


# Elements of space picked by number, and put back


@op(
    lambda g, places, x_shape: put_in_space(g, places, x_shape[2:]),
    None,
    cases=(
        Case((1, 2, 4), np.array([[[0, 2], [3, 3]]])),
        Case((2, 1, 2, 3), np.array([[[[5], [1]]], [[[0], [0]]]])),
    ),
)
def pick_in_space(x: Any, places: Any) -> Any:
    """The elements at given places of space, each channel its own; the axes of space count as one.

    out[n, c, p] = x[n, c, places[n, c, p]].   x (N, C, *S), places (N, C, *L), integers -> (N, C, *L).
    >>> pick_in_space(np.array([[[1.0, 3.0, 2.0]]]), np.array([[[2, 0]]]))
    array([[[2., 1.]]])
    """
    n, c = x.shape[:2]
    flat = np.take_along_axis(x.reshape(n, c, prod(x.shape[2:])), places.reshape(n, c, -1), 2)
    return flat.reshape(places.shape)


@op(
    lambda g, places: pick_in_space(g, places),
    None,
    cases=(
        Case((1, 2, 2), np.array([[[0, 2], [3, 3]]]), size=(4,)),
        Case((2, 1, 2, 1), np.array([[[[5], [1]]], [[[0], [0]]]]), size=(2, 3)),
    ),
)
def put_in_space(x: Any, places: Any, size: Any) -> Any:
    """Zeros with elements added at given places of space: the counterpart of pick_in_space.

    out[n, c, places[n, c, p]] += x[n, c, p].   x, places (N, C, *L) -> (N, C, *size).
    >>> put_in_space(np.array([[[1.0, 3.0]]]), np.array([[[2, 0]]]), (3,))
    array([[[3., 0., 1.]]])
    """
    n, c = x.shape[:2]
    width = prod(size)
    # bincount adds up faster than np.add.at, in float64.
    rows = np.arange(n * c).reshape(n, c, *(1,) * (x.ndim - 2)) * width
    flat = np.bincount((places + rows).ravel(), weights=x.ravel(), minlength=n * c * width)
    return flat.astype(x.dtype, copy=False).reshape(n, c, *size)


def _check_places(name: str, x: Any, places: Any, size: Any) -> None:
    if x.shape != places.shape:
        raise ShapeError(f"{name}: x {x.shape} and indices {places.shape} must have one shape")
    if places.size and (places.min() < 0 or places.max() >= prod(size)):
        raise ValueRangeError(
            f"{name}: an index lies outside of the {prod(size)} places of size {tuple(size)}. "
            "Pass the size of the input that was pooled as output_size."
        )


@op(
    lambda g, places: pick_in_space(g, places),
    None,
    cases=(Case((1, 2, 2), np.array([[[0, 2], [3, 1]]]), size=(4,)),),
    kinks="of two elements with one place the later one stays, and both receive its gradient, as in PyTorch",
)
def max_unpool(x: Any, places: Any, size: Any) -> Any:
    """Zeros with elements put where max-pooling found them (see max_pool_indices).

    out[n, c, places[n, c, p]] = x[n, c, p].   x, places (N, C, *L) -> (N, C, *size).
    Raises ShapeError, and ValueRangeError for a place outside of `size`.
    >>> max_unpool(np.array([[[3.0, 2.0]]]), np.array([[[1, 2]]]), (4,))
    array([[[0., 3., 2., 0.]]])
    """
    _check_places("max_unpool", x, places, size)
    n, c = x.shape[:2]
    out = np.zeros((n, c, prod(size)), x.dtype)
    np.put_along_axis(out, places.reshape(n, c, -1), x.reshape(n, c, -1), 2)
    return out.reshape(n, c, *size)


# Means


def _divided(values: np.ndarray, f: Frame, count_pad: bool, override: Any) -> Any:
    """Sums of windows, or what they receive, over the number of elements that each window holds."""
    if override is not None:
        return values if override == 1 else values / override
    parts: Any = 1
    for i, (count, s, k, size, (lo, hi)) in enumerate(zip(f.counts, f.stride, f.kernel, f.sizes, f.asked)):
        start = np.arange(count) * s - lo
        end = np.minimum(start + k, size + hi)  # what lies behind the padding (ceil_mode) is not counted
        held = end - start if count_pad else np.minimum(end, size) - np.maximum(start, 0)
        parts = parts * held.reshape(-1, *(1,) * (len(f.sizes) - 1 - i))
    if parts.min() == parts.max():
        return values / int(parts.flat[0])
    return values / parts.astype(np.result_type(values.dtype, np.float16))


def _to_avg(
    g: Any,
    x_shape: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> Any:
    return avg_pool_spread(
        g, x_shape[2:], kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@op(
    _to_avg,
    inputs=1,
    cases=(
        Case((2, 2, 5), kernel=2), Case((1, 1, 5), kernel=3, stride=2, padding=1, count_include_pad=False),
        Case((1, 1, 5), kernel=2, stride=2, padding=1, ceil_mode=True), Case((1, 1, 3, 4), kernel=(2, 3)),
        Case((1, 1, 4), kernel=2, stride=1, divisor_override=3), Case((1, 1, 2, 3, 2), kernel=2),
        Case((1, 1, 6), kernel=3, stride=2),
    ),
)  # fmt: skip
def avg_pool(
    x: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window; padding counts as zeros, or with count_include_pad=False not at all.

    out[n, c, p] = sum over k of padded x[n, c, p * stride + k] / (the window's elements or divisor_override).
    x (N, C, *S) -> (N, C, *L).   Raises ShapeError if the kernel does not fit.
    >>> avg_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[2., 1.]]])
    """
    _check("avg_pool", x)
    f = _frame("avg_pool", x.shape[2:], kernel, stride, padding, 1, ceil_mode)
    return _divided(_reduced(padded(x, f.pads), f, np.add), f, count_include_pad, divisor_override)


@op(
    lambda g, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override: avg_pool(
        g, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
    ),
    inputs=1,
    cases=(
        Case((2, 2, 2), size=(5,), kernel=2),
        Case((1, 1, 2), size=(3,), kernel=2, stride=1, divisor_override=3),
        Case((1, 1, 3), size=(5,), kernel=3, stride=2, padding=1, count_include_pad=False),
        Case((1, 1, 4), size=(6,), kernel=2, stride=2, padding=1, ceil_mode=True),
    ),
)  # fmt: skip
def avg_pool_spread(
    x: Any,
    size: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Elements spread evenly over the windows that avg_pool would take their means of: its counterpart.

    out[n, c, s] = sum over the windows p that hold s of x[n, c, p] / elements of the window.
    x (N, C, *L) -> (N, C, *size).
    >>> avg_pool_spread(np.array([[[2.0, 1.0]]]), (4,), 2)
    array([[[1. , 1. , 0.5, 0.5]]])
    """
    f = _frame("avg_pool_spread", tuple(size), kernel, stride, padding, 1, ceil_mode)
    if x.shape[2:] != f.counts:
        raise ShapeError(f"avg_pool_spread: size={tuple(size)} has {f.counts} windows; x is {x.shape}")
    share = x if divisor_override == 1 else _divided(x, f, count_include_pad, divisor_override)
    out, apart = _zeros_like_windows(share, f), _apart(f)
    for _, at in f.places():
        target = out[(..., *at)]
        if apart:
            target[...] = share
        else:
            target += share
    return cropped(out, f.pads)
