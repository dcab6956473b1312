"""Convolution over any number of axes: three operations that are each other's derivatives.

The sum of g * conv(x, w) is linear in x, in w and in g: its slopes are conv_transpose(g, w),
conv_weight(x, g) and conv(x, w).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels.blas import sum_rows
from tinygrad_dl.kernels.depthwise import correlate_by_channel, correlate_weight_by_channel, spread_by_channel
from tinygrad_dl.kernels.im2col import correlate, correlate_weight, spread
from tinygrad_dl.kernels.layout import Held, channels_first, channels_last, check_space, repeated
from tinygrad_dl.kernels.windows import frame, pad_pairs, per_axis
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops import reduce


def _check_weight(name: str, w: Any, channels: int, groups: int, which: str) -> None:
    """Raise unless the weight (O, C/groups, *K) fits C channels of input in that many groups."""
    if groups < 1:
        raise ValueRangeError(f"{name}: groups={groups!r}: at least 1 is needed")
    if w.shape[1] * groups != channels:
        raise ShapeError(
            f"{name}: {which} has {channels} channels; the weight {w.shape} takes {w.shape[1]} in each of "
            f"{groups} group{'s' * (groups > 1)}, {w.shape[1] * groups} in all. "
            "The weight's shape is (O, C/groups, *K)."
        )
    if w.shape[0] % groups:
        raise ShapeError(f"{name}: {w.shape[0]} filters cannot be divided into groups={groups} equal groups")


def _check_ndim(name: str, x: Any, w: Any) -> None:
    if w.ndim < 3:
        raise ShapeError(
            f"{name}: the weight must be (O, C/groups, *K) with at least one axis of space; {w.shape} came"
        )
    check_space(name, x, w.ndim - 2)


def _add_bias(out: np.ndarray, bias: Any, name: str) -> np.ndarray:
    if bias is None:
        return out
    if bias.shape != out.shape[1:2]:
        raise ShapeError(
            f"{name}: one bias for each of {out.shape[1]} output channels is needed; {bias.shape} came"
        )
    last = channels_last(out)
    if last.flags.c_contiguous and out.shape[1] < 64:
        # A row of places at a time: adding so few numbers at a time would cost more than the sum itself.
        wide = last.reshape(*last.shape[:-2], last.shape[-2] * last.shape[-1])
        wide += repeated(bias, last.shape[-2])
    else:
        last += bias
    return out


def _sum_places(g: Any) -> Any:
    return reduce.sum(g, axis=(0, *range(2, g.ndim)))


def _sum_places_fast(g: np.ndarray) -> np.ndarray:
    last = channels_last(g)
    if last.flags.c_contiguous and g.size:
        # A row of places at a time: BLAS is slow on matrices of few columns, and long sums lose digits.
        rows = last.reshape(g.size // (last.shape[-2] * last.shape[-1]), -1)
        return np.add.reduce(sum_rows(rows).reshape(-1, g.shape[1]), axis=0)
    return g.sum(axis=(0, *range(2, g.ndim)))


def _conv_rule(
    g: Any, x: Any, w: Any, x_shape: Any, w_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
    needs: Any,
) -> Any:  # fmt: skip
    how = stride, padding, dilation, groups
    return (
        conv_transpose(g, w, None, *how, x_shape[2:]) if needs[0] else None,
        conv_weight(x, g, w_shape[2:], *how) if needs[1] else None,
        _sum_places(g) if needs[2] else None,
    )


def _conv_fast(
    g: Any, x: Any, w: Any, x_shape: Any, w_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
    needs: Any, held: Any,
) -> Any:  # fmt: skip
    how = stride, padding, dilation, groups
    g = channels_first(np.ascontiguousarray(channels_last(g)))  # once, for all three
    gx = conv_transpose(g, w, None, *how, x_shape[2:]) if needs[0] else None
    gw: Any
    if not needs[1]:
        gw = None
    elif held:
        f = frame("conv", x_shape[2:], w_shape[2:], stride, padding, dilation)
        gw = correlate_weight(x, g, f, groups, held)
    else:
        gw = conv_weight(x, g, w_shape[2:], *how)
    return gx, gw, _sum_places_fast(g) if needs[2] else None


@op(
    _conv_rule,
    fast=(_conv_fast,),
    joint=True,
    inputs=3,
    cached=("held",),
    cases=(
        Case((2, 2, 5), (3, 2, 3), (3,)), Case((1, 3, 4, 4), (2, 3, 2, 3), None, padding=(1, 2)),
        Case((2, 2, 5, 4), (4, 1, 2, 2), (4,), stride=(2, 1), padding=1, groups=2),
        Case((1, 4, 5), (4, 2, 2), None, dilation=2, groups=2),
        Case((1, 2, 4, 4), (2, 2, 3, 3), (2,), padding="same"), Case((1, 8, 3), (9, 8, 2), None, padding=1),
        Case((1, 9, 5), (2, 9, 2), None, stride=2, padding=1), Case((1, 1, 3, 2, 3), (2, 1, 2, 2, 2), (2,)),
        Case((2, 3, 3), (2, 3, 1), (2,), stride=2), Case((0, 2, 4), (3, 2, 2), (3,)),
        Case((1, 5, 6), (11, 5, 4), None),
    ),
)  # fmt: skip
def conv(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """The convolution of networks, over n axes of space: the kernel slides without being mirrored.

    out[n, o, p] = bias[o] + sum over c, k of w[o, c, k] * padded x[n, c, p * stride + k * dilation].
    x (N, C, *S), w (O, C/groups, *K), bias (O,) -> (N, O, *L).   padding: n ints or pairs, "same", "valid".
    Raises ShapeError if channels, groups or sizes do not fit.
    >>> conv(np.arange(5.0).reshape(1, 1, 5), np.ones((1, 1, 3)))
    array([[[3., 6., 9.]]])
    """
    _check_ndim("conv", x, w)
    _check_weight("conv", w, x.shape[1], groups, "x")
    f = frame("conv", x.shape[2:], w.shape[2:], stride, padding, dilation)
    by_channel = groups > 1 and w.shape[1] == 1
    held = Held()
    out = correlate_by_channel(x, w, f) if by_channel else correlate(x, w, f, groups, held)
    return _add_bias(out, bias, "conv"), held


def _to_transpose_y(g: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    return conv(g, w, None, stride, padding, dilation, groups)


def _to_transpose_w(
    g: Any, y: Any, w_shape: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    return conv_weight(g, y, w_shape[2:], stride, padding, dilation, groups)


@op(
    _to_transpose_y,
    _to_transpose_w,
    _sum_places,
    fast=(_to_transpose_y, _to_transpose_w, _sum_places_fast),
    cases=(
        Case((2, 2, 3), (2, 3, 3), (3,)), Case((1, 2, 2, 2), (2, 2, 3, 2), None, stride=2, padding=(1, 0)),
        Case((1, 4, 2), (4, 1, 2), (2,), dilation=2, groups=2),
        Case((1, 2, 2), (2, 1, 3), (1,), stride=2, size=(6,)),
        Case((1, 4, 3), (4, 2, 2), None, groups=2, padding=1), Case((2, 3, 2), (3, 9, 2), (9,), padding=1),
        Case((1, 2, 1, 2, 1), (2, 1, 2, 2, 2), None), Case((1, 2, 2), (2, 4, 4), (4,), stride=2, padding=1),
    ),
)  # fmt: skip
def conv_transpose(
    y: Any,
    w: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    size: Any = None,
) -> Any:
    """The transpose of conv as a linear map of its input: every element spreads the kernel over the result.

    out[n, c, p * stride + k * dilation - padding] += w[o, c, k] * y[n, o, p], plus bias[c].
    y (N, O, *L), w (O, C/groups, *K), bias (C,) -> (N, C, *size).   size: smallest by default.
    Raises ShapeError if channels or `size` do not fit.
    >>> conv_transpose(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 3)), stride=2)
    array([[[1., 1., 3., 2., 2.]]])
    """
    _check_ndim("conv_transpose", y, w)
    if y.shape[1] != w.shape[0]:
        raise ShapeError(
            f"conv_transpose: y has {y.shape[1]} channels; the weight {w.shape} takes {w.shape[0]}. "
            "The weight's shape is (in, out/groups, *K)."
        )
    channels = w.shape[1] * groups
    _check_weight("conv_transpose", w, channels, groups, "the result")
    n = w.ndim - 2
    if size is None:
        strides, dilations = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
        pads = pad_pairs(padding, w.shape[2:], strides, dilations)
        parts = zip(y.shape[2:], strides, dilations, w.shape[2:], pads)
        size = tuple((c - 1) * s + d * (k - 1) + 1 - lo - hi for c, s, d, k, (lo, hi) in parts)
    f = frame("conv_transpose", size, w.shape[2:], stride, padding, dilation)
    if f.counts != y.shape[2:]:
        raise ShapeError(
            f"conv_transpose: size={tuple(size)} has {f.counts} windows; y {y.shape} has {y.shape[2:]}"
        )
    by_channel = groups > 1 and w.shape[1] == 1
    out = spread_by_channel(y, w, f, channels) if by_channel else spread(y, w, f, groups)
    return _add_bias(out, bias, "conv_transpose")


@op(
    lambda g, y, x_shape, stride, padding, dilation, groups: conv_transpose(
        y, g, None, stride, padding, dilation, groups, x_shape[2:]
    ),
    lambda g, x, stride, padding, dilation, groups: conv(x, g, None, stride, padding, dilation, groups),
    cases=(
        Case((2, 2, 5), (2, 3, 3), kernel=(3,)), Case((1, 4, 3), (1, 2, 2), kernel=(2,), groups=2),
        Case((1, 2, 3, 3), (1, 4, 2, 4), kernel=(2, 2), stride=(2, 1), padding=1, groups=2),
        Case((2, 8, 3), (2, 2, 2), kernel=(2,)),
    ),
)  # fmt: skip
def conv_weight(
    x: Any, y: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """What a convolution's weight receives: input times the result's gradient, summed for each place.

    out[o, c, k] = sum over n, p of y[n, o, p] * padded x[n, c, p * stride + k * dilation].
    x (N, C, *S), y (N, O, *L) -> (O, C/groups, *kernel).   Raises ShapeError if L are not the windows in S.
    >>> conv_weight(np.arange(5.0).reshape(1, 1, 5), np.ones((1, 1, 3)), (3,))
    array([[[3., 6., 9.]]])
    """
    check_space("conv_weight", x, len(kernel))
    f = frame("conv_weight", x.shape[2:], kernel, stride, padding, dilation)
    if y.shape[2:] != f.counts or y.shape[0] != x.shape[0]:
        raise ShapeError(
            f"conv_weight: x {x.shape} has ({x.shape[0]}, ., {f.counts}) windows; y is {y.shape}"
        )
    by_channel = 1 < groups == x.shape[1]
    return correlate_weight_by_channel(x, y, f) if by_channel else correlate_weight(x, y, f, groups)
