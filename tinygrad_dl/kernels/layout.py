"""Memory layout of arrays (N, C, *S): channels first or last, padding, strided views of windows, workspaces.

Results of convolutions lie channels last in memory (their strides say so), because a matrix product over all
positions then needs no copy on either side.
"""

from __future__ import annotations

import threading
from math import prod

import numpy as np
import numpy.typing as npt

from tinygrad_dl.kernels.blas import sum_rows
from tinygrad_dl.kernels.windows import Pairs, Windows, inner, padded_sizes
from tinygrad_dl.typing import NDArray, Shape


class _Workspaces(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[tuple[str, npt.DTypeLike], NDArray] = {}


_workspaces = _Workspaces()
CACHED_ELEMENTS = 2**22  # a larger workspace is given back: 16 MiB of float32 is what a thread may keep


def workspace(use: str, shape: Shape, dtype: npt.DTypeLike) -> NDArray:
    """An uninitialized array in the same memory at each call for one use; valid until the next such call.

    Fresh pages cost as much as the copy that fills them, where malloc maps them again for every step.
    """
    size = prod(shape)
    cached = _workspaces.arrays.get((use, dtype))
    if cached is None or cached.size < size:
        cached = np.empty(size, dtype)
        if size <= CACHED_ELEMENTS:
            _workspaces.arrays[use, dtype] = cached
    return cached[:size].reshape(shape)


def channels_last(x: NDArray) -> NDArray:
    """(N, C, *S) as a view (N, *S, C)."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_first(x: NDArray) -> NDArray:
    """(N, *S, C) as a view (N, C, *S)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def empty_channels_last(n: int, channels: int, sizes: Shape, dtype: npt.DTypeLike) -> NDArray:
    """An uninitialized (N, C, *S) array in channels-last layout."""
    steps = [np.dtype(dtype).itemsize]
    for size in (channels, *sizes[:0:-1]):
        steps.append(steps[-1] * size)
    element, *space = steps
    # It owns its memory, where a transposed view would not: the backward pass may keep such a gradient uncopied.
    strides = (prod(sizes) * channels * element, element, *space[::-1])
    return np.ndarray((n, channels, *sizes), dtype, strides=strides)


def empty_like_layout(n: int, channels: int, sizes: Shape, dtype: npt.DTypeLike, last: bool) -> NDArray:
    """An uninitialized (N, C, *S) array in channels-last or channels-first layout."""
    return empty_channels_last(n, channels, sizes, dtype) if last else np.empty((n, channels, *sizes), dtype)


def is_channels_last(x: NDArray) -> bool:
    """Whether (N, C, *S) is contiguous as (N, *S, C) and not as it is."""
    return not x.flags.c_contiguous and channels_last(x).flags.c_contiguous


def image_rows(x: NDArray) -> NDArray | None:
    """A channels-last (N, C, *S) as the matrix (N * ..., W * C) of its image rows; None in another layout.

    NumPy's loops over single positions are as short as there are channels; over rows of an image they are W times as
    long: with sums and biases by rows x1.2 on `make bench ARGS="--case digits-cnn --case lenet"`.
    """
    last = channels_last(x)
    if x.ndim < 3 or not x.size or not last.flags.c_contiguous:
        return None
    return last.reshape(-1, last.shape[-2] * last.shape[-1])


def sum_image_rows(rows: NDArray, channels: int) -> NDArray:
    """The sums (C,) over rows and positions in them."""
    return np.add.reduce(sum_rows(rows).reshape(-1, channels), axis=0)


def in_layout_of(x: NDArray, other: NDArray) -> NDArray:
    """x in the layout of another array of its shape: mixing layouts in one loop costs more than a copy."""
    if is_channels_last(other):
        return x if is_channels_last(x) else channels_first(np.ascontiguousarray(channels_last(x)))
    return np.ascontiguousarray(x)


def padded(x: NDArray, pads: Pairs, value: float = 0) -> NDArray:
    """(N, C, *S) with a constant around its spatial dimensions, in the layout of x; x itself without padding."""
    if not any(lo or hi for lo, hi in pads):
        return x
    n, c, *sizes = x.shape
    inside, source = inner(tuple(sizes), pads)
    out = empty_like_layout(n, c, padded_sizes(tuple(sizes), pads), x.dtype, is_channels_last(x))
    out.fill(value)
    out[(slice(None), slice(None), *inside)] = x[(slice(None), slice(None), *source)]
    return out


def cropped(x: NDArray, pads: Pairs) -> NDArray:
    """What `padded` was given, from what it returned (a view, unless a padding was negative)."""
    if any(lo < 0 or hi < 0 for lo, hi in pads):
        return padded(x, tuple((-lo, -hi) for lo, hi in pads))
    return x[(slice(None), slice(None), *(slice(lo, s - hi) for s, (lo, hi) in zip(x.shape[2:], pads)))]


def padded_workspace(x: NDArray, pads: Pairs, last: bool) -> NDArray:
    """x padded with zeros in a workspace, as (N, *S, C) if `last` else (N, C, *S); x itself if nothing is to do."""
    n, c, *sizes = x.shape
    if not any(lo or hi for lo, hi in pads):
        view = channels_last(x) if last else x
        if view.flags.c_contiguous:
            return view
    grown = padded_sizes(tuple(sizes), pads)
    out = workspace("padded", (n, *grown, c) if last else (n, c, *grown), x.dtype)
    inside, source = inner(tuple(sizes), pads)
    for axis, part in enumerate(inside, 1 if last else 2):
        along = out.swapaxes(0, axis)  # only the borders: clearing all of it costs as much as the copy
        along[: part.start] = 0
        along[part.stop :] = 0
    x = x[(slice(None), slice(None), *source)]
    if last:
        out[(slice(None), *inside)] = channels_last(x)
    else:
        out[(slice(None), slice(None), *inside)] = x
    return out


def window_view(xp: NDArray, f: Windows) -> NDArray:
    """The windows of padded arrays (N, *S, C) as a view (N, *L, *K, C)."""
    b, *space, e = xp.strides
    steps = (*(a * s for a, s in zip(space, f.stride)), *(a * d for a, d in zip(space, f.dilation)))
    return np.ndarray((len(xp), *f.counts, *f.kernel, xp.shape[-1]), xp.dtype, xp, 0, (b, *steps, e))


def mirrored(w: NDArray) -> NDArray:
    """A weight (O, C, *K) with its kernels reversed along every spatial dimension, as a view."""
    return w[(slice(None), slice(None), *(slice(None, None, -1),) * (w.ndim - 2))]
