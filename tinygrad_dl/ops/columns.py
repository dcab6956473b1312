"""The products behind convolution, on arrays with any number of axes of space.

Windows are copied side by side (im2col), for a block of examples that fits the cache and in the order that
their channels allow, and multiplied with the weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod

import numpy as np

from tinygrad_dl.ops.window import (
    Frame,
    Pairs,
    channels_first,
    channels_last,
    cropped,
    empty_channels_last,
    inner,
    padded,
    padded_sizes,
    scratch,
    windows_at,
)

# Elements of a column matrix that is built and multiplied at a time, as measured: smaller ones give small
# products, larger ones leave the cache.
BLOCK = 2**20
# Below this many elements side by side (channels times the last kernel size), planes are copied, not rows.
SHORT_RUN = 16
# Nanoseconds, as measured: a run that is copied, an element in it, a multiplication in a product that gives results,
# and in one that gives a weight's gradient. A product of few columns costs as if it had so many more.
RUN, ELEMENT, RESULT, SLOPE, FEW_COLUMNS = 8.0, 0.17, 0.01, 0.0125, 32
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


def _windows(xp: np.ndarray, f: Frame) -> np.ndarray:
    """The windows of padded arrays (N, *S, C) as a view (N, *L, *K, C)."""
    b, *space, e = xp.strides
    steps = (*(a * s for a, s in zip(space, f.stride)), *(a * d for a, d in zip(space, f.dilation)))
    return np.ndarray((len(xp), *f.counts, *f.kernel, xp.shape[-1]), xp.dtype, xp, 0, (b, *steps, e))


def _mirror(w: np.ndarray) -> np.ndarray:
    """A weight whose kernels are turned around."""
    return w[(slice(None), slice(None), *(slice(None, None, -1),) * (w.ndim - 2))]


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
            for offset, at in f.places():
                planes[offset] = view[(..., *at)]
            yield start, stop, planes.reshape(k * c, m * prod(f.counts)).T
            continue
        if k == 1:
            seen = xp[(slice(None), *next(f.places())[1])]
            if seen.flags.c_contiguous:
                yield start, stop, seen.reshape(m * prod(f.counts), c)
                continue
        else:
            seen = _windows(xp, f)
        rows = scratch("columns", (m, *f.counts, *f.kernel, c), x.dtype)
        np.copyto(rows.reshape(seen.shape), seen)
        yield start, stop, rows.reshape(m * prod(f.counts), k * c)


def _rows(x: np.ndarray) -> np.ndarray:
    """(N, C, *S) as the matrix (places, C); a copy unless it lies channels last."""
    return channels_last(x).reshape(x.size // max(1, x.shape[1]), x.shape[1])


def _together(c: int, outs: int, f: Frame, product: float) -> int:
    """How many windows side by side to see as one, with as many times the filters.

    Fewer and longer runs are copied and the product has more columns, but it multiplies more. `product`: the
    time of one multiplication.
    """
    if f.stride[-1] != 1 or f.dilation[-1] != 1 or f.kernel[-1] == 1:
        return 1
    return _cheapest(c, outs, f.kernel, f.counts[-1], product)


@lru_cache(maxsize=1024)
def _cheapest(c: int, outs: int, kernel: tuple[int, ...], count: int, product: float) -> int:
    def cost(b: int) -> float:
        width, lines, groups = kernel[-1] + b - 1, prod(kernel[:-1]), count // b
        runs = lines * (groups if c * width >= SHORT_RUN else c * width)
        return runs * RUN + groups * lines * c * width * (ELEMENT + (outs * b + FEW_COLUMNS) * product)

    return min((b for b in range(1, count + 1) if count % b == 0), key=cost)


def correlate(x: np.ndarray, w: np.ndarray, f: Frame) -> np.ndarray:
    b = _together(x.shape[1], w.shape[0], f, RESULT)
    if b > 1:
        wide = f.together(b)
        banded = np.zeros((b, *w.shape[:-1], wide.kernel[-1]), w.dtype)
        for i in range(b):
            banded[i, ..., i : i + w.shape[-1]] = w
        with np.errstate(invalid="ignore"):
            out = correlate(x, banded.reshape(b * w.shape[0], w.shape[1], *wide.kernel), wide)
        flat = channels_last(out).reshape(-1)
        if np.isfinite(
            np.vdot(flat, flat)
        ):  # else 0 times infinity may have reached windows that do not hold it
            return channels_first(flat.reshape(x.shape[0], *f.counts, w.shape[0]))
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
        return correlate(y, _mirror(w).swapaxes(0, 1), f.mirrored())
    if c >= FEW_CHANNELS and _in_phases(f):
        return _spread_phases(y, w, f)
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
            for offset, at in f.places():
                target = out[(slice(start, stop), slice(None), *at)].swapaxes(0, 1)
                target += planes[offset]
            continue
        if strided:
            parts = scratch("columns", (rows.shape[0], k * c), dtype)
            np.matmul(rows, matrix, out=parts)
            parts = parts.reshape(m, *f.counts, *f.kernel, c)
        part = scratch("part", (rows.shape[0], c), dtype)
        for i, (offset, at) in enumerate(f.places()):
            target = out[(slice(start, stop), *at)]
            if strided:
                target += parts[(..., *offset, slice(None))]
            else:
                np.matmul(rows, matrix[i], out=part)
                target += part.reshape(target.shape)
    return cropped(out if by_plane else channels_first(out), f.pads)


def _in_phases(f: Frame) -> bool:
    whole = all(k % s == 0 and d == 1 for k, s, d in zip(f.kernel, f.stride, f.dilation))
    return whole and set(f.stride) != {1}


def _spread_phases(y: np.ndarray, w: np.ndarray, f: Frame) -> np.ndarray:
    """`spread` with strides that divide the kernel: places one stride apart are a convolution of y, all others too."""
    (outs, c), n, axes = w.shape[:2], y.shape[0], len(f.kernel)
    taps = tuple(k // s for k, s in zip(f.kernel, f.stride))
    split = w.reshape(outs, c, *(size for pair in zip(taps, f.stride) for size in pair))
    split = split.transpose(*range(3, 2 * axes + 2, 2), 1, 0, *range(2, 2 * axes + 2, 2))
    around = Frame("spread", f.counts, taps, 1, tuple((t - 1, t - 1) for t in taps), 1)
    out = channels_last(correlate(y, _mirror(split.reshape(-1, outs, *taps)), around))
    out = out.reshape(n, *around.counts, *f.stride, c)
    pairs = (axis for i in range(1, axes + 1) for axis in (i, i + axes))
    out = out.transpose(0, *pairs, 2 * axes + 1).reshape(n, *f.reach(), c)
    behind = tuple((0, size - r) for size, r in zip(padded_sizes(f.sizes, f.pads), f.reach()))
    return cropped(padded(channels_first(out), behind), f.pads)


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
        for offset, at in windows_at(lead, f.counts[:-1], f.stride[:-1], f.dilation[:-1]):
            target = out[(slice(start, stop), *at)]
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
    b = _together(c, outs, f, SLOPE)
    if b > 1:
        wide = f.together(b)
        joined = channels_last(y).reshape(y.shape[0], *wide.counts, b * outs)
        banded = correlate_weight(x, channels_first(joined), wide).reshape(b, outs, c, *wide.kernel)
        parts = [banded[i, ..., i : i + f.kernel[-1]] for i in range(b)]
        return np.add.reduce(parts, dtype=banded.dtype)
    total = np.zeros((prod(f.kernel) * c, outs), np.result_type(x, y))
    for start, stop, columns in _columns(x, f):
        total += _inner_product(columns, _rows(y[start:stop]), stop - start)
    n = len(f.kernel)
    return np.ascontiguousarray(total.reshape(*f.kernel, c, outs).transpose(n + 1, n, *range(n)))


# One filter a channel (depthwise): sums over shifted arrays; a matrix product would have one column

# Elements of a block of examples that these sums go over several times, so that it stays in the cache.
CACHED = 2**17


def _merged(a: np.ndarray, f: Frame) -> np.ndarray:
    """(..., W, C) seen as (..., W * C) where the windows lie side by side: longer runs; else as it is."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1]) if f.stride[-1] == 1 else a


def _channel_blocks(n: int, c: int, f: Frame) -> Iterator[tuple[int, int]]:
    step = max(1, CACHED // max(1, prod(f.counts) * c))
    return ((start, min(start + step, n)) for start in range(0, n, step))


def _channel_weights(w: np.ndarray, c: int, f: Frame) -> list[np.ndarray]:
    """For each filter of a channel the weights (*K, C) of all channels, repeated as `_merged` needs them."""
    each = w.shape[0] // c
    last = np.moveaxis(w[:, 0], 0, -1)
    repeats = (*(1,) * len(f.kernel), f.counts[-1] if f.stride[-1] == 1 else 1)
    return [np.tile(last[..., m::each], repeats) for m in range(each)]


def correlate_by_channel(x: np.ndarray, w: np.ndarray, f: Frame) -> np.ndarray:
    """`correlate` for one or more filters of each channel alone."""
    outs, c, n = w.shape[0], x.shape[1], len(f.kernel)
    out = empty_channels_last(x.shape[0], outs, f.counts, np.result_type(x, w))
    last, weights, each = channels_last(out), _channel_weights(w, c, f), outs // c
    for start, stop in _channel_blocks(x.shape[0], c, f):
        seen = _windows(_in_scratch(x[start:stop], f.pads, last=True), f)
        seen = _merged(seen.transpose(0, *range(n + 1, 2 * n + 1), *range(1, n + 1), 2 * n + 1), f)
        axes = list(range(seen.ndim))
        for m in range(each):
            total = last[start:stop] if each == 1 else scratch("sum", (stop - start, *f.counts, c), out.dtype)
            # einsum multiplies and adds in one pass over what the cache holds
            places, kept = [*axes[1 : n + 1], axes[-1]], [0, *axes[n + 1 :]]
            np.einsum(seen, axes, weights[m], places, kept, out=_merged(total, f))
            if each > 1:
                last[start:stop, ..., m::each] = total
    return out


def spread_by_channel(y: np.ndarray, w: np.ndarray, f: Frame, c: int) -> np.ndarray:
    """`spread` for one or more filters of each channel alone."""
    each = w.shape[0] // c
    if each == 1 and set(f.stride) == {1}:
        return correlate_by_channel(y, _mirror(w), f.mirrored())
    out = np.zeros((y.shape[0], *padded_sizes(f.sizes, f.pads), c), np.result_type(y, w))
    last, weights = channels_last(y), _channel_weights(w, c, f)
    for start, stop in _channel_blocks(y.shape[0], c, f):
        for m in range(each):
            given = _merged(np.ascontiguousarray(last[start:stop, ..., m::each]), f)
            part = scratch("part", given.shape, out.dtype)
            for offset, at in f.places():
                np.multiply(given, weights[m][offset], out=part)
                target = _merged(out[(slice(start, stop), *at)], f)
                target += part
    return cropped(channels_first(out), f.pads)


def correlate_weight_by_channel(x: np.ndarray, y: np.ndarray, f: Frame) -> np.ndarray:
    """`correlate_weight` for one or more filters of each channel alone."""
    outs, c = y.shape[1], x.shape[1]
    each = outs // c
    total = np.zeros((outs, 1, *f.kernel), np.result_type(x, y))
    last = channels_last(y)
    summed = (
        np.dtype(np.float32) if total.dtype == np.float16 else total.dtype
    )  # einsum rounds after each addition
    for start, stop in _channel_blocks(x.shape[0], c, f):
        xp = _in_scratch(x[start:stop], f.pads, last=True)
        for m in range(each):
            given = _merged(np.ascontiguousarray(last[start:stop, ..., m::each]), f)
            axes = list(range(given.ndim))
            for offset, at in f.places():
                seen = _merged(xp[(slice(None), *at)], f)
                sums = np.einsum(seen, axes, given, axes, axes[-1:], dtype=summed)
                total[(slice(m, None, each), 0, *offset)] += sums.reshape(-1, c).sum(axis=0, dtype=summed)
    return total
