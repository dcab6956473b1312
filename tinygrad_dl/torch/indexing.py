"""Picking elements out and putting them in, along one axis or everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl.ops.index import place, setitem
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import wrapped
from tinygrad_dl.torch.elementwise import astype
from tinygrad_dl.torch.reductions import checked_dim
from tinygrad_dl.torch.registry import as_tensor, public


def along(x: Any, dim: int, indices: Any) -> tuple[Any, ...]:
    """The index of slices along an axis."""
    return (slice(None),) * checked_dim(x, dim) + (np.atleast_1d(indices),)


def positions(index: Any, dim: int, shape: Any) -> tuple[Any, ...]:
    """The index of elements that `index` names along one axis, at their own place along the others."""
    data = index._data if isinstance(index, Value) else index
    data = data.astype(np.int64) if data.dtype.kind == "u" else data
    key = list(np.ogrid[tuple(slice(n) for n in data.shape)])
    bound = shape[dim]
    if data.size and not (-bound <= data.min() and data.max() < bound):
        raise RuntimeError(f"index {int(data.max())} is out of bounds for dimension {dim} with size {bound}")
    key[dim] = data
    return tuple(np.broadcast_arrays(*key))


@public
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """out[i, j] = input[index[i, j], j], along axis 0 for example."""
    if not input.ndim:
        return tg.reshape(tg.take(tg.reshape(input, (1,)), np.atleast_1d(index._data), axis=0), index.shape)
    dim = checked_dim(input, dim)
    if index.level is not None or input.level is not None:
        return tg.take_along_axis(input, index, axis=dim)
    if not index.size:
        return tg.reshape(tg.reshape(input, (-1,))[:0], index.shape)
    if not index.ndim:
        return tg.reshape(input[positions(tg.reshape(index, (1,)), 0, input.shape)], ())
    return input[positions(index, dim, input.shape)]


@public
def take_along_dim(input: Any, indices: Any, dim: Any = None) -> Any:
    """Elements at indices along an axis, broadcast along the others."""
    if dim is None:
        return tg.take(tg.reshape(input, (-1,)), tg.reshape(indices, (-1,)), axis=0)
    return tg.take_along_axis(input, indices, axis=dim)


@public
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices at some indices along an axis."""
    if not input.ndim:
        return input * 1
    return (
        tg.take(input, index, axis=checked_dim(input, dim))
        if index.ndim
        else tg.take(input, tg.reshape(index, (1,)), axis=checked_dim(input, dim))
    )


@public
def take(input: Any, index: Any) -> Any:
    """Elements by their place in the flattened Tensor."""
    return tg.take(tg.reshape(input, (-1,)), index, axis=0)


@public
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where the mask holds, as a vector."""
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return tg.broadcast_to(input, shape)[np.broadcast_to(mask._data.astype(bool), shape)]


@public(in_place=True)
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """A value where the mask holds."""
    value = as_tensor(value)
    if (
        not isinstance(value, Value)
        and input.dtype.kind in "iub"
        and not isinstance(value, (int, np.integer))
    ):
        value = input.dtype.type(value).item()
    filler = (
        astype(value, input.dtype) if isinstance(value, Value) else wrapped(np.asarray(value, input.dtype))
    )
    return tg.where(mask if mask.dtype.kind == "b" else astype(mask, "bool"), filler, input)


@public(in_place=True)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """The elements of a source, in order, where the mask holds."""
    shape = np.broadcast_shapes(mask.shape, input.shape)
    input, there = tg.broadcast_to(input, shape), np.broadcast_to(mask._data.astype(bool), shape)
    count = int(there.sum())
    return setitem(input, tg.reshape(source, (-1,))[:count], there)


@public(in_place=True, aliases=())
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """Values at indices, in place of what is there or added to it."""
    key = tuple(slice(None) if i is None else i._data if isinstance(i, Value) else i for i in indices)
    values = astype(values, input.dtype)
    if accumulate:
        return input + place(tg.broadcast_to(values, input._data[key].shape), key, tuple(input.shape))
    return setitem(input, values, key)


@public(in_place=True)
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """Values at places of the flattened Tensor."""
    flat = tg.reshape(input, (-1,))
    key, values = index._data.reshape(-1), tg.reshape(source, (-1,))
    out = flat + place(values, key, tuple(flat.shape)) if accumulate else setitem(flat, values, key)
    return tg.reshape(out, input.shape)


@public(in_place=True)
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A value in the slices at some indices."""
    if not input.ndim:
        return input * 0 + value
    value = astype(value, input.dtype) if isinstance(value, Value) else np.asarray(value).astype(input.dtype)
    return setitem(input, value, along(input, dim, index._data))


@public(in_place=True)
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """The slices of a source at some indices."""
    if not input.ndim:
        return tg.reshape(source, ()) * 1
    return setitem(input, source, along(input, dim, index._data))


@public(in_place=True)
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """The slices of a source added at some indices; repeated ones add up."""
    added = source if alpha == 1 else source * alpha
    if not input.ndim:
        return input + tg.reshape(added, ())
    if added.ndim < input.ndim:
        added = tg.reshape(added, (1, *added.shape)) if not added.ndim else added
    return input + astype(place(added, along(input, dim, index._data), tuple(input.shape)), input.dtype)


@public(in_place=True)
def index_reduce(
    input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """The slices of a source combined at some indices."""
    if not input.ndim:
        input, source = tg.reshape(input, (1,)), tg.reshape(source, (1,))
        return tg.reshape(index_reduce.core(input, 0, index, source, reduce, include_self=include_self), ())
    dim = checked_dim(input, dim)
    grid = np.broadcast_to(
        index._data.reshape((1,) * dim + (-1,) + (1,) * (input.ndim - dim - 1)), source.shape
    )
    return scatter_reduce.core(
        input, dim, wrapped(np.ascontiguousarray(grid)), source, reduce, include_self=include_self
    )


def _source(src: Any, index: Any, dtype: Any) -> Any:
    """The part of a source that the indices use, or a number for each of them."""
    if isinstance(src, Value):
        return src[tuple(slice(n) for n in index.shape)] if src.ndim else src
    return wrapped(np.full(index.shape, src).astype(dtype))


@public(in_place=True)
def scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    """out[index[i, j], j] = src[i, j], along axis 0 for example; `reduce`: "add" or "multiply"."""
    given = _source(value if src is None else src, index, input.dtype)
    if not input.ndim:
        return tg.where(index.size > 0, tg.reshape(given, ()), input) if index.size else input * 1
    dim = checked_dim(input, dim)
    if not index.size:
        return input * 1
    key = positions(index, dim, input.shape)
    if reduce in ("add", "sum"):
        return input + place(given, key, tuple(input.shape))
    if reduce in ("multiply", "prod"):
        return scatter_reduce.core(input, dim, index, given, "prod")
    return setitem(input, given, key)


@public(in_place=True)
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """out[index[i, j], j] += src[i, j], along axis 0 for example."""
    return scatter.core(input, dim, index, src, reduce="add") if input.ndim else input + tg.reshape(src, ())


@public(in_place=True)
def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """Elements of a source combined where the indices say: "sum", "prod", "mean", "amax" or "amin"."""
    if not input.ndim:
        input, index, src = (tg.reshape(x, (1,)) for x in (input, index, src))
        return tg.reshape(scatter_reduce.core(input, 0, index, src, reduce, include_self=include_self), ())
    if not index.size:
        return input * 1
    dim = checked_dim(input, dim)
    key, shape = positions(index, dim, input.shape), tuple(input.shape)
    given = _source(src, index, input.dtype)
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, key, 1)
    own = np.ones(shape, bool) if include_self else counts == 0
    base = tg.where(own, input, 0)
    if reduce == "sum":
        return base + place(given, key, shape)
    if reduce == "mean":
        total = base + place(given, key, shape)
        n = np.maximum(counts + (1 if include_self else 0), 1)
        if total.dtype.kind in "iu":
            return wrapped(total._data // n)
        return total / n.astype(input.dtype)
    if reduce in ("amax", "amin"):
        function = np.maximum if reduce == "amax" else np.minimum
        kind = input.dtype
        lowest = -np.inf if kind.kind == "f" else np.iinfo(kind).min
        highest = np.inf if kind.kind == "f" else np.iinfo(kind).max
        best = np.where(own, input._data, lowest if reduce == "amax" else highest).astype(kind)
        function.at(best, key, given._data)
        if kind.kind != "f":
            return wrapped(best)
        mine, theirs = own & (input._data == best), given._data == best[key]
        n = np.zeros(shape, kind)
        np.add.at(n, key, theirs.astype(kind))
        n = np.maximum(n + mine, 1)
        out = (tg.where(mine, input, 0) + place(tg.where(theirs, given, 0), key, shape)) / n
        if out.level is None:
            out._data = best  # exactly one of the values, where the sum above is rounded
        return out
    if reduce == "prod":
        out = tg.where(own, input, 1)
        if input.node is None and given.node is None:
            data = out._data.copy()
            np.multiply.at(data, key, given._data)
            return wrapped(data)
        # one round for each repetition of an index, so that no element is written twice in one
        flat = np.ravel_multi_index(key, shape).reshape(-1)
        order = np.argsort(flat, kind="stable")
        sorted_flat = flat[order]
        begins = np.r_[True, sorted_flat[1:] != sorted_flat[:-1]]
        rank = np.arange(len(order)) - np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        values, result = tg.reshape(given, (-1,)), tg.reshape(out, (-1,))
        for r in range(int(rank.max()) + 1):
            chosen = order[rank == r]
            where = flat[chosen]
            result = setitem(result, result[where] * values[chosen], where)
        return tg.reshape(result, shape)
    raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")


@public
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """The Tensor with one slice replaced."""
    return setitem(input, src, (slice(None),) * checked_dim(input, dim) + (index,))


@public
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """The Tensor with some slices replaced."""
    return setitem(input, src, (slice(None),) * checked_dim(input, dim) + (slice(start, end, step),))


@public
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The Tensor with a diagonal replaced."""
    x = tg.moveaxis(input, (dim1, dim2), (-2, -1))
    n = src.shape[-1]
    key = (Ellipsis, np.arange(n) + max(-offset, 0), np.arange(n) + max(offset, 0))
    return tg.moveaxis(setitem(x, src, key), (-2, -1), (dim1, dim2))


@public
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The indices of elements that are not 0: a row for each, or a vector for each axis."""
    found = np.nonzero(np.atleast_1d(input._data))
    if as_tuple:
        return tuple(wrapped(i) for i in found)
    if not input.ndim:
        return wrapped(np.zeros((int(input._data != 0), 0), np.int64))
    return wrapped(np.stack(found, -1).reshape(-1, input.ndim).astype(np.int64))


@public
def argwhere(input: Any) -> Any:
    """The indices of elements that are not 0, a row for each."""
    return nonzero.core(input)
