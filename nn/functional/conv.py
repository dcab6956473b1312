"""Convolutions, unfolding and folding as functions, with PyTorch's names and arguments."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.arguments import Count, Counts, Widths
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels.windows import per_axis
from tinygrad_dl.ops import unfold as windows
from tinygrad_dl.ops.conv import conv, conv_transpose
from tinygrad_dl.ops.shape import expand_dims, squeeze
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, Sizes


def batched(name: str, input: Array, n: int) -> tuple[Any, bool]:
    """The input as (N, C, *S) with n spatial dimensions, and whether N had to be added."""
    if input.ndim == n + 2:
        return input, False
    if input.ndim != n + 1:
        space = ", ".join("DHW"[-n:])
        raise ShapeError(
            f"{name}: expected an input of shape (N, C, {space}) or (C, {space}), got {input.shape}"
        )
    return expand_dims(input, 0), True


def _conv(
    n: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Any:
    # The usual case first: a batch needs no reshaping and no further check.
    if input.ndim == n + 2 == weight.ndim:
        return conv(input, weight, bias, stride, padding, dilation, groups)
    x, added = batched(f"conv{n}d", input, n)
    if weight.ndim != n + 2:
        raise ShapeError(
            f"conv{n}d: expected a weight of {n + 2} axes, (O, C/groups, *K), got {weight.shape}"
        )
    out = conv(x, weight, bias, stride, padding, dilation, groups)
    return squeeze(out, 0) if added else out


def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Counts = 1,
    padding: Widths | str = 0,
    dilation: Counts = 1,
    groups: Count = 1,
) -> Tensor:
    """1-D convolution: input (N, C, L) or (C, L), weight (O, C/groups, K) -> (N, O, L'); see tinygrad_dl.ops.conv."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Counts = 1,
    padding: Widths | str = 0,
    dilation: Counts = 1,
    groups: Count = 1,
) -> Tensor:
    """2-D convolution: input (N, C, H, W) or (C, H, W), weight (O, C/groups, KH, KW) -> (N, O, H', W').

    >>> import numpy as np
    >>> conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), stride=2)
    array([[[[4.]]]])
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Counts = 1,
    padding: Widths | str = 0,
    dilation: Counts = 1,
    groups: Count = 1,
) -> Tensor:
    """3-D convolution: input (N, C, D, H, W), weight (O, C/groups, *K) -> (N, O, D', H', W')."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    n: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Any:
    name = f"conv_transpose{n}d"
    x, added = batched(name, input, n)
    if weight.ndim != n + 2:
        raise ShapeError(f"{name}: expected a weight of {n + 2} axes, (C, O/groups, *K), got {weight.shape}")
    stride, dilation = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
    pads, extra = (
        per_axis(padding, n, "padding", 0),
        per_axis(output_padding, n, "output_padding", 0),
    )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueRangeError(
            f"{name}: expected output_padding smaller than stride {stride} or dilation {dilation}, got {extra}"
        )
    # What output_padding adds at the end is that much less padding there.
    pairs = tuple((p, p - e) for p, e in zip(pads, extra))
    out = conv_transpose(x, weight, bias, stride, pairs, dilation, groups)
    return squeeze(out, 0) if added else out


def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Counts = 1,
    padding: Widths = 0,
    output_padding: Widths = 0,
    groups: Count = 1,
    dilation: Counts = 1,
) -> Tensor:
    """1-D transposed convolution: input (N, C, L), weight (C, O/groups, K) -> (N, O, L').

    L' = (L - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1.
    """
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Counts = 1,
    padding: Widths = 0,
    output_padding: Widths = 0,
    groups: Count = 1,
    dilation: Counts = 1,
) -> Tensor:
    """2-D transposed convolution; see conv_transpose1d for the sizes.

    >>> import numpy as np
    >>> conv_transpose2d(np.ones((1, 1, 1, 2)), np.ones((1, 1, 2, 2)), stride=2)
    array([[[[1., 1., 1., 1.],
             [1., 1., 1., 1.]]]])
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Counts = 1,
    padding: Widths = 0,
    output_padding: Widths = 0,
    groups: Count = 1,
    dilation: Counts = 1,
) -> Tensor:
    """3-D transposed convolution; see conv_transpose1d for the sizes."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


# im2col and col2im, in PyTorch's order of arguments


def unfold(
    input: Array, kernel_size: Counts, dilation: Counts = 1, padding: Widths | str = 0, stride: Counts = 1
) -> Tensor:
    """The windows of input (N, C, *S) as columns (im2col) -> (N, C * K, L).

    >>> import numpy as np
    >>> unfold(np.ones((1, 2, 3, 3)), 2).shape
    (1, 8, 4)
    """
    x, added = batched("unfold", input, 2) if input.ndim < 4 else (input, False)
    out = windows.unfold(x, kernel_size, stride, padding, dilation)
    return squeeze(out, 0) if added else out


def fold(
    input: Array,
    output_size: Counts,
    kernel_size: Counts,
    dilation: Counts = 1,
    padding: Widths | str = 0,
    stride: Counts = 1,
) -> Tensor:
    """Columns (N, C * K, L) summed into the positions of their windows (col2im) -> (N, C, *output_size).

    >>> import numpy as np
    >>> fold(np.ones((1, 4, 4)), (3, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    if isinstance(output_size, int):
        output_size = (output_size, output_size)
    size = tuple(output_size)
    added = input.ndim == 2
    x = expand_dims(input, 0) if added else input
    out = windows.fold(x, size, kernel_size, stride, padding, dilation)
    return squeeze(out, 0) if added else out  # type: ignore[return-value]
