"""Operations that move elements without computing: reshape, transpose, broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.op import Case, op


@op(lambda g, x_shape: reshape(g, x_shape), cases=(Case((2, 3), (3, 2)), Case((2, 3), -1), Case((), (1, 1))), inputs=1)
def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """The same elements in another shape; one size may be -1.

    Shape: `shape`, with as many elements as x. Raises ShapeError if they do not fit.
    >>> reshape(np.array([[1, 2], [3, 4]]), (4,))
    array([1, 2, 3, 4])
    """
    return np.reshape(x, shape, copy=copy)


def _inverse(axes: Any, ndim: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort([a % ndim for a in axes])) if ndim else ()


@op(
    lambda g, axes: permute_dims(g, _inverse(axes, g.ndim)),
    cases=(Case((2, 3, 4), (1, -1, 0)), Case((), ())),
    label="transpose",
)
def permute_dims(x: Any, /, axes: Any) -> Any:
    """The axes in another order.

    out[i_axes[0], i_axes[1], ...] = x[i_0, i_1, ...].   Shape: x's sizes in the order of `axes`.
    >>> permute_dims(np.array([[1, 2], [3, 4]]), (1, 0))
    array([[1, 3],
           [2, 4]])
    """
    return np.transpose(x, axes)


@op(lambda g: g, cases=(Case((3, 1), (2, 3, 4)), Case((), (2,)), Case((2, 3), (2, 3))))
def broadcast_to(x: Any, /, shape: Any) -> Any:
    """The elements repeated along new axes and axes of size 1; the engine sums the gradient back.

    Shape: `shape`, to which x's shape must broadcast.
    >>> broadcast_to(np.array([1, 2]), (2, 2))
    array([[1, 2],
           [1, 2]])
    """
    return np.broadcast_to(x, shape)


@op(lambda g, axis: squeeze(g, axis), cases=(Case((2, 3), 1), Case((2, 3), axis=(0, -1))))
def expand_dims(x: Any, /, axis: Any = 0) -> Any:
    """New axes of size 1 at the given places of the result.

    Shape: x's with a 1 at each `axis`, an int or a tuple.
    >>> expand_dims(np.array([1, 2]), 1)
    array([[1],
           [2]])
    """
    return np.expand_dims(x, axis)


@op(lambda g, x_shape: reshape(g, x_shape), cases=(Case((2, 1, 3), 1), Case((1, 2, 1), axis=(0, 2))))
def squeeze(x: Any, /, axis: Any = None) -> Any:
    """Without axes of size 1: the given ones, or all of them.

    Shape: x's without `axis`. Raises ShapeError if one has another size.
    >>> squeeze(np.array([[1, 2]]), 0)
    array([1, 2])
    """
    return np.squeeze(x, axis)
