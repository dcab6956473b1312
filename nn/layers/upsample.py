"""Layers that change the spatial size: interpolation, and shuffles between channels and positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tinygrad_dl.arguments import Count, Counts, Positive
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops import resize
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array


class Upsample(Module):
    """Resizes by interpolation: nearest, linear (N, C, L), bilinear or bicubic (N, C, H, W), trilinear (N, C, D, H, W).

    Either `size` or `scale_factor`; align_corners keeps the corner elements fixed.
    >>> Upsample(scale_factor=2)(Tensor([[[1.0, 2.0]]]))
    Tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: Counts | None = None,
        scale_factor: Positive | Sequence[Positive] | None = None,
        mode: Literal[
            "nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact"
        ] = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Array) -> Tensor:
        """Resize the spatial dimensions of the input (N, C, *S)."""
        return resize.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The size or the factor, and the mode."""
        first = (
            f"scale_factor={self.scale_factor!r}" if self.scale_factor is not None else f"size={self.size!r}"
        )
        return f"{first}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resizes x (N, C, H, W) by repeating the nearest element."""

    def __init__(
        self, size: Counts | None = None, scale_factor: Positive | Sequence[Positive] | None = None
    ) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Resizes x (N, C, H, W) by bilinear interpolation, with the corner elements fixed."""

    def __init__(
        self, size: Counts | None = None, scale_factor: Positive | Sequence[Positive] | None = None
    ) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Moves channels into positions: (..., C * r * r, H, W) -> (..., C, H * r, W * r).   Source: Shi and others 2016.

    >>> PixelShuffle(2)(Tensor([[[[0.0]], [[1.0]], [[2.0]], [[3.0]]]]))
    Tensor([[[[0., 1.],
              [2., 3.]]]])
    """

    def __init__(self, upscale_factor: Count) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, input: Array) -> Tensor:
        """Move channels into positions."""
        return resize.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Moves positions into channels, the inverse of PixelShuffle: (..., C, H * r, W * r) -> (..., C * r * r, H, W)."""

    def __init__(self, downscale_factor: Count) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, input: Array) -> Tensor:
        """Move positions into channels."""
        return resize.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Interleaves the channels of the groups: (N, C, *S), C divisible by groups.   Source: Zhang and others 2018.

    >>> ChannelShuffle(2)(Tensor([[[0.0], [1.0], [2.0], [3.0]]])).data.ravel()
    array([0., 2., 1., 3.], dtype=float32)
    """

    def __init__(self, groups: Count) -> None:
        self.groups = groups

    def forward(self, input: Array) -> Tensor:
        """Reorder the channels of the input."""
        return resize.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"
