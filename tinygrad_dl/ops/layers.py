"""Operations of layers, each one fused: the affine map, dropout, rows of a table."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.contract import matmul
from tinygrad_dl.ops.products import dot, mapped, sum_rows
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.shape import expand_dims, permute_dims, reshape

# Linear


def _linear_hint(x: Any, w: Any, b: Any) -> str | None:
    if w.ndim != 2:
        return f"the weight has the shape {w.shape}; (out, in) is needed"
    if not x.ndim or x.shape[-1] != w.shape[1]:
        advice = ". Flatten the axes after the batch first?" if prod(x.shape[1:]) == w.shape[1] else ""
        advice = advice or (". Transpose the data? Examples are rows." if x.shape[:1] == w.shape[1:] else "")
        return f"x {x.shape} and weight {w.shape}: the last size of x must be in = {w.shape[1]}{advice}"
    return f"the bias has the shape {b.shape}; ({w.shape[0]},) is needed" if b is not None else None


def _rows(x: Any) -> Any:
    """A matrix of the rows along the last axis."""
    return x if x.ndim == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _flat(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])


def _linear_to_bias(g: np.ndarray) -> np.ndarray:
    return sum_rows(_flat(g))


@op(
    lambda g, w: matmul(g, w),
    lambda g, x: matmul(permute_dims(_rows(g), (1, 0)), _rows(x)),
    lambda g: sum(_rows(g), axis=0),
    fast=(
        lambda g, w, x_shape: mapped(g, w) if g.ndim == 2 else dot(_flat(g), w).reshape(x_shape),
        lambda g, x: dot(_flat(g).T, _flat(x)),
        _linear_to_bias,
    ),
    cases=(
        Case((4, 3), (2, 3), (2,)), Case((4, 3), (2, 3), None), Case((3,), (2, 3), (2,)), Case((2, 4, 3), (5, 3), (5,)),
        Case((0, 3), (2, 3), (2,)), Case((2, 0), (3, 0), (3,)),
    ),
    hint=_linear_hint,
)  # fmt: skip
def linear(x: Any, w: Any, b: Any = None, /) -> Any:
    """The affine map of each row: a fully connected layer.

    out = x @ w.T + b.   x (..., in), w (out, in), b (out,) or None -> (..., out).
    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5]))
    array([[11.5]])
    """
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError("the bias does not fit the weight")
    if x.ndim == 2:
        out = mapped(x, w.T)
    elif x.ndim < 2:
        out = x.dot(w.T)
    else:
        out = dot(_flat(x), w.T).reshape(*x.shape[:-1], w.shape[0])
    if b is None:
        return out
    if out.dtype != b.dtype:
        return out + b
    out += b
    return out


def bilinear(x1: Any, x2: Any, w: Any, b: Any = None) -> Any:
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


# Dropout


def _at_least(p: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Where `rng.random` draws p or more, in float32."""
    source, size = rng.bit_generator, prod(shape)
    if size % 2 or not isinstance(source, np.random.PCG64):
        return rng.random(shape, dtype=np.float32) >= p
    # The same draws in half the time: the numbers are the first 24 bits, and these are compared as they come.
    halves = source.random_raw(size // 2).view(np.uint32).reshape(shape)
    return halves >= ceil(float(np.float32(p)) * 2**24) << 8


@op(
    lambda g, mask: g * mask,
    cached=("mask",),
    cases=(Case((4, 5), 0.5, rng=0), Case((2, 3, 4), 0.2, rng=1, shape=(2, 3, 1)), Case((3,), 1.0, rng=0)),
)
def dropout(x: Any, /, p: float = 0.5, *, shape: Any = None, rng: Any = None) -> Any:
    """Each element set to 0 with the probability p, the others scaled up so that the mean stays.

    out = x * m / (1 - p), with m one draw of 0 or 1 an element, or of the given `shape` that broadcasts to x.
    Shape: same as x. Raises ValueRangeError unless 0 <= p <= 1. Source: Srivastava and others 2014 (inverted).
    >>> dropout(np.ones(3), p=0.0)
    array([1., 1., 1.])
    """
    if not 0 <= p <= 1:
        raise ValueRangeError(f"dropout: p is a probability, from 0 to 1; {p!r} came")
    kept = _at_least(p, x.shape if shape is None else shape, default_rng(rng))
    dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.dtype(np.float32)
    mask = kept.astype(dtype)
    mask *= 1 / (1 - p) if p < 1 else 0
    return x * mask, mask


# Rows of a table


@op(
    lambda g, w_shape, indices: scatter_rows(g, indices, w_shape[0]),
    cases=(
        Case((4, 3), np.array([[0, 2], [2, 1]])),
        Case((4, 3), np.array(1)),
        Case((4, 3), np.zeros((0,), int)),
    ),
)
def rows(w: Any, /, indices: Any) -> Any:
    """Rows of a table by index, the lookup of an embedding; gradients of a row that is met repeatedly add up.

    out[...] = w[indices[...]].   w (V, D), indices (...) -> (..., D).
    >>> rows(np.array([[1.0], [2.0]]), np.array([1, 1])).tolist()
    [[2.0], [2.0]]
    """
    return w[indices]


@op(
    lambda g, indices: rows(g, indices),
    cases=(
        Case((2, 2, 3), np.array([[0, 2], [2, 1]]), 4), Case((3,), np.array(1), 4),
        Case((0, 3), np.zeros((0,), int), 4),
    ),
)  # fmt: skip
def scatter_rows(x: Any, /, indices: Any, count: int) -> Any:
    """A table of `count` rows with x added at the indices: the counterpart of rows.

    out = zeros; out[indices[...]] += x[...].   x (..., D), indices (...) -> (count, D).
    >>> scatter_rows(np.array([[1.0], [10.0]]), np.array([1, 1]), 2).tolist()
    [[0.0], [11.0]]
    """
    width = x.shape[-1]
    flat, values = indices.reshape(-1), x.reshape(indices.size, width)
    out = np.zeros((count, width), x.dtype)
    if not flat.size:
        return out
    # Sorted, equal indices are runs. Few of a kind are added in rounds, the first of each run, then the second:
    # within a round no index repeats. Long runs go to reduceat. Both are quicker than np.add.at.
    order = np.argsort(flat, kind="stable")
    met = flat[order]
    starts = np.flatnonzero(np.append(True, met[1:] != met[:-1]))
    lengths = np.diff(np.append(starts, met.size))
    if lengths.max() > 12:
        out[met[starts]] = np.add.reduceat(values[order], starts, axis=0)
        return out
    out[met[starts]] = values[order[starts]]
    for turn in range(1, int(lengths.max())):
        starts, lengths = starts[lengths > turn], lengths[lengths > turn]
        out[met[starts]] += values[order[starts + turn]]
    return out
