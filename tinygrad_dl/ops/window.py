"""Windows that slide over the axes of space: how many there are, and copies in which they lie side by side.

Arrays are (N, C, *S): examples, channels, then n axes of space; all code here is for any n. Results often lie
in memory channels last (their strides say so): a matrix product over all places then needs no copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import copy
from functools import lru_cache, partial
from itertools import product
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.op import Case, op

Pairs = tuple[tuple[int, int], ...]
Room = Callable[[tuple[int, ...], Any], np.ndarray]  # makes an undefined array of a shape and a dtype


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


def check_space(name: str, x: Any, n: int) -> None:
    """Raise unless x is (N, C, *S) with n axes of space."""
    if x.ndim != n + 2:
        raise ShapeError(
            f"{name}: x must be (N, C, {', '.join('DHW'[-n:] if n < 4 else '*S')}); {x.shape} came"
        )


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[Any, np.ndarray] = {}


_scratch = _Scratch()
KEPT_ELEMENTS = 2**22


def scratch(use: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An undefined array, the same memory at each call for a use: fresh pages cost more than copying."""
    size = prod(shape)
    held = _scratch.arrays.get((use, dtype))
    if held is None or held.size < size:
        held = np.empty(size, dtype)
        if size <= KEPT_ELEMENTS:
            _scratch.arrays[use, dtype] = held
    return held[:size].reshape(shape)


Blocks = Iterator[tuple[int, int, np.ndarray]]  # of examples: start, stop, and their windows side by side
HELD_ELEMENTS = 2**20


class Held(dict[Any, list[tuple[int, int, np.ndarray]]]):
    """Blocks of windows that a convolution has built, for its weight's gradient to use again."""

    @property
    def nbytes(self) -> int:
        """The size of the arrays that the blocks are views of."""
        views = (view for blocks in self.values() for *_, view in blocks)
        return sum(view.nbytes if view.base is None else view.base.nbytes for view in views)


def built(held: Held | None, key: Any, elements: int, build: Callable[[Room], Blocks]) -> Blocks:
    """The blocks that are held under a key, or else newly built: in memory of their own to be held, if they are small.

    What is large is built anew each time, in memory that stays in the cache.
    """
    if held is None or elements > HELD_ELEMENTS:
        return build(partial(scratch, "columns"))
    if key not in held:
        held[key] = list(build(np.empty))
    return iter(held[key])


def channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, *S) seen as (N, *S, C)."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_first(x: np.ndarray) -> np.ndarray:
    """(N, *S, C) seen as (N, C, *S)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def items(a: np.ndarray) -> np.ndarray:
    """An array with its last axis, which lies in one piece, seen as one item: short runs are copied more quickly."""
    return a.view(f"V{a.shape[-1] * a.itemsize}")[..., 0]


def by_place(x: np.ndarray, last: bool) -> np.ndarray:
    """(N, C, *S), if it lies channels last, as (N, *S) of items: both take [..., *slices of space]."""
    return items(channels_last(x)) if last else x


def empty_channels_last(n: int, channels: int, sizes: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An undefined (N, C, *S) array that lies channels last in memory."""
    # An array of its own, not a view of one: a gradient in it can be kept without a copy.
    return np.empty_like(channels_first(np.empty((n, *sizes, channels), dtype)))


def empty_space(n: int, channels: int, sizes: tuple[int, ...], dtype: Any, last: bool) -> np.ndarray:
    """An undefined (N, C, *S) array that lies channels last in memory, or else first."""
    return empty_channels_last(n, channels, sizes, dtype) if last else np.empty((n, channels, *sizes), dtype)


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


def padded(x: np.ndarray, pads: Pairs, value: Any = 0) -> np.ndarray:
    """(N, C, *S) with a constant around space, in the memory order of x; x itself without padding."""
    if not any(lo or hi for lo, hi in pads):
        return x
    n, c, *sizes = x.shape
    there, taken = inner(tuple(sizes), pads)
    grown = padded_sizes(tuple(sizes), pads)
    last = lies_channels_last(x)
    out = empty_channels_last(n, c, grown, x.dtype) if last else np.empty((n, c, *grown), x.dtype)
    out.fill(value)
    out[(slice(None), slice(None), *there)] = x[(slice(None), slice(None), *taken)]
    return out


def cropped(x: np.ndarray, pads: Pairs) -> np.ndarray:
    """What `padded` was given, from what it returned (a view, where nothing was cut)."""
    if any(lo < 0 or hi < 0 for lo, hi in pads):
        return padded(x, tuple((-lo, -hi) for lo, hi in pads))
    return x[(slice(None), slice(None), *(slice(lo, s - hi) for s, (lo, hi) in zip(x.shape[2:], pads)))]


def lies_channels_last(x: np.ndarray) -> bool:
    """Whether (N, C, *S) lies as (N, *S, C) in memory, and not channels first."""
    return not x.flags.c_contiguous and channels_last(x).flags.c_contiguous


def in_order_of(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """x in the memory order of another array of its shape: to mix orders costs more than a copy."""
    if lies_channels_last(other):
        return x if lies_channels_last(x) else channels_first(np.ascontiguousarray(channels_last(x)))
    return np.ascontiguousarray(x)


def windows_at(
    kernel: tuple[int, ...], counts: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Iterator[Any]:
    """The places of a kernel, the last axis fastest, each with the slices of padded space that hold, for every
    window, its element there."""
    axes = [
        [slice(o * d, o * d + (c - 1) * s + 1, s) for o in range(k)]
        for k, c, s, d in zip(kernel, counts, stride, dilation)
    ]
    return zip(product(*map(range, kernel)), product(*axes))


class Frame:
    """The geometry of windows over space: its sizes, kernel, stride, padding, dilation, how many windows.

    It is never changed: `frame` makes one for all calls with the same arguments.
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

    def places(self) -> Iterator[Any]:
        """The places of the kernel, each with the slices of padded space that hold every window's element there."""
        return windows_at(self.kernel, self.counts, self.stride, self.dilation)

    def mirrored(self) -> Frame:
        """The frame in which convolving the result with the mirrored kernel gives the input (stride 1)."""
        other = self._derived.get(0)
        if other is None:
            reach = [d * (k - 1) for k, d in zip(self.kernel, self.dilation)]
            other = self._derived[0] = copy(self)
            other.sizes, other.counts, other._derived = self.counts, self.sizes, {}
            other.pads = tuple((r - lo, r - hi) for r, (lo, hi) in zip(reach, self.pads))
        return other

    def together(self, count: int) -> Frame:
        """The frame whose windows each span `count` windows that lie side by side (stride and dilation 1)."""
        other = self._derived.get(count)
        if other is None:
            other = self._derived[count] = copy(self)
            other.kernel = (*self.kernel[:-1], self.kernel[-1] + count - 1)
            other.stride = (*self.stride[:-1], count)
            other.counts, other._derived = (*self.counts[:-1], self.counts[-1] // count), {}
        return other


_frame = lru_cache(maxsize=512, typed=True)(Frame)


def frame(
    name: str, sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> Frame:
    """The frame of these arguments, each an int or one for each axis; for `padding` see pad_pairs."""
    arguments = (name, sizes, kernel, stride, padding, dilation, ceil_mode)
    try:
        return _frame(*arguments)
    except TypeError:  # lists cannot be looked up
        return _frame(*map(_tupled, arguments))


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, (list, tuple, np.ndarray)) else value


def repeated(row: np.ndarray, times: int) -> np.ndarray:
    """np.tile of one axis, in a fifth of its time."""
    return row.reshape(1, -1).repeat(times, axis=0).reshape(-1)


def in_scratch(x: np.ndarray, pads: Pairs, last: bool) -> np.ndarray:
    """x padded, in one memory order or the other; x itself where it is so already."""
    n, c, *sizes = x.shape
    if not any(lo or hi for lo, hi in pads):
        view = channels_last(x) if last else x
        if view.flags.c_contiguous:
            return view
    grown = padded_sizes(tuple(sizes), pads)
    out = scratch("padded", (n, *grown, c) if last else (n, c, *grown), x.dtype)
    there, taken = inner(tuple(sizes), pads)
    for axis, inside in enumerate(there, 1 if last else 2):
        along = out.swapaxes(0, axis)  # only the borders: clearing all of it costs as much as the copy
        along[: inside.start] = 0
        along[inside.stop :] = 0
    source = x[(slice(None), slice(None), *taken)]
    if last:
        out[(slice(None), *there)] = channels_last(source)
    else:
        out[(slice(None), slice(None), *there)] = source
    return out


def all_windows(xp: np.ndarray, f: Frame) -> np.ndarray:
    """The windows of padded arrays (N, *S, C) as a view (N, *L, *K, C)."""
    b, *space, e = xp.strides
    steps = (*(a * s for a, s in zip(space, f.stride)), *(a * d for a, d in zip(space, f.dilation)))
    return np.ndarray((len(xp), *f.counts, *f.kernel, xp.shape[-1]), xp.dtype, xp, 0, (b, *steps, e))


def mirror(w: np.ndarray) -> np.ndarray:
    """A weight whose kernels are turned around."""
    return w[(slice(None), slice(None), *(slice(None, None, -1),) * (w.ndim - 2))]


# im2col and col2im


@op(
    lambda g, x_shape, kernel, stride, padding, dilation: fold(
        g, x_shape[2:], kernel, stride, padding, dilation
    ),
    cases=(
        Case((2, 3, 4, 5), kernel=2), Case((1, 2, 5), kernel=3, stride=2, padding=1, dilation=2),
        Case((1, 1, 4, 3), kernel=(2, 3), stride=(2, 1), padding=(0, 1)), Case((1, 1, 2, 3, 2), kernel=2),
    ),
)  # fmt: skip
def unfold(x: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """The windows that slide over space, each as a column (im2col).

    out[n, (c, k), l] = padded x[n, c, place k of window l].   x (N, C, *S) -> (N, C*K, L), K places a window.
    Raises ShapeError if the kernel does not fit.
    >>> unfold(np.arange(4.0).reshape(1, 1, 4), 2)
    array([[[0., 1., 2.],
            [1., 2., 3.]]])
    """
    n = x.ndim - 2
    if n < 1:
        raise ShapeError(f"unfold: x must be (N, C, *S) with at least one axis of space; {x.shape} came")
    f = frame("unfold", x.shape[2:], kernel, stride, padding, dilation)
    xp = padded(x, f.pads)
    out = np.empty((*x.shape[:2], *f.kernel, *f.counts), x.dtype)
    for offset, at in f.places():
        out[(slice(None), slice(None), *offset)] = xp[(..., *at)]
    return out.reshape(x.shape[0], x.shape[1] * prod(f.kernel), prod(f.counts))


@op(
    lambda g, kernel, stride, padding, dilation: unfold(g, kernel, stride, padding, dilation),
    cases=(
        Case((2, 8, 6), size=(3, 4), kernel=2), Case((1, 6, 1), size=(5,), kernel=3, stride=2, dilation=2),
        Case((1, 6, 3), size=(4, 3), kernel=(2, 3), stride=(2, 1), padding=(1, 0)),
    ),
)  # fmt: skip
def fold(x: Any, size: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """Columns added up where their windows lie (col2im): the counterpart of unfold.

    out[n, c, s] = sum over the windows l and places k that meet s of x[n, (c, k), l].
    x (N, C*K, L) -> (N, C, *size).   Raises ShapeError if K or L do not belong to `size`.
    >>> fold(np.ones((1, 2, 3)), (4,), 2)
    array([[[1., 2., 2., 1.]]])
    """
    f = frame("fold", tuple(size), kernel, stride, padding, dilation)
    k, windows = prod(f.kernel), prod(f.counts)
    if x.ndim != 3 or x.shape[1] % k or x.shape[2] != windows:
        raise ShapeError(
            f"fold: x must be (N, C*K, L) with K = {k} elements a window of kernel {f.kernel} and "
            f"L = {windows} windows {f.counts} in size {f.sizes}; {x.shape} came"
        )
    channels = x.shape[1] // k
    columns = x.reshape(x.shape[0], channels, *f.kernel, *f.counts)
    out = np.zeros((x.shape[0], channels, *padded_sizes(f.sizes, f.pads)), x.dtype)
    for offset, at in f.places():
        out[(..., *at)] += columns[(slice(None), slice(None), *offset)]
    return np.ascontiguousarray(cropped(out, f.pads))
