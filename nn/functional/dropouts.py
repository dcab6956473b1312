"""Dropout as functions, with PyTorch's arguments and `rng`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Probability
from tinygrad_dl.dispatch import drawn
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.ops import dropout as dropout_ops
from tinygrad_dl.ops.activations import SELU_ALPHA, SELU_SCALE
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.typing import Array, ArrayT, RandomLike, Shape


def dropout(
    input: ArrayT,
    p: Probability = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: RandomLike = None,
) -> ArrayT:
    """Sets each element to 0 with probability p and scales the others by 1 / (1 - p), in training.

    >>> dropout(np.ones(3), training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    return _drop(input, p, None, rng) if training and p else input


def _drop(input: Array, p: float, shape: Shape | None, rng: RandomLike) -> Any:
    return dropout_ops.dropout(input, p, shape=shape, rng=rng)


def _by_channel(
    name: str, input: Array, p: float, training: bool, rng: RandomLike, axes: tuple[int, int]
) -> Any:
    if input.ndim not in axes:
        raise ShapeError(
            f"{name}: expected an input of {axes[0]} or {axes[1]} axes, got the shape {input.shape}"
        )
    if not training or not p:
        return input
    batched = 2 if input.ndim == axes[1] else 1
    shape = (*input.shape[:batched], *[1] * (input.ndim - batched))
    return _drop(input, p, shape, rng)


def dropout1d(
    input: ArrayT,
    p: Probability = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: RandomLike = None,
) -> ArrayT:
    """Dropout of whole channels of x (N, C, L) or (C, L)."""
    return _by_channel("dropout1d", input, p, training, rng, (2, 3))


def dropout2d(
    input: ArrayT,
    p: Probability = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: RandomLike = None,
) -> ArrayT:
    """Dropout of whole channels of x (N, C, H, W) or (C, H, W)."""
    return _by_channel("dropout2d", input, p, training, rng, (3, 4))


def dropout3d(
    input: ArrayT,
    p: Probability = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: RandomLike = None,
) -> ArrayT:
    """Dropout of whole channels of x (N, C, D, H, W) or (C, D, H, W)."""
    return _by_channel("dropout3d", input, p, training, rng, (4, 5))


def _alpha(name: str, input: Array, p: float, shape: Shape, rng: RandomLike) -> Any:
    if not 0 <= p <= 1:
        raise ValueRangeError(f"{name}: expected a probability p from 0 to 1, got {p!r}")
    if p == 1:
        return input * 0
    low = -SELU_ALPHA * SELU_SCALE
    scale = float(((1 - p) * (1 + p * low**2)) ** -0.5)
    text = f"rng.random({{shape}}, dtype=np.float32) >= {p}"
    kept = drawn(name, lambda g, size: g.random(size, dtype=np.float32) >= p, shape, text, rng)
    # kept: scale * x + shift; dropped: scale * low + shift; the shift makes the mean 0 again
    return where(kept, input, low) * scale + -scale * low * p


def alpha_dropout(
    input: ArrayT,
    p: Probability = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    rng: RandomLike = None,
) -> ArrayT:
    """Dropout that preserves mean 0 and variance 1: dropped elements are set to selu's limit.

    >>> alpha_dropout(np.ones(3), training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    return _alpha("alpha_dropout", input, p, input.shape, rng) if training and p else input


def feature_alpha_dropout(
    input: ArrayT,
    p: Probability = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    rng: RandomLike = None,
) -> ArrayT:
    """alpha_dropout of whole channels of x (N, C, ...)."""
    if input.ndim < 2:
        raise ShapeError(
            f"feature_alpha_dropout: expected an input (N, C, ...) of at least 2 axes, got the shape {input.shape}"
        )
    if not training or not p:
        return input
    shape = (*input.shape[:2], *[1] * (input.ndim - 2))
    return _alpha("feature_alpha_dropout", input, p, shape, rng)
