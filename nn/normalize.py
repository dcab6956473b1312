"""Normalisation as functions, with PyTorch's arguments."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.normalization import affine, standardize
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
    kept, unbiased = 1 - momentum, momentum * count / (count - 1)

    def moved(batch_mean: np.ndarray, batch_var: np.ndarray) -> None:
        for running, batch, share in ((mean, batch_mean, momentum), (var, batch_var, unbiased)):
            if batch.size != running.size:  # one for each example
                batch = batch.reshape(-1, running.size).mean(axis=0)
            running *= kept
            running += batch.reshape(running.shape) * share

    return moved


def _by_channel(input: Any, weight: Any, bias: Any, axis: tuple[int, ...], eps: float, moments: Any) -> Any:
    """standardize with all positions made one axis: its sums are products with vectors then."""
    n, channels, *positions = input.shape
    view, fit = (n, channels, prod(positions)), (channels, 1)
    return standardize(input, weight, bias, axis, eps, moments=moments, view=view, fit=fit)


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Batch normalisation of input (N, C, ...): each channel over all else; the running statistics move in place.

    out = (input - mean) / sqrt(var + eps) * weight + bias; evaluation (`training=False`) uses the running ones.
    Raises ShapeError for one value a channel in training: it has no variance.
    >>> batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    if training:
        count = prod(input.shape) // input.shape[1] if input.shape[1] else 0
        if count == 1:
            raise ShapeError(
                f"batch_norm: input of shape {input.shape} has one value a channel, which has no variance. "
                "Train on batches of at least two (drop_last=True in the loader), or call model.eval() first."
            )
        moments = (
            None if running_mean is None or not count else _follow(running_mean, running_var, momentum, count)
        )
        if input.ndim == 2:
            return standardize(input, weight, bias, (0,), eps, moments=moments)
        return _by_channel(input, weight, bias, (0, 2), eps, moments)
    # In evaluation the statistics are constants, and the layer is one scale and one shift.
    inner = (_data(running_var) + np.asarray(eps, _data(running_var).dtype)) ** -0.5
    w, b = by_channel(weight, input.ndim), by_channel(bias, input.ndim)
    mean = by_channel(_data(running_mean), input.ndim)
    scale = by_channel(inner, input.ndim) if w is None else w * by_channel(inner, input.ndim)
    shift = scale * -mean if b is None else b - scale * mean
    return affine(input, scale, shift)


def instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Each channel of each example of x (N, C, ...) normalised over its positions.

    Without `use_input_stats` the running statistics are used, as in batch_norm; else they follow, averaged over N.
    Raises ShapeError for one position a channel: it has no variance.
    >>> instance_norm(np.array([[[1.0, 3.0]]]), eps=0.0).tolist()
    [[[-1.0, 1.0]]]
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = prod(input.shape[2:])
    if count == 1:
        raise ShapeError(
            f"instance_norm: x of shape {input.shape} has one value a channel, which has no variance"
        )
    moments = (
        None
        if running_mean is None or not input.size
        else _follow(running_mean, running_var, momentum, count)
    )
    return _by_channel(input, weight, bias, (2,), eps, moments)


def _last_axes(name: str, input: Any, shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not sizes or tuple(input.shape[-len(sizes) :]) != sizes:
        raise ShapeError(f"{name}: the last sizes of x {input.shape} must be normalized_shape = {sizes}")
    return tuple(range(input.ndim - len(sizes), input.ndim))


def _over_rows(input: Any, weight: Any, bias: Any, axes: int, eps: float, center: bool) -> Any:
    """standardize over the last axes, made one: on matrices its sums are products with vectors."""
    if input.ndim == 2 and axes == 1:
        return standardize(input, weight, bias, (1,), eps, center=center)
    size = prod(input.shape[input.ndim - axes :])
    view = (prod(input.shape[: input.ndim - axes]), size)
    return standardize(input, weight, bias, (1,), eps, center=center, view=view, fit=(size,))


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Each example normalised over its last axes; weight and bias have their shape.

    >>> layer_norm(np.array([[1.0, 3.0]]), (2,), eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    return _over_rows(input, weight, bias, len(_last_axes("layer_norm", input, normalized_shape)), eps, True)


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Each example divided by the root mean square over its last axes; eps is the dtype's own unless given.

    >>> rms_norm(np.array([[1.0, 7.0]]), (2,), eps=0.0).round(4).tolist()
    [[0.2, 1.4]]
    """
    axes = len(_last_axes("rms_norm", input, normalized_shape))
    chosen = float(np.finfo(input.dtype).eps) if eps is None else eps
    return _over_rows(input, weight, None, axes, chosen, False)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Groups of channels of each example of x (N, C, ...) normalised together; weight and bias (C,).

    >>> group_norm(np.array([[1.0, 3.0]]), 1, eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: the channels (axis 1) of x {input.shape} do not divide into {num_groups} groups"
        )
    n, channels, *positions = input.shape
    each = channels // num_groups
    view, fit = (n, num_groups, each, prod(positions)), (num_groups, each, 1)
    return standardize(input, weight, bias, (2, 3), eps, view=view, fit=fit)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Each value divided by a power of the squares in neighbouring channels of x (N, C, ...).

    out = x / (k + alpha / size * sum of squares over channels c - size // 2 to c + (size - 1) // 2)^beta.
    >>> local_response_norm(np.array([[[1.0]]]), 1, alpha=3.0, beta=0.5).tolist()
    [[[0.5]]]
    """
    if input.ndim < 3:
        raise ShapeError(
            f"local_response_norm: x (N, C, ...) needs at least 3 axes; the shape {input.shape} came"
        )
    # The sum over neighbouring channels is a product with a matrix of ones near the diagonal.
    channels = np.arange(input.shape[1])
    offset = channels[None, :] - channels[:, None]
    near = ((offset >= -(size // 2)) & (offset <= (size - 1) // 2)).astype(input.dtype)
    n, count, *positions = input.shape
    flat = reshape(input, (n, count, prod(positions)))
    total = matmul(near, flat * flat)
    return reshape(flat / (total * (alpha / size) + k) ** beta, input.shape)
