"""The convolutions of ops/conv.py as they run: im2col, or sums over shifted arrays for depthwise filters."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.kernels import depthwise, im2col
from tinygrad_dl.kernels.layout import channels_last, image_rows, sum_image_rows
from tinygrad_dl.kernels.windows import (
    Padding,
    Windows,
    conv_transpose_windows,
    conv_weight_windows,
    conv_windows,
)
from tinygrad_dl.typing import NDArray, Shape, Sizes


def conv(
    x: NDArray, w: NDArray, bias: NDArray | None = None, stride: Sizes = 1, padding: Padding = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> NDArray:  # fmt: skip
    """A convolution (N, O, *L) in channels-last layout."""
    f = conv_windows(x, w, bias, stride, padding, dilation, groups)
    if groups > 1 and w.shape[1] == 1:
        return _add_bias(depthwise.convolve(x, w, f), bias)
    return _add_bias(im2col.convolve(x, w, f, groups), bias)


def conv_transpose(
    y: NDArray, w: NDArray, bias: NDArray | None = None, stride: Sizes = 1, padding: Padding = 0,
    dilation: Sizes = 1, groups: int = 1, size: Sizes | None = None,
) -> NDArray:  # fmt: skip
    """A transposed convolution (N, C, *size)."""
    f = conv_transpose_windows(y, w, bias, stride, padding, dilation, groups, size)
    if groups > 1 and w.shape[1] == 1:
        return _add_bias(depthwise.input_gradient(y, w, f, groups), bias)
    return _add_bias(im2col.input_gradient(y, w, f, groups), bias)


def conv_weight(
    x: NDArray, y: NDArray, kernel: Shape, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1,
    groups: int = 1,
) -> NDArray:  # fmt: skip
    """The gradient (O, C/groups, *kernel) of a convolution's weight."""
    f: Windows = conv_weight_windows(x, y, kernel, stride, padding, dilation)
    if 1 < groups == x.shape[1]:
        return depthwise.weight_gradient(x, y, f)
    return im2col.weight_gradient(x, y, f, groups)


def _add_bias(out: NDArray, bias: NDArray | None) -> NDArray:
    if bias is None:
        return out
    rows = image_rows(out)
    if rows is None:
        channels_last(out)[...] += bias
    else:
        rows += np.concatenate([bias] * out.shape[-1])
    return out


def sum_per_channel(g: NDArray) -> NDArray:
    """The sum (C,) over examples and positions of (N, C, *S): the gradient of a bias."""
    rows = image_rows(g)
    return g.sum(axis=(0, *range(2, g.ndim))) if rows is None else sum_image_rows(rows, g.shape[1])
