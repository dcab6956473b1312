"""Convolution layers, written once for one, two and three axes of space."""

from __future__ import annotations

from math import prod
from typing import Any

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels.windows import pad_pairs, per_axis
from tinygrad_dl.nn import init
from tinygrad_dl.nn.conv_functions import _conv, _conv_transpose, batched
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.notices import warn_of_widening
from tinygrad_dl.ops.padding import pad
from tinygrad_dl.tensor import Tensor

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What convolutions share: the sizes, and a weight and bias drawn as PyTorch draws them."""

    n: int  # axes of space
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None, *, rng: Any = None,
    ) -> None:  # fmt: skip
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        self._make(bias, device, dtype, rng)

    def _set(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        groups: int, padding_mode: str,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        if groups < 1:
            raise ValueRangeError(f"{name}: groups={groups}: at least 1 is needed")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueRangeError(f"{name}: {what}={channels} must be divisible by groups={groups}")
        known = PADDING_MODES[:1] if self.transposed else PADDING_MODES
        if padding_mode not in known:
            raise ValueRangeError(
                f"{name}: padding_mode={padding_mode!r}: one of {', '.join(known)} is needed"
            )
        n = self.n
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(kernel_size, n, "kernel_size")
        self.stride, self.dilation = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
        pairs = pad_pairs(padding, self.kernel_size, self.stride, self.dilation)  # raises for what is unknown
        self.padding: Any = padding if isinstance(padding, str) else per_axis(padding, n, "padding", 0)
        self.padding_mode = padding_mode
        self._around = tuple(p for pair in reversed(pairs) for p in pair)

    def _make(self, bias: bool, device: Any, dtype: Any, rng: Any) -> None:
        ins, outs = self.in_channels, self.out_channels
        first, second = (ins, outs) if self.transposed else (outs, ins)
        self.weight = init.empty((first, second // self.groups, *self.kernel_size), dtype, device)
        self.bias = init.empty((outs,), dtype, device) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Any = None) -> None:
        """Draw weight and bias anew, uniform in [-k, k] with k = 1 / sqrt(inputs of one output)."""
        fan_in = self.weight.shape[1] * prod(self.kernel_size)
        bound = fan_in**-0.5 if fan_in else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound, rng=rng)

    def _check(self, input: Any, weight: Any) -> None:
        if isinstance(input, Tensor) and input._data.dtype is not weight._data.dtype:
            warn_of_widening(type(self).__name__, input, weight)
        axis = input.ndim - self.n - 1
        if axis in (0, 1) and input.shape[axis] != self.in_channels:
            last = input.shape[-1] == self.in_channels
            space = ", ".join("DHW"[-self.n :])
            raise ShapeError(
                f"{type(self).__name__}: input {input.shape} has {input.shape[axis]} channels; in_channels is "
                f"{self.in_channels}. The axes are (N, C, {space})"
                + (": move the channels, which are last, to axis 1." if last else ".")
            )

    def forward(self, input: Any) -> Tensor:
        """The layer's result for input (N, C, *S) or (C, *S)."""
        weight = self.weight  # read once: a parametrized one is computed anew each time
        self._check(input, weight)
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._around, self.padding_mode), 0
        return _conv(self.n, input, weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The sizes and settings, those at their defaults left out."""
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
    """Convolution over one axis: the kernel slides over the input without being mirrored.

    out[n, o, p] = bias[o] + sum over c, k of weight[o, c, k] * input[n, c, p * stride + k * dilation - padding].
    input (N, C, L) or (C, L) -> (N, O, L'), L' = floor((L + 2 * padding - dilation * (K - 1) - 1) / stride) + 1;
    weight (O, C/groups, K), bias (O,). padding: an int, "same" or "valid"; padding_mode: zeros, reflect,
    replicate, circular. Both start uniform in [-k, k], k = 1 / sqrt(C / groups * K).
    >>> Conv1d(2, 3, kernel_size=3, padding=1)(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 3, 2)
    """

    n = 1


class Conv2d(_Conv):
    """Convolution over two axes: input (N, C, H, W) -> (N, O, H', W'), weight (O, C/groups, KH, KW).

    See Conv1d for the formula, the sizes and the options.
    >>> from tinygrad_dl import zeros
    >>> Conv2d(1, 6, kernel_size=5)(zeros((2, 1, 28, 28))).shape
    (2, 6, 24, 24)
    """

    n = 2


class Conv3d(_Conv):
    """Convolution over three axes: input (N, C, D, H, W) -> (N, O, D', H', W'); see Conv1d."""

    n = 3


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None, *, rng: Any = None,
    ) -> None:  # fmt: skip
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        self.output_padding = per_axis(output_padding, self.n, "output_padding", 0)
        self._make(bias, device, dtype, rng)

    def forward(self, input: Any, output_size: Any = None) -> Tensor:
        """The layer's result for input (N, C, *S) or (C, *S); `output_size`: which of the possible sizes."""
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

    def _extra(self, input: Any, output_size: Any) -> tuple[int, ...]:
        wanted = tuple(output_size)[-self.n :]
        parts = zip(input.shape[-self.n :], self.stride, self.padding, self.dilation, self.kernel_size)
        least = tuple((c - 1) * s - 2 * p + d * (k - 1) + 1 for c, s, p, d, k in parts)
        for w, low, s in zip(wanted, least, self.stride):
            if not low <= w < low + s:
                most = tuple(a + s - 1 for a, s in zip(least, self.stride))
                raise ShapeError(
                    f"{type(self).__name__}: output_size={wanted}: sizes from {least} to {most} are possible "
                    f"for an input of shape {input.shape}"
                )
        return tuple(w - low for w, low in zip(wanted, least))


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one axis: every element of the input spreads the kernel over the result.

    out[n, o, p * stride + k * dilation - padding] += weight[c, o, k] * input[n, c, p], plus bias[o].
    input (N, C, L) -> (N, O, L'), L' = (L - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1;
    weight (C, O/groups, K), bias (O,).
    >>> ConvTranspose1d(1, 1, kernel_size=2, stride=2)(Tensor([[[1.0, 2.0]]])).shape
    (1, 1, 4)
    """

    n = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two axes: input (N, C, H, W) -> (N, O, H', W'); see ConvTranspose1d."""

    n = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over three axes: input (N, C, D, H, W); see ConvTranspose1d."""

    n = 3


class _Lazy(_Conv):
    """A convolution whose in_channels is read off its first input; from then on it is the plain layer."""

    becomes: type[_Conv]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pending = (args, kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Become the plain layer for inputs like this one, and give its result."""
        given, named = self.__dict__.pop("_pending")
        self.__class__ = self.becomes  # type: ignore[assignment]
        x, _ = batched(type(self).__name__, args[0], self.n)
        self.__init__(x.shape[1], *given, **named)  # type: ignore[misc]
        return self.forward(*args, **kwargs)

    def reset_parameters(self, rng: Any = None) -> None:
        """Nothing to draw before the first input."""

    def extra_repr(self) -> str:
        """What is known before the first input."""
        given, named = self._pending
        return ", ".join(["in_channels=?", *map(repr, given), *(f"{k}={v!r}" for k, v in named.items())])


class LazyConv1d(_Lazy):
    """Conv1d without in_channels, which the first input tells."""

    n, becomes = 1, Conv1d


class LazyConv2d(_Lazy):
    """Conv2d without in_channels, which the first input tells."""

    n, becomes = 2, Conv2d


class LazyConv3d(_Lazy):
    """Conv3d without in_channels, which the first input tells."""

    n, becomes = 3, Conv3d


class LazyConvTranspose1d(_Lazy):
    """ConvTranspose1d without in_channels, which the first input tells."""

    n, becomes = 1, ConvTranspose1d


class LazyConvTranspose2d(_Lazy):
    """ConvTranspose2d without in_channels, which the first input tells."""

    n, becomes = 2, ConvTranspose2d


class LazyConvTranspose3d(_Lazy):
    """ConvTranspose3d without in_channels, which the first input tells."""

    n, becomes = 3, ConvTranspose3d
