"""Convolution as matrix products (im2col): windows are copied side by side and multiplied with the weight.

x6 to x9 faster than the plain forwards in ops/conv.py, which add one small product per kernel position, on the
layers of `make bench ARGS="--case lenet --case digits-cnn --case wide-cnn"`.
Arrays are (N, C, *S), weights (O, C/groups, *K); the number of spatial dimensions is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from tinygrad_dl.kernels.layout import (
    channels_first,
    channels_last,
    cropped,
    empty_channels_last,
    mirrored,
    padded,
    padded_workspace,
    window_view,
    workspace,
)
from tinygrad_dl.kernels.windows import Windows, kernel_positions, padded_sizes, windows
from tinygrad_dl.typing import NDArray

# Elements of the column matrix that is built and multiplied at a time. Without blocks the columns leave the cache:
# x1.4 on `make bench ARGS="--case wide-cnn"`; much smaller blocks make small products.
BLOCK = 2**20
# Below this many contiguous elements (channels times the last kernel size) NumPy copies whole planes faster than
# runs: x1.6 on `make bench ARGS="--case lenet"`, whose first convolution has one channel.
SHORT_RUN = 16


def _blocks(n: int, elements: int) -> Iterator[slice]:
    """Slices of n examples with `elements` column elements each, so that a block fits the cache."""
    step = max(1, min(n, BLOCK // max(1, elements)))
    return (slice(start, start + step) for start in range(0, n, step))


def _columns(x: NDArray, f: Windows) -> Iterator[tuple[slice, NDArray]]:
    """Blocks of examples, each with its matrix (windows, kernel positions * channels); the next block overwrites it."""
    c, k, count = x.shape[1], prod(f.kernel), prod(f.counts)
    by_plane = c * f.kernel[-1] < SHORT_RUN and k > 1
    for block in _blocks(x.shape[0], count * k * c):
        xp = padded_workspace(x[block], f.pads, last=not by_plane)
        n = len(xp)
        if by_plane:
            planes = workspace("columns", (*f.kernel, c, n, *f.counts), x.dtype)
            for offset, under in f.positions():
                planes[offset] = xp.swapaxes(0, 1)[(..., *under)]
            yield block, planes.reshape(k * c, n * count).T
            continue
        view = window_view(xp, f)
        if k == 1 and view.flags.c_contiguous:  # a 1x1 convolution multiplies the input as it is
            yield block, view.reshape(n * count, c)
            continue
        rows = workspace("columns", view.shape, x.dtype)
        np.copyto(rows, view)
        yield block, rows.reshape(n * count, k * c)


def _rows(x: NDArray) -> NDArray:
    """(N, C, *S) as the matrix (positions, C); a copy unless it is channels last."""
    return channels_last(x).reshape(x.size // max(1, x.shape[1]), x.shape[1])


def _groups(count: int, channels: int, filters: int) -> Iterator[tuple[slice, slice]]:
    """The channels and the filters of each group."""
    c, o = channels // count, filters // count
    return ((slice(i * c, (i + 1) * c), slice(i * o, (i + 1) * o)) for i in range(count))


def convolve(x: NDArray, w: NDArray, f: Windows, groups: int = 1) -> NDArray:
    """The convolution (N, O, *L) of x (N, C, *S) with the weight (O, C/groups, *K), in channels-last layout."""
    out = empty_channels_last(x.shape[0], w.shape[0], f.counts, np.result_type(x, w))
    if groups > 1:
        for channels, filters in _groups(groups, x.shape[1], w.shape[0]):
            out[:, filters] = convolve(x[:, channels], w[filters], f)
        return out
    matrix = np.ascontiguousarray(w.transpose(*range(2, w.ndim), 1, 0)).reshape(-1, w.shape[0])
    last = channels_last(out)
    for block, columns in _columns(x, f):
        np.matmul(columns, matrix, out=last[block].reshape(-1, w.shape[0]))
    return out


def weight_gradient(x: NDArray, y: NDArray, f: Windows, groups: int = 1) -> NDArray:
    """The gradient (O, C/groups, *K) of the weight, where y (N, O, *L) is the gradient of the convolution's result."""
    c, filters = x.shape[1], y.shape[1]
    if groups > 1:
        return np.concatenate(
            [weight_gradient(x[:, ins], y[:, outs], f) for ins, outs in _groups(groups, c, filters)]
        )
    total = np.zeros((prod(f.kernel) * c, filters), np.result_type(x, y))
    for block, columns in _columns(x, f):
        total += columns.T @ _rows(y[block])
    n = len(f.kernel)
    return np.ascontiguousarray(total.reshape(*f.kernel, c, filters).transpose(n + 1, n, *range(n)))


def input_gradient(y: NDArray, w: NDArray, f: Windows, groups: int = 1) -> NDArray:
    """The gradient (N, C, *S) of the convolution's input, where y (N, O, *L) is that of its result."""
    if groups > 1:
        channels = groups * w.shape[1]
        out = empty_channels_last(y.shape[0], channels, f.sizes, np.result_type(y, w))
        for ins, outs in _groups(groups, channels, w.shape[0]):
            out[:, ins] = input_gradient(y[:, outs], w[outs], f)
        return out
    if _band_is_faster(w, f):
        return _input_gradient_by_rows(y, w, f)
    if (
        set(f.stride) == {1} and w.shape[0] <= 3 * w.shape[1]
    ):  # a convolution with the mirrored kernel copies y k times
        return convolve(y, mirrored(w).swapaxes(0, 1), f.mirrored())
    if all(k % s == 0 and d == 1 for k, s, d in zip(f.kernel, f.stride, f.dilation)):
        return _input_gradient_by_phases(y, w, f)
    return _col2im(y, w, f)


def _col2im(y: NDArray, w: NDArray, f: Windows) -> NDArray:
    """`input_gradient` for any stride: one product gives the columns, which are added where their windows are."""
    filters, c = w.shape[:2]
    k = prod(f.kernel)
    out = np.zeros((y.shape[0], *padded_sizes(f.sizes, f.pads), c), np.result_type(y, w))
    matrix = np.ascontiguousarray(w.transpose(0, *range(2, w.ndim), 1)).reshape(filters, k * c)
    for block in _blocks(y.shape[0], prod(f.counts) * c * k):
        rows = _rows(y[block])
        columns = workspace("columns", (rows.shape[0], k * c), out.dtype)
        np.matmul(rows, matrix, out=columns)
        columns = columns.reshape(-1, *f.counts, *f.kernel, c)
        for offset, under in f.positions():
            out[(block, *under)] += columns[(..., *offset, slice(None))]
    return cropped(channels_first(out), f.pads)


def _input_gradient_by_phases(y: NDArray, w: NDArray, f: Windows) -> NDArray:
    """`input_gradient` for strides that divide the kernel: positions one stride apart are a convolution of y.

    All phases are one convolution with as many times the filters; x1.2 faster than `_col2im`
    (`python -m benchmarks.layers "ConvTranspose2d 32-16 k4"`).
    """
    (filters, c), n, axes = w.shape[:2], y.shape[0], len(f.kernel)
    taps = tuple(k // s for k, s in zip(f.kernel, f.stride))
    split = w.reshape(filters, c, *(size for pair in zip(taps, f.stride) for size in pair))
    split = split.transpose(*range(3, 2 * axes + 2, 2), 1, 0, *range(2, 2 * axes + 2, 2))
    around = windows("conv_transpose", f.counts, taps, 1, tuple((t - 1, t - 1) for t in taps), 1)
    out = channels_last(convolve(y, mirrored(split.reshape(-1, filters, *taps)), around))
    out = out.reshape(n, *around.counts, *f.stride, c)
    pairs = (axis for i in range(1, axes + 1) for axis in (i, i + axes))
    out = out.transpose(0, *pairs, 2 * axes + 1).reshape(n, *f.reach(), c)
    behind = tuple((0, size - r) for size, r in zip(padded_sizes(f.sizes, f.pads), f.reach()))
    return cropped(padded(channels_first(out), behind), f.pads)


def _band_is_faster(w: NDArray, f: Windows) -> bool:
    """Whether the kernel is wide and the image narrow, so that a banded matrix has few zeros."""
    filters, c, kernel = w.shape[0], w.shape[1], f.kernel[-1]
    width = f.counts[-1] + kernel - 1
    small = filters * f.counts[-1] * c * width * prod(f.kernel[:-1]) <= BLOCK
    plain = f.stride[-1] == f.dilation[-1] == 1
    return plain and small and c < SHORT_RUN and kernel >= 4 and width <= 4 * kernel


def _input_gradient_by_rows(y: NDArray, w: NDArray, f: Windows) -> NDArray:
    """`input_gradient` by a banded matrix along the last dimension: a row of y (W * O) gives a row (W' * C).

    x1.25 faster than `convolve` with the mirrored kernel on `make bench ARGS="--case lenet"`, whose second
    convolution has 16 filters of 5 x 5 over 6 channels: the columns would be large and the product narrow.
    """
    (filters, c), n, dtype = w.shape[:2], y.shape[0], np.result_type(y, w)
    lead, count = f.kernel[:-1], f.counts[-1]
    *grown, width = padded_sizes(f.sizes, f.pads)
    band = np.zeros((count, filters, *lead, width * c), dtype)
    step, *others = band.strides
    shape = (count, filters, *lead, f.kernel[-1] * c)
    diagonal = np.ndarray(shape, dtype, band, 0, (step + c * band.itemsize, *others))
    diagonal[...] = w.transpose(0, *range(2, w.ndim), 1).reshape(filters, *lead, -1)
    out = np.zeros((n, *grown, width * c), dtype)
    for block in _blocks(n, prod(f.counts[:-1]) * prod(lead) * width * c):
        rows = channels_last(y[block]).reshape(-1, count * filters)
        parts = (rows @ band.reshape(count * filters, -1)).reshape(-1, *f.counts[:-1], *lead, width * c)
        for offset, under in kernel_positions(lead, f.counts[:-1], f.stride[:-1], f.dilation[:-1]):
            out[(block, *under)] += parts[(..., *offset, slice(None))]
    return cropped(channels_first(out.reshape(n, *grown, width, c)), f.pads)
