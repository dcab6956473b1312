"""Arrays with axes of space as windows see them: their order in memory, padding, copies of windows side by side.

Arrays are (N, C, *S): examples, channels, then n axes of space; all code here is for any n. Results often lie
in memory channels last (their strides say so): a matrix product over all places then needs no copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.backend import aligned
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.kernels.windows import Frame, Pairs, inner, padded_sizes

Room = Callable[[tuple[int, ...], Any], np.ndarray]  # makes an undefined array of a shape and a dtype


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
KEPT_ELEMENTS = 2**22  # larger scratch is given back


def scratch(use: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An undefined array, the same memory at each call for a use: fresh pages cost more than copying."""
    size = prod(shape)
    held = _scratch.arrays.get((use, dtype))
    if held is None or held.size < size:
        held = aligned((size,), dtype)
        if size <= KEPT_ELEMENTS:
            _scratch.arrays[use, dtype] = held
    return held[:size].reshape(shape)


Blocks = Iterator[tuple[int, int, np.ndarray]]  # of examples: start, stop, and their windows side by side
HELD_ELEMENTS = 2**20  # of all windows of a convolution: 4 MB of float32


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
    there = channels_first(np.empty((n, *sizes, channels), dtype))
    return aligned(there.shape, dtype, there.strides)


def empty_space(n: int, channels: int, sizes: tuple[int, ...], dtype: Any, last: bool) -> np.ndarray:
    """An undefined (N, C, *S) array that lies channels last in memory, or else first."""
    return empty_channels_last(n, channels, sizes, dtype) if last else aligned((n, channels, *sizes), dtype)


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
