"""Pooling as functions, with PyTorch's names and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, cast

from tinygrad_dl.arguments import Counts, Positive, Size, Widths
from tinygrad_dl.dispatch import drawn
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.kernels.windows import per_axis
from tinygrad_dl.nn.functional.conv import batched
from tinygrad_dl.ops import pooling, resize
from tinygrad_dl.ops.accumulate import accumulating
from tinygrad_dl.ops.activations import relu
from tinygrad_dl.ops.elementwise import abs, power, sign
from tinygrad_dl.ops.index import getitem
from tinygrad_dl.ops.shape import squeeze
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, RandomLike


def _unbatched(out: Any, added: bool) -> Any:
    return squeeze(out, 0) if added else out


def max_pool(
    n: int,
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    dilation: Counts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Max pooling over n spatial dimensions; with return_indices also the positions of the maxima."""
    x, added = batched(f"max_pool{n}d", input, n)
    if not return_indices:
        return _unbatched(pooling.max_pool(x, kernel_size, stride, padding, dilation, ceil_mode), added)
    positions = pooling.max_pool_indices(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _unbatched(pooling.pick_in_space(x, positions), added), _unbatched(positions, added)


def max_pool1d(
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    dilation: Counts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of input (N, C, L) or (C, L); the first one gets the gradient."""
    return max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    dilation: Counts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of input (N, C, H, W) or (C, H, W); the first one gets the gradient.

    >>> import numpy as np
    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """
    return max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    dilation: Counts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of input (N, C, D, H, W) or (C, D, H, W)."""
    return max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_unpool(
    n: int,
    input: Array,
    indices: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The elements of input scattered to `indices`, over n spatial dimensions; zeros elsewhere."""
    name = f"max_unpool{n}d"
    x, added = batched(name, input, n)
    positions, _ = batched(name, indices, n)
    kernel = per_axis(kernel_size, n, "kernel_size")
    strides = kernel if stride is None else per_axis(stride, n, "stride")
    pads = per_axis(padding, n, "padding", 0)
    size = tuple((c - 1) * s + k - 2 * p for c, s, k, p in zip(x.shape[2:], strides, kernel, pads))
    if output_size is not None:
        wanted = tuple(output_size)[-n:]
        if len(wanted) != n or any(not a - s < w < a + s for a, w, s in zip(size, wanted, strides)):
            raise ShapeError(
                f"{name}: expected an output_size that differs from {size} by less than the stride {strides}, "
                f"got {wanted}"
            )
        size = wanted
    # With an array as input the result is an array, even if the indices came as a Tensor.
    if isinstance(positions, Value) and not isinstance(x, Value):
        positions = positions._data
    return _unbatched(pooling.max_unpool(x, positions, size), added)


def max_unpool1d(
    input: Array,
    indices: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The elements of input (N, C, L) scattered to the positions that max_pool1d returned; zeros elsewhere."""
    return max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Array,
    indices: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The elements of input (N, C, H, W) scattered to the positions that max_pool2d returned; zeros elsewhere.

    >>> import numpy as np
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> max_unpool2d(*max_pool2d(x, 2, return_indices=True), 2)
    array([[[[0., 0.],
             [0., 3.]]]])
    """
    return max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Array,
    indices: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The elements of input (N, C, D, H, W) scattered to the positions that max_pool3d returned; zeros elsewhere."""
    return max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def avg_pool(
    n: int,
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average pooling over n spatial dimensions."""
    if divisor_override == 0:
        raise ValueRangeError(f"avg_pool{n}d: expected a divisor_override other than 0, got 0")
    x, added = batched(f"avg_pool{n}d", input, n)
    out = pooling.avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _unbatched(out, added)


def avg_pool1d(
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of input (N, C, L) or (C, L)."""
    return avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of input (N, C, H, W) or (C, H, W).

    >>> import numpy as np
    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    return avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Array,
    kernel_size: Counts,
    stride: Counts | None = None,
    padding: Widths = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of input (N, C, D, H, W) or (C, D, H, W)."""
    return avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@accumulating
def lp_pool(
    n: int,
    input: Array,
    norm_type: Positive,
    kernel_size: Counts,
    stride: Counts | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of each window, over n spatial dimensions: (sum x^p)^(1/p); nan for a negative sum."""
    kernel = per_axis(kernel_size, n, "kernel_size")
    mean = avg_pool(n, power(input, norm_type), kernel, stride, 0, ceil_mode)
    # sign(x) * relu(|x|) is x, spelled as in PyTorch; a negative sum (odd p) has no real root and gives nan.
    return power(sign(mean) * relu(abs(mean)) * prod(kernel), 1.0 / norm_type)


def lp_pool1d(
    input: Array,
    norm_type: Positive,
    kernel_size: Counts,
    stride: Counts | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of each window of input (N, C, L), p = norm_type: (sum x^p)^(1/p).

    >>> import numpy as np
    >>> lp_pool1d(np.array([[[3.0, 4.0]]]), 2, 2)
    array([[[5.]]])
    """
    return lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Array,
    norm_type: Positive,
    kernel_size: Counts,
    stride: Counts | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of each window of input (N, C, H, W); see lp_pool1d."""
    return lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Array,
    norm_type: Positive,
    kernel_size: Counts,
    stride: Counts | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of each window of input (N, C, D, H, W); see lp_pool1d."""
    return lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# Adaptive and fractional pooling


def adaptive_avg_pool(n: int, input: Array, output_size: Size | Sequence[Size | None] | None) -> Tensor:
    """The means of output_size regions along each of n spatial dimensions; None keeps the size of an axis."""
    x, added = batched(f"adaptive_avg_pool{n}d", input, n)
    return _unbatched(resize.adaptive_avg_pool(x, output_size), added)


def adaptive_avg_pool1d(input: Array, output_size: Size | Sequence[Size | None] | None) -> Tensor:
    """The means of output_size regions of input (N, C, L)."""
    return adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Array, output_size: Size | Sequence[Size | None] | None) -> Tensor:
    """The means of output_size regions along each axis of input (N, C, H, W); None keeps the size of an axis.

    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.arange(12.0).reshape(1, 1, 3, 4), 1)
    array([[[[5.5]]]])
    """
    return adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Array, output_size: Size | Sequence[Size | None] | None) -> Tensor:
    """The means of output_size regions along each axis of input (N, C, D, H, W); None keeps the size of an axis."""
    return adaptive_avg_pool(3, input, output_size)


def adaptive_max_pool(
    n: int, input: Array, output_size: Size | Sequence[Size | None] | None, return_indices: bool = False
) -> Any:
    """The maxima of output_size regions along each of n spatial dimensions, and their positions if asked."""
    x, added = batched(f"adaptive_max_pool{n}d", input, n)
    positions = resize.adaptive_max_indices(x, output_size)
    out = _unbatched(pooling.pick_in_space(x, positions), added)
    return (out, _unbatched(positions, added)) if return_indices else out


def adaptive_max_pool1d(
    input: Array, output_size: Size | Sequence[Size | None] | None, return_indices: bool = False
) -> Any:
    """The maxima of output_size regions of input (N, C, L)."""
    return adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(
    input: Array, output_size: Size | Sequence[Size | None] | None, return_indices: bool = False
) -> Any:
    """The maxima of output_size regions along each axis of input (N, C, H, W); None keeps the size of an axis."""
    return adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(
    input: Array, output_size: Size | Sequence[Size | None] | None, return_indices: bool = False
) -> Any:
    """The maxima of output_size regions along each axis of input (N, C, D, H, W); None keeps the size of an axis."""
    return adaptive_max_pool(3, input, output_size, return_indices)


def fractional_max_pool(
    n: int,
    input: Array,
    kernel_size: Counts,
    output_size: Counts | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    rng: RandomLike = None,
) -> Any:
    """Fractional max pooling over n spatial dimensions: random strides between two integers."""
    name = f"fractional_max_pool{n}d"
    if (output_size is None) == (output_ratio is None):
        raise ValueRangeError(
            f"{name}: expected either output_size or output_ratio, got {'neither' if output_size is None else 'both'}"
        )
    x, added = batched(name, input, n)
    if output_size is None:
        ratios: Any = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
        if not all(0 < r < 1 for r in ratios):
            raise ValueRangeError(f"{name}: expected an output_ratio between 0 and 1, got {output_ratio!r}")
        output_size = tuple(int(s * r) for s, r in zip(x.shape[2:], ratios))
    samples: Any = _random_samples
    if samples is None:
        samples = drawn(name, lambda g, shape: g.random(shape), (*x.shape[:2], n), rng=rng)
    if isinstance(samples, Value) and samples.level is None:
        samples = samples._data
    samples = cast(Any, samples)
    # A buffer of samples may be made for a larger batch than this one.
    if samples.shape[0] > x.shape[0]:
        samples = getitem(samples, slice(0, x.shape[0]))
    positions = resize.fractional_max_indices(
        x, samples, per_axis(kernel_size, n, "kernel_size"), per_axis(output_size, n, "output_size")
    )
    out = _unbatched(pooling.pick_in_space(x, positions), added)
    return (out, _unbatched(positions, added)) if return_indices else out


def fractional_max_pool2d(
    input: Array,
    kernel_size: Counts,
    output_size: Counts | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: RandomLike = None,
) -> Any:
    """Fractional max pooling of input (N, C, H, W): windows with random strides.   Source: Graham 2014."""
    return fractional_max_pool(
        2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples, rng
    )


def fractional_max_pool3d(
    input: Array,
    kernel_size: Counts,
    output_size: Counts | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: RandomLike = None,
) -> Any:
    """Fractional max pooling of input (N, C, D, H, W): windows with random strides.   Source: Graham 2014."""
    return fractional_max_pool(
        3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples, rng
    )
