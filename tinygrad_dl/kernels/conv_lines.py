"""Convolution by lines: what windows share along the last axis of space is copied once, not once a window.

In a line each place holds what the other axes' windows hold of it, so that a window is a stretch of a line. The
windows that begin at one place of all lines are a matrix as they lie, so there is a product for each place.
Needs dilation 1 along the last axis. Arrays are (N, C, *S), weights (O, C/groups, *K).
"""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from tinygrad_dl.kernels.layout import (
    Blocks,
    Held,
    Room,
    built,
    channels_last,
    empty_channels_last,
    in_scratch,
    items,
)
from tinygrad_dl.kernels.windows import Frame, padded_sizes

# Rows of one product: more are quicker, up to so many; and elements of lines that are built at a time.
ROWS, ELEMENTS = 2**10, 2**21


def width(f: Frame) -> int:
    """How many places a line has."""
    return padded_sizes(f.sizes, f.pads)[-1]


def rows_at_a_time(n: int, c: int, f: Frame) -> tuple[int, int]:
    """How many examples to take at a time, and the rows that each product then has."""
    rows = prod(f.counts[:-1])
    step = max(1, min(n, ROWS // rows, ELEMENTS // (rows * width(f) * prod(f.kernel[:-1]) * c)))
    return step, step * rows


def _stacks(x: np.ndarray, f: Frame, groups: int, held: Held | None) -> Blocks:
    """Some examples at a time, as matrices (groups, places along a line, rows, elements of a window)."""
    elements = x.shape[0] * x.shape[1] * prod(f.counts[:-1]) * width(f) * prod(f.kernel[:-1])
    if len(f.sizes) == groups == 1:  # the padded array is the lines
        held = None
    return built(held, ("lines", f.kernel), elements, partial(_build, x, f, groups))


def _build(x: np.ndarray, f: Frame, groups: int, room: Room) -> Blocks:
    (n, c), e = x.shape[:2], x.itemsize
    step, _ = rows_at_a_time(n, c, f)
    each = c // groups
    place = prod(f.kernel[:-1]) * each
    for start in range(0, n, step):
        xp = in_scratch(x[start : start + step], f.pads, last=True)
        b, *space, along, _ = xp.strides
        over = [a * s for a, s in zip(space, f.stride)]
        within = [a * d for a, d in zip(space, f.dilation)]
        shape = (groups, len(xp), *f.counts[:-1], width(f), *f.kernel[:-1], each)
        lines = xp
        if space or groups > 1:
            lines = room(shape, x.dtype)
            seen = np.ndarray(shape, x.dtype, xp, 0, (each * e, b, *over, along, *within, e))
            np.copyto(items(lines), items(seen))
        rows = len(xp) * prod(f.counts[:-1])
        stack = (groups, f.counts[-1], rows, f.kernel[-1] * place)
        steps = (rows * width(f) * place * e, f.stride[-1] * place * e, width(f) * place * e, e)
        yield start, start + len(xp), np.ndarray(stack, x.dtype, lines, 0, steps)


def _by_place(y: np.ndarray, f: Frame, groups: int) -> np.ndarray:
    """(N, *L, O) as matrices (groups, places along a line, rows, O/groups): a view, if it is in one piece."""
    return y.reshape(-1, f.counts[-1], groups, y.shape[-1] // groups).transpose(2, 1, 0, 3)


def correlate(
    x: np.ndarray, w: np.ndarray, f: Frame, groups: int = 1, held: Held | None = None
) -> np.ndarray:
    """The convolution (N, O, *L)."""
    out = empty_channels_last(x.shape[0], w.shape[0], f.counts, np.result_type(x, w))
    last, split = channels_last(out), w.reshape(groups, -1, *w.shape[1:])
    order = (0, w.ndim, *range(3, w.ndim), 2, 1)  # the kernel's last axis, its others, channels, filters
    matrices = np.ascontiguousarray(split.transpose(order)).reshape(groups, 1, -1, split.shape[1])
    for start, stop, lines in _stacks(x, f, groups, held):
        np.matmul(lines, matrices, out=_by_place(last[start:stop], f, groups))
    return out


def correlate_weight(
    x: np.ndarray, y: np.ndarray, f: Frame, groups: int = 1, held: Held | None = None
) -> np.ndarray:
    """What the weight receives (O, C/groups, *K), where y (N, O, *L) is what the result receives."""
    each, outs, n = x.shape[1] // groups, y.shape[1], len(f.kernel)
    total = np.zeros((groups, prod(f.kernel) * each, outs // groups), np.result_type(x, y))
    last = channels_last(y)
    for start, stop, lines in _stacks(x, f, groups, held):
        total += np.matmul(lines.swapaxes(2, 3), _by_place(last[start:stop], f, groups)).sum(axis=1)
    places = total.reshape(groups, f.kernel[-1], *f.kernel[:-1], each, -1)
    order = (0, n + 2, n + 1, *range(2, n + 1), 1)
    return np.ascontiguousarray(places.transpose(order)).reshape(outs, each, *f.kernel)
