"""Windows as columns of a matrix (im2col), and the sum of overlapping columns (col2im)."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.kernels.layout import cropped, padded
from tinygrad_dl.kernels.windows import Padding, padded_sizes, windows
from tinygrad_dl.op import Case, op
from tinygrad_dl.typing import NDArray, Shape, Sizes


@op(
    lambda g, x_shape, kernel, stride, padding, dilation: fold(
        g, x_shape[2:], kernel, stride, padding, dilation
    ),
    cases=(
        Case((2, 3, 4, 5), kernel=2), Case((1, 2, 5), kernel=3, stride=2, padding=1, dilation=2),
        Case((1, 1, 4, 3), kernel=(2, 3), stride=(2, 1), padding=(0, 1)), Case((1, 1, 2, 3, 2), kernel=2),
    ),
    batch=batching.folded, jvp="linear",
    math=(r"x_{c, \, l s + k}", r"\sum_{(l, k) \, : \, l s + k = i} g_{(c, k), l}"),
)  # fmt: skip
def unfold(x: NDArray, kernel: Sizes, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1) -> Any:
    """The windows that slide over the spatial dimensions, each as a column (im2col).

    out[n, (c, k), l] = padded x[n, c, position k of window l].   x (N, C, *S) -> (N, C*K, L), K elements per window.
    Raises ShapeError if the kernel does not fit.
    >>> unfold(np.arange(4.0).reshape(1, 1, 4), 2)
    array([[[0., 1., 2.],
            [1., 2., 3.]]])
    """
    n = x.ndim - 2
    if n < 1:
        raise ShapeError(
            f"unfold: expected x of shape (N, C, *S) with at least one spatial dimension, got {x.shape}"
        )
    f = windows("unfold", x.shape[2:], kernel, stride, padding, dilation)
    xp = padded(x, f.pads)
    out = np.empty((*x.shape[:2], *f.kernel, *f.counts), x.dtype)
    for offset, under in f.positions():
        out[(slice(None), slice(None), *offset)] = xp[(..., *under)]
    return out.reshape(x.shape[0], x.shape[1] * prod(f.kernel), prod(f.counts))


@op(
    lambda g, kernel, stride, padding, dilation: unfold(g, kernel, stride, padding, dilation),
    cases=(
        Case((2, 8, 6), size=(3, 4), kernel=2), Case((1, 6, 1), size=(5,), kernel=3, stride=2, dilation=2),
        Case((1, 6, 3), size=(4, 3), kernel=(2, 3), stride=(2, 1), padding=(1, 0)),
    ), accumulates=True,
    batch=batching.folded, jvp="linear",
    math=(r"\sum_{(l, k) \, : \, l s + k = i} x_{(c, k), l}", r"g_{c, \, l s + k}"),
)  # fmt: skip
def fold(
    x: NDArray, size: Shape, kernel: Sizes, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1
) -> Any:
    """Columns added up where their windows are (col2im): the transpose of unfold.

    out[n, c, s] = sum over the windows l and positions k that cover s of x[n, (c, k), l].
    x (N, C*K, L) -> (N, C, *size).   Raises ShapeError if K or L do not belong to `size`.
    >>> fold(np.ones((1, 2, 3)), (4,), 2)
    array([[[1., 2., 2., 1.]]])
    """
    f = windows("fold", tuple(size), kernel, stride, padding, dilation)
    k, count = prod(f.kernel), prod(f.counts)
    if x.ndim != 3 or x.shape[1] % k or x.shape[2] != count:
        raise ShapeError(
            f"fold: expected x of shape (N, C*K, L) with K = {k} elements per window of kernel {f.kernel} and "
            f"L = {count} windows {f.counts} in size {f.sizes}, got {x.shape}"
        )
    channels = x.shape[1] // k
    columns = x.reshape(x.shape[0], channels, *f.kernel, *f.counts)
    out = np.zeros((x.shape[0], channels, *padded_sizes(f.sizes, f.pads)), x.dtype)
    for offset, under in f.positions():
        out[(..., *under)] += columns[(slice(None), slice(None), *offset)]
    return np.ascontiguousarray(cropped(out, f.pads))
