"""Dropout as functions, with PyTorch's arguments and `rng`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.ops.activations import SELU_ALPHA, SELU_SCALE
from tinygrad_dl.ops.dropout import dropout as _dropout


def dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Any:
    """Each element set to 0 with the probability p and the others scaled by 1 / (1 - p), while training.

    >>> dropout(np.ones(3), training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    return _dropout(input, p, rng=rng) if training and p else input


def _by_channel(name: str, input: Any, p: float, training: bool, rng: Any, axes: tuple[int, int]) -> Any:
    if input.ndim not in axes:
        raise ShapeError(f"{name}: x needs {axes[0]} or {axes[1]} axes; the shape {input.shape} came")
    if not training or not p:
        return input
    batched = 2 if input.ndim == axes[1] else 1
    shape = (*input.shape[:batched], *[1] * (input.ndim - batched))
    return _dropout(input, p, shape=shape, rng=rng)


def dropout1d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Any:
    """Dropout of whole channels of x (N, C, L) or (C, L)."""
    return _by_channel("dropout1d", input, p, training, rng, (2, 3))


def dropout2d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Any:
    """Dropout of whole channels of x (N, C, H, W) or (C, H, W)."""
    return _by_channel("dropout2d", input, p, training, rng, (3, 4))


def dropout3d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None
) -> Any:
    """Dropout of whole channels of x (N, C, D, H, W) or (C, D, H, W)."""
    return _by_channel("dropout3d", input, p, training, rng, (4, 5))


def _alpha(name: str, input: Any, p: float, shape: tuple[int, ...], rng: Any) -> Any:
    if not 0 <= p <= 1:
        raise ValueRangeError(f"{name}: p is a probability, from 0 to 1; {p!r} came")
    if p == 1:
        return input * 0
    low = -SELU_ALPHA * SELU_SCALE
    scale = float(((1 - p) * (1 + p * low**2)) ** -0.5)
    kept = (default_rng(rng).random(shape, dtype=np.float32) >= p).astype(input.dtype)
    # kept: scale * x + shift; dropped: scale * low + shift; the shift makes the mean 0 again
    return input * (kept * scale) + ((1 - kept) * (scale * low) - scale * low * p)


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, *, rng: Any = None
) -> Any:
    """Dropout that keeps mean 0 and variance 1: dropped elements are set to selu's limit.

    >>> alpha_dropout(np.ones(3), training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    return _alpha("alpha_dropout", input, p, input.shape, rng) if training and p else input


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, *, rng: Any = None
) -> Any:
    """alpha_dropout of whole channels of x (N, C, ...)."""
    if input.ndim < 2:
        raise ShapeError(
            f"feature_alpha_dropout: x (N, C, ...) needs at least 2 axes; the shape {input.shape} came"
        )
    if not training or not p:
        return input
    shape = (*input.shape[:2], *[1] * (input.ndim - 2))
    return _alpha("feature_alpha_dropout", input, p, shape, rng)
