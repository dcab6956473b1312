"""Convolution with one filter or more of each channel alone: sums over shifted arrays.

A matrix product would have one column.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from tinygrad_dl.kernels.layout import (
    all_windows,
    channels_first,
    channels_last,
    cropped,
    empty_channels_last,
    in_scratch,
    mirror,
    scratch,
)
from tinygrad_dl.kernels.windows import Frame, padded_sizes

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
        seen = all_windows(in_scratch(x[start:stop], f.pads, last=True), f)
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
        return correlate_by_channel(y, mirror(w), f.mirrored())
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
        xp = in_scratch(x[start:stop], f.pads, last=True)
        for m in range(each):
            given = _merged(np.ascontiguousarray(last[start:stop, ..., m::each]), f)
            axes = list(range(given.ndim))
            for offset, at in f.places():
                seen = _merged(xp[(slice(None), *at)], f)
                sums = np.einsum(seen, axes, given, axes, axes[-1:], dtype=summed)
                total[(slice(m, None, each), 0, *offset)] += sums.reshape(-1, c).sum(axis=0, dtype=summed)
    return total
