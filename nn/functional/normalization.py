"""Normalization as functions, with PyTorch's arguments."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy as np

from tinygrad_dl import levels
from tinygrad_dl.arguments import Count, Finite, NonNegative, Positive, Real, Widths
from tinygrad_dl.convert import beside
from tinygrad_dl.dispatch import maps_of
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.ops.accumulate import accumulating
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.normalization import affine, standardize
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike, ShapeLike


def _data(x: ArrayLike | None) -> Any:
    """The array of running statistics; in func.vmap the Tensor, as each example may have its own."""
    if isinstance(x, Value):
        return x._data if x.level is None else x
    return np.asarray(x)


def by_channel(parameter: Array | None, ndim: int) -> Any:
    """A parameter (C,) reshaped to broadcast along axis 1 of an array with `ndim` axes."""
    if parameter is None or ndim == 2:
        return parameter
    return reshape(parameter, (parameter.shape[0], *[1] * (ndim - 2)))


class RunningStatistics:
    """Updates a running mean and variance with a batch's, in place; the variance is made unbiased.

    running = (1 - momentum) * running + share * batch.   share: momentum, times n / (n - 1) for the variance.
    `batches`: how many batches came before, for their plain average; momentum is then 1 / (batches + 1).
    """

    __slots__ = ("batches", "mean", "mean_share", "momentum", "var", "var_share")

    def __init__(
        self,
        running_mean: Array,
        running_var: Array,
        momentum: float,
        count: int,
        batches: Tensor | None = None,
    ) -> None:
        self.mean, self.var = _data(running_mean), _data(running_var)
        self.batches = None if batches is None else _data(batches)
        self.momentum = momentum = momentum if batches is None else 1.0
        self.mean_share, self.var_share = momentum, momentum * count / (count - 1)

    def __call__(self, batch_mean: np.ndarray, batch_var: np.ndarray) -> None:
        if batch_mean.dtype.kind == "c":  # before either is changed
            raise DTypeError(f"batch_norm: expected a real input, got {batch_mean.dtype}")
        part: Any = 1.0
        if self.batches is not None:
            part = 1.0 / (self.batches + 1.0)
            part = part[:, None] if part.ndim else float(part)  # one for each example
        for running, batch, share in (
            (self.mean, batch_mean, self.mean_share),
            (self.var, batch_var, self.var_share),
        ):
            if batch.size != running.size:  # one for each example
                batch = batch.reshape(*running.shape[:-1], -1, running.shape[-1]).mean(axis=-2)
            running *= 1 - self.momentum * part
            running += batch.reshape(running.shape) * (share * part)

    def opened(self, level: levels.BatchLevel) -> RunningStatistics:
        """The same for all examples of a func.vmap, each of which has its own; GraphError if they share them."""
        if not (levels.belongs(self.mean, level) and levels.belongs(self.var, level)):
            raise GraphError(
                "func.vmap: batch normalization in training mode would update one running mean and variance by each "
                "example. Call eval(), make the layer with track_running_stats=False, or map over the statistics, too: "
                "func.stack_module_state."
            )
        new = object.__new__(RunningStatistics)
        new.mean, new.var = (_data(levels.exposed(x, level)) for x in (self.mean, self.var))
        new.momentum, new.mean_share, new.var_share = self.momentum, self.mean_share, self.var_share
        new.batches = self.batches
        if isinstance(new.batches, Value):
            new.batches = _data(levels.exposed(new.batches, level))
        return new

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunningStatistics):
            return False
        same = self.mean is other.mean and self.var is other.var and self.batches is other.batches
        return same and (self.momentum, self.var_share) == (other.momentum, other.var_share)

    __hash__ = object.__hash__


def _by_channel(
    input: Array, weight: Array | None, bias: Array | None, axis: tuple[int, ...], eps: float, moments: Any
) -> Any:
    """standardize with all positions flattened into one axis, so that its sums are matrix-vector products."""
    n, channels, *positions = input.shape
    view, fit = (n, channels, prod(positions)), (channels, 1)
    return standardize(input, weight, bias, axis, eps, moments=moments, view=view, fit=fit)


def check_channels(
    name: str,
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
) -> None:
    """Raise unless each parameter and statistic has one element a channel: before any of them is updated."""
    channels = input.shape[1]
    if (running_mean is None) != (running_var is None):
        raise ValueRangeError(
            f"{name}: expected both running_mean and running_var or neither, got one of them"
        )
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for what, x in given.items():
        if x is not None and x.shape != (channels,):
            raise ShapeError(
                f"{name}: expected {what} of shape ({channels},), one element for each channel of the input "
                f"{input.shape}, got {x.shape}"
            )
        if x is not None and what.startswith("running") and x.dtype.kind != "f":  # updated in place
            raise DTypeError(f"{name}: expected {what} of a floating-point dtype, got {x.dtype}")


def _mapped_as(statistics: Array | None, input: Array) -> Any:
    """The input, repeated for the examples of func.vmap that have running statistics of their own."""
    if isinstance(statistics, Value) and statistics.level is not None:
        for level in maps_of(statistics):
            if not levels.belongs(input, level):
                input = levels.hidden(levels.exposed(input, level), level)
    return input


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: Real = 0.1,
    eps: Positive = 1e-5,
) -> Tensor:
    """Batch normalization of input (N, C, ...): each channel over all other axes. Updates the running statistics.

    out = (input - mean) / sqrt(var + eps) * weight + bias; evaluation (`training=False`) uses the running ones.
    Raises ShapeError for one value per channel in training, which has no variance.
    >>> batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=1e-20).tolist()
    [[-1.0], [1.0]]
    """
    if input.ndim < 2:
        raise ShapeError(
            f"batch_norm: expected an input (N, C, ...) of at least 2 axes, got the shape {input.shape}"
        )
    check_channels("batch_norm", input, running_mean, running_var, weight, bias)
    if not training and running_mean is None:
        raise ValueRangeError("batch_norm: expected running_mean and running_var outside training, got None")
    return unchecked_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def unchecked_batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    training: bool,
    momentum: float,
    eps: float,
    batches: Tensor | None = None,
) -> Any:
    """batch_norm of arguments that fit together, as a layer's do; `batches`: see RunningStatistics."""
    if training:
        count = prod(input.shape) // input.shape[1] if input.shape[1] else 0
        if count == 1:
            raise ShapeError(
                "batch_norm: expected more than one value per channel in training "
                f"(one value has no variance), got the shape {input.shape}. "
                "Train on batches of at least two (drop_last=True in the loader), or call model.eval() first."
            )
        moments = (
            None
            if running_mean is None or not count
            else RunningStatistics(running_mean, cast("Array", running_var), momentum, count, batches)
        )
        input = _mapped_as(running_mean, input)
        if input.ndim == 2:
            return standardize(input, weight, bias, (0,), eps, moments=moments)
        return _by_channel(input, weight, bias, (0, 2), eps, moments)
    # In evaluation the statistics are constants, and the layer is one scale and one shift.
    inner = (cast("Array", running_var) + eps) ** -0.5
    w, b = by_channel(weight, input.ndim), by_channel(bias, input.ndim)
    mean = by_channel(running_mean, input.ndim)
    scale = by_channel(inner, input.ndim) if w is None else w * by_channel(inner, input.ndim)
    shift = scale * -mean if b is None else b - scale * mean
    return affine(input, scale, shift)


def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: Real = 0.1,
    eps: NonNegative = 1e-5,
) -> Tensor:
    """Each channel of each example of x (N, C, ...) normalized over its positions.

    Without `use_input_stats` the running statistics are used, as in batch_norm; else they are updated, averaged over N.
    Raises ShapeError for one position per channel, which has no variance.
    >>> instance_norm(np.array([[[1.0, 3.0]]]), eps=0.0).tolist()
    [[[-1.0, 1.0]]]
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.ndim < 3:
        raise ShapeError(
            f"instance_norm: expected an input (N, C, ...) of at least 3 axes, got the shape {input.shape}"
        )
    check_channels("instance_norm", input, running_mean, running_var, weight, bias)
    count = prod(input.shape[2:])
    if count == 1:
        raise ShapeError(
            f"instance_norm: expected more than one value per channel "
            f"(one value has no variance), got the shape {input.shape}"
        )
    moments = (
        None
        if running_mean is None or not input.size
        else RunningStatistics(running_mean, cast("Array", running_var), momentum, count)
    )
    return _by_channel(_mapped_as(running_mean, input), weight, bias, (2,), eps, moments)


def _last_axes(name: str, input: Array, shape: ShapeLike) -> int:
    """How many axes `shape` has, which must be the last sizes of the input."""
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not sizes or tuple(input.shape[-len(sizes) :]) != sizes:
        raise ShapeError(
            f"{name}: expected an input whose last sizes are normalized_shape = {sizes}, got {input.shape}"
        )
    return len(sizes)


def _check_affine(name: str, what: str, x: Array, input: Array, axes: int) -> None:
    sizes = input.shape[input.ndim - axes :]
    if x.shape != sizes:
        raise ShapeError(f"{name}: expected {what} of normalized_shape = {sizes}, got {x.shape}")


def _over_rows(
    input: Array, weight: Array | None, bias: Array | None, axes: int, eps: float, center: bool
) -> Any:
    """standardize over the last axes, flattened into one, so that its sums are matrix-vector products."""
    if input.ndim == 2 and axes == 1:
        return standardize(input, weight, bias, (1,), eps, center=center)
    size = prod(input.shape[input.ndim - axes :])
    view = (prod(input.shape[: input.ndim - axes]), size)
    return standardize(input, weight, bias, (1,), eps, center=center, view=view, fit=(size,))


def layer_norm(
    input: Array,
    normalized_shape: Widths,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: Finite = 1e-5,
) -> Tensor:
    """Each example normalized over its last axes; weight and bias have their shape.

    >>> layer_norm(np.array([[1.0, 3.0]]), (2,), eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    axes = _last_axes("layer_norm", input, normalized_shape)
    for what, x in (("weight", weight), ("bias", bias)):
        if x is not None:
            _check_affine("layer_norm", what, x, input, axes)
    return _over_rows(input, weight, bias, axes, eps, True)


def rms_norm(
    input: Array, normalized_shape: Widths, weight: Array | None = None, eps: Finite | None = None
) -> Tensor:
    """Each example divided by the root mean square over its last axes.

    eps defaults to the machine epsilon of the dtype that is computed in: float32 for float16.
    >>> rms_norm(np.array([[1.0, 7.0]]), (2,), eps=0.0).round(4).tolist()
    [[0.2, 1.4]]
    """
    axes = _last_axes("rms_norm", input, normalized_shape)
    if weight is not None:
        _check_affine("rms_norm", "weight", weight, input, axes)
    if input.dtype.kind not in "fc":
        raise DTypeError(f"rms_norm: expected a floating-point input, got {input.dtype}")
    chosen = float(np.finfo(np.result_type(input.dtype, np.float32)).eps) if eps is None else eps
    return _over_rows(input, weight, None, axes, chosen, False)


def group_norm(
    input: Array,
    num_groups: Count,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: Finite = 1e-5,
) -> Tensor:
    """Groups of channels of each example of x (N, C, ...) normalized together; weight and bias (C,).

    >>> group_norm(np.array([[1.0, 3.0]]), 1, eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: expected num_groups to divide the channels (axis 1) of the input {input.shape}, "
            f"got {num_groups}"
        )
    n, channels, *positions = input.shape
    for what, x in (("weight", weight), ("bias", bias)):
        if x is not None and x.shape != (channels,):
            raise ShapeError(f"group_norm: expected {what} of shape ({channels},), got {x.shape}")
    each = channels // num_groups
    view, fit = (n, num_groups, each, prod(positions)), (num_groups, each, 1)
    return standardize(input, weight, bias, (2, 3), eps, view=view, fit=fit)


@accumulating
def local_response_norm(
    input: Array, size: Count, alpha: Real = 1e-4, beta: Real = 0.75, k: Real = 1.0
) -> Tensor:
    """Each value divided by a power of the squares in neighboring channels of x (N, C, ...).

    out = x / (k + alpha / size * sum of squares over channels c - size // 2 to c + (size - 1) // 2)^beta.
    >>> local_response_norm(np.array([[[1.0]]]), 1, alpha=3.0, beta=0.5).tolist()
    [[[0.5]]]
    """
    if input.ndim < 3:
        raise ShapeError(
            f"local_response_norm: expected an input (N, C, ...) of at least 3 axes, got the shape {input.shape}"
        )
    # The sum over neighboring channels is a product with a matrix of ones near the diagonal.
    channels = np.arange(input.shape[1])
    offset = channels[None, :] - channels[:, None]
    near = ((offset >= -(size // 2)) & (offset <= (size - 1) // 2)).astype(input.dtype)
    n, count, *positions = input.shape
    flat = reshape(input, (n, count, prod(positions)))
    total = matmul(beside(input, near), flat * flat)
    return reshape(flat / (total * (alpha / size) + k) ** beta, input.shape)
