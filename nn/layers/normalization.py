"""Normalization layers, each written once for every number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.arguments import Count, NonNegative, Positive, Real, Size, Widths
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.levels import innermost
from tinygrad_dl.modes import effect
from tinygrad_dl.nn import init
from tinygrad_dl.nn.functional.normalization import (
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
    unchecked_batch_norm,
)
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Buffer
from tinygrad_dl.ops.shape import expand_dims, squeeze
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, ShapeLike


class _ChannelNorm(Module):
    """Base of batch and instance normalization: a scale and a shift per channel, and running statistics."""

    axes: tuple[int, ...]  # how many axes an input may have

    _optional = {
        "weight": None,
        "bias": None,
        "running_mean": True,
        "running_var": True,
        "num_batches_tracked": True,
    }

    def __init__(
        self,
        num_features: Size,
        eps: Positive = 1e-5,
        momentum: Real | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        bias: bool = True,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = init.empty((num_features,), dtype, device) if affine else None
        self.bias = init.empty((num_features,), dtype, device) if affine and bias else None
        kind = config.default_dtype if dtype is None else np.dtype(dtype)
        self.running_mean = Buffer(np.zeros(num_features, kind)) if track_running_stats else None
        self.running_var = Buffer(np.ones(num_features, kind)) if track_running_stats else None
        self.num_batches_tracked = Buffer(np.array(0)) if track_running_stats else None
        if self.weight is not None:
            init.ones_(self.weight)

    def reset_running_stats(self) -> None:
        """Reset the running mean and variance."""
        if (
            self.running_mean is not None
            and self.running_var is not None
            and self.num_batches_tracked is not None
        ):
            self.running_mean.data[...] = 0
            self.running_var.data[...] = 1
            self.num_batches_tracked.data[...] = 0

    def reset_parameters(self) -> None:
        """Reset the scale to 1, the shift to 0 and the running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check(self, input: Array) -> None:
        if input.ndim not in self.axes:
            sizes = " or ".join(map(str, self.axes))
            raise ShapeError(
                f"{type(self).__name__}: expected an input of {sizes} axes, got the shape {input.shape}"
            )

    def extra_repr(self) -> str:
        """The sizes and settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


def _count_batch(batches: Tensor) -> None:
    innermost(batches)._data[()] += 1  # as a number: a sixth of the time of an array's +=


class _BatchNorm(_ChannelNorm):
    #: The processes over whose batches it normalizes while training, a distributed.World; None: this one's alone.
    process_group: Any = None

    def _group(self) -> Any:
        return self.process_group

    def forward(self, input: Array) -> Tensor:
        """Normalize the input per channel."""
        self._check(input)
        if input.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: expected an input of num_features = {self.num_features} channels, "
                f"got {input.shape}"
            )
        batches = None
        if self.training and self.num_batches_tracked is not None:
            batches = self.num_batches_tracked
        by_batch = self.training or self.running_mean is None
        track = not self.training or self.track_running_stats
        running = (self.running_mean, self.running_var) if track else (None, None)
        counted = batches if self.momentum is None else None  # the plain average of all batches
        group = self._group() if self.training else None
        if group is not None and group.size > 1:
            from tinygrad_dl.nn.functional.synchronized import synchronized_batch_norm

            out: Any = synchronized_batch_norm(
                input, *running, self.weight, self.bias, self.momentum or 0.0, self.eps, counted, group
            )
        else:
            out = unchecked_batch_norm(
                input, *running, self.weight, self.bias, by_batch, self.momentum or 0.0, self.eps, counted
            )
        if batches is not None:  # a batch that was refused is not counted
            effect(_count_batch, self.num_batches_tracked, changes=(self.num_batches_tracked,))
        return out


class BatchNorm1d(_BatchNorm):
    """Batch normalization of x (N, C) or (N, C, L): each channel over the batch and the positions.

    out = (x - mean) / sqrt(var + eps) * weight + bias, var biased (divided by n). While training,
    running = (1 - momentum) * running + momentum * batch's, with the unbiased variance (divided by n - 1);
    evaluation uses the running ones. `momentum=None`: their plain average.   Source: Ioffe and Szegedy 2015.
    >>> BatchNorm1d(1, eps=1e-12)(Tensor([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of x (N, C, H, W); see BatchNorm1d for the formula."""

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of x (N, C, D, H, W); see BatchNorm1d for the formula."""

    axes = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalization of x (N, C, ...) over the batches of all processes of a run; see BatchNorm1d for the formula.

    The ranks may have different numbers of examples, also a single one. `process_group`: a distributed.World; by
    default that of this run (see distributed.world), which without mpirun is this process alone.
    >>> SyncBatchNorm(1, eps=1e-12)(Tensor([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self,
        num_features: Size,
        eps: Positive = 1e-5,
        momentum: Real | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: object = None,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)
        self.process_group = process_group

    def _group(self) -> Any:
        if hasattr(self.process_group, "reduce"):
            return self.process_group
        from tinygrad_dl.distributed.world import world

        return world()

    def _check(self, input: Array) -> None:
        if input.ndim < 2:
            raise ShapeError(
                f"SyncBatchNorm: expected an input of at least 2 axes, got the shape {input.shape}"
            )

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: object = None) -> Any:
        """Make every batch normalization in a model a SyncBatchNorm, in place; returns the model.

        >>> SyncBatchNorm.convert_sync_batchnorm(BatchNorm2d(3))
        SyncBatchNorm(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
        """
        for inner in module.modules():
            if isinstance(inner, _BatchNorm) and not hasattr(inner, "has_uninitialized_params"):
                inner.__class__ = cls
                inner.process_group = process_group
        return module


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: Size,
        eps: Positive = 1e-5,
        momentum: Real | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Array) -> Tensor:
        """Normalize each channel of each example."""
        self._check(input)
        single = input.ndim == min(self.axes)
        x = expand_dims(input, 0) if single else input
        if (self.affine or self.running_mean is not None) and x.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: expected an input of num_features = {self.num_features} channels, "
                f"got {input.shape}"
            )
        out = instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, self.momentum or 0.0, self.eps,
        )  # fmt: skip
        return squeeze(out, 0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each example of x (N, C, L) or (C, L) normalized over its positions.

    out = (x - mean) / sqrt(var + eps) * weight + bias, var biased; without weight and bias unless `affine`.
    Source: Ulyanov and others 2016.
    >>> InstanceNorm1d(1, eps=1e-12)(Tensor([[[1.0, 3.0]]])).tolist()
    [[[-1.0, 1.0]]]
    """

    axes = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of x (N, C, H, W) or (C, H, W); see InstanceNorm1d for the formula."""

    axes = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of x (N, C, D, H, W) or (C, D, H, W); see InstanceNorm1d for the formula."""

    axes = (4, 5)


def _sizes(shape: ShapeLike) -> tuple[int, ...]:
    if np.size(shape) == 0:
        raise ValueRangeError("normalized_shape: expected at least one size, got ()")
    return (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)


class LayerNorm(Module):
    """Each example normalized over its last axes, those of `normalized_shape`.

    out = (x - mean) / sqrt(var + eps) * weight + bias, var biased; weight and bias of `normalized_shape`.
    Source: Ba and others 2016.
    >>> LayerNorm(2, eps=0.0)(Tensor([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    _optional = {"weight": None, "bias": None}

    def __init__(
        self,
        normalized_shape: Widths,
        eps: NonNegative = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.normalized_shape, self.eps = _sizes(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        self.weight = init.empty(self.normalized_shape, dtype, device) if elementwise_affine else None
        self.bias = init.empty(self.normalized_shape, dtype, device) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the scale to 1 and the shift to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Array) -> Tensor:
        """Normalize the input."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes and settings."""
        text = f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        return f"{text}, bias={self.bias is not None}"


class RMSNorm(Module):
    """Each example divided by the root mean square over its last axes.

    out = x / sqrt(mean(x^2) + eps) * weight; eps defaults to the machine epsilon.   Source: Zhang and Sennrich 2019.
    >>> RMSNorm(2, eps=0.0)(Tensor([[1.0, 7.0]])).round(4).tolist()
    [[0.20000000298023224, 1.399999976158142]]
    """

    _optional = {"weight": None}

    def __init__(
        self,
        normalized_shape: Widths,
        eps: NonNegative | None = None,
        elementwise_affine: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.normalized_shape, self.eps = _sizes(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        self.weight = init.empty(self.normalized_shape, dtype, device) if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the scale to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Array) -> Tensor:
        """Normalize the input."""
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The sizes and settings."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Groups of channels of each example normalized together.

    out = (x - mean) / sqrt(var + eps) * weight + bias, mean and biased var over a group of C / num_groups channels
    and all positions of x (N, C, ...); weight and bias (C,).   Source: Wu and He 2018.
    >>> GroupNorm(1, 2, eps=0.0)(Tensor([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    _optional = {"weight": None, "bias": None}

    def __init__(
        self,
        num_groups: Count,
        num_channels: Size,
        eps: NonNegative = 1e-5,
        affine: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ValueRangeError(
                f"GroupNorm: expected num_groups to divide num_channels={num_channels}, got {num_groups}"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = init.empty((num_channels,), dtype, device) if affine else None
        self.bias = init.empty((num_channels,), dtype, device) if affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the scale to 1 and the shift to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Array) -> Tensor:
        """Normalize the input."""
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes and settings."""
        text = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{text}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """Each value divided by a power of the squares in neighboring channels.

    out = x / (k + alpha / size * sum of squares over `size` channels around)^beta.   x (N, C, ...).
    Source: Krizhevsky and others 2012.
    >>> LocalResponseNorm(1, alpha=3.0, beta=0.5)(Tensor([[[1.0]]])).tolist()
    [[[0.5]]]
    """

    def __init__(self, size: Count, alpha: Real = 1e-4, beta: Real = 0.75, k: Real = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Array) -> Tensor:
        """Normalize the input."""
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
