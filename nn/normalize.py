"""Normalisation as functions, with PyTorch's arguments."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.ops.layers import standardize
from tinygrad_dl.ops.shape import reshape


def _data(x: Any) -> np.ndarray:
    return x._data if isinstance(x, Value) else np.asarray(x)


def by_channel(parameter: Any, ndim: int) -> Any:
    """A parameter (C,) so shaped that it broadcasts along axis 1 of an array with `ndim` axes."""
    if parameter is None or ndim == 2:
        return parameter
    return reshape(parameter, (parameter.shape[0], *[1] * (ndim - 2)))


def _follow(running_mean: Any, running_var: Any, momentum: float, count: int) -> Any:
    """The function that moves running statistics towards a batch's: the variance unbiased."""
    mean, var = _data(running_mean), _data(running_var)

    def moved(batch_mean: np.ndarray, batch_var: np.ndarray) -> None:
        mean[...] = (1 - momentum) * mean + momentum * batch_mean.reshape(-1, mean.size).mean(axis=0)
        unbiased = batch_var.reshape(-1, var.size).mean(axis=0) * (count / (count - 1))
        var[...] = (1 - momentum) * var + momentum * unbiased

    return moved


def batch_norm(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Batch normalisation of x (N, C, ...): each channel over all else; the running statistics move in place.

    out = (x - mean) / sqrt(var + eps) * weight + bias; evaluation (`training=False`) uses the running ones.
    Raises ShapeError for one value a channel in training: it has no variance.
    >>> batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    w, b = by_channel(weight, x.ndim), by_channel(bias, x.ndim)
    if training:
        count = prod(x.shape) // x.shape[1] if x.shape[1] else 0
        if count == 1:
            raise ShapeError(
                f"batch_norm: x of shape {x.shape} has one value a channel, which has no variance. "
                "Train on batches of at least two (drop_last=True in the loader), or call model.eval() first."
            )
        moments = (
            None if running_mean is None or not count else _follow(running_mean, running_var, momentum, count)
        )
        axes = (0, *range(2, x.ndim))
        return standardize(x, w, b, axes, eps, moments=moments)
    # In evaluation the statistics are constants, and the layer is one scale and one shift.
    inner = (_data(running_var) + np.asarray(eps, _data(running_var).dtype)) ** -0.5
    mean = by_channel(_data(running_mean), x.ndim)
    scale = by_channel(inner, x.ndim) if w is None else w * by_channel(inner, x.ndim)
    shift = scale * -mean if b is None else b - scale * mean
    return x * scale + shift
