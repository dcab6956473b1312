"""The geometry of windows that slide over the axes of space: how many there are, and what each holds."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError

Pairs = tuple[tuple[int, int], ...]


def per_axis(value: Any, n: int, name: str, least: int = 1) -> tuple[int, ...]:
    """An int for every one of n axes, or n ints, as a tuple."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        values = (int(value),) * n
    else:
        values = tuple(int(v) for v in value)
        if len(values) == 1:
            values = values * n
    if len(values) != n:
        raise ShapeError(f"{name}={value!r}: an int or {n} ints are needed, one for each axis of space")
    if any(v < least for v in values):
        raise ValueRangeError(f"{name}={value!r}: at least {least} is needed")
    return values


def pad_pairs(
    padding: Any, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Pairs:
    """What is added in front of and behind each axis: from an int, ints, pairs, "valid" or "same"."""
    n = len(kernel)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * n
        if padding != "same":
            raise ValueRangeError(f"padding={padding!r}: an int, a tuple, 'same' or 'valid' is needed")
        if any(s != 1 for s in stride):
            raise ValueRangeError(
                f"padding='same' keeps the sizes, so it needs stride=1; stride={stride} came"
            )
        totals = [d * (k - 1) for k, d in zip(kernel, dilation)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if not isinstance(padding, (int, np.integer)) and any(isinstance(p, (tuple, list)) for p in padding):
        pairs = tuple((int(lo), int(hi)) for lo, hi in padding)
        if len(pairs) != n:
            raise ShapeError(f"padding={padding!r}: {n} pairs are needed, one for each axis of space")
        return pairs
    return tuple((p, p) for p in per_axis(padding, n, "padding", 0))


def window_counts(
    name: str,
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pairs,
    dilation: tuple[int, ...],
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """How many windows fit along each axis; with `ceil_mode` also one that begins inside and ends outside."""
    counts = []
    for axis, (size, k, s, (lo, hi), d) in enumerate(zip(sizes, kernel, stride, pads, dilation)):
        room = size + lo + hi - (d * (k - 1) + 1)
        count = room // s + 1
        if ceil_mode and room % s and count * s < size + lo:
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
def inner(sizes: tuple[int, ...], pads: Pairs) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the values stand in the padded axes, and which of them do: a negative padding cuts."""
    there = tuple(
        slice(max(lo, 0), max(lo, 0) + s + min(lo, 0) + min(hi, 0)) for s, (lo, hi) in zip(sizes, pads)
    )
    taken = tuple(slice(max(-lo, 0), s + min(hi, 0)) for s, (lo, hi) in zip(sizes, pads))
    return there, taken


@lru_cache(maxsize=512)
def padded_sizes(sizes: tuple[int, ...], pads: Pairs) -> tuple[int, ...]:
    """The sizes of space with the padding on both sides."""
    return tuple(s + lo + hi for s, (lo, hi) in zip(sizes, pads))


@lru_cache(maxsize=32)  # a kernel may have thousands of places
def windows_at(
    kernel: tuple[int, ...], counts: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[Any, ...]:
    """The places of a kernel, the last axis fastest, each with the slices of padded space that hold, for every
    window, its element there."""
    axes = [
        [slice(o * d, o * d + (c - 1) * s + 1, s) for o in range(k)]
        for k, c, s, d in zip(kernel, counts, stride, dilation)
    ]
    return tuple(zip(product(*map(range, kernel)), product(*axes)))


class Frame:
    """The geometry of windows over space: its sizes, kernel, stride, padding, dilation, how many windows.

    It is never changed, also not by another thread: `frame` makes one for all calls with the same arguments.
    """

    __slots__ = ("sizes", "kernel", "stride", "asked", "pads", "dilation", "counts", "_derived")

    def __init__(
        self,
        name: str,
        sizes: Any,
        kernel: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: bool = False,
    ) -> None:
        n = len(sizes)
        self.sizes, self.kernel = tuple(sizes), per_axis(kernel, n, "kernel")
        self.stride, self.dilation = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
        pads = pad_pairs(padding, self.kernel, self.stride, self.dilation)
        self.counts = window_counts(
            name, self.sizes, self.kernel, self.stride, pads, self.dilation, ceil_mode
        )
        self.asked: Pairs = pads
        if ceil_mode:  # the last window may reach further than the padding
            reach = self.reach()
            pads = tuple((lo, max(hi, r - s - lo)) for r, s, (lo, hi) in zip(reach, self.sizes, pads))
        self.pads: Pairs = pads
        self._derived: dict[int, Frame] = {}

    def reach(self) -> tuple[int, ...]:
        """How far the last window reaches along each padded axis."""
        parts = zip(self.counts, self.stride, self.dilation, self.kernel)
        return tuple((c - 1) * s + d * (k - 1) + 1 for c, s, d, k in parts)

    def places(self) -> tuple[Any, ...]:
        """The places of the kernel, each with the slices of padded space that hold every window's element there."""
        return windows_at(self.kernel, self.counts, self.stride, self.dilation)

    def mirrored(self) -> Frame:
        """The frame in which convolving the result with the mirrored kernel gives the input (stride 1)."""
        other = self._derived.get(0)
        if other is None:
            other = copy(self)
            other.sizes, other.counts, other._derived = self.counts, self.sizes, {}
            reach = [d * (k - 1) for k, d in zip(self.kernel, self.dilation)]
            other.pads = tuple((r - lo, r - hi) for r, (lo, hi) in zip(reach, self.pads))
            self._derived[0] = other
        return other

    def together(self, count: int) -> Frame:
        """The frame whose windows each span `count` windows that lie side by side (stride and dilation 1)."""
        other = self._derived.get(count)
        if other is None:
            other = copy(self)
            other.kernel = (*self.kernel[:-1], self.kernel[-1] + count - 1)
            other.stride = (*self.stride[:-1], count)
            other.counts, other._derived = (*self.counts[:-1], self.counts[-1] // count), {}
            self._derived[count] = other
        return other


_frame = lru_cache(maxsize=512, typed=True)(Frame)


def frame(
    name: str, sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> Frame:
    """The frame of these arguments, each an int or one for each axis; for `padding` see pad_pairs."""
    arguments = (name, sizes, kernel, stride, padding, dilation, ceil_mode)
    try:
        return _frame(*arguments)
    except TypeError:  # what can be changed, such as a list, cannot be looked up
        fixed = map(_tupled, arguments)
    return _frame(*fixed)


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, Iterable) and not isinstance(value, str) else value
