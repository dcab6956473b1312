"""The products behind convolution, on arrays with any number of axes of space.

Windows are copied side by side (im2col), for a block of examples that fits the cache and in the order that
their channels allow, and multiplied with the weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.ops.window import (
    Frame,
    Pairs,
    channels_first,
    channels_last,
    cropped,
    empty_channels_last,
    inner,
    offsets_of,
    padded_sizes,
    scratch,
    windows_at,
)

# Elements of a column matrix that is built and multiplied at a time, as measured: smaller ones give small
# products, larger ones leave the cache.
BLOCK = 2**20
# Below this many elements side by side (channels times the last kernel size), planes are copied, not rows.
SHORT_RUN = 16
# Rows that one product sums over when it gives a weight's gradient.
SUMMED = 1024
# Below this many channels the gradient is added up plane by plane.
FEW_CHANNELS = 4


def _blocks(n: int, elements: int) -> Iterator[tuple[int, int]]:
    step = max(1, min(n, BLOCK // max(1, elements)))
    return ((start, min(start + step, n)) for start in range(0, n, step))


def _in_scratch(x: np.ndarray, pads: Pairs, last: bool) -> np.ndarray:
    """x padded, in one memory order or the other; x itself where it is so already."""
    n, c, *sizes = x.shape
    if not any(lo or hi for lo, hi in pads):
        view = channels_last(x) if last else x
        if view.flags.c_contiguous:
            return view
    grown = padded_sizes(tuple(sizes), pads)
    out = scratch("padded", (n, *grown, c) if last else (n, c, *grown), x.dtype)
    there, taken = inner(tuple(sizes), pads)
    out.fill(0)
    source = x[(slice(None), slice(None), *taken)]
    if last:
        out[(slice(None), *there)] = channels_last(source)
    else:
        out[(slice(None), slice(None), *there)] = source
    return out


def _columns(x: np.ndarray, f: Frame) -> Iterator[tuple[int, int, np.ndarray]]:
    """Block by block of examples: start, stop, and the matrix (windows, kernel places * channels)."""
    n, c = x.shape[:2]
    k = prod(f.kernel)
    by_plane = c * f.kernel[-1] < SHORT_RUN and k > 1
    for start, stop in _blocks(n, prod(f.counts) * k * c):
        m = stop - start
        xp = _in_scratch(x[start:stop], f.pads, last=not by_plane)
        if by_plane:
            planes = scratch("columns", (*f.kernel, c, m, *f.counts), x.dtype)
            view = xp.swapaxes(0, 1)
            for offset in offsets_of(f.kernel):
                planes[offset] = view[f.key(offset)]
            yield start, stop, planes.reshape(k * c, m * prod(f.counts)).T
            continue
        if k == 1:
            seen = xp[(slice(None), *f.at((0,) * len(f.kernel)))]
            if seen.flags.c_contiguous:
                yield start, stop, seen.reshape(m * prod(f.counts), c)
                continue
        else:
            b, *space, e = xp.strides
            strides = (
                b,
                *(a * s for a, s in zip(space, f.stride)),
                *(a * d for a, d in zip(space, f.dilation)),
                e,
            )
            seen = np.ndarray((m, *f.counts, *f.kernel, c), x.dtype, xp, 0, strides)
        rows = scratch("columns", (m, *f.counts, *f.kernel, c), x.dtype)
        np.copyto(rows.reshape(seen.shape), seen)
        yield start, stop, rows.reshape(m * prod(f.counts), k * c)


def _rows(x: np.ndarray) -> np.ndarray:
    """(N, C, *S) as the matrix (places, C); a copy unless it lies channels last."""
    return channels_last(x).reshape(x.size // max(1, x.shape[1]), x.shape[1])


def correlate(x: np.ndarray, w: np.ndarray, f: Frame) -> np.ndarray:
    out = empty_channels_last(x.shape[0], w.shape[0], f.counts, np.result_type(x, w))
    matrix = np.ascontiguousarray(w.transpose(*range(2, w.ndim), 1, 0)).reshape(-1, w.shape[0])
    last = channels_last(out)
    for start, stop, columns in _columns(x, f):
        np.matmul(columns, matrix, out=last[start:stop].reshape(-1, w.shape[0]))
    return out


def spread(y: np.ndarray, w: np.ndarray, f: Frame) -> np.ndarray:
    """What conv's input receives: y carried back through the windows."""
    outs, c = w.shape[:2]
    if c * f.kernel[-1] >= SHORT_RUN and c >= FEW_CHANNELS and outs <= 2 * c and set(f.stride) == {1}:
        mirror = w[(slice(None), slice(None), *(slice(None, None, -1),) * len(f.kernel))].swapaxes(0, 1)
        return correlate(y, mirror, f.mirrored())
    if _rows_are_better(w, f):
        return _spread_rows(y, w, f)
    n, dtype = y.shape[0], np.result_type(y, w)
    grown = padded_sizes(f.sizes, f.pads)
    by_plane = c < FEW_CHANNELS
    # Without a stride the products of one place of the kernel are added in long runs; with one they are not,
    # and one product for all places is better.
    strided = f.stride[-1] != 1
    k = prod(f.kernel)
    if by_plane:
        out = np.zeros((n, c, *grown), dtype)
        matrix = np.ascontiguousarray(w.transpose(*range(2, w.ndim), 1, 0)).reshape(-1, outs)
    else:
        out = np.zeros((n, *grown, c), dtype)
        order = (0, *range(2, w.ndim), 1) if strided else (*range(2, w.ndim), 0, 1)
        shape = (outs, k * c) if strided else (k, outs, c)
        matrix = np.ascontiguousarray(w.transpose(order)).reshape(shape)
    for start, stop in _blocks(n, prod(f.counts) * c * (k if by_plane or strided else 2)):
        m = stop - start
        rows = _rows(y[start:stop])
        if by_plane:
            planes = scratch("columns", (k * c, rows.shape[0]), dtype)
            np.matmul(matrix, rows.T, out=planes)
            planes = planes.reshape(*f.kernel, c, m, *f.counts)
            for offset in offsets_of(f.kernel):
                target = out[(slice(start, stop), slice(None), *f.at(offset))].swapaxes(0, 1)
                target += planes[offset]
            continue
        if strided:
            parts = scratch("columns", (rows.shape[0], k * c), dtype)
            np.matmul(rows, matrix, out=parts)
            parts = parts.reshape(m, *f.counts, *f.kernel, c)
        part = scratch("part", (rows.shape[0], c), dtype)
        for i, offset in enumerate(offsets_of(f.kernel)):
            target = out[(slice(start, stop), *f.at(offset))]
            if strided:
                target += parts[(..., *offset, slice(None))]
            else:
                np.matmul(rows, matrix[i], out=part)
                target += part.reshape(target.shape)
    return cropped(out if by_plane else channels_first(out), f.pads)


def _rows_are_better(w: np.ndarray, f: Frame) -> bool:
    """Whether wide kernels over few channels make a product for whole rows cheaper than one for each place."""
    outs, c, kernel = w.shape[0], w.shape[1], f.kernel[-1]
    width = f.counts[-1] + kernel - 1
    small = outs * f.counts[-1] * c * width * prod(f.kernel[:-1]) <= BLOCK
    plain = f.stride[-1] == f.dilation[-1] == 1
    return plain and small and FEW_CHANNELS <= c < SHORT_RUN and kernel >= 4 and width <= 4 * kernel


def _spread_rows(y: np.ndarray, w: np.ndarray, f: Frame) -> np.ndarray:
    """`spread`, the last axis of space by a banded matrix: a row of y (W * O) gives a row of the result (W' * C)."""
    (outs, c), n, dtype = w.shape[:2], y.shape[0], np.result_type(y, w)
    lead, wide = f.kernel[:-1], f.counts[-1]
    *grown, width = padded_sizes(f.sizes, f.pads)
    band = np.zeros((wide, outs, *lead, width * c), dtype)
    step, *others = band.strides
    shape = (wide, outs, *lead, f.kernel[-1] * c)
    diagonal = np.ndarray(shape, dtype, band, 0, (step + c * band.itemsize, *others))
    diagonal[...] = w.transpose(0, *range(2, w.ndim), 1).reshape(outs, *lead, -1)
    out = np.zeros((n, *grown, width * c), dtype)
    for start, stop in _blocks(n, prod(f.counts[:-1]) * prod(lead) * width * c):
        m = stop - start
        rows = channels_last(y[start:stop]).reshape(m * prod(f.counts[:-1]), wide * outs)
        parts = (rows @ band.reshape(wide * outs, -1)).reshape(m, *f.counts[:-1], *lead, width * c)
        for offset in offsets_of(lead):
            target = out[
                (slice(start, stop), *windows_at(offset, f.counts[:-1], f.stride[:-1], f.dilation[:-1]))
            ]
            target += parts[(..., *offset, slice(None))]
    return cropped(channels_first(out.reshape(n, *grown, width, c)), f.pads)


def _inner_product(columns: np.ndarray, rows: np.ndarray, examples: int) -> np.ndarray:
    """columns.T @ rows, in parts of few rows: BLAS is slow where the sum is long and the result small."""
    places, k = columns.shape
    parts = next((p for p in range(1, examples + 1) if not examples % p and places <= p * SUMMED), examples)
    if parts < 2:
        return columns.T @ rows
    if columns.flags.c_contiguous:
        split = columns.reshape(parts, -1, k).transpose(0, 2, 1)
    else:
        split = columns.T.reshape(k, parts, -1).transpose(1, 0, 2)
    return np.matmul(split, rows.reshape(parts, -1, rows.shape[1])).sum(axis=0)


def correlate_weight(x: np.ndarray, y: np.ndarray, f: Frame) -> np.ndarray:
    """What conv's weight receives: every window times what its place of the result receives."""
    c, outs = x.shape[1], y.shape[1]
    total = np.zeros((prod(f.kernel) * c, outs), np.result_type(x, y))
    for start, stop, columns in _columns(x, f):
        total += _inner_product(columns, _rows(y[start:stop]), stop - start)
    n = len(f.kernel)
    return np.ascontiguousarray(total.reshape(*f.kernel, c, outs).transpose(n + 1, n, *range(n)))


# One filter a channel (depthwise): products of shifted arrays; a matrix product would have one column

# Elements of a block of examples that these sums go over several times, so that it stays in the cache.
CACHED = 2**16


def _merged(a: np.ndarray, f: Frame) -> np.ndarray:
    """(..., W, C) seen as (..., W * C) where the windows lie side by side: longer runs; else as it is."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1]) if f.stride[-1] == 1 else a


def _channel_blocks(n: int, c: int, f: Frame) -> Iterator[tuple[int, int]]:
    step = max(1, CACHED // max(1, prod(f.counts) * c))
    return ((start, min(start + step, n)) for start in range(0, n, step))


def _channel_weights(w: np.ndarray, c: int, f: Frame) -> dict[Any, np.ndarray]:
    """The weights of all channels, by filter of a channel and place of the kernel, as `_merged` needs them."""
    each = w.shape[0] // c
    times = f.counts[-1] if f.stride[-1] == 1 else 1
    return {
        (m, offset): np.tile(w[(slice(m, None, each), 0, *offset)], times)
        for m in range(each)
        for offset in offsets_of(f.kernel)
    }


def correlate_by_channel(x: np.ndarray, w: np.ndarray, f: Frame) -> np.ndarray:
    """`correlate` for one or more filters of each channel alone."""
    outs, c = w.shape[0], x.shape[1]
    out = empty_channels_last(x.shape[0], outs, f.counts, np.result_type(x, w))
    last, weights, each = channels_last(out), _channel_weights(w, c, f), outs // c
    for start, stop in _channel_blocks(x.shape[0], c, f):
        xp = _in_scratch(x[start:stop], f.pads, last=True)
        for m in range(each):
            total = scratch("sum", (stop - start, *f.counts, c), out.dtype)
            total.fill(0)
            wide = _merged(total, f)
            part = scratch("part", wide.shape, out.dtype)
            for offset in offsets_of(f.kernel):
                np.multiply(_merged(xp[(slice(None), *f.at(offset))], f), weights[m, offset], out=part)
                np.add(wide, part, out=wide)
            last[start:stop, ..., m::each] = total
    return out


def spread_by_channel(y: np.ndarray, w: np.ndarray, f: Frame, c: int) -> np.ndarray:
    """`spread` for one or more filters of each channel alone."""
    each = w.shape[0] // c
    out = np.zeros((y.shape[0], *padded_sizes(f.sizes, f.pads), c), np.result_type(y, w))
    last, weights = channels_last(y), _channel_weights(w, c, f)
    for start, stop in _channel_blocks(y.shape[0], c, f):
        for m in range(each):
            given = _merged(np.ascontiguousarray(last[start:stop, ..., m::each]), f)
            part = scratch("part", given.shape, out.dtype)
            for offset in offsets_of(f.kernel):
                np.multiply(given, weights[m, offset], out=part)
                target = _merged(out[(slice(start, stop), *f.at(offset))], f)
                target += part
    return cropped(channels_first(out), f.pads)


def correlate_weight_by_channel(x: np.ndarray, y: np.ndarray, f: Frame) -> np.ndarray:
    """`correlate_weight` for one or more filters of each channel alone."""
    outs, c = y.shape[1], x.shape[1]
    each = outs // c
    total = np.zeros((outs, 1, *f.kernel), np.result_type(x, y))
    last = channels_last(y)
    for start, stop in _channel_blocks(x.shape[0], c, f):
        xp = _in_scratch(x[start:stop], f.pads, last=True)
        ones = np.ones((stop - start) * prod(f.counts), total.dtype)
        for m in range(each):
            given = _merged(np.ascontiguousarray(last[start:stop, ..., m::each]), f)
            part = scratch("part", given.shape, total.dtype)
            for offset in offsets_of(f.kernel):
                np.multiply(_merged(xp[(slice(None), *f.at(offset))], f), given, out=part)
                total[(slice(m, None, each), 0, *offset)] += ones @ part.reshape(len(ones), c)
    return total
