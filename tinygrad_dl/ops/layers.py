"""Operations of layers, each one fused: the affine map, standardisation by mean and variance, dropout."""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.contract import matmul
from tinygrad_dl.ops.elementwise import sqrt
from tinygrad_dl.ops.reduce import mean, sum
from tinygrad_dl.ops.shape import expand_dims, permute_dims, reshape
from tinygrad_dl.ops.window import scratch

# Linear


def _linear_hint(x: Any, w: Any, b: Any) -> str | None:
    if w.ndim != 2:
        return f"the weight has the shape {w.shape}; (out, in) is needed"
    if not x.ndim or x.shape[-1] != w.shape[1]:
        advice = ". Flatten the axes after the batch first?" if product(x.shape[1:]) == w.shape[1] else ""
        advice = advice or (". Transpose the data? Examples are rows." if x.shape[:1] == w.shape[1:] else "")
        return f"x {x.shape} and weight {w.shape}: the last size of x must be in = {w.shape[1]}{advice}"
    return f"the bias has the shape {b.shape}; ({w.shape[0]},) is needed" if b is not None else None


def _rows(x: Any) -> Any:
    """A matrix of the rows along the last axis."""
    return x if x.ndim == 2 else reshape(x, (product(x.shape[:-1]), x.shape[-1]))


def _flat(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else x.reshape(product(x.shape[:-1]), x.shape[-1])


def _linear_to_bias(g: np.ndarray) -> np.ndarray:
    rows = _flat(g)
    # A product with ones sums columns several times as quickly as add.reduce, which strides.
    return np.dot(np.ones(len(rows), g.dtype), rows)


@op(
    lambda g, w: matmul(g, w),
    lambda g, x: matmul(permute_dims(_rows(g), (1, 0)), _rows(x)),
    lambda g: sum(_rows(g), axis=0),
    fast=(
        lambda g, w, x_shape: np.dot(g, w) if g.ndim == 2 else np.dot(_flat(g), w).reshape(x_shape),
        lambda g, x: np.dot(_flat(g).T, _flat(x)),
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
    if x.ndim <= 2:
        out = np.dot(x, w.T)
    else:
        out = np.dot(_flat(x), w.T).reshape(*x.shape[:-1], w.shape[0])
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


# Standardisation: what batch, layer, group, instance and RMS normalisation share


def _standardize_rule(g: Any, x: Any, w: Any, axis: Any, eps: Any, center: Any, needs: Any) -> Any:
    d = x - mean(x, axis=axis, keepdims=True) if center else x
    scale = 1 / sqrt(mean(d * d, axis=axis, keepdims=True) + eps)
    hat = d * scale
    h = g if w is None else g * w
    inner = h - hat * mean(h * hat, axis=axis, keepdims=True)
    gx = scale * (inner - mean(h, axis=axis, keepdims=True) if center else inner)
    return gx, g * hat if needs[1] else None, g * 1 if needs[2] else None


# A run of this many elements is summed by BLAS, row by row; shorter ones by einsum and add.reduce.
LONG_RUN = 16


def _runs(a: np.ndarray, kept: tuple[int, ...]) -> int:
    """How many rows `a` has if the axes behind the last kept one are made one; 0 if those rows are no long runs."""
    last = max(kept, default=-1) + 1
    run = product(a.shape[last:])
    return a.size // run if run >= LONG_RUN and a.flags.c_contiguous else 0


def _dotted(a: np.ndarray, b: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """The sum of a * b over all axes but `kept`, with size 1 on the others, without a temporary of a's size."""
    rows = _runs(a, kept) if b.flags.c_contiguous and a.dtype == b.dtype else 0
    if rows:
        sums = np.vecdot(a.reshape(rows, -1), b.reshape(rows, -1))
        return _gathered(_with_ones(sums, a, kept), kept)
    axes = list(range(a.ndim))
    out = np.einsum(a, axes, b, axes, list(kept))
    return out.reshape([a.shape[i] if i in kept else 1 for i in axes])


def _summed(a: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    if a.ndim == 2 and kept == (1,):
        return np.dot(np.ones(len(a), a.dtype), a)[None]
    rows = _runs(a, kept)
    if rows:
        matrix = a.reshape(rows, -1)
        return _gathered(_with_ones(np.dot(matrix, np.ones(matrix.shape[1], a.dtype)), a, kept), kept)
    return a.sum(axis=tuple(i for i in range(a.ndim) if i not in kept), keepdims=True)


def _with_ones(sums: np.ndarray, a: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """Sums over the axes of `a` behind the last kept one, with size 1 on those."""
    last = max(kept, default=-1) + 1
    return sums.reshape(*a.shape[:last], *[1] * (a.ndim - last))


def _fitting(ndim: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The axes of an array of `ndim` axes along which a parameter of the given shape varies."""
    return () if shape is None else tuple(ndim - len(shape) + i for i, size in enumerate(shape) if size != 1)


def _gathered(a: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """Sums that still have size 1 where they were summed, summed on over all axes but the kept ones."""
    rest = tuple(i for i in range(a.ndim) if i not in kept and a.shape[i] != 1)
    return a.sum(axis=rest, keepdims=True) if rest else a


def _standardize_fast(
    g: Any, w: Any, hat: Any, scale: Any, factor: Any, axis: Any, center: Any, needs: Any, w_shape: Any, b_shape: Any
) -> Any:  # fmt: skip
    # gx = scale * (h - mean(h) - hat * mean(h * hat)), h = g * w, the means along `axis`
    count = max(product(g.shape[a] for a in axis), 1)
    kept = tuple(a for a in range(g.ndim) if a not in axis)
    w_axes, b_axes = _fitting(g.ndim, w_shape), _fitting(g.ndim, b_shape)
    gx = gw = gb = None
    if factor is None:
        gw = _dotted(g, hat, w_axes) if needs[1] else None
        gb = _summed(g, b_axes) if needs[2] else None
        if needs[0]:
            h = g * w
            gx = np.multiply(hat, _dotted(h, hat, kept) / -count)
            gx += h
            if center:
                gx -= _summed(h, kept) / count
            gx *= scale
    else:
        # Sums over the axes along which neither w nor the statistics vary serve all three; hat is not scaled yet.
        both = kept if set(w_axes) <= set(kept) else tuple(sorted({*kept, *w_axes}))
        products, sums = _dotted(g, hat, both), _summed(g, both)
        products *= scale
        gw = (products if both == w_axes else _gathered(products, w_axes)) if needs[1] else None
        if needs[2]:
            gb = (
                sums
                if both == b_axes
                else _gathered(sums, b_axes)
                if set(b_axes) <= set(both)
                else _summed(g, b_axes)
            )
        if needs[0]:
            along = products if w is None else products * w
            share = (along if both == kept else _gathered(along, kept)) * (scale * scale / -count)
            gx = g * factor
            gx += np.multiply(hat, share, out=scratch("standardize", hat.shape, hat.dtype))
            if center:
                total = sums if w is None else sums * w
                gx -= (total if both == kept else _gathered(total, kept)) * (scale / count)
    return gx, None if gw is None else gw.reshape(w_shape), None if gb is None else gb.reshape(b_shape)


def _standardize_hint(x: Any, w: Any, b: Any, *options: Any) -> str | None:
    for name, value in (("weight", w), ("bias", b)):
        if value is not None and _widens(value.shape, x.shape):
            return f"the {name} of shape {value.shape} does not fit x of shape {x.shape}"
    return None


def _widens(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    return len(shape) > len(whole) or any(a not in (1, b) for a, b in zip(shape[::-1], whole[::-1]))


@op(
    _standardize_rule,
    fast=(_standardize_fast,),
    joint=True,
    inputs=3,
    keeps=("hat", "scale", "factor"),
    cases=(
        Case((5, 3), (3,), (3,), axis=(0,)), Case((4, 6), (6,), (6,), axis=(1,)), Case((4, 6), None, None, axis=(1,)),
        Case((2, 3, 4), (3, 1), (3, 1), axis=(0, 2)), Case((2, 3, 4), (3, 4), None, axis=(1, 2), center=False),
        Case((2, 3, 4), (4,), (4,), axis=(0, 2)), Case((0, 3), (3,), (3,), axis=(1,)),
    ),
)  # fmt: skip
def standardize(
    x: Any, w: Any = None, b: Any = None, /, axis: tuple[int, ...] = (0,), eps: float = 1e-5, *,
    center: bool = True, moments: Any = None,
) -> Any:  # fmt: skip
    """Zero mean and unit variance along axes, then a scale and a shift: the core of every normalisation layer.

    out = (x - mean) / sqrt(variance + eps) * w + b, with the biased variance; `center=False` leaves the mean in
    and divides by the root mean square.   x (...), w and b broadcast to x, axis: axes >= 0 -> same as x.
    `moments`: a function that is called with the mean and the variance. Source: Ioffe and Szegedy 2015.
    >>> standardize(np.array([[1.0], [3.0]]), eps=0.0)
    array([[-1.],
           [ 1.]])
    """
    for value in (w, b):
        if value is not None and _widens(value.shape, x.shape):
            raise ShapeError(f"standardize: {_standardize_hint(x, w, b)}")
    count = product(x.shape[a] for a in axis)
    kept = tuple(a for a in range(x.ndim) if a not in axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        average = _summed(x, kept) / count if center else None
        hat = x if average is None else x - average
        variance = _dotted(hat, hat, kept) / count
        scale = (variance + eps) ** -0.5
    if moments is not None:
        moments(average, variance)
    if w is None or len({*kept, *_fitting(x.ndim, w.shape)}) < x.ndim:
        factor = scale if w is None else scale * w  # small: one pass for both
        out = hat * factor
    else:
        factor = None  # says that hat is scaled
        hat = np.multiply(hat, scale, out=None if hat is x else hat)
        out = hat * w
    if b is not None:
        out = np.add(out, b, out=out if out.dtype == np.result_type(out, b) else None)
    return out, hat, scale, factor


# Dropout


@op(
    lambda g, mask: g * mask,
    keeps=("mask",),
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
    drawn = default_rng(rng).random(x.shape if shape is None else shape, dtype=np.float32)
    kept = drawn >= p if p < 1 else np.zeros(drawn.shape, bool)
    dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.dtype(np.float32)
    mask = np.multiply(kept, 1 / (1 - p) if p < 1 else 0, dtype=dtype, casting="unsafe")
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


# A scale and a shift


def _affine_fast(g: Any, x: Any, scale: Any, scale_shape: Any, shift_shape: Any, needs: Any) -> Any:
    gx = g * scale if needs[0] else None
    gs = _dotted(g, x, _fitting(g.ndim, scale_shape)).reshape(scale_shape) if needs[1] else None
    gb = _summed(g, _fitting(g.ndim, shift_shape)).reshape(shift_shape) if needs[2] else None
    return gx, gs, gb


@op(
    lambda g, x, scale, needs: (g * scale, g * x if needs[1] else None, g * 1 if needs[2] else None),
    fast=(_affine_fast,),
    joint=True,
    inputs=3,
    cases=(Case((4, 3), (3,), (3,)), Case((2, 3, 4), (3, 1), (3, 1)), Case((2, 3, 4), (4,), (1, 1, 4))),
)
def affine(x: Any, scale: Any, shift: Any, /) -> Any:
    """A scale and a shift, in one pass each way.

    out = x * scale + shift.   scale and shift broadcast to x.
    >>> affine(np.array([1.0, 2.0]), np.array([3.0]), np.array([1.0]))
    array([4., 7.])
    """
    if _widens(scale.shape, x.shape) or _widens(shift.shape, x.shape):
        raise ShapeError(
            f"affine: scale {scale.shape} and shift {shift.shape} do not fit x of shape {x.shape}"
        )
    out = x * scale
    return np.add(out, shift, out=out if out.ndim and out.dtype == np.result_type(out, shift) else None)
