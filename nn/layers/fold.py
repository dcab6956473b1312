"""im2col and col2im as layers."""

from __future__ import annotations

from tinygrad_dl.arguments import Counts, Widths
from tinygrad_dl.kernels.windows import per_axis
from tinygrad_dl.nn.functional import conv as functions
from tinygrad_dl.nn.module import Module
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array


def _check_sizes(**sizes: Counts) -> None:
    for name, value in sizes.items():
        per_axis(value, 2, name)


class Unfold(Module):
    """The windows of an image as columns (im2col): (N, C, H, W) -> (N, C * KH * KW, L), L windows.

    >>> from tinygrad_dl import zeros
    >>> Unfold((2, 2))(zeros((1, 3, 4, 5))).shape
    (1, 12, 12)
    """

    def __init__(
        self, kernel_size: Counts, dilation: Counts = 1, padding: Widths = 0, stride: Counts = 1
    ) -> None:
        _check_sizes(kernel_size=kernel_size, dilation=dilation, stride=stride)
        per_axis(padding, 2, "padding", 0)
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Array) -> Tensor:
        """The columns of input (N, C, H, W)."""
        return functions.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Columns summed into the positions of their windows (col2im): (N, C * KH * KW, L) -> (N, C, *output_size).

    >>> from tinygrad_dl import zeros
    >>> Fold((4, 5), (2, 2))(zeros((1, 12, 12))).shape
    (1, 3, 4, 5)
    """

    def __init__(
        self,
        output_size: Counts,
        kernel_size: Counts,
        dilation: Counts = 1,
        padding: Widths = 0,
        stride: Counts = 1,
    ) -> None:
        _check_sizes(output_size=output_size, kernel_size=kernel_size, dilation=dilation, stride=stride)
        per_axis(padding, 2, "padding", 0)
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Array) -> Tensor:
        """The image of the columns input (N, C * KH * KW, L)."""
        return functions.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
