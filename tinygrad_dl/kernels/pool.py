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
    for i in range(len(f.kernel)):
        parts = [x[under] for under in _along(i, f)]
        x = ufunc(parts[0], parts[1]) if len(parts) > 1 else parts[0]
        for part in parts[2:]:
            ufunc(x, part, out=x)
    return x


def _along(i: int, f: Windows) -> list[tuple[slice, ...]]:
    """For each position of the kernel in spatial dimension i, the elements under it, of all windows."""
    s, d, last = f.stride[i], f.dilation[i], (f.counts[i] - 1) * f.stride[i]
    front = (slice(None),) * (i + 2)
    return [(*front, slice(o * d, o * d + last + 1, s)) for o in range(f.kernel[i])]


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


def max_pool_and_change(x: NDArray, t: NDArray, f: Windows) -> tuple[NDArray, NDArray] | None:
    """max_pool and its change for a change t of x, that of each first maximum; None beside infinities and nan.

    The last dimension is reduced first, so that of equal elements the first in row-major order stays. Bits are chosen
    by masks, as branches are mispredicted: np.where takes x2 as long. Strided operands are copied first, as everywhere
    here (`python -m benchmarks.forward --only pool`).
    """
    bits = np.dtype(f"i{t.dtype.itemsize}")
    out, change = padded(x, f.pads, lowest(x.dtype)), padded(t, f.pads).view(bits)
    for i in reversed(range(len(f.kernel))):
        (first, *others), values, changes = _along(i, f), out, change
        out, change = values[first].copy(order="K"), changes[first].copy(order="K")
        value, moved, larger = np.empty_like(out), np.empty_like(change), np.empty_like(change)
        for under in others:
            value[...], moved[...] = values[under], changes[under]
            np.copyto(larger, np.less(out, value))
            np.negative(larger, out=larger)  # all bits 1 where the element is larger, or all 0
            moved ^= change
            moved &= larger
            change ^= moved
            np.maximum(out, value, out=out)
    return (out, change.view(t.dtype)) if np.isfinite(out).all() else None


def _empty_space(g: NDArray, f: Windows) -> NDArray:
    """Zeros of padded size in the layout of g; uninitialized where disjoint windows cover all of it."""
    n, c = g.shape[:2]
    grown = padded_sizes(f.sizes, f.pads)
    covered = f.kernel == f.stride and f.are_disjoint() and f.reach() == grown
    new = np.empty if covered else np.zeros
    if is_channels_last(g):
        return channels_first(new((n, *grown, c), g.dtype))
    return new((n, c, *grown), g.dtype)
