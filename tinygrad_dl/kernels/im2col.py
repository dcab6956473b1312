"""The products behind convolution, on arrays with any number of axes of space.

Windows are copied side by side (im2col), for a block of examples that fits the cache and in the order that
their channels allow, and multiplied with the weight; or lines.py does it, where that is quicker.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from math import prod

import numpy as np

from tinygrad_dl.kernels import conv_lines as lines
from tinygrad_dl.kernels.layout import (
    Blocks,
    Held,
    Room,
    all_windows,
    built,
    channels_first,
    channels_last,
    cropped,
    empty_channels_last,
    in_scratch,
    mirror,
    padded,
    scratch,
)
from tinygrad_dl.kernels.windows import Frame, frame, padded_sizes, windows_at

# Elements of a column matrix that is built and multiplied at a time, as measured: smaller ones give small
# products, larger ones leave the cache.
BLOCK = 2**20
# Below this many elements side by side (channels times the last kernel size), planes are copied, not rows.
SHORT_RUN = 16
# Nanoseconds, as measured: a run that is copied, one that is copied as an item, an element in it, a multiplication in
# a product that gives results and in one that gives a weight's gradient, an element of a banded weight, and one of
# the parts that a weight's gradient is summed from.
RUN, ITEM, ELEMENT, RESULT, SLOPE, BANDED, PARTIAL = 4.5, 1.5, 0.25, 0.01, 0.012, 2.0, 0.25
# Rows that one product sums over when it gives a weight's gradient.
SUMMED = 1024
# Below this many channels the gradient is added up plane by plane, and lines are too short to be copied.
FEW_CHANNELS = 4


def _blocks(n: int, elements: int) -> Iterator[tuple[int, int]]:
    step = max(1, min(n, BLOCK // max(1, elements)))
    return ((start, min(start + step, n)) for start in range(0, n, step))


def _columns(x: np.ndarray, f: Frame, held: Held | None) -> Blocks:
    """Some examples at a time, as the matrix (windows, kernel places * channels)."""
    k = prod(f.kernel)
    elements = x.shape[0] * prod(f.counts) * k * x.shape[1]
    return built(held if k > 1 else None, ("columns", f.kernel), elements, partial(_build, x, f))


def _build(x: np.ndarray, f: Frame, room: Room) -> Blocks:
    n, c = x.shape[:2]
    k = prod(f.kernel)
    by_plane = c * f.kernel[-1] < SHORT_RUN and k > 1
    for start, stop in _blocks(n, prod(f.counts) * k * c):
        m = stop - start
        xp = in_scratch(x[start:stop], f.pads, last=not by_plane)
        if by_plane:
            planes = room((*f.kernel, c, m, *f.counts), x.dtype)
            view = xp.swapaxes(0, 1)
            for offset, at in f.places():
                planes[offset] = view[(..., *at)]
            yield start, stop, planes.reshape(k * c, m * prod(f.counts)).T
            continue
        if k == 1:
            seen = xp[(slice(None), *f.places()[0][1])]
            if seen.flags.c_contiguous:
                yield start, stop, seen.reshape(m * prod(f.counts), c)
                continue
        else:
            seen = all_windows(xp, f)
        rows = room((m, *f.counts, *f.kernel, c), x.dtype)
        np.copyto(rows.reshape(seen.shape), seen)
        yield start, stop, rows.reshape(m * prod(f.counts), k * c)


def _rows(x: np.ndarray) -> np.ndarray:
    """(N, C, *S) as the matrix (places, C); a copy unless it lies channels last."""
    return channels_last(x).reshape(x.size // max(1, x.shape[1]), x.shape[1])


@lru_cache(maxsize=1024)
def _together(n: int, channels: int, outs: int, f: Frame, groups: int, product: float) -> int:
    """How many windows side by side to see as one, with as many times the filters; 0: to go by lines.

    Seen as one, fewer and longer runs are copied and the product has more columns, but it multiplies more.
    What counts is the time that one row of results would take. `product`: the time of one multiplication.
    """
    if f.dilation[-1] != 1 or f.kernel[-1] == 1 or not n * channels * outs * prod(f.sizes) * prod(f.counts):
        return 1
    c, outs = channels // groups, outs // groups
    # In all, and in one product of lines.
    rows = n * prod(f.counts[:-1]), lines.rows_at_a_time(n, channels, f)[1]
    stride, width, count = f.stride[-1], lines.width(f), f.counts[-1]
    *others, k = f.kernel
    lead = prod(others)

    def columns(b: int) -> float:
        wide, parts = k + b - 1, count // b
        runs = lead * (parts if c * wide >= SHORT_RUN else c * wide)
        weight = b * outs * lead * c * wide * BANDED / rows[0] if b > 1 else 0
        return runs * RUN + parts * lead * c * wide * (ELEMENT + _columns_cost(outs * b) * product) + weight

    best = min((b for b in range(1, count + 1 if stride == 1 else 2) if count % b == 0), key=columns)
    copied = width * lead * (ITEM + c * ELEMENT) if others else 0
    by_lines = copied + count * k * lead * c * (_columns_cost(outs) * product + outs / rows[1] * PARTIAL)
    return 0 if c >= FEW_CHANNELS and by_lines < columns(best) else best


def _columns_cost(outs: int) -> int:
    """As how many columns a product's columns count: few cost as much as some more."""
    return outs + 10 if outs > 1 else 6


def _each(groups: int, channels: int, outs: int) -> Iterator[tuple[slice, slice]]:
    """The channels and the filters of each group."""
    for i in range(groups):
        yield (
            slice(i * channels // groups, (i + 1) * channels // groups),
            slice(i * outs // groups, (i + 1) * outs // groups),
        )


def correlate(
    x: np.ndarray, w: np.ndarray, f: Frame, groups: int = 1, held: Held | None = None
) -> np.ndarray:
    """The convolution (N, O, *L) with weights (O, C/groups, *K); `held` takes the windows, if they are small."""
    b = _together(*x.shape[:2], w.shape[0], f, groups, RESULT)
    if not b:
        return lines.correlate(x, w, f, groups, held)
    # 0 times infinity would reach windows that do not hold it.
    if b > 1 and groups == 1 and np.isfinite(np.vdot(flat := x.ravel("K"), flat)):
        wide = f.together(b)
        banded = np.zeros((b, *w.shape[:-1], wide.kernel[-1]), w.dtype)
        for i in range(b):
            banded[i, ..., i : i + w.shape[-1]] = w
        out = correlate(x, banded.reshape(b * w.shape[0], w.shape[1], *wide.kernel), wide, held=held)
        return channels_first(channels_last(out).reshape(x.shape[0], *f.counts, w.shape[0]))
    out = empty_channels_last(x.shape[0], w.shape[0], f.counts, np.result_type(x, w))
    if groups > 1:
        for ins, outs in _each(groups, x.shape[1], w.shape[0]):
            out[:, outs] = correlate(x[:, ins], w[outs], f)
        return out
    matrix = np.ascontiguousarray(w.transpose(*range(2, w.ndim), 1, 0)).reshape(-1, w.shape[0])
    last = channels_last(out)
    for start, stop, columns in _columns(x, f, held):
        np.matmul(columns, matrix, out=last[start:stop].reshape(-1, w.shape[0]))
    return out


def spread(y: np.ndarray, w: np.ndarray, f: Frame, groups: int = 1) -> np.ndarray:
    """What conv's input receives: y carried back through the windows."""
    outs, c = w.shape[0] // groups, w.shape[1]
    # With many filters a convolution copies more than the products of each place write. As measured.
    narrow = outs <= (2 if _rows_are_better(w[:outs], f) else 3) * c
    if narrow and c * f.kernel[-1] >= SHORT_RUN and c >= FEW_CHANNELS and set(f.stride) == {1}:
        turned = mirror(w).reshape(groups, outs, *w.shape[1:]).swapaxes(1, 2)
        return correlate(y, turned.reshape(groups * c, outs, *w.shape[2:]), f.mirrored(), groups)
    if groups > 1:
        out = empty_channels_last(y.shape[0], groups * c, f.sizes, np.result_type(y, w))
        for ins, given in _each(groups, groups * c, w.shape[0]):
            out[:, ins] = spread(y[:, given], w[given], f)
        return out
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
    around = frame("spread", f.counts, taps, 1, tuple((t - 1, t - 1) for t in taps), 1)
    out = channels_last(correlate(y, mirror(split.reshape(-1, outs, *taps)), around))
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


def correlate_weight(
    x: np.ndarray, y: np.ndarray, f: Frame, groups: int = 1, held: Held | None = None
) -> np.ndarray:
    """What conv's weight receives: every window times what its place of the result receives."""
    c, outs = x.shape[1], y.shape[1]
    b = _together(x.shape[0], c, outs, f, groups, SLOPE)
    if not b:
        return lines.correlate_weight(x, y, f, groups, held)
    if groups > 1:
        parts = [correlate_weight(x[:, ins], y[:, given], f) for ins, given in _each(groups, c, outs)]
        return np.concatenate(parts)
    if b > 1:
        wide = f.together(b)
        joined = channels_last(y).reshape(y.shape[0], *wide.counts, b * outs)
        banded = correlate_weight(x, channels_first(joined), wide, held=held)
        banded = banded.reshape(b, outs, c, *wide.kernel)
        parts = [banded[i, ..., i : i + f.kernel[-1]] for i in range(b)]
        return np.add.reduce(parts, dtype=banded.dtype)
    total = np.zeros((prod(f.kernel) * c, outs), np.result_type(x, y))
    for start, stop, columns in _columns(x, f, held):
        total += _inner_product(columns, _rows(y[start:stop]), stop - start)
    n = len(f.kernel)
    return np.ascontiguousarray(total.reshape(*f.kernel, c, outs).transpose(n + 1, n, *range(n)))
