"""Layers that change the size of space: interpolation, and elements moved between channels and space."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops import resize
from tinygrad_dl.tensor import Tensor


class Upsample(Module):
    """Space at another size: nearest, linear (N, C, L), bilinear or bicubic (N, C, H, W), trilinear (N, C, D, H, W).

    Either `size` or `scale_factor`; align_corners keeps the outermost elements in their places.
    >>> Upsample(scale_factor=2)(Tensor([[[1.0, 2.0]]]))
    Tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Any) -> Tensor:
        """The input (N, C, *S) at the other size."""
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
    """x (N, C, H, W) at another size, each element repeated."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """x (N, C, H, W) at another size, by lines between the elements, the corners staying in place."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Channels spread over space: (..., C * r * r, H, W) -> (..., C, H * r, W * r).   Source: Shi and others 2016.

    >>> PixelShuffle(2)(Tensor([[[[0.0]], [[1.0]], [[2.0]], [[3.0]]]]))
    Tensor([[[[0., 1.],
              [2., 3.]]]])
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Tensor:
        """The input with channels turned into pixels."""
        return resize.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Space gathered in channels, the inverse of PixelShuffle: (..., C, H * r, W * r) -> (..., C * r * r, H, W)."""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Tensor:
        """The input with pixels turned into channels."""
        return resize.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels of groups dealt out in turn: (N, C, *S), C divisible by groups.   Source: Zhang and others 2018.

    >>> ChannelShuffle(2)(Tensor([[[0.0], [1.0], [2.0], [3.0]]])).data.ravel()
    array([0., 2., 1., 3.], dtype=float32)
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def forward(self, input: Any) -> Tensor:
        """The input with its channels in the new order."""
        return resize.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"
