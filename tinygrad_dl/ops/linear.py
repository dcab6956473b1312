"""The affine map of a fully connected layer, fused; and the bilinear form."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.batching import Call
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.kernels.blas import sum_rows
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.shape import expand_dims, permute_dims, reshape
from tinygrad_dl.typing import Array, NDArray

# Linear


def _linear_hint(x: NDArray, w: NDArray, b: NDArray | None) -> str | None:
    if w.ndim != 2:
        return f"expected a weight of shape (out, in), got {w.shape}"
    if not x.ndim or x.shape[-1] != w.shape[1]:
        advice = ". Flatten the axes after the batch first?" if prod(x.shape[1:]) == w.shape[1] else ""
        advice = advice or (". Transpose the data? Examples are rows." if x.shape[:1] == w.shape[1:] else "")
        return f"x {x.shape} and weight {w.shape}: the last size of x must be in = {w.shape[1]}{advice}"
    return f"expected a bias of shape ({w.shape[0]},), got {b.shape}" if b is not None else None


def _rows(x: NDArray) -> NDArray:
    """A matrix of the rows along the last axis."""
    return x if x.ndim == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _flat(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])


def _linear_all(call: Call) -> Any:
    (x, w, b), (_, of_w, of_b) = call.inputs, call.batched
    if not of_w and not of_b:
        return linear(x, w, b)
    axes = call.shape(0)[:-1]
    if not of_w:
        out = linear(call.full(0), w)
    else:
        flat = x.reshape((*x.shape[: call.batched[0]], prod(axes), x.shape[-1]))
        out = matmul(flat, w.mT).reshape((call.size, *axes, w.shape[1]))
    if b is None:
        return out
    return out + (b.reshape((call.size, *(1,) * len(axes), b.shape[1])) if of_b else b)


@op(
    lambda g, w: matmul(g, w),
    lambda g, x: matmul(permute_dims(_rows(g), (1, 0)), _rows(x)),
    lambda g: sum(_rows(g), axis=0),
    fast=(
        lambda g, w, x_shape: g.dot(w) if g.ndim == 2 else _flat(g).dot(w).reshape(x_shape),
        lambda g, x: _flat(g).T.dot(_flat(x)),
        lambda g: sum_rows(_flat(g)),
    ),
    cases=(
        Case((4, 3), (2, 3), (2,)), Case((4, 3), (2, 3), None), Case((3,), (2, 3), (2,)), Case((2, 4, 3), (5, 3), (5,)),
        Case((0, 3), (2, 3), (2,)), Case((2, 0), (3, 0), (3,)),
    ),
    hint=_linear_hint, accumulates=True,
    batch=_linear_all,
    jvp=(lambda t, w: linear(t, w), lambda t, x: linear(x, t), lambda t: t),
    math=(r"x W^\top + b", "g W", r"g^\top x", r"\sum_n g_n"),
)  # fmt: skip
def linear(x: NDArray, w: NDArray, b: NDArray | None = None, /) -> Any:
    """The affine map of each row: a fully connected layer.

    out = x @ w.T + b.   x (..., in), w (out, in), b (out,) or None -> (..., out).
    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5]))
    array([[11.5]])
    """
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError("the bias does not fit the weight")
    out = x.dot(w.T) if x.ndim == 2 else _flat(x).dot(w.T).reshape(*x.shape[:-1], w.shape[0])
    if b is None:
        return out
    if out.dtype != b.dtype:
        return out + b
    out += b
    return out


def bilinear(x1: Array, x2: Array, w: Array, b: Array | None = None) -> Any:
    """A form that is linear in each of two inputs.

    out[..., o] = x1[...] @ w[o] @ x2[...] + b[o].   x1 (..., I), x2 (..., J), w (O, I, J), b (O,) -> (..., O).
    >>> bilinear(np.array([1.0, 2.0]), np.array([3.0]), np.array([[[1.0], [10.0]]]))
    array([63.])
    """
    out, i, j = w.shape
    if x1.shape[:-1] != x2.shape[:-1] or x1.shape[-1:] != (i,) or x2.shape[-1:] != (j,):
        raise ShapeError(
            f"bilinear: x1 {x1.shape} and x2 {x2.shape} need the same axes but for the last, {i} and {j}: "
            f"the weight is {w.shape}"
        )
    half = reshape(linear(x2, reshape(w, (out * i, j))), (*x2.shape[:-1], out, i))
    whole = reshape(matmul(half, expand_dims(x1, -1)), (*x1.shape[:-1], out))
    return whole if b is None else whole + b
