"""Pooling: the largest element, or the mean, of windows that slide over any number of spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels import pool
from tinygrad_dl.kernels.layout import cropped, padded
from tinygrad_dl.kernels.pool import check_spatial, divided, lowest, pool_windows, transpose_windows
from tinygrad_dl.kernels.scatter import put_at_positions
from tinygrad_dl.kernels.windows import Padding, padded_sizes
from tinygrad_dl.op import Case, Domain, Joint, op
from tinygrad_dl.typing import NDArray, Shape, Sizes

# Maxima


def _to_max_fast(
    g: NDArray, x: NDArray, out: NDArray, kernel: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes,
    ceil_mode: bool,
) -> NDArray:  # fmt: skip
    f = pool_windows("max_pool", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    return pool.max_pool_gradient(g, x, out, f)


def _to_max(
    g: NDArray, x: NDArray, kernel: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes, ceil_mode: bool,
    x_shape: Shape,
) -> NDArray:  # fmt: skip
    indices: Any = max_pool_indices(x, kernel, stride, padding, dilation, ceil_mode)
    return put_in_space(g, indices, x_shape[2:])


def _moved_maxima(
    ts: Sequence[Any], x: Any, kernel: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes, ceil_mode: bool,
) -> Any:  # fmt: skip
    return pick_in_space(ts[0], max_pool_indices(x, kernel, stride, padding, dilation, ceil_mode))


def _fast_moved_maxima(
    ts: Sequence[Any], x: Any, kernel: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes, ceil_mode: bool,
) -> Any:  # fmt: skip
    return _maxima_and_change(x, ts, kernel, stride, padding, dilation, ceil_mode)[1]


def _maxima_and_change(x: NDArray, ts: Sequence[Any], kernel: Sizes, *how: Any) -> tuple[Any, Any]:
    check_spatial("max_pool", x)
    both = pool.max_pool_and_change(x, ts[0], pool_windows("max_pool", x.shape[2:], kernel, *how))
    return both or (pool.max_pool(x, kernel, *how), _moved_maxima(ts, x, kernel, *how))


MAXIMA = (
    Case((2, 2, 4, 4), kernel=2), Case((1, 2, 5), kernel=3, stride=2, padding=1),
    Case((1, 1, 4, 5), kernel=(2, 3), stride=1, dilation=(2, 1)), Case((2, 1, 5), kernel=2, ceil_mode=True),
    Case((1, 1, 2, 3, 4), kernel=2), Case((1, 1, 3, 3), kernel=3, stride=2, padding=1, ceil_mode=True),
)  # fmt: skip


@op(
    _to_max,
    fast=(_to_max_fast,),
    kernel=pool.max_pool,
    inputs=1,
    domain=Domain(distinct=True),
    cases=MAXIMA,
    kinks="the first maximum of a window gets the whole gradient",
    batch=batching.folded,
    jvp=Joint(_moved_maxima, _fast_moved_maxima, _maxima_and_change),
    real=True,
    math=(r"\max_k x_{p s + k}", r"\sum_{p \, : \, i = \arg\max_p} g_p"),
)
def max_pool(
    x: NDArray, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window; outside of x counts as -inf, and a nan stays one.

    out[n, c, p] = max over k of padded x[n, c, p * stride + k * dilation]; stride: the kernel by default.
    x (N, C, *S) -> (N, C, *L).   Raises ShapeError if the kernel does not fit.
    >>> max_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[3., 2.]]])
    """
    check_spatial("max_pool", x)
    f = pool_windows("max_pool", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    xp = padded(x, f.pads, lowest(x.dtype))
    return np.maximum.reduce([xp[(..., *under)] for _, under in f.positions()])


@op(None, inputs=1, cases=MAXIMA, batch=batching.folded)
def max_pool_indices(
    x: NDArray, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Any:  # fmt: skip
    """The position of the first maximum of each window, as an index into the flattened spatial dimensions.

    x (N, C, *S) -> (N, C, *L), int64.   See max_pool.
    >>> max_pool_indices(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[1, 2]]])
    """
    check_spatial("max_pool_indices", x)
    f = pool_windows("max_pool", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    xp = padded(x, f.pads, lowest(x.dtype))
    number = padded(
        np.arange(prod(f.sizes)).reshape(1, 1, *f.sizes), f.pads, -1
    )  # -1: padding is never the maximum
    values = np.stack([xp[(..., *under)] for _, under in f.positions()])
    numbers = np.stack([number[(..., *under)] for _, under in f.positions()])
    hit = (values == np.maximum.reduce(values)) | np.isnan(values)
    first = np.argmax(hit & (numbers >= 0), axis=0)
    return np.take_along_axis(np.broadcast_to(numbers, values.shape), first[None], 0)[0]


# Elements picked by position, and put back


@op(
    lambda g, indices, x_shape: put_in_space(g, indices, x_shape[2:]),
    None,
    cases=(
        Case((1, 2, 4), np.array([[[0, 2], [3, 3]]])),
        Case((2, 1, 2, 3), np.array([[[[5], [1]]], [[[0], [0]]]])),
    ),
    batch=batching.folded,
    jvp=(lambda t, indices: pick_in_space(t, indices), None),
    real=True,
    math=("x_{k_p}", r"\sum_{p \, : \, k_p = i} g_p", ""),
)
def pick_in_space(x: NDArray, indices: NDArray) -> Any:
    """The elements at given positions, per channel; the spatial dimensions count as one, flattened.

    out[n, c, p] = x[n, c, indices[n, c, p]].   x (N, C, *S), indices (N, C, *L), integers -> (N, C, *L).
    >>> pick_in_space(np.array([[[1.0, 3.0, 2.0]]]), np.array([[[2, 0]]]))
    array([[[2., 1.]]])
    """
    n, c = x.shape[:2]
    flat = np.take_along_axis(x.reshape(n, c, prod(x.shape[2:])), indices.reshape(n, c, -1), 2)
    return flat.reshape(indices.shape)


@op(
    lambda g, indices: pick_in_space(g, indices),
    None,
    kernel=put_at_positions,
    cases=(
        Case((1, 2, 2), np.array([[[0, 2], [3, 3]]]), size=(4,)),
        Case((2, 1, 2, 1), np.array([[[[5], [1]]], [[[0], [0]]]]), size=(2, 3)),
    ),
    batch=batching.folded,
    jvp=(lambda t, indices, size: put_in_space(t, indices, size), None),
    real=True,
    math=(r"\sum_{p \, : \, k_p = i} x_p", "g_{k_p}", ""),
)
def put_in_space(x: NDArray, indices: NDArray, size: Shape) -> Any:
    """Zeros with elements added at given positions: the transpose of pick_in_space.

    out[n, c, indices[n, c, p]] += x[n, c, p].   x, indices (N, C, *L) -> (N, C, *size).
    >>> put_in_space(np.array([[[1.0, 3.0]]]), np.array([[[2, 0]]]), (3,))
    array([[[3., 0., 1.]]])
    """
    n, c = x.shape[:2]
    out = np.zeros((n * c, prod(size)), x.dtype)
    channel = np.arange(n * c).reshape(n, c, *[1] * (x.ndim - 2))
    np.add.at(out, (channel, indices), x)
    return out.reshape(n, c, *size)


def _check_indices(name: str, x: NDArray, indices: NDArray, size: Shape) -> None:
    if x.shape != indices.shape:
        raise ShapeError(f"{name}: x {x.shape} and indices {indices.shape} must have one shape")
    if indices.size and (indices.min() < 0 or indices.max() >= prod(size)):
        raise ValueRangeError(
            f"{name}: an index is outside of the {prod(size)} positions of size {tuple(size)}. "
            "Pass the size of the input that was pooled as output_size."
        )


@op(
    lambda g, indices: pick_in_space(g, indices),
    None,
    cases=(Case((1, 2, 2), np.array([[[0, 2], [3, 1]]]), size=(4,)),),
    kinks="of two elements with one index the later one stays, and both receive its gradient, as in PyTorch",
    batch=batching.folded,
    jvp=(lambda t, indices, size: max_unpool(t, indices, size), None),
    math=(r"\sum_{p \, : \, k_p = i} x_p", "g_{k_p}", ""),
)
def max_unpool(x: NDArray, indices: NDArray, size: Shape) -> Any:
    """Zeros with elements put where max-pooling found them (see max_pool_indices).

    out[n, c, indices[n, c, p]] = x[n, c, p].   x, indices (N, C, *L) -> (N, C, *size).
    Raises ShapeError, and ValueRangeError for an index outside of `size`.
    >>> max_unpool(np.array([[[3.0, 2.0]]]), np.array([[[1, 2]]]), (4,))
    array([[[0., 3., 2., 0.]]])
    """
    _check_indices("max_unpool", x, indices, size)
    n, c = x.shape[:2]
    out = np.zeros((n, c, prod(size)), x.dtype)
    np.put_along_axis(out, indices.reshape(n, c, -1), x.reshape(n, c, -1), 2)
    return out.reshape(n, c, *size)


# Means


def _to_avg(
    g: NDArray, x_shape: Shape, kernel: Sizes, stride: Sizes | None, padding: Padding, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> NDArray:  # fmt: skip
    return avg_pool_spread(
        g, x_shape[2:], kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@op(
    _to_avg,
    kernel=pool.avg_pool,
    inputs=1,
    cases=(
        Case((2, 2, 5), kernel=2), Case((1, 1, 5), kernel=3, stride=2, padding=1, count_include_pad=False),
        Case((1, 1, 5), kernel=2, stride=2, padding=1, ceil_mode=True), Case((1, 1, 3, 4), kernel=(2, 3)),
        Case((1, 1, 4), kernel=2, stride=1, divisor_override=3), Case((1, 1, 2, 3, 2), kernel=2),
        Case((1, 1, 6), kernel=3, stride=2),
    ), accumulates=True,
    batch=batching.folded, jvp="linear",
    math=(r"\frac{1}{K} \sum_k x_{p s + k}", r"\frac{1}{K} \sum_{(p, k) \, : \, p s + k = i} g_p"),
)  # fmt: skip
def avg_pool(
    x: NDArray, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window; padding counts as zeros, or with count_include_pad=False not at all.

    out[n, c, p] = sum over k of padded x[n, c, p * stride + k] / (the window's elements or divisor_override).
    x (N, C, *S) -> (N, C, *L).   Raises ShapeError if the kernel does not fit.
    >>> avg_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[2., 1.]]])
    """
    check_spatial("avg_pool", x)
    f = pool_windows("avg_pool", x.shape[2:], kernel, stride, padding, 1, ceil_mode)
    xp = padded(x, f.pads)
    total = np.add.reduce([xp[(..., *under)] for _, under in f.positions()])
    return divided(total, f, count_include_pad, divisor_override)


@op(
    lambda g, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override: avg_pool(
        g, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override
    ),
    kernel=pool.avg_pool_spread,
    inputs=1,
    cases=(
        Case((2, 2, 2), size=(5,), kernel=2),
        Case((1, 1, 2), size=(3,), kernel=2, stride=1, divisor_override=3),
        Case((1, 1, 3), size=(5,), kernel=3, stride=2, padding=1, count_include_pad=False),
        Case((1, 1, 4), size=(6,), kernel=2, stride=2, padding=1, ceil_mode=True),
    ), accumulates=True,
    batch=batching.folded, jvp="linear",
    math=(r"\frac{1}{K} \sum_{(p, k) \, : \, p s + k = i} x_p", r"\frac{1}{K} \sum_k g_{p s + k}"),
)  # fmt: skip
def avg_pool_spread(
    x: NDArray, size: Shape, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """Each element shared evenly among the window that avg_pool would average: its transpose.

    out[n, c, s] = sum over the windows p that hold s of x[n, c, p] / elements of the window.
    x (N, C, *L) -> (N, C, *size).
    >>> avg_pool_spread(np.array([[[2.0, 1.0]]]), (4,), 2)
    array([[[1. , 1. , 0.5, 0.5]]])
    """
    f = transpose_windows(x, size, kernel, stride, padding, ceil_mode)
    share = divided(x, f, count_include_pad, divisor_override)
    out = np.zeros((*x.shape[:2], *padded_sizes(f.sizes, f.pads)), share.dtype)
    for _, under in f.positions():
        out[(..., *under)] += share
    return cropped(out, f.pads)
