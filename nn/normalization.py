"""Normalisation layers, each written once for every number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.nn import init
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.normalize import batch_norm
from tinygrad_dl.nn.parameter import Buffer
from tinygrad_dl.tensor import Tensor


class _ChannelNorm(Module):
    """What batch and instance normalisation share: a scale and a shift a channel, and running statistics."""

    axes: tuple[int, ...]  # how many axes an input may have

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = init.empty((num_features,), dtype, device) if affine else None
        self.bias = init.empty((num_features,), dtype, device) if affine else None
        kind = config.default_dtype if dtype is None else np.dtype(dtype)
        self.running_mean = Buffer(np.zeros(num_features, kind)) if track_running_stats else None
        self.running_var = Buffer(np.ones(num_features, kind)) if track_running_stats else None
        self.num_batches_tracked = Buffer(np.array(0)) if track_running_stats else None
        if self.weight is not None:
            init.ones_(self.weight)

    def reset_running_stats(self) -> None:
        """Forget the running mean and variance."""
        if (
            self.running_mean is not None
            and self.running_var is not None
            and self.num_batches_tracked is not None
        ):
            self.running_mean.data[...] = 0
            self.running_var.data[...] = 1
            self.num_batches_tracked.data[...] = 0

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, statistics forgotten."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def _check(self, x: Any) -> None:
        if x.ndim not in self.axes:
            sizes = " or ".join(map(str, self.axes))
            raise ShapeError(f"{type(self).__name__}: x needs {sizes} axes; the shape {x.shape} came")

    def extra_repr(self) -> str:
        """The sizes and settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def forward(self, x: Any) -> Tensor:
        """x normalised channel by channel."""
        self._check(x)
        if x.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: x of shape {x.shape} has {x.shape[1]} channels; num_features is "
                f"{self.num_features}"
            )
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked._data += 1
            if momentum is None:  # the plain average of all batches
                momentum = 1.0 / float(self.num_batches_tracked._data)
        by_batch = self.training or self.running_mean is None
        track = not self.training or self.track_running_stats
        return batch_norm(
            x, self.running_mean if track else None, self.running_var if track else None,
            self.weight, self.bias, by_batch, momentum or 0.0, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of x (N, C) or (N, C, L): each channel over the batch and the positions.

    out = (x - mean) / sqrt(var + eps) * weight + bias, var biased (divided by n). While training,
    running = (1 - momentum) * running + momentum * batch's, with the unbiased variance (divided by n - 1);
    evaluation uses the running ones. `momentum=None`: their plain average.   Source: Ioffe and Szegedy 2015.
    >>> BatchNorm1d(1)(Tensor([[1.0], [3.0]])).numpy is not None
    True
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of x (N, C, H, W); see BatchNorm1d for the formula."""

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of x (N, C, D, H, W); see BatchNorm1d for the formula."""

    axes = (5,)
