"""Convolution layers, written once for one, two and three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tinygrad_dl.arguments import Count, Counts, Size, Widths
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels.windows import pad_pairs, per_axis
from tinygrad_dl.nn import init
from tinygrad_dl.nn.functional.conv import _conv, _conv_transpose
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.warnings import warn_of_widening
from tinygrad_dl.ops.padding import pad
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, RandomLike, Sizes

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """Base of the convolutions: sizes, and weight and bias initialized as in PyTorch."""

    n: int  # spatial dimensions
    transposed = False

    _optional = {"bias": None}

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Counts,
        stride: Counts = 1,
        padding: Widths | str = 0,
        dilation: Counts = 1,
        groups: Count = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        self._make(bias, device, dtype, rng)

    def _set(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        dilation: Sizes,
        groups: int,
        padding_mode: str,
    ) -> None:
        name = type(self).__name__
        if groups < 1:
            raise ValueRangeError(f"{name}: expected groups of at least 1, got {groups}")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueRangeError(f"{name}: expected {what} divisible by groups={groups}, got {channels}")
        known = PADDING_MODES[:1] if self.transposed else PADDING_MODES
        if padding_mode not in known:
            raise ValueRangeError(
                f"{name}: expected padding_mode to be one of {', '.join(known)}, got {padding_mode!r}"
            )
        n = self.n
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(kernel_size, n, "kernel_size")
        self.stride, self.dilation = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
        pairs = pad_pairs(padding, self.kernel_size, self.stride, self.dilation)  # raises for what is unknown
        self.padding: Any = padding if isinstance(padding, str) else per_axis(padding, n, "padding", 0)
        self.padding_mode = padding_mode
        self._around = tuple(p for pair in reversed(pairs) for p in pair)

    def _make(self, bias: bool, device: str | None, dtype: DTypeLike | None, rng: RandomLike) -> None:
        ins, outs = self.in_channels, self.out_channels
        first, second = (ins, outs) if self.transposed else (outs, ins)
        self.weight = init.empty((first, second // self.groups, *self.kernel_size), dtype, device)
        self.bias = init.empty((outs,), dtype, device) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize weight and bias, uniformly in [-k, k] with k = 1 / sqrt(inputs of one output)."""
        fan_in = self.weight.shape[1] * prod(self.kernel_size)
        bound = fan_in**-0.5 if fan_in else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound, rng=rng)

    def _check(self, input: Array, weight: Tensor) -> None:
        if isinstance(input, Tensor) and input._data.dtype is not weight._data.dtype:
            warn_of_widening(type(self).__name__, input, weight)
        axis = input.ndim - self.n - 1
        if axis in (0, 1) and input.shape[axis] != self.in_channels:
            last = input.shape[-1] == self.in_channels
            space = ", ".join("DHW"[-self.n :])
            raise ShapeError(
                f"{type(self).__name__}: expected an input of in_channels = {self.in_channels} channels, "
                f"got {input.shape[axis]} in {input.shape}. The axes are (N, C, {space})"
                + (": move the channels, which are last, to axis 1." if last else ".")
            )

    def forward(self, input: Array) -> Tensor:
        """Apply the layer to input (N, C, *S) or (C, *S)."""
        weight = self.weight  # read once: a parametrized one is computed again on every read
        self._check(input, weight)
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._around, self.padding_mode), 0
        return _conv(self.n, input, weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The sizes, and the settings that differ from their defaults."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if isinstance(self.padding, str) or any(self.padding):
            text += f", padding={self.padding!r}"
        if any(d != 1 for d in self.dilation):
            text += f", dilation={self.dilation}"
        if any(getattr(self, "output_padding", ())):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class Conv1d(_Conv):
    """1-D convolution: the kernel slides over the input without being flipped (a cross-correlation).

    out[n, o, p] = bias[o] + sum over c, k of weight[o, c, k] * input[n, c, p * stride + k * dilation - padding].
    input (N, C, L) or (C, L) -> (N, O, L'), L' = floor((L + 2 * padding - dilation * (K - 1) - 1) / stride) + 1;
    weight (O, C/groups, K), bias (O,). padding: an int, "same" or "valid"; padding_mode: zeros, reflect,
    replicate, circular. Both are initialized uniformly in [-k, k], k = 1 / sqrt(C / groups * K).
    >>> Conv1d(2, 3, kernel_size=3, padding=1)(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 3, 2)
    """

    n = 1


class Conv2d(_Conv):
    """2-D convolution: input (N, C, H, W) -> (N, O, H', W'), weight (O, C/groups, KH, KW).

    See Conv1d for the formula, the sizes and the options.
    >>> from tinygrad_dl import zeros
    >>> Conv2d(1, 6, kernel_size=5)(zeros((2, 1, 28, 28))).shape
    (2, 6, 24, 24)
    """

    n = 2


class Conv3d(_Conv):
    """3-D convolution: input (N, C, D, H, W) -> (N, O, D', H', W'); see Conv1d."""

    n = 3


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Counts,
        stride: Counts = 1,
        padding: Widths = 0,
        output_padding: Widths = 0,
        groups: Count = 1,
        bias: bool = True,
        dilation: Counts = 1,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        self.output_padding = per_axis(output_padding, self.n, "output_padding", 0)
        self._make(bias, device, dtype, rng)

    def forward(self, input: Array, output_size: Sequence[int] | None = None) -> Tensor:
        """Apply the layer to input (N, C, *S) or (C, *S); `output_size` selects one of the possible sizes."""
        weight = self.weight
        self._check(input, weight)
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return _conv_transpose(
            self.n,
            input,
            weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _extra(self, input: Array, output_size: Sequence[int]) -> tuple[int, ...]:
        wanted = tuple(output_size)[-self.n :]
        parts = zip(input.shape[-self.n :], self.stride, self.padding, self.dilation, self.kernel_size)
        least = tuple((c - 1) * s - 2 * p + d * (k - 1) + 1 for c, s, p, d, k in parts)
        for w, low, s in zip(wanted, least, self.stride):
            if not low <= w < low + s:
                most = tuple(a + s - 1 for a, s in zip(least, self.stride))
                raise ShapeError(
                    f"{type(self).__name__}: expected an output_size from {least} to {most} "
                    f"for an input of shape {input.shape}, got {wanted}"
                )
        return tuple(w - low for w, low in zip(wanted, least))


class ConvTranspose1d(_ConvTranspose):
    """1-D transposed convolution: every element of the input adds a scaled kernel to the result.

    out[n, o, p * stride + k * dilation - padding] += weight[c, o, k] * input[n, c, p], plus bias[o].
    input (N, C, L) -> (N, O, L'), L' = (L - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1;
    weight (C, O/groups, K), bias (O,).
    >>> ConvTranspose1d(1, 1, kernel_size=2, stride=2)(Tensor([[[1.0, 2.0]]])).shape
    (1, 1, 4)
    """

    n = 1


class ConvTranspose2d(_ConvTranspose):
    """2-D transposed convolution: input (N, C, H, W) -> (N, O, H', W'); see ConvTranspose1d."""

    n = 2


class ConvTranspose3d(_ConvTranspose):
    """3-D transposed convolution: input (N, C, D, H, W); see ConvTranspose1d."""

    n = 3
