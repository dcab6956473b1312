"""PyTorch's deprecated names of interpolate."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.ops.resize import interpolate


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """Deprecated name of interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """Deprecated name of interpolate with mode="nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """Deprecated name of interpolate with mode="bilinear" and align_corners=True."""
    return interpolate(input, size, scale_factor, "bilinear", True)
