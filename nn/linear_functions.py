"""Linear maps and distances between rows as functions, and older names of resizing, with PyTorch's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.nn.regression_losses import pairwise_distance
from tinygrad_dl.ops import linear as linear_ops
from tinygrad_dl.ops.resize import interpolate


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """The affine map of each row: input @ weight.T + bias.   input (..., in), weight (out, in), bias (out,).

    >>> linear(np.array([[1.0, 2.0]]), weight=np.array([[3.0, 4.0]]), bias=np.array([0.5]))
    array([[11.5]])
    """
    return linear_ops.linear(input, weight, bias)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """A form that is linear in each of two inputs; see the operation for formula and shapes."""
    return linear_ops.bilinear(input1, input2, weight, bias)


def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norm distances between all pairs of rows, in the order (0, 1), (0, 2), ..., (1, 2), ...

    input (N, D) -> (N (N - 1) / 2,).   Raises ShapeError.
    >>> pdist(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).round(4).tolist()
    [5.0, 1.0, 4.2426]
    """
    if input.ndim != 2:
        raise ShapeError(f"pdist: rows (N, D) are needed; the shape {input.shape} came")
    first, second = np.triu_indices(input.shape[0], 1)
    return pairwise_distance(input[first], input[second], p, 0.0)


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """An older name of interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """An older name of interpolate with mode="nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """An older name of interpolate with mode="bilinear" and align_corners=True."""
    return interpolate(input, size, scale_factor, "bilinear", True)
