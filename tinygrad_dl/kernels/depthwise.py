"""Convolution with filters of one channel each (depthwise): sums over shifted arrays.

im2col would multiply matrices of one column, channel by channel. With windows merged into long runs, as here,
NumPy's loops are 6 times as fast as over single channels (`python -m benchmarks.layers "Conv2d depthwise 32 k3"`).
"""

from __future__ import annotations

import numpy as np

from tinygrad_dl.kernels.layout import (
    channels_first,
    channels_last,
    cropped,
    empty_channels_last,
    mirrored,
    padded_workspace,
    window_view,
)
from tinygrad_dl.kernels.windows import Windows, padded_sizes
from tinygrad_dl.typing import NDArray


def _merged(a: NDArray, f: Windows) -> NDArray:
    """(..., W, C) as (..., W * C) where neighboring windows are contiguous: longer runs; else as it is."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1]) if f.stride[-1] == 1 else a


def _channel_weights(w: NDArray, c: int, f: Windows) -> list[NDArray]:
    """For each filter of a channel, the weights (*K, C) of all channels, repeated as `_merged` needs them."""
    each = w.shape[0] // c
    last = np.moveaxis(w[:, 0], 0, -1)
    repeats = (*(1,) * len(f.kernel), f.counts[-1] if f.stride[-1] == 1 else 1)
    return [np.tile(last[..., m::each], repeats) for m in range(each)]


def convolve(x: NDArray, w: NDArray, f: Windows) -> NDArray:
    """The convolution (N, O, *L) of x (N, C, *S) with the weight (O, 1, *K), O a multiple of C."""
    filters, c, n = w.shape[0], x.shape[1], len(f.kernel)
    out = empty_channels_last(x.shape[0], filters, f.counts, np.result_type(x, w))
    each = filters // c
    view = window_view(padded_workspace(x, f.pads, last=True), f)
    view = _merged(view.transpose(0, *range(n + 1, 2 * n + 1), *range(1, n + 1), 2 * n + 1), f)
    axes = list(range(view.ndim))
    # einsum multiplies and adds in one pass, without a temporary per kernel position
    position, result = [*axes[1 : n + 1], axes[-1]], [0, *axes[n + 1 :]]
    for m, weight in enumerate(_channel_weights(w, c, f)):
        total = np.einsum(view, axes, weight, position, result)
        channels_last(out)[..., m::each] = total.reshape(x.shape[0], *f.counts, c)
    return out


def input_gradient(y: NDArray, w: NDArray, f: Windows, c: int) -> NDArray:
    """The gradient (N, C, *S) of the input, where y (N, O, *L) is that of the result."""
    each = w.shape[0] // c
    if each == 1 and set(f.stride) == {1}:
        return convolve(y, mirrored(w), f.mirrored())
    out = np.zeros((y.shape[0], *padded_sizes(f.sizes, f.pads), c), np.result_type(y, w))
    for m, weight in enumerate(_channel_weights(w, c, f)):
        part = _merged(np.ascontiguousarray(channels_last(y)[..., m::each]), f)
        for offset, under in f.positions():
            target = _merged(out[(slice(None), *under)], f)
            target += part * weight[offset]
    return cropped(channels_first(out), f.pads)


def weight_gradient(x: NDArray, y: NDArray, f: Windows) -> NDArray:
    """The gradient (O, 1, *K) of the weight, where y (N, O, *L) is that of the result."""
    filters, c = y.shape[1], x.shape[1]
    each = filters // c
    total = np.zeros((filters, 1, *f.kernel), np.result_type(x, y))
    # einsum rounds after each addition, which float16 cannot afford
    dtype = np.dtype(np.float32) if total.dtype == np.float16 else total.dtype
    xp = padded_workspace(x, f.pads, last=True)
    for m in range(each):
        part = _merged(np.ascontiguousarray(channels_last(y)[..., m::each]), f)
        axes = list(range(part.ndim))
        for offset, under in f.positions():
            seen = _merged(xp[(slice(None), *under)], f)
            sums = np.einsum(seen, axes, part, axes, axes[-1:], dtype=dtype)
            total[(slice(m, None, each), 0, *offset)] = sums.reshape(-1, c).sum(axis=0, dtype=dtype)
    return total
