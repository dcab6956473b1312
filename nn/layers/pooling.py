"""Pooling layers, each written once for one, two and three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.arguments import Counts, Positive, Size, Widths
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels.windows import per_axis
from tinygrad_dl.nn.functional import pooling as functions
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Buffer
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, RandomLike


class _Pool(Module):
    n: int  # spatial dimensions
    shown: tuple[str, ...]

    def _check_sizes(self, **least: int) -> None:
        """Refuse now what would fail on the first input: sizes for another number of dimensions."""
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None:
                per_axis(value, self.n, name, bound)

    def extra_repr(self) -> str:
        """The settings."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.shown)


class _MaxPool(_Pool):
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Counts,
        stride: Counts | None = None,
        padding: Widths = 0,
        dilation: Counts = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode
        self._check_sizes(kernel_size=1, stride=1, padding=0, dilation=1)

    def forward(self, input: Array) -> Any:
        """The maxima of input's windows; with return_indices a pair, the maxima and their positions."""
        return functions.max_pool(
            self.n, input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """The largest element of each window of x (N, C, L); padding counts as -inf, the first maximum gets the gradient.

    out[n, c, p] = max over k of x[n, c, p * stride + k * dilation - padding]; stride is kernel_size by default.
    L' = floor((L + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1, with ceil_mode rounded up.
    >>> MaxPool1d(2)(Tensor([[[1.0, 3.0, 2.0, 0.0]]]))
    Tensor([[[3., 2.]]])
    """

    n = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window of x (N, C, H, W); see MaxPool1d."""

    n = 2


class MaxPool3d(_MaxPool):
    """The largest element of each window of x (N, C, D, H, W); see MaxPool1d."""

    n = 3


class _MaxUnpool(_Pool):
    shown = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Counts, stride: Counts | None = None, padding: Widths = 0) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding = padding
        self._check_sizes(kernel_size=1, stride=1, padding=0)

    def forward(self, input: Array, indices: Array, output_size: Sequence[int] | None = None) -> Tensor:
        """Scatter the input to `indices`, which max pooling returned; zeros elsewhere."""
        return functions.max_unpool(
            self.n, input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool1d(_MaxUnpool):
    """The inverse of MaxPool1d(return_indices=True): maxima in their positions, zeros elsewhere.

    >>> pooled, indices = MaxPool1d(2, return_indices=True)(Tensor([[[1.0, 3.0, 2.0, 0.0]]]))
    >>> MaxUnpool1d(2)(pooled, indices)
    Tensor([[[0., 3., 2., 0.]]])
    """

    n = 1


class MaxUnpool2d(_MaxUnpool):
    """The inverse of MaxPool2d(return_indices=True): maxima in their positions, zeros elsewhere."""

    n = 2


class MaxUnpool3d(_MaxUnpool):
    """The inverse of MaxPool3d(return_indices=True): maxima in their positions, zeros elsewhere."""

    n = 3


class _AvgPool(_Pool):
    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Counts,
        stride: Counts | None = None,
        padding: Widths = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override
        self._check_sizes(kernel_size=1, stride=1, padding=0)
        if divisor_override == 0:
            raise ValueRangeError(f"{type(self).__name__}: expected a divisor_override other than 0, got 0")

    def forward(self, input: Array) -> Tensor:
        """The means of input's windows."""
        return functions.avg_pool(
            self.n, input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AvgPool1d(_AvgPool):
    """The mean of each window of x (N, C, L); padding counts as zeros unless count_include_pad is False.

    out[n, c, p] = mean over k of x[n, c, p * stride + k - padding]; stride is kernel_size by default.
    >>> AvgPool1d(2)(Tensor([[[1.0, 3.0, 2.0, 0.0]]]))
    Tensor([[[2., 1.]]])
    """

    n = 1

    def __init__(
        self,
        kernel_size: Counts,
        stride: Counts | None = None,
        padding: Widths = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of each window of x (N, C, H, W), or the sum over divisor_override; see AvgPool1d."""

    n = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of x (N, C, D, H, W), or the sum over divisor_override; see AvgPool1d."""

    n = 3


class _LPPool(_Pool):
    shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self, norm_type: Positive, kernel_size: Counts, stride: Counts | None = None, ceil_mode: bool = False
    ) -> None:
        self.norm_type, self.kernel_size, self.stride = norm_type, kernel_size, stride
        self.ceil_mode = ceil_mode
        self._check_sizes(kernel_size=1, stride=1)

    def forward(self, input: Array) -> Tensor:
        """The norms of input's windows."""
        return functions.lp_pool(
            self.n, input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool1d(_LPPool):
    """The p-norm of each window of x (N, C, L), p = norm_type: (sum of x^p)^(1/p).

    >>> LPPool1d(2, 2)(Tensor([[[3.0, 4.0]]]))
    Tensor([[[5.]]])
    """

    n = 1


class LPPool2d(_LPPool):
    """The p-norm of each window of x (N, C, H, W); see LPPool1d."""

    n = 2


class LPPool3d(_LPPool):
    """The p-norm of each window of x (N, C, D, H, W); see LPPool1d."""

    n = 3


def _check_output_size(output_size: Any, n: int) -> None:
    if isinstance(output_size, (tuple, list)) and len(output_size) not in (1, n):
        raise ShapeError(
            f"output_size={output_size!r}: expected an int or {n} of them, one for each spatial dimension"
        )


class _AdaptiveAvgPool(_Pool):
    shown = ("output_size",)

    def __init__(self, output_size: Size | Sequence[Size | None] | None) -> None:
        self.output_size = output_size
        _check_output_size(output_size, self.n)

    def forward(self, input: Array) -> Tensor:
        """The means of input's regions."""
        return functions.adaptive_avg_pool(self.n, input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of output_size regions, evenly spaced over x (N, C, L).

    Region i is floor(i * L / output_size) to ceil((i + 1) * L / output_size).
    >>> AdaptiveAvgPool1d(2)(Tensor([[[1.0, 2.0, 3.0]]]))
    Tensor([[[1.5, 2.5]]])
    """

    n = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of output_size regions, evenly spaced over x (N, C, H, W); 1 is the global mean, None keeps a size."""

    n = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of output_size regions, evenly spaced over x (N, C, D, H, W); see AdaptiveAvgPool1d."""

    n = 3


class _AdaptiveMaxPool(_Pool):
    shown = ("output_size",)

    def __init__(
        self, output_size: Size | Sequence[Size | None] | None, return_indices: bool = False
    ) -> None:
        self.output_size, self.return_indices = output_size, return_indices
        _check_output_size(output_size, self.n)

    def forward(self, input: Array) -> Any:
        """The maxima of input's regions; with return_indices a pair, the maxima and their positions."""
        return functions.adaptive_max_pool(self.n, input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The maxima of output_size regions, evenly spaced over x (N, C, L); see AdaptiveAvgPool1d.

    >>> AdaptiveMaxPool1d(2)(Tensor([[[1.0, 2.0, 3.0]]]))
    Tensor([[[2., 3.]]])
    """

    n = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The maxima of output_size regions, evenly spaced over x (N, C, H, W); see AdaptiveAvgPool1d."""

    n = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The maxima of output_size regions, evenly spaced over x (N, C, D, H, W); see AdaptiveAvgPool1d."""

    n = 3


class _FractionalMaxPool(_Pool):
    shown = ("kernel_size", "output_size", "output_ratio")
    _optional = {"_random_samples": True}

    def __init__(
        self,
        kernel_size: Counts,
        output_size: Counts | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Array | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self.kernel_size, self.output_size, self.output_ratio = kernel_size, output_size, output_ratio
        self.return_indices, self.rng = return_indices, rng
        self._check_sizes(kernel_size=1, output_size=1)
        self._random_samples = None if _random_samples is None else Buffer(_random_samples)

    def forward(self, input: Array) -> Any:
        """The maxima of input's windows, drawn at random on every call; with return_indices a pair."""
        return functions.fractional_max_pool(
            self.n, input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            self._random_samples, self.rng,
        )  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPool):
    """Fractional max pooling of x (N, C, H, W) to any smaller size, with random strides.   Source: Graham 2014.

    >>> from tinygrad_dl import zeros
    >>> FractionalMaxPool2d(2, output_ratio=0.7)(zeros((1, 1, 10, 10))).shape
    (1, 1, 7, 7)
    """

    n = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Fractional max pooling of x (N, C, D, H, W), with random strides; see FractionalMaxPool2d."""

    n = 3
