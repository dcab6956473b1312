"""Pooling kernels: windows reduced one dimension at a time, gradients placed in the layout of the result.

Reducing dimension by dimension takes as many passes as the kernel's sizes add up to, not as they multiply: for a
3 x 3 kernel x1.6 faster than the plain forward (`python -m benchmarks.layers "MaxPool2d 3 s2 p1"`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels.layout import (
    channels_first,
    cropped,
    in_layout_of,
    is_channels_last,
    padded,
)
from tinygrad_dl.kernels.windows import Padding, Windows, padded_sizes, windows
from tinygrad_dl.typing import NDArray, Shape, Sizes

# Shared by the plain forwards and the kernels


def pool_windows(
    name: str,
    sizes: Shape,
    kernel: Sizes,
    stride: Sizes | None,
    padding: Padding,
    dilation: Sizes,
    ceil_mode: bool,
) -> Windows:
    """The windows of a pooling; raises ValueRangeError if one would hold nothing but padding."""
    f = windows(name, sizes, kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)
    for k, d, pair in zip(f.kernel, f.dilation, f.requested):
        if max(pair) > (d * (k - 1) + 1) // 2:
            raise ValueRangeError(
                f"{name}: padding={padding!r} must be at most half of the kernel {f.kernel}: "
                "a window would hold nothing but padding"
            )
    return f


def transpose_windows(
    x: NDArray, size: Shape, kernel: Sizes, stride: Sizes | None, padding: Padding, ceil_mode: bool
) -> Windows:
    """The windows of avg_pool_spread; raises ShapeError unless x has one element for each."""
    f = pool_windows("avg_pool_spread", tuple(size), kernel, stride, padding, 1, ceil_mode)
    if x.shape[2:] != f.counts:
        raise ShapeError(
            f"avg_pool_spread: size={tuple(size)} has {f.counts} windows, but x has the shape {x.shape}"
        )
    return f


def check_spatial(name: str, x: NDArray) -> None:
    """Raise ShapeError unless x is (N, C, *S)."""
    if x.ndim < 3:
        raise ShapeError(
            f"{name}: expected x of shape (N, C, *S) with at least one spatial dimension, got {x.shape}"
        )


def lowest(dtype: np.dtype[Any]) -> float:
    """What padding counts as in a maximum: the smallest value of a dtype."""
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def divided(values: NDArray, f: Windows, count_include_pad: bool, divisor_override: int | None) -> NDArray:
    """Sums of windows, or their gradients, over the number of elements that each window holds."""
    if divisor_override is not None:
        return values / divisor_override
    count: Any = 1
    dimensions = zip(f.counts, f.stride, f.kernel, f.sizes, f.requested)
    for i, (windows_along, s, k, size, (lo, hi)) in enumerate(dimensions):
        start = np.arange(windows_along) * s - lo
        end = np.minimum(start + k, size + hi)  # what is beyond the padding (ceil_mode) does not count
        inside = end - start if count_include_pad else np.minimum(end, size) - np.maximum(start, 0)
        count = count * inside.reshape(-1, *(1,) * (len(f.sizes) - 1 - i))
    if count.min() == count.max():
        return values / int(count.flat[0])
    return values / count.astype(np.result_type(values.dtype, np.float16))


# Kernels


def max_pool(
    x: NDArray, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> NDArray:  # fmt: skip
    """The maximum of each window (N, C, *L), in the layout of x."""
    check_spatial("max_pool", x)
    f = pool_windows("max_pool", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    out = reduced(padded(x, f.pads, lowest(x.dtype)), f, np.maximum)
    return out.copy() if out.base is not None and out.base is x else out


def avg_pool(
    x: NDArray, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> NDArray:  # fmt: skip
    """The mean of each window (N, C, *L), in the layout of x."""
    check_spatial("avg_pool", x)
    f = pool_windows("avg_pool", x.shape[2:], kernel, stride, padding, 1, ceil_mode)
    return divided(reduced(padded(x, f.pads), f, np.add), f, count_include_pad, divisor_override)


def reduced(x: NDArray, f: Windows, ufunc: np.ufunc) -> NDArray:
    """Windows of a padded array reduced by a ufunc, dimension by dimension; a view of x if the kernel is 1."""
    for i, (k, s, d, count) in enumerate(zip(f.kernel, f.stride, f.dilation, f.counts)):
        front = (slice(None),) * (i + 2)
        parts = [x[(*front, slice(o * d, o * d + (count - 1) * s + 1, s))] for o in range(k)]
        x = ufunc(parts[0], parts[1]) if k > 1 else parts[0]
        for part in parts[2:]:
            ufunc(x, part, out=x)
    return x


def avg_pool_spread(
    x: NDArray, size: Shape, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> NDArray:  # fmt: skip
    """Each element shared among its window (N, C, *size), in the layout of x; disjoint windows are assigned."""
    f = transpose_windows(x, size, kernel, stride, padding, ceil_mode)
    share = divided(x, f, count_include_pad, divisor_override)
    out, disjoint = _empty_space(share, f), f.are_disjoint()
    for _, under in f.positions():
        if disjoint:
            out[(..., *under)] = share
        else:
            out[(..., *under)] += share
    return cropped(out, f.pads)


def max_pool_gradient(g: NDArray, x: NDArray, out: NDArray, f: Windows) -> NDArray:
    """The gradient of max_pool's input: the first maximum of each window gets all of g.

    Masks position by position are x7 faster than finding indices and adding by index, as the plain rule does
    (`python -m benchmarks.layers "MaxPool2d 2 16x28 x64"`).
    """
    bottom = lowest(x.dtype)
    xp = padded(x, f.pads, bottom)
    has_nan = out.size > 0 and x.dtype.kind == "f" and bool(np.isnan(out.max()))
    # Where -inf itself is the maximum, padding must not be taken for it.
    low = xp is not x and bool((out == bottom).any())
    inside = padded(np.ones((1, 1, *f.sizes), bool), f.pads, False) if low else None
    dx, disjoint, g = _empty_space(out, f), f.are_disjoint(), in_layout_of(g, out)
    part, free = np.empty_like(out), np.ones_like(out, bool)
    positions = f.positions()
    for number, (_, under) in enumerate(positions):
        if number + 1 == len(positions):
            hit = free  # the windows whose maximum was not found yet
        else:
            part[...] = xp[(..., *under)]  # contiguous: comparing strided views takes longer than the copy
            hit = part == out
            if inside is not None:
                hit &= inside[(..., *under)]
            if has_nan:
                hit |= np.isnan(part)
            hit &= free
            free ^= hit
        np.copyto(part, hit)  # a product with a bool converts it in small pieces, which takes longer
        given = np.multiply(part, g, out=part if part.dtype == g.dtype else None)
        if disjoint:
            dx[(..., *under)] = given
        else:
            dx[(..., *under)] += given
    return cropped(dx, f.pads)


PART = 1 << 20  # bytes of the input of max_pool_change at once: what is computed from it stays in the cache


def max_pool_change(t: NDArray, x: NDArray, out: NDArray, f: Windows) -> NDArray | None:
    """The change of max_pool's result for a change t of its input, that of the first maximum; None if one is infinite.

    Masks position by position are x3 faster than picking by index; products with them are x4 faster than copying
    where they hold, as branches are mispredicted. A few examples at a time are up to x2 faster than all
    (`python -m benchmarks.forward --only pool`).
    """
    if not np.isfinite(out).all():
        return None
    change = np.empty_like(out, t.dtype)
    count = max(1, PART * len(x) // max(1, x.nbytes))
    for start in range(0, len(x), count):
        few = slice(start, start + count)
        change[few] = _change_of_few(t[few], x[few], out[few], f)
    return change if np.isfinite(change).all() else None


def _change_of_few(t: NDArray, x: NDArray, out: NDArray, f: Windows) -> NDArray:
    xp, tp = padded(x, f.pads, lowest(x.dtype)), padded(t, f.pads)
    change = np.zeros_like(out, t.dtype)
    part, mask, free = np.empty_like(out), np.empty_like(change), np.ones_like(out, bool)
    positions = f.positions()
    for number, (_, under) in enumerate(positions):
        hit = free  # at the last position, the windows whose maximum was not found yet
        if number + 1 < len(positions):
            part[...] = xp[(..., *under)]
            hit = part == out
            hit &= free
            free ^= hit
        np.copyto(mask, hit)
        with np.errstate(invalid="ignore"):  # an infinite change times 0: found by the caller
            mask *= tp[(..., *under)]
        change += mask
    return change


def _empty_space(g: NDArray, f: Windows) -> NDArray:
    """Zeros of padded size in the layout of g; uninitialized where disjoint windows cover all of it."""
    n, c = g.shape[:2]
    grown = padded_sizes(f.sizes, f.pads)
    covered = f.kernel == f.stride and f.are_disjoint() and f.reach() == grown
    new = np.empty if covered else np.zeros
    if is_channels_last(g):
        return channels_first(new((n, *grown, c), g.dtype))
    return new((n, c, *grown), g.dtype)
