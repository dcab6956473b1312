"""Windows as columns of a matrix (im2col), and the sum of overlapping columns (col2im)."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.kernels.layout import cropped, padded
from tinygrad_dl.kernels.windows import frame, padded_sizes
from tinygrad_dl.op import Case, op


@op(
    lambda g, x_shape, kernel, stride, padding, dilation: fold(
        g, x_shape[2:], kernel, stride, padding, dilation
    ),
    cases=(
        Case((2, 3, 4, 5), kernel=2), Case((1, 2, 5), kernel=3, stride=2, padding=1, dilation=2),
        Case((1, 1, 4, 3), kernel=(2, 3), stride=(2, 1), padding=(0, 1)), Case((1, 1, 2, 3, 2), kernel=2),
    ),
)  # fmt: skip
def unfold(x: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """The windows that slide over space, each as a column (im2col).

    out[n, (c, k), l] = padded x[n, c, place k of window l].   x (N, C, *S) -> (N, C*K, L), K places a window.
    Raises ShapeError if the kernel does not fit.
    >>> unfold(np.arange(4.0).reshape(1, 1, 4), 2)
    array([[[0., 1., 2.],
            [1., 2., 3.]]])
    """
    n = x.ndim - 2
    if n < 1:
        raise ShapeError(f"unfold: x must be (N, C, *S) with at least one axis of space; {x.shape} came")
    f = frame("unfold", x.shape[2:], kernel, stride, padding, dilation)
    xp = padded(x, f.pads)
    out = np.empty((*x.shape[:2], *f.kernel, *f.counts), x.dtype)
    for offset, at in f.places():
        out[(slice(None), slice(None), *offset)] = xp[(..., *at)]
    return out.reshape(x.shape[0], x.shape[1] * prod(f.kernel), prod(f.counts))


@op(
    lambda g, kernel, stride, padding, dilation: unfold(g, kernel, stride, padding, dilation),
    cases=(
        Case((2, 8, 6), size=(3, 4), kernel=2), Case((1, 6, 1), size=(5,), kernel=3, stride=2, dilation=2),
        Case((1, 6, 3), size=(4, 3), kernel=(2, 3), stride=(2, 1), padding=(1, 0)),
    ),
)  # fmt: skip
def fold(x: Any, size: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """Columns added up where their windows lie (col2im): the counterpart of unfold.

    out[n, c, s] = sum over the windows l and places k that meet s of x[n, (c, k), l].
    x (N, C*K, L) -> (N, C, *size).   Raises ShapeError if K or L do not belong to `size`.
    >>> fold(np.ones((1, 2, 3)), (4,), 2)
    array([[[1., 2., 2., 1.]]])
    """
    f = frame("fold", tuple(size), kernel, stride, padding, dilation)
    k, windows = prod(f.kernel), prod(f.counts)
    if x.ndim != 3 or x.shape[1] % k or x.shape[2] != windows:
        raise ShapeError(
            f"fold: x must be (N, C*K, L) with K = {k} elements a window of kernel {f.kernel} and "
            f"L = {windows} windows {f.counts} in size {f.sizes}; {x.shape} came"
        )
    channels = x.shape[1] // k
    columns = x.reshape(x.shape[0], channels, *f.kernel, *f.counts)
    out = np.zeros((x.shape[0], channels, *padded_sizes(f.sizes, f.pads)), x.dtype)
    for offset, at in f.places():
        out[(..., *at)] += columns[(slice(None), slice(None), *offset)]
    return np.ascontiguousarray(cropped(out, f.pads))
