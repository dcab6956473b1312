"""The geometry of sliding windows: how many fit, and which elements each of them covers.

Arrays are (N, C, *S): examples, channels, then n spatial dimensions. Everything here works on sizes alone,
for convolution, pooling and unfold alike, in their plain forwards and in their kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.typing import NDArray, Shape, Sizes

#: Padding before and after each spatial dimension.
Pairs: TypeAlias = tuple[tuple[int, int], ...]
#: Padding as a user gives it: one int, one per dimension, pairs, "same" or "valid".
Padding: TypeAlias = Sizes | Iterable[tuple[int, int]] | str


def per_axis(value: Sizes, n: int, name: str, least: int = 1) -> Shape:
    """One int for each of n spatial dimensions, from one int for all of them or from n ints."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        values = (int(value),) * n
    else:
        values = tuple(int(v) for v in value)  # type: ignore[union-attr]  # a bool fails here, as it should
        if len(values) == 1:
            values = values * n
    if len(values) != n:
        raise ShapeError(f"{name}={value!r}: expected an int or {n} ints, one for each spatial dimension")
    if any(v < least for v in values):
        raise ValueRangeError(f"{name}: expected at least {least}, got {name}={value!r}")
    return values


def pad_pairs(padding: Padding, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    """The padding before and after each spatial dimension, from an int, ints, pairs, "valid" or "same"."""
    n = len(kernel)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * n
        if padding != "same":
            raise ValueRangeError(f"padding: expected an int, a tuple, 'same' or 'valid', got {padding!r}")
        if any(s != 1 for s in stride):
            raise ValueRangeError(
                f"padding='same' keeps the sizes: expected stride=1, got stride={stride}. Pass the padding as ints."
            )
        totals = [d * (k - 1) for k, d in zip(kernel, dilation)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if not isinstance(padding, (int, np.integer)) and any(isinstance(p, (tuple, list)) for p in padding):
        pairs = tuple((int(lo), int(hi)) for lo, hi in padding)  # type: ignore[misc]
        if len(pairs) != n:
            raise ShapeError(f"padding={padding!r}: expected {n} pairs, one for each spatial dimension")
        return pairs
    return tuple((p, p) for p in per_axis(padding, n, "padding", 0))  # type: ignore[arg-type]


def window_counts(
    name: str,
    sizes: Shape,
    kernel: Shape,
    stride: Shape,
    pads: Pairs,
    dilation: Shape,
    ceil_mode: bool = False,
) -> Shape:
    """How many windows fit along each dimension; with `ceil_mode` also one that begins inside and ends outside."""
    counts = []
    for axis, (size, k, s, (lo, hi), d) in enumerate(zip(sizes, kernel, stride, pads, dilation)):
        slack = size + lo + hi - (d * (k - 1) + 1)
        count = slack // s + 1
        if ceil_mode and slack % s and count * s < size + lo:
            count += 1
        if count < 1:
            reach = f"{k}" if d == 1 else f"{k} with dilation {d}, spanning {d * (k - 1) + 1},"
            raise ShapeError(
                f"{name}: a kernel of {reach} does not fit axis {axis + 2} of size {size} with padding "
                f"({lo}, {hi}). Use a smaller kernel, more padding or larger inputs."
            )
        counts.append(count)
    return tuple(counts)


@lru_cache(maxsize=512)
def inner(sizes: Shape, pads: Pairs) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the values are in the padded array, and which of them: negative padding crops."""
    inside = tuple(
        slice(max(lo, 0), max(lo, 0) + s + min(lo, 0) + min(hi, 0)) for s, (lo, hi) in zip(sizes, pads)
    )
    source = tuple(slice(max(-lo, 0), s + min(hi, 0)) for s, (lo, hi) in zip(sizes, pads))
    return inside, source


@lru_cache(maxsize=512)
def padded_sizes(sizes: Shape, pads: Pairs) -> Shape:
    """The spatial sizes with the padding on both sides."""
    return tuple(s + lo + hi for s, (lo, hi) in zip(sizes, pads))


@lru_cache(maxsize=32)  # few: a kernel may have thousands of positions
def kernel_positions(
    kernel: Shape, counts: Shape, stride: Shape, dilation: Shape
) -> tuple[tuple[Any, Any], ...]:
    """The positions of a kernel, the last axis fastest, each with the slices of the padded array that hold the
    element under it for every window."""
    axes = [
        [slice(o * d, o * d + (c - 1) * s + 1, s) for o in range(k)]
        for k, c, s, d in zip(kernel, counts, stride, dilation)
    ]
    return tuple(zip(product(*map(range, kernel)), product(*axes)))


class Windows:
    """The geometry of windows over an array: sizes, kernel, stride, padding, dilation, and how many windows.

    Instances are immutable and shared between threads: `windows` makes one for all calls with equal arguments.
    """

    __slots__ = ("sizes", "kernel", "stride", "requested", "pads", "dilation", "counts", "_mirrored")

    def __init__(
        self,
        name: str,
        sizes: Shape,
        kernel: Sizes,
        stride: Sizes,
        padding: Padding,
        dilation: Sizes,
        ceil_mode: bool = False,
    ) -> None:
        n = len(sizes)
        self.sizes, self.kernel = tuple(sizes), per_axis(kernel, n, "kernel")
        self.stride, self.dilation = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
        pads = pad_pairs(padding, self.kernel, self.stride, self.dilation)
        self.counts = window_counts(
            name, self.sizes, self.kernel, self.stride, pads, self.dilation, ceil_mode
        )
        self.requested: Pairs = pads
        if ceil_mode:  # the last window may reach beyond the padding
            pads = tuple(
                (lo, max(hi, reach - size - lo))
                for reach, size, (lo, hi) in zip(self.reach(), self.sizes, pads)
            )
        self.pads: Pairs = pads
        self._mirrored: Windows | None = None

    def reach(self) -> Shape:
        """The end of the last window along each padded dimension."""
        parts = zip(self.counts, self.stride, self.dilation, self.kernel)
        return tuple((c - 1) * s + d * (k - 1) + 1 for c, s, d, k in parts)

    def positions(self) -> tuple[tuple[Any, Any], ...]:
        """The positions of the kernel, each with the slices of the padded array that lie under it."""
        return kernel_positions(self.kernel, self.counts, self.stride, self.dilation)

    def are_disjoint(self) -> bool:
        """Whether no two windows share an element."""
        return all(s >= d * (k - 1) + 1 for k, s, d in zip(self.kernel, self.stride, self.dilation))

    def mirrored(self) -> Windows:
        """The geometry in which convolving with the mirrored kernel gives the input gradient (stride 1)."""
        other = self._mirrored
        if other is None:
            other = copy(self)
            other.sizes, other.counts, other._mirrored = self.counts, self.sizes, None
            reach = [d * (k - 1) for k, d in zip(self.kernel, self.dilation)]
            other.pads = tuple((r - lo, r - hi) for r, (lo, hi) in zip(reach, self.pads))
            self._mirrored = other
        return other


_cached = lru_cache(maxsize=512, typed=True)(Windows)


def windows(
    name: str,
    sizes: Shape,
    kernel: Sizes,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    ceil_mode: bool = False,
) -> Windows:
    """The geometry of these arguments, each an int or one per spatial dimension; for `padding` see pad_pairs."""
    arguments: Any = (name, sizes, kernel, stride, padding, dilation, ceil_mode)
    try:
        return _cached(*arguments)
    except TypeError:  # a list cannot be a key of the cache
        return _cached(*map(_hashable, arguments))


def _hashable(value: Any) -> Any:
    return (
        tuple(map(_hashable, value)) if isinstance(value, Iterable) and not isinstance(value, str) else value
    )


# What convolutions check: shared by the plain forwards and the kernels


def check_spatial(name: str, x: NDArray, n: int) -> None:
    """Raise ShapeError unless x is (N, C, *S) with n spatial dimensions."""
    if x.ndim != n + 2:
        raise ShapeError(
            f"{name}: expected x of shape (N, C, {', '.join('DHW'[-n:] if n < 4 else '*S')}), got {x.shape}"
        )


def _check_weight(name: str, w: NDArray, channels: int, groups: int, which: str) -> None:
    """Raise unless the weight (O, C/groups, *K) fits C channels of input in that many groups."""
    if groups < 1:
        raise ValueRangeError(f"{name}: expected groups of at least 1, got groups={groups!r}")
    if w.shape[1] * groups != channels:
        raise ShapeError(
            f"{name}: {which} has {channels} channels; the weight {w.shape} takes {w.shape[1]} in each of "
            f"{groups} group{'s' * (groups > 1)}, {w.shape[1] * groups} in all. "
            "The weight's shape is (O, C/groups, *K)."
        )
    if w.shape[0] % groups:
        raise ShapeError(f"{name}: {w.shape[0]} filters cannot be divided into groups={groups} equal groups")


def _check_ndim(name: str, x: NDArray, w: NDArray) -> None:
    if w.ndim < 3:
        raise ShapeError(
            f"{name}: expected a weight of shape (O, C/groups, *K) with at least one spatial dimension, got {w.shape}"
        )
    check_spatial(name, x, w.ndim - 2)


def _check_bias(name: str, bias: NDArray | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(
            f"{name}: expected a bias of shape ({channels},), one per output channel, got {bias.shape}"
        )


def conv_windows(
    x: NDArray,
    w: NDArray,
    bias: NDArray | None,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> Windows:
    """The windows of a convolution; raises ShapeError or ValueRangeError for arguments that do not fit."""
    _check_ndim("conv", x, w)
    _check_weight("conv", w, x.shape[1], groups, "x")
    _check_bias("conv", bias, w.shape[0])
    return windows("conv", x.shape[2:], w.shape[2:], stride, padding, dilation)


def conv_transpose_windows(
    y: NDArray, w: NDArray, bias: NDArray | None, stride: Sizes, padding: Padding, dilation: Sizes, groups: int,
    size: Sizes | None,
) -> Windows:  # fmt: skip
    """The windows over the result of a transposed convolution; raises as conv_windows does."""
    _check_ndim("conv_transpose", y, w)
    if y.shape[1] != w.shape[0]:
        raise ShapeError(
            f"conv_transpose: y has {y.shape[1]} channels; the weight {w.shape} takes {w.shape[0]}. "
            "The weight's shape is (in, out/groups, *K)."
        )
    _check_weight("conv_transpose", w, w.shape[1] * groups, groups, "the result")
    _check_bias("conv_transpose", bias, w.shape[1] * groups)
    if size is None:
        n = w.ndim - 2
        strides, dilations = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
        pads = pad_pairs(padding, w.shape[2:], strides, dilations)
        parts = zip(y.shape[2:], strides, dilations, w.shape[2:], pads)
        size = tuple((c - 1) * s + d * (k - 1) + 1 - lo - hi for c, s, d, k, (lo, hi) in parts)
        if min(size) < 0:
            raise ShapeError(
                f"conv_transpose: y {y.shape} with kernel {w.shape[2:]} and padding={padding!r} gives the negative "
                f"size {size}. Use less padding."
            )
    f = windows("conv_transpose", size, w.shape[2:], stride, padding, dilation)  # type: ignore[arg-type]
    if f.counts != y.shape[2:]:
        raise ShapeError(
            f"conv_transpose: size={f.sizes} has {f.counts} windows, but y {y.shape} has {y.shape[2:]}"
        )
    return f


def conv_weight_windows(
    x: NDArray, y: NDArray, kernel: Shape, stride: Sizes, padding: Padding, dilation: Sizes
) -> Windows:
    """The windows of a convolution whose weight's gradient is wanted; raises as conv_windows does."""
    check_spatial("conv_weight", x, len(kernel))
    f = windows("conv_weight", x.shape[2:], kernel, stride, padding, dilation)
    if y.shape[2:] != f.counts or y.shape[0] != x.shape[0]:
        raise ShapeError(
            f"conv_weight: x {x.shape} has windows ({x.shape[0]}, ., {f.counts}), but y has the shape {y.shape}"
        )
    return f
