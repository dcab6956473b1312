"""Pooling as functions, with PyTorch's names and arguments."""

from __future__ import annotations

from math import prod
from typing import Any

from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.kernels.windows import per_axis
from tinygrad_dl.nn.conv_functions import batched
from tinygrad_dl.ops import pooling, resize
from tinygrad_dl.ops.activations import relu
from tinygrad_dl.ops.elementwise import abs, power, sign
from tinygrad_dl.ops.shape import squeeze


def _unbatched(out: Any, added: bool) -> Any:
    return squeeze(out, 0) if added else out


def max_pool(
    n: int, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Max-pooling over n axes; with return_indices also where in space the maxima stand."""
    x, added = batched(f"max_pool{n}d", input, n)
    if not return_indices:
        return _unbatched(pooling.max_pool(x, kernel_size, stride, padding, dilation, ceil_mode), added)
    places = pooling.max_pool_indices(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _unbatched(pooling.pick_in_space(x, places), added), _unbatched(places, added)


def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of input (N, C, L) or (C, L); the first one gets the gradient."""
    return max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of input (N, C, H, W) or (C, H, W); the first one gets the gradient.

    >>> import numpy as np
    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """
    return max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of input (N, C, D, H, W) or (C, D, H, W)."""
    return max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_unpool(
    n: int, input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:  # fmt: skip
    """The elements of input put back where `indices` say, over n axes; zeros elsewhere."""
    name = f"max_unpool{n}d"
    x, added = batched(name, input, n)
    places, _ = batched(name, indices, n)
    kernel = per_axis(kernel_size, n, "kernel_size")
    strides = kernel if stride is None else per_axis(stride, n, "stride")
    pads = per_axis(padding, n, "padding", 0)
    size = tuple((c - 1) * s + k - 2 * p for c, s, k, p in zip(x.shape[2:], strides, kernel, pads))
    if output_size is not None:
        wanted = tuple(output_size)[-n:]
        if len(wanted) != n or any(not a - s < w < a + s for a, w, s in zip(size, wanted, strides)):
            raise ShapeError(
                f"{name}: output_size={wanted} must differ from {size} by less than the stride {strides}"
            )
        size = wanted
    if isinstance(places, Value) and not isinstance(x, Value):
        places = places._data
    return _unbatched(pooling.max_unpool(x, places, size), added)


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The elements of input (N, C, L) put back where max_pool1d found them; zeros elsewhere."""
    return max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The elements of input (N, C, H, W) put back where max_pool2d found them; zeros elsewhere.

    >>> import numpy as np
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> max_unpool2d(*max_pool2d(x, 2, return_indices=True), 2)
    array([[[[0., 0.],
             [0., 3.]]]])
    """
    return max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The elements of input (N, C, D, H, W) put back where max_pool3d found them; zeros elsewhere."""
    return max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def avg_pool(
    n: int, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """Mean-pooling over n axes."""
    if divisor_override == 0:
        raise ValueRangeError(f"avg_pool{n}d: divisor_override=0: another number than 0 is needed")
    x, added = batched(f"avg_pool{n}d", input, n)
    out = pooling.avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _unbatched(out, added)


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:  # fmt: skip
    """The mean of each window of input (N, C, L) or (C, L)."""
    return avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window of input (N, C, H, W) or (C, H, W).

    >>> import numpy as np
    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    return avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window of input (N, C, D, H, W) or (C, D, H, W)."""
    return avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def lp_pool(
    n: int, input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The root of the sum of powers of each window, over n axes: (sum x^p)^(1/p); a negative sum gives 0."""
    kernel = per_axis(kernel_size, n, "kernel_size")
    mean = avg_pool(n, power(input, norm_type), kernel, stride, 0, ceil_mode)
    return power(sign(mean) * relu(abs(mean)) * prod(kernel), 1.0 / norm_type)


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of each window of input (N, C, L), p = norm_type: (sum x^p)^(1/p).

    >>> import numpy as np
    >>> lp_pool1d(np.array([[[3.0, 4.0]]]), 2, 2)
    array([[[5.]]])
    """
    return lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of each window of input (N, C, H, W); see lp_pool1d."""
    return lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of each window of input (N, C, D, H, W); see lp_pool1d."""
    return lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# To a given size


def adaptive_avg_pool(n: int, input: Any, output_size: Any) -> Any:
    """The means of output_size regions along each of n axes; None keeps an axis."""
    x, added = batched(f"adaptive_avg_pool{n}d", input, n)
    return _unbatched(resize.adaptive_avg_pool(x, output_size), added)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The means of output_size regions of input (N, C, L)."""
    return adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The means of output_size regions along each axis of input (N, C, H, W); None keeps an axis.

    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.arange(12.0).reshape(1, 1, 3, 4), 1)
    array([[[[5.5]]]])
    """
    return adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The means of output_size regions along each axis of input (N, C, D, H, W); None keeps an axis."""
    return adaptive_avg_pool(3, input, output_size)


def adaptive_max_pool(n: int, input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of output_size regions along each of n axes, and where they stand if asked."""
    x, added = batched(f"adaptive_max_pool{n}d", input, n)
    places = resize.adaptive_max_indices(x, output_size)
    out = _unbatched(pooling.pick_in_space(x, places), added)
    return (out, _unbatched(places, added)) if return_indices else out


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of output_size regions of input (N, C, L)."""
    return adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of output_size regions along each axis of input (N, C, H, W); None keeps an axis."""
    return adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of output_size regions along each axis of input (N, C, D, H, W); None keeps an axis."""
    return adaptive_max_pool(3, input, output_size, return_indices)


def fractional_max_pool(
    n: int, input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Any = None, rng: Any = None,
) -> Any:  # fmt: skip
    """Maxima of windows whose steps vary at random between two whole numbers, over n axes."""
    name = f"fractional_max_pool{n}d"
    if (output_size is None) == (output_ratio is None):
        raise ValueRangeError(f"{name}: give either output_size or output_ratio")
    x, added = batched(name, input, n)
    if output_size is None:
        ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
        if not all(0 < r < 1 for r in ratios):
            raise ValueRangeError(f"{name}: output_ratio={output_ratio!r} must lie between 0 and 1")
        output_size = tuple(int(s * r) for s, r in zip(x.shape[2:], ratios))
    samples = _random_samples
    if samples is None:
        samples = default_rng(rng).random((*x.shape[:2], n))
    if isinstance(samples, Value):
        samples = samples._data
    samples = samples[: x.shape[0]]
    places = resize.fractional_max_indices(
        x, samples, per_axis(kernel_size, n, "kernel_size"), per_axis(output_size, n, "output_size")
    )
    out = _unbatched(pooling.pick_in_space(x, places), added)
    return (out, _unbatched(places, added)) if return_indices else out


def fractional_max_pool2d(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Any = None, *, rng: Any = None,
) -> Any:  # fmt: skip
    """Maxima of windows of input (N, C, H, W) whose steps vary at random.   Source: Graham 2014."""
    return fractional_max_pool(
        2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples, rng
    )


def fractional_max_pool3d(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Any = None, *, rng: Any = None,
) -> Any:  # fmt: skip
    """Maxima of windows of input (N, C, D, H, W) whose steps vary at random.   Source: Graham 2014."""
    return fractional_max_pool(
        3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples, rng
    )
