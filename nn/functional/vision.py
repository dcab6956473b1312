"""PyTorch's deprecated names of interpolate."""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_dl.arguments import Counts
from tinygrad_dl.ops.resize import interpolate
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array


def upsample(
    input: Array,
    size: Counts | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Deprecated name of interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Array, size: Counts | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """Deprecated name of interpolate with mode="nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Array, size: Counts | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """Deprecated name of interpolate with mode="bilinear" and align_corners=True."""
    return interpolate(input, size, scale_factor, "bilinear", True)
