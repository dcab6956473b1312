"""Convolution over any number of spatial dimensions: three operations that are each other's derivatives.

The sum of g * conv(x, w) is linear in x, in w and in g: its derivatives are conv_transpose(g, w),
conv_weight(x, g) and conv(x, w). The forwards here say what is computed, one product per kernel position;
kernels/conv.py computes the same as matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.batching import Call, merged
from tinygrad_dl.kernels import conv as kernels
from tinygrad_dl.kernels.layout import channels_first, channels_last, cropped, padded
from tinygrad_dl.kernels.windows import (
    Padding,
    conv_transpose_windows,
    conv_weight_windows,
    conv_windows,
    padded_sizes,
)
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops import reduce
from tinygrad_dl.ops.shape import moveaxis, reshape
from tinygrad_dl.typing import NDArray, Shape, Sizes


def _split(a: NDArray, axis: int, groups: int) -> NDArray:
    """An array with an axis of groups in front of the given axis."""
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def _with_bias(out: NDArray, bias: NDArray | None) -> NDArray:
    return out if bias is None else out + bias.reshape(-1, *[1] * (out.ndim - 2))


def _by_channel(bias: Any, ndim: int) -> Any:
    return reshape(bias, (-1, *[1] * (ndim - 2)))


def _sum_per_channel(g: NDArray) -> NDArray:
    return reduce.sum(g, axis=(0, *range(2, g.ndim)))


# Batches of examples, each perhaps with a weight of its own: those are groups of channels


def _side_by_side(x: Any) -> Any:
    """Examples (B, N, C, ...) as groups of channels (N, B * C, ...)."""
    return merged(moveaxis(x, 0, 1), 1)


def _conv_all(call: Call) -> Any:
    bias = call.inputs[2]
    if not call.batched[1]:
        out = call.run(merged(call.full(0)), call.inputs[1], None if call.batched[2] else bias)
        out = call.split(out)
        return out if not call.batched[2] else out + bias.reshape((call.size, 1, -1, *[1] * (out.ndim - 3)))
    bias = None if bias is None else merged(call.full(2))
    groups = call.size * call.options["groups"]
    out = call.run(_side_by_side(call.full(0)), merged(call.inputs[1]), bias, groups=groups)
    return moveaxis(call.split(out, 1), 1, 0)


def _conv_weight_all(call: Call) -> Any:
    groups = call.size * call.options["groups"]
    return call.split(call.run(_side_by_side(call.full(0)), _side_by_side(call.full(1)), groups=groups))


def _conv_rule(
    g: NDArray, x: NDArray, w: NDArray, x_shape: Shape, w_shape: Shape, stride: Sizes, padding: Padding,
    dilation: Sizes, groups: int, needs_input_grad: Sequence[bool],
) -> tuple[NDArray | None, ...]:  # fmt: skip
    how = stride, padding, dilation, groups
    return (
        conv_transpose(g, w, None, *how, x_shape[2:]) if needs_input_grad[0] else None,
        conv_weight(x, g, w_shape[2:], *how) if needs_input_grad[1] else None,
        _sum_per_channel(g) if needs_input_grad[2] else None,
    )


def _conv_fast(
    g: NDArray, x: NDArray, w: NDArray, x_shape: Shape, w_shape: Shape, stride: Sizes, padding: Padding,
    dilation: Sizes, groups: int, needs_input_grad: Sequence[bool],
) -> tuple[NDArray | None, ...]:  # fmt: skip
    how = stride, padding, dilation, groups
    g = channels_first(np.ascontiguousarray(channels_last(g)))  # one copy for all three
    return (
        kernels.conv_transpose(g, w, None, *how, x_shape[2:]) if needs_input_grad[0] else None,
        kernels.conv_weight(x, g, w_shape[2:], *how) if needs_input_grad[1] else None,
        kernels.sum_per_channel(g) if needs_input_grad[2] else None,
    )


def _conv_of_x(t: Any, w: Any, stride: Sizes, padding: Padding, dilation: Sizes, groups: int) -> Any:
    return conv(t, w, None, stride, padding, dilation, groups)


def _conv_of_w(t: Any, x: Any, stride: Sizes, padding: Padding, dilation: Sizes, groups: int) -> Any:
    return conv(x, t, None, stride, padding, dilation, groups)


@op(
    _conv_rule,
    fast=(_conv_fast,),
    joint=True,
    inputs=3,
    kernel=kernels.conv,
    cases=(
        Case((2, 2, 5), (3, 2, 3), (3,)), Case((1, 3, 4, 4), (2, 3, 2, 3), None, padding=(1, 2)),
        Case((2, 2, 5, 4), (4, 1, 2, 2), (4,), stride=(2, 1), padding=1, groups=2),
        Case((1, 4, 5), (4, 2, 2), None, dilation=2, groups=2),
        Case((1, 2, 4, 4), (2, 2, 3, 3), (2,), padding="same"), Case((1, 8, 3), (9, 8, 2), None, padding=1),
        Case((1, 9, 5), (2, 9, 2), None, stride=2, padding=1), Case((1, 1, 3, 2, 3), (2, 1, 2, 2, 2), (2,)),
        Case((2, 3, 3), (2, 3, 1), (2,), stride=2), Case((0, 2, 4), (3, 2, 2), (3,)),
        Case((1, 5, 6), (11, 5, 4), None),
    ), accumulates=True,
    batch=_conv_all, jvp=(_conv_of_x, _conv_of_w, lambda t, x_shape: _by_channel(t, len(x_shape))),
    math=(
        r"b_o + \sum_{c, k} w_{o c k} \, x_{c, \, p s + k}",
        r"\sum_{o, \, (p, k) \, : \, p s + k = i} g_{o p} \, w_{o c k}",
        r"\sum_{n, p} g_{n o p} \, x_{n, c, \, p s + k}",
        r"\sum_{n, p} g_{n o p}",
    ),
)  # fmt: skip
def conv(
    x: NDArray, w: NDArray, bias: NDArray | None = None, stride: Sizes = 1, padding: Padding = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """The convolution of networks, over n spatial dimensions: the kernel slides without being mirrored.

    out[n, o, p] = bias[o] + sum over c, k of w[o, c, k] * padded x[n, c, p * stride + k * dilation].
    x (N, C, *S), w (O, C/groups, *K), bias (O,) -> (N, O, *L).   padding: n ints or pairs, "same", "valid".
    Raises ShapeError if channels, groups or sizes do not fit.
    >>> conv(np.arange(5.0).reshape(1, 1, 5), np.ones((1, 1, 3)))
    array([[[3., 6., 9.]]])
    """
    f = conv_windows(x, w, bias, stride, padding, dilation, groups)
    xp, w = _split(padded(x, f.pads), 1, groups), _split(w, 0, groups)
    out = np.zeros((len(x), *w.shape[:2], *f.counts), np.result_type(x, w))
    for k, under in f.positions():  # under: the elements of x below position k of the kernel, one per window
        out += np.einsum("goc,ngc...->ngo...", w[(..., *k)], xp[(..., *under)])
    return _with_bias(out.reshape(len(x), groups * w.shape[1], *f.counts), bias)


def _to_transpose_y(
    g: NDArray, w: NDArray, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> NDArray:
    return conv(g, w, None, stride, padding, dilation, groups)


def _to_transpose_w(
    g: NDArray, y: NDArray, w_shape: Shape, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> NDArray:
    return conv_weight(g, y, w_shape[2:], stride, padding, dilation, groups)


def _transpose_of_y(
    t: Any, w: Any, stride: Sizes, padding: Padding, dilation: Sizes, groups: int, size: Sizes | None
) -> Any:
    return conv_transpose(t, w, None, stride, padding, dilation, groups, size)


def _transpose_of_w(
    t: Any, y: Any, stride: Sizes, padding: Padding, dilation: Sizes, groups: int, size: Sizes | None
) -> Any:
    return conv_transpose(y, t, None, stride, padding, dilation, groups, size)


@op(
    _to_transpose_y,
    _to_transpose_w,
    _sum_per_channel,
    fast=(_to_transpose_y, _to_transpose_w, kernels.sum_per_channel),
    kernel=kernels.conv_transpose,
    cases=(
        Case((2, 2, 3), (2, 3, 3), (3,)), Case((1, 2, 2, 2), (2, 2, 3, 2), None, stride=2, padding=(1, 0)),
        Case((1, 4, 2), (4, 1, 2), (2,), dilation=2, groups=2),
        Case((1, 2, 2), (2, 1, 3), (1,), stride=2, size=(6,)),
        Case((1, 4, 3), (4, 2, 2), None, groups=2, padding=1), Case((2, 3, 2), (3, 9, 2), (9,), padding=1),
        Case((1, 2, 1, 2, 1), (2, 1, 2, 2, 2), None), Case((1, 2, 2), (2, 4, 4), (4,), stride=2, padding=1),
    ), accumulates=True,
    batch=_conv_all, jvp=(_transpose_of_y, _transpose_of_w, lambda t, y_shape: _by_channel(t, len(y_shape))),
    math=(
        r"b_c + \sum_{o, \, (p, k) \, : \, p s + k = i} y_{o p} \, w_{o c k}",
        r"\sum_{c, k} w_{o c k} \, g_{c, \, p s + k}",
        r"\sum_{n, p} y_{n o p} \, g_{n, c, \, p s + k}",
        r"\sum_{n, i} g_{n c i}",
    ),
)  # fmt: skip
def conv_transpose(
    y: NDArray, w: NDArray, bias: NDArray | None = None, stride: Sizes = 1, padding: Padding = 0,
    dilation: Sizes = 1, groups: int = 1, size: Sizes | None = None,
) -> Any:  # fmt: skip
    """The transpose of conv as a linear map of its input: each element adds the kernel, scaled, to the result.

    out[n, c, p * stride + k * dilation - padding] += w[o, c, k] * y[n, o, p], plus bias[c].
    y (N, O, *L), w (O, C/groups, *K), bias (C,) -> (N, C, *size).   size: smallest by default.
    Raises ShapeError if channels or `size` do not fit.
    >>> conv_transpose(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 3)), stride=2)
    array([[[1., 1., 3., 2., 2.]]])
    """
    f = conv_transpose_windows(y, w, bias, stride, padding, dilation, groups, size)
    y, w = _split(y, 1, groups), _split(w, 0, groups)
    out = np.zeros((len(y), groups, w.shape[2], *padded_sizes(f.sizes, f.pads)), np.result_type(y, w))
    for k, under in f.positions():
        out[(..., *under)] += np.einsum("goc,ngo...->ngc...", w[(..., *k)], y)
    out = out.reshape(len(y), groups * w.shape[2], *out.shape[3:])
    return _with_bias(cropped(out, f.pads), bias)


def _weight_of_x(
    t: Any, y: Any, kernel: Shape, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> Any:
    return conv_weight(t, y, kernel, stride, padding, dilation, groups)


def _weight_of_y(
    t: Any, x: Any, kernel: Shape, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> Any:
    return conv_weight(x, t, kernel, stride, padding, dilation, groups)


@op(
    lambda g, y, x_shape, stride, padding, dilation, groups: conv_transpose(
        y, g, None, stride, padding, dilation, groups, x_shape[2:]
    ),
    lambda g, x, stride, padding, dilation, groups: conv(x, g, None, stride, padding, dilation, groups),
    kernel=kernels.conv_weight,
    cases=(
        Case((2, 2, 5), (2, 3, 3), kernel=(3,)), Case((1, 4, 3), (1, 2, 2), kernel=(2,), groups=2),
        Case((1, 2, 3, 3), (1, 4, 2, 4), kernel=(2, 2), stride=(2, 1), padding=1, groups=2),
        Case((2, 8, 3), (2, 2, 2), kernel=(2,)),
    ), accumulates=True,
    batch=_conv_weight_all, jvp=(_weight_of_x, _weight_of_y),
    math=(
        r"\sum_{n, p} y_{n o p} \, x_{n, c, \, p s + k}",
        r"\sum_{o, \, (p, k) \, : \, p s + k = i} y_{o p} \, g_{o c k}",
        r"\sum_{c, k} g_{o c k} \, x_{c, \, p s + k}",
    ),
)  # fmt: skip
def conv_weight(
    x: NDArray, y: NDArray, kernel: Shape, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1,
    groups: int = 1,
) -> Any:  # fmt: skip
    """The gradient of a convolution's weight: input times gradient of the result, summed over windows.

    out[o, c, k] = sum over n, p of y[n, o, p] * padded x[n, c, p * stride + k * dilation].
    x (N, C, *S), y (N, O, *L) -> (O, C/groups, *kernel).   Raises ShapeError unless L counts the windows in S.
    >>> conv_weight(np.arange(5.0).reshape(1, 1, 5), np.ones((1, 1, 3)), (3,))
    array([[[3., 6., 9.]]])
    """
    f = conv_weight_windows(x, y, kernel, stride, padding, dilation)
    xp, y = _split(padded(x, f.pads), 1, groups), _split(y, 1, groups)
    out = np.zeros((groups, y.shape[2], xp.shape[2], *f.kernel), np.result_type(x, y))
    y = y.reshape(*y.shape[:3], prod(f.counts))
    for k, under in f.positions():
        out[(..., *k)] = np.einsum(
            "ngop,ngcp->goc", y, xp[(..., *under)].reshape(*xp.shape[:3], prod(f.counts))
        )
    return out.reshape(groups * out.shape[1], *out.shape[2:])
