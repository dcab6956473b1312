"""Reductions, scans and order statistics, with PyTorch's arguments, defaults and pairs of values and indices."""

from __future__ import annotations

import builtins
import math
from collections import namedtuple
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import linalg
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import computed, wrapped
from tinygrad_dl.torch.dtypes import numpy_of
from tinygrad_dl.torch.elementwise import astype
from tinygrad_dl.torch.registry import floating, promoted, public

# The types of pairs, as PyTorch names them in torch.return_types.


def _pair(name: str, fields: str = "values indices") -> Any:
    kind = namedtuple(name, fields)  # type: ignore[misc]
    kind.__module__ = "torch.return_types"
    return kind


MaxPair, MinPair, SortPair, TopkPair = _pair("max"), _pair("min"), _pair("sort"), _pair("topk")
MedianPair, ModePair, KthPair = _pair("median"), _pair("mode"), _pair("kthvalue")
CummaxPair, CumminPair = _pair("cummax"), _pair("cummin")


def axes(dim: Any, x: Any) -> Any:
    """PyTorch's dim as the core's axis: lists are tuples, and an empty one, or axis 0 of a number, stands for all."""
    if isinstance(dim, (list, tuple)):
        dim = tuple(int(d) for d in dim) or None
    if dim is not None and not x.ndim:
        for d in dim if isinstance(dim, tuple) else (dim,):
            checked_dim(x, d)
        return None
    return dim


def checked_dim(x: Any, dim: int, extra: int = 0) -> int:
    """An axis counted from the front; IndexError for one that is not there."""
    ndim = builtins.max(x.ndim + extra, 1)
    if not -ndim <= dim < ndim:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})"
        )
    return int(dim) % ndim


def _of_dtype(x: Any, dtype: Any) -> Any:
    return x if dtype is None else astype(x, numpy_of(dtype))


@public
def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum, of all elements or along axes; of booleans and integers in int64."""
    x = _of_dtype(input, dtype)
    if dtype is None and x.dtype.kind in "biu":
        x = astype(x, np.int64)
    return tg.sum(x, axes(dim, x), keepdims=keepdim)


@public
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum, nan counted as 0."""
    return sum.core(tg.where(tg.isnan(input), 0, input), dim, keepdim, dtype=dtype)


@public
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean, of all elements or along axes."""
    x = _of_dtype(input, dtype)
    if x.dtype.kind not in "fc":
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: "
            f"{x.dtype}"
        )
    if not x.size:  # nan, of which NumPy would warn
        return tg.sum(x, axes(dim, x), keepdims=keepdim) * math.nan
    return tg.mean(x, axes(dim, x), keepdims=keepdim)


@public
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean of what is not nan."""
    x = _of_dtype(input, dtype)
    there = astype(tg.logical_not(tg.isnan(x)), x.dtype)
    return nansum.core(x, dim, keepdim) / tg.sum(there, axes(dim, there), keepdims=keepdim)


@public
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product, of all elements or along an axis."""
    x = _of_dtype(input, dtype)
    if dtype is None and x.dtype.kind in "biu":
        x = astype(x, np.int64)
    return tg.prod(x, axes(dim, x), keepdims=keepdim)


def _spread_arguments(x: Any, dim: Any, unbiased: Any, correction: Any) -> tuple[Any, Any]:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return axes(dim, x), correction


def _unsafe(x: Any, dim: Any, correction: Any) -> bool:
    n = (
        x.size
        if dim is None
        else int(np.prod([x.shape[d] for d in (dim if isinstance(dim, tuple) else (dim,))]))
    )
    return n - correction <= 0


def _warn_of_freedom(what: str) -> None:
    import warnings

    warnings.warn(
        f"{what}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
        "(input numel divided by output numel).",
        stacklevel=5,
    )


@public
def var(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """The variance, divided by n - 1 unless `correction` or `unbiased` says otherwise."""
    dim, correction = _spread_arguments(input, dim, unbiased, correction)
    if _unsafe(input, dim, correction):
        _warn_of_freedom("var")
    with np.errstate(all="ignore"):
        return tg.var(input, dim, correction=correction, keepdims=keepdim)


@public
def std(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """The standard deviation, of n - 1 unless `correction` or `unbiased` says otherwise."""
    dim, correction = _spread_arguments(input, dim, unbiased, correction)
    if _unsafe(input, dim, correction):
        _warn_of_freedom("std")
    with np.errstate(all="ignore"):
        return tg.std(input, dim, correction=correction, keepdims=keepdim)


@public(method=False)
def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """Variance and mean."""
    first = var.core(input, dim, unbiased, keepdim, correction=correction)
    return first, tg.mean(input, None if isinstance(dim, bool) else axes(dim, input), keepdims=keepdim)


@public(method=False)
def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """Standard deviation and mean."""
    first = std.core(input, dim, unbiased, keepdim, correction=correction)
    return first, tg.mean(input, None if isinstance(dim, bool) else axes(dim, input), keepdims=keepdim)


@public(torch=True)
def all(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether all elements are true."""
    return tg.all(input, axes(dim, input), keepdims=keepdim)


@public(torch=True)
def any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether any element is true."""
    return tg.any(input, axes(dim, input), keepdims=keepdim)


@public
def amax(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The largest elements; ties share the gradient."""
    return tg.max(input, axes(dim, input), keepdims=keepdim)


@public
def amin(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The smallest elements; ties share the gradient."""
    return tg.min(input, axes(dim, input), keepdims=keepdim)


@public(method=True)
def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest and the largest elements."""
    kind = _pair("aminmax", "min max")
    return kind(tg.min(input, dim, keepdims=keepdim), tg.max(input, dim, keepdims=keepdim))


def picked(x: Any, indices: Any, dim: int, keepdim: bool) -> Any:
    """The elements at one index along an axis, and the indices, int64."""
    if not x.ndim:
        return x, wrapped(np.zeros((), np.int64))
    values = tg.take_along_axis(x, np.expand_dims(indices, dim), axis=dim)
    if keepdim:
        return values, wrapped(np.expand_dims(indices, dim).astype(np.int64))
    return tg.squeeze(values, axis=dim), wrapped(indices.astype(np.int64))


def _extreme(input: Any, dim: Any, keepdim: bool, name: str, pair: Any) -> Any:
    if isinstance(dim, Value):
        a, b = promoted(input, dim)
        return getattr(tg, f"{name}imum")(a, b)
    if dim is None:
        if not input.size:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                "with the 'dim' argument."
            )
        return getattr(tg, name)(input)
    dim = checked_dim(input, dim)
    if not input.ndim:
        return pair(input * 1, wrapped(np.zeros((), np.int64)))
    if input.level is not None:
        return pair(
            getattr(tg, name)(input, dim, keepdims=keepdim),
            getattr(tg, f"arg{name}")(input, dim, keepdims=keepdim),
        )
    found = getattr(np, f"arg{name}")(input._data, dim)
    return pair(*picked(input, found, dim, keepdim))


@public
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; along an axis (values, indices); of two Tensors the larger elements."""
    return _extreme(input, dim if other is None else other, keepdim, "max", MaxPair)


@public
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; along an axis (values, indices); of two Tensors the smaller elements."""
    return _extreme(input, dim if other is None else other, keepdim, "min", MinPair)


@public
def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The index of the largest element."""
    return (
        wrapped(np.asarray(np.argmax(input._data, dim, keepdims=keepdim), np.int64))
        if input.level is None
        else (tg.argmax(input, dim, keepdims=keepdim))
    )


@public
def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The index of the smallest element."""
    return (
        wrapped(np.asarray(np.argmin(input._data, dim, keepdims=keepdim), np.int64))
        if input.level is None
        else (tg.argmin(input, dim, keepdims=keepdim))
    )


def order_of(x: Any, dim: int, descending: bool) -> Any:
    """The indices that sort an array along an axis, equal elements in their order, nan last or, descending, first."""
    data = x._data
    if data.dtype.kind == "b":
        data = data.astype(np.uint8)
    if not descending:
        return np.argsort(data, dim, kind="stable")
    n = data.shape[dim]
    return n - 1 - np.flip(np.argsort(np.flip(data, dim), dim, kind="stable"), dim)


@public
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """(values, indices) in order along an axis."""
    if not input.ndim:
        return SortPair(input, wrapped(np.zeros((), np.int64)))
    found = order_of(input, checked_dim(input, dim), descending)
    return SortPair(tg.take_along_axis(input, found, axis=dim), wrapped(found.astype(np.int64)))


@public
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices that sort along an axis."""
    if not input.ndim:
        return wrapped(np.zeros((), np.int64))
    return wrapped(order_of(input, checked_dim(input, dim), descending).astype(np.int64))


@public
def msort(input: Any) -> Any:
    """The rows in order along the first axis."""
    return sort.core(input, 0).values


@public
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the k largest elements along an axis."""
    if not input.ndim:
        return TopkPair(input, wrapped(np.zeros((), np.int64)))
    dim = checked_dim(input, dim)
    if not 0 <= k <= input.shape[dim]:
        raise RuntimeError(f"topk: selected index k out of range: {k} of {input.shape[dim]}")
    found = np.take(order_of(input, dim, largest), np.arange(k), dim)
    return TopkPair(tg.take_along_axis(input, found, axis=dim), wrapped(found.astype(np.int64)))


@public
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """(value, index) of the k-th smallest element along an axis."""
    if not input.ndim:
        return KthPair(input, wrapped(np.zeros((), np.int64)))
    dim = checked_dim(input, dim)
    if not 1 <= k <= input.shape[dim]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    found = np.take(order_of(input, dim, False), k - 1, dim)
    return KthPair(*picked(input, found, dim, keepdim))


def _median_index(data: Any, dim: int, ignore: bool) -> Any:
    order = np.argsort(data, dim, kind="stable")
    n = data.shape[dim]
    nans = np.isnan(data) if data.dtype.kind == "f" else np.zeros(data.shape, bool)
    if ignore:
        counts = np.maximum(n - nans.sum(dim, keepdims=True), 1)
        return np.take_along_axis(order, (counts - 1) // 2, dim).squeeze(dim)
    found = np.take(order, (n - 1) // 2, dim)
    return np.where(nans.any(dim), np.argmax(nans, dim), found)


@public
def median(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The median, the lower of the two middle elements; along an axis (values, indices)."""
    if dim is None:
        flat = tg.reshape(input, (-1,))
        return picked(flat, _median_index(flat._data, 0, False), 0, False)[0]
    dim = checked_dim(input, dim)
    if not input.ndim:
        return MedianPair(input, wrapped(np.zeros((), np.int64)))
    return MedianPair(*picked(input, _median_index(input._data, dim, False), dim, keepdim))


@public
def nanmedian(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The median of what is not nan."""
    if dim is None:
        flat = tg.reshape(input, (-1,))
        return picked(flat, _median_index(flat._data, 0, True), 0, False)[0]
    if not input.ndim:
        return MedianPair(input, wrapped(np.zeros((), np.int64)))
    return MedianPair(
        *picked(
            input, _median_index(input._data, checked_dim(input, dim), True), checked_dim(input, dim), keepdim
        )
    )


@public
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the most frequent element along an axis, the smallest of several."""
    if not input.ndim:
        return ModePair(input, wrapped(np.zeros((), np.int64)))
    dim = checked_dim(input, dim)

    def last_index(row: Any) -> Any:
        values, counts = np.unique(row, return_counts=True)
        return np.nonzero(row == values[np.argmax(counts)])[0][-1]

    return ModePair(*picked(input, np.apply_along_axis(last_index, dim, input._data), dim, keepdim))


def _quantiles(input: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, ignore_nan: bool) -> Any:
    """The elements at the ranks q * (n - 1) of each sorted row, or between them, of n elements or of those not nan."""
    computed("the ranks of quantiles")
    flat, axis = dim is None or not input.ndim, 0 if dim is None else checked_dim(input, dim)
    x = tg.reshape(input, (-1,)) if flat else tg.moveaxis(input, axis, -1)
    ordered = sort.core(x, -1).values
    counts = np.sum(~np.isnan(x._data), -1, keepdims=True)
    qs = np.asarray(q._data if isinstance(q, Value) else q, x.dtype)
    steps = counts - 1 if ignore_nan else np.full(counts.shape, x.shape[-1] - 1)
    ranks = qs.reshape(-1) * steps.astype(x.dtype)
    # Where the result is nan, which is sorted last, the rank does not depend on q.
    fixed = steps < 0 if ignore_nan else counts < x.shape[-1]
    ranks = np.where(fixed, np.maximum(steps, 0), ranks)
    low, high = np.floor(ranks).astype(np.int64), np.ceil(ranks).astype(np.int64)
    if interpolation in ("linear", "midpoint"):
        weights: Any = ranks - low if interpolation == "linear" else np.full(ranks.shape, 0.5, x.dtype)
        if interpolation == "linear" and isinstance(q, Value) and (q.node is not None or q.level is not None):
            weights = tg.where(fixed, 0, tg.reshape(q, (-1,)) * steps.astype(x.dtype) - low.astype(x.dtype))
        below, above = (tg.take_along_axis(ordered, i, axis=-1) for i in (low, high))
        out = below + (above - below) * weights
    else:
        nearest = {"lower": low, "higher": high, "nearest": np.round(ranks).astype(np.int64)}
        out = tg.take_along_axis(ordered, nearest[interpolation], axis=-1)
    out = tg.moveaxis(out, -1, 0)  # q comes first
    shape = out.shape[1:]
    if keepdim:
        shape = (1,) * input.ndim if flat else (*shape[:axis], 1, *shape[axis:])
    return tg.reshape(out, (*qs.shape, *shape))


@public
def quantile(
    input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """The q-th quantiles."""
    return _quantiles(input, q, dim, keepdim, interpolation, False)


@public
def nanquantile(
    input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """The q-th quantiles of what is not nan."""
    return _quantiles(input, q, dim, keepdim, interpolation, True)


@public
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """The number of elements that are not 0."""
    return tg.count_nonzero(input, axes(dim, input))


@public
def logsumexp(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """log(sum(exp(x))) along axes."""
    x = floating(input)
    return tg.logsumexp(x, axes(dim, x), keepdims=keepdim)


# Scans


@public(in_place=True)
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The sums of the first elements along an axis."""
    x = _of_dtype(input, dtype)
    x = astype(x, np.int64) if x.dtype.kind in "biu" and dtype is None else x
    checked_dim(x, dim)
    return tg.cumulative_sum(x, axis=dim) if x.ndim else x * 1


@public(in_place=True)
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The products of the first elements along an axis."""
    x = _of_dtype(input, dtype)
    x = astype(x, np.int64) if x.dtype.kind in "biu" and dtype is None else x
    checked_dim(x, dim)
    return tg.cumulative_prod(x, axis=dim) if x.ndim else x * 1


def _running(input: Any, dim: int, better: Any, pair: Any) -> Any:
    if not input.ndim:
        return pair(input, wrapped(np.zeros((), np.int64)))
    dim = checked_dim(input, dim)
    data = np.moveaxis(input._data, dim, 0)
    found = np.zeros(data.shape, np.int64)
    for i in range(1, len(data)):
        before = np.take_along_axis(data, found[i - 1][None], 0)[0]
        with np.errstate(invalid="ignore"):
            new = better(data[i], before)
        if data.dtype.kind == "f":
            new = (new | np.isnan(data[i])) & ~(np.isnan(before) & ~np.isnan(data[i]))
        found[i] = np.where(new, i, found[i - 1])
    indices = np.ascontiguousarray(np.moveaxis(found, 0, dim))
    return pair(tg.take_along_axis(input, indices, axis=dim), wrapped(indices))


@public
def cummax(input: Any, dim: int) -> Any:
    """(values, indices) of the largest element so far."""
    return _running(input, dim, np.greater_equal, CummaxPair)


@public
def cummin(input: Any, dim: int) -> Any:
    """(values, indices) of the smallest element so far."""
    return _running(input, dim, np.less_equal, CumminPair)


@public
def logcumsumexp(input: Any, dim: int) -> Any:
    """log of the running sums of exp(x)."""
    if not input.ndim:
        return input * 1
    dim = checked_dim(input, dim)
    parts = tg.unstack(input, axis=dim)
    found = list(parts[:1])
    for part in parts[1:]:
        found.append(tg.logaddexp(found[-1], part))
    return tg.stack(found, axis=dim) if found else input * 1


@public
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbors along an axis."""
    parts = [x for x in (prepend, input, append) if x is not None] if n else [input]
    x = tg.concat(parts, axis=dim) if len(parts) > 1 else input
    for _ in range(n):
        first, second = [[slice(None)] * x.ndim for _ in range(2)]
        first[dim], second[dim] = slice(1, None), slice(None, -1)
        a, b = x[tuple(first)], x[tuple(second)]
        x = tg.logical_xor(a, b) if x.dtype.kind == "b" else a - b
    return x


@public
def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """The norm of all elements, or along axes."""
    x = _of_dtype(input, dtype)
    if p is None or p == "fro":
        p = 2.0
    if p == "nuc":
        return linalg.matrix_norm(
            x if dim is None else tg.moveaxis(x, tuple(dim), (-2, -1)), ord="nuc", keepdims=keepdim
        )
    return linalg.vector_norm(x, axis=axes(dim, x), ord=p, keepdims=keepdim)


@public
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The norm of the difference."""
    return linalg.vector_norm(input - other, ord=p)


@public(in_place=True)
def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """The slices along an axis, each scaled down to a norm of at most `maxnorm`."""
    others = tuple(d for d in range(input.ndim) if d != checked_dim(input, dim))
    norms = linalg.vector_norm(input, axis=others, ord=p, keepdims=True)
    scale = tg.where(tg.greater(norms, maxnorm), maxnorm / (norms + 1e-7), 1.0)
    return input * scale


# Sets and counts


@public
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
) -> Any:
    """The different values, or slices along an axis, in order."""
    values, inverse, counts = np.unique(input._data, return_inverse=True, return_counts=True, axis=dim)
    inverse = inverse.reshape(input.shape if dim is None else (-1,))
    found = [wrapped(values)]
    found += [wrapped(inverse.astype(np.int64))] if return_inverse else []
    found += [wrapped(counts.astype(np.int64))] if return_counts else []
    return found[0] if len(found) == 1 else tuple(found)


@public
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    """The values without repetitions of neighbors."""
    data = input._data.reshape(-1) if dim is None else np.moveaxis(input._data, dim, 0)
    other = np.ones(len(data), bool)
    if len(data) > 1:
        changed = data[1:] != data[:-1]
        other[1:] = changed.reshape(len(data) - 1, -1).any(1)
    starts = np.nonzero(other)[0]
    values = data[starts] if dim is None else np.moveaxis(data[starts], 0, dim)
    inverse = np.cumsum(other) - 1
    found = [wrapped(values)]
    found += [wrapped(inverse.reshape(input.shape) if dim is None else inverse)] if return_inverse else []
    found += [wrapped(np.diff(np.append(starts, len(data))))] if return_counts else []
    return found[0] if len(found) == 1 else tuple(found)


@public
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each integer comes, or the sum of its weights."""
    w = None if weights is None else weights._data
    counts = np.bincount(input._data, w, minlength)
    return wrapped(
        counts
        if w is None or w.dtype.kind != "f"
        else counts.astype(np.float64 if w.dtype != np.float32 else np.float32)
    )


@public
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements lie in each of equal bins."""
    low, high = (float(input._data.min()), float(input._data.max())) if min == max == 0 else (min, max)
    if low == high:
        low, high = low - 1, high + 1
    counts, _ = np.histogram(input._data, bins, (low, high))
    return wrapped(counts.astype(input.dtype))


@public
def histogram(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """(counts, edges of the bins)."""
    edges = bins._data if isinstance(bins, Value) else bins
    counts, ends = np.histogram(
        input._data,
        edges,
        range,
        density=density,
        weights=None if weight is None else weight._data.reshape(input.shape),
    )
    return _pair("histogram", "hist bin_edges")(
        wrapped(counts.astype(input.dtype)), wrapped(ends.astype(input.dtype))
    )


@public(method=False)
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The number of boundaries below each element, or with `right` at most it."""
    data = input._data if isinstance(input, Value) else np.asarray(input)
    found = np.searchsorted(boundaries._data, data, "right" if right else "left")
    return wrapped(np.asarray(found, np.int32 if out_int32 else np.int64))


@public(method=False)
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: Any = None,
    sorter: Any = None,
) -> Any:
    """Where each element would be inserted, along the last axis."""
    how: Any = side or ("right" if right else "left")
    edges = (
        sorted_sequence._data
        if sorter is None
        else np.take_along_axis(sorted_sequence._data, sorter._data, -1)
    )
    data = input._data if isinstance(input, Value) else np.asarray(input)
    if edges.ndim == 1:
        found = np.searchsorted(edges, data, how)
    elif not data.size:
        found = np.zeros(data.shape, np.int64)
    else:
        rows = zip(edges.reshape(-1, edges.shape[-1]), data.reshape(-1, data.shape[-1]))
        found = np.stack([np.searchsorted(e, d, how) for e, d in rows]).reshape(data.shape)
    return wrapped(np.asarray(found, np.int32 if out_int32 else np.int64))


@public(method=False)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element is among the others."""
    a, b = (x._data if isinstance(x, Value) else np.asarray(x) for x in (elements, test_elements))
    return wrapped(np.isin(a, b, assume_unique, invert))


@public(method=False, aliases=("trapz",))
def trapezoid(y: Any, x: Any = None, *, dx: float = 1, dim: int = -1) -> Any:
    """The integral by the trapezoidal rule."""
    a, b = [[slice(None)] * y.ndim for _ in range(2)]
    a[dim], b[dim] = slice(1, None), slice(None, -1)
    heights = (y[tuple(a)] + y[tuple(b)]) / 2
    if x is None:
        return tg.sum(heights * dx, dim)
    widths = diff.core(x, 1, dim if x.ndim == y.ndim else -1)
    if x.ndim == 1 and y.ndim > 1:
        widths = tg.reshape(widths, (-1, *(1,) * (y.ndim - 1 - dim % y.ndim)))
    return tg.sum(heights * widths, dim)


@public(method=True)
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance matrix of rows of variables."""
    x = input if input.ndim == 2 else tg.reshape(input, (1, -1))
    weights: Any = 1 if fweights is None else astype(fweights, x.dtype)
    total: Any = x.shape[1] if fweights is None else tg.sum(weights)
    lost = correction
    if aweights is not None:
        weights = weights * aweights
        total = tg.sum(weights)
        lost = correction * tg.sum(weights * aweights) / total if correction else 0
    centered = x - tg.sum(x * weights, 1, keepdims=True) / total
    out = (centered * weights) @ tg.permute_dims(centered, (1, 0)).conj() / tg.maximum(total - lost, 0)
    return tg.reshape(out, ()) if out.size == 1 else out


@public(method=True)
def corrcoef(input: Any) -> Any:
    """The correlation coefficients of rows of variables."""
    c = cov.core(input)
    if not c.ndim:
        return c / c
    d = tg.sqrt(tg.diagonal(c))
    return c / d[:, None] / d[None, :]


@public(method=False)
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1, dim: int = -1) -> Any:
    """The running integral by the trapezoidal rule."""
    a, b = [[slice(None)] * y.ndim for _ in range(2)]
    a[dim], b[dim] = slice(1, None), slice(None, -1)
    heights = (y[tuple(a)] + y[tuple(b)]) / 2
    if x is None:
        return tg.cumulative_sum(heights * dx, axis=dim)
    widths = diff.core(x, 1, dim if x.ndim == y.ndim else -1)
    if x.ndim == 1 and y.ndim > 1:
        widths = tg.reshape(widths, (-1, *(1,) * (y.ndim - 1 - dim % y.ndim)))
    return tg.cumulative_sum(heights * widths, axis=dim)


@public(method=False)
def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> Any:
    """Differences of second order, one Tensor for each axis; `spacing`: a distance, or the places along each axis."""
    dims = list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = [checked_dim(input, d) for d in dims]
    given = 1 if spacing is None else spacing
    steps = list(given) if isinstance(given, (tuple, list)) else [given] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {len(dims)} but got a "
            f"list of length {len(steps)}"
        )
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if builtins.any(input.shape[d] <= edge_order for d in dims):
        raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    return tuple(_differences(input, d, step, edge_order) for d, step in zip(dims, steps))


def _differences(x: Any, dim: int, spacing: Any, edge_order: int) -> Any:
    """The derivative along an axis, of the parabola through each three neighbors; at the ends by `edge_order`."""
    f, n = tg.moveaxis(x, dim, -1), x.shape[dim]
    places: Any = spacing if isinstance(spacing, Value) else np.asarray(spacing)
    places = astype(places, x.dtype)
    h = places[1:] - places[:-1] if places.ndim else tg.broadcast_to(places, (n - 1,))
    left, right = h[:-1], h[1:]
    inner = f[..., :-2] * (-right / (left * (left + right))) + f[..., 2:] * (left / (right * (left + right)))
    if places.ndim:  # else 0, which would make nan of an infinity
        inner = inner + f[..., 1:-1] * ((right - left) / (left * right))
    if edge_order == 1:
        first, last = (f[..., 1:2] - f[..., :1]) / h[0], (f[..., -1:] - f[..., -2:-1]) / h[-1]
    else:
        first = _at_end(f[..., :1], f[..., 1:2], f[..., 2:3], h[0], h[1])
        last = -_at_end(f[..., -1:], f[..., -2:-1], f[..., -3:-2], h[-1], h[-2])
    return tg.moveaxis(tg.concat([first, inner, last], axis=-1), -1, dim)


def _at_end(f: Any, near: Any, far: Any, a: Any, b: Any) -> Any:
    """The derivative at an end of the parabola through it and two neighbors, at the distances a and a + b."""
    return f * (-(2 * a + b) / (a * (a + b))) + near * ((a + b) / (a * b)) - far * (a / (b * (a + b)))
