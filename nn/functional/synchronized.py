"""Sums over the processes of a run that gradients flow through, and batch normalization with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.modes import effect
from tinygrad_dl.nn.functional.normalization import RunningStatistics, by_channel
from tinygrad_dl.op import op
from tinygrad_dl.ops.elementwise import sqrt
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, NDArray

if TYPE_CHECKING:
    from tinygrad_dl.distributed.world import World


def _summed(g: Any, group: World) -> Any:
    return sum_over_ranks(g, group)


@op(_summed, listed=False)
def sum_over_ranks(x: NDArray, /, group: World) -> Any:
    """The sum over the ranks of an array that has one shape on all of them; so is its gradient.

    out = sum_r x_r.   Shape: same as x. Every rank has to call it, forward and backward in the same order.
    """
    return group.reduce(x)


def synchronized_batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    momentum: float,
    eps: float,
    batches: Tensor | None,
    group: World,
) -> Tensor:
    """Batch normalization in training over the batches of all ranks, which may have different numbers of examples.

    out = (x - mean) / sqrt(var + eps) * weight + bias, mean and biased var over the batch and positions of all ranks.
    Raises ShapeError, on all ranks, for one value per channel.
    """
    input = asarray(input)
    axes = (0, *range(2, input.ndim))
    count = float(np.prod([input.shape[axis] for axis in axes]))
    own: Any = sum(input, axis=axes)
    sums: Any = sum_over_ranks(concat([own, np.full(1, count, own.dtype)]), group)
    total = float(sums._data[-1])
    if total == 1:
        raise ShapeError(
            "batch_norm: expected more than one value per channel in training, on all ranks together (one value has no "
            f"variance), got the shape {input.shape} here and none elsewhere. Train on larger batches."
        )
    mean: Any = sums[:-1] / max(total, 1.0)
    centered: Any = input - by_channel(mean, input.ndim)
    squares: Any = sum(centered * centered, axis=axes)
    variance: Any = sum_over_ranks(squares, group) / max(total, 1.0)
    if running_mean is not None and running_var is not None and total:
        update = RunningStatistics(running_mean, running_var, momentum, int(total), batches)
        effect(update, mean.detach()._data, variance.detach()._data, changes=(running_mean, running_var))
    scale: Any = 1 / sqrt(variance + eps)
    out = centered * by_channel(scale if weight is None else scale * weight, input.ndim)
    return out if bias is None else out + by_channel(bias, input.ndim)
