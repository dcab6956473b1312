"""Counterparts of PyTorch's operators on shapes and indices."""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

import tinygrad_dl as td
from tests.peer.counterparts import OURS, Unlike, ours
from tinygrad_dl import Tensor

# Shapes

OURS |= {
    "T": lambda x: x.T,
    "mT": lambda x: td.matrix_transpose(x) if x.ndim else x * 1,
    "mH": lambda x: td.conj(td.matrix_transpose(x)) if x.ndim else x * 1,
    "H": lambda x: td.conj(x.T),
    "t": lambda x: x.T,
    "t_copy": lambda x: x.T,
    "transpose": lambda x, a, b: td.swapaxes(x, a, b) if x.ndim else x * 1,
    "transpose_copy": lambda x, a, b: td.swapaxes(x, a, b) if x.ndim else x * 1,
    "permute": lambda x, *axes: td.permute_dims(x, _listed(axes)),
    "permute_copy": lambda x, *axes: td.permute_dims(x, _listed(axes)),
    "movedim": lambda x, a, b: td.moveaxis(x, a, b) if x.ndim else x * 1,
    "reshape": lambda x, shape: td.reshape(x, tuple(shape)),
    "view": lambda x, *shape: td.reshape(x, _listed(shape)),
    "view_copy": lambda x, *shape: td.reshape(x, _listed(shape)),
    "reshape_as": lambda x, other: td.reshape(x, other.shape),
    "view_as": lambda x, other: td.reshape(x, other.shape),
    "ravel": lambda x: td.reshape(x, (-1,)),
    "broadcast_to": lambda x, shape: td.broadcast_to(x, tuple(shape)),
    "expand": lambda x, *shape: td.broadcast_to(x, _expanded(x, _listed(shape))),
    "expand_copy": lambda x, *shape: td.broadcast_to(x, _expanded(x, _listed(shape))),
    "expand_as": lambda x, other: td.broadcast_to(x, other.shape),
    "broadcast_tensors": lambda *xs: td.broadcast_arrays(*xs),
    "unsqueeze": lambda x, dim: td.expand_dims(x, dim),
    "unsqueeze_copy": lambda x, dim: td.expand_dims(x, dim),
    "flip": lambda x, dims: td.flip(x, axis=_both(dims)),
    "fliplr": lambda x: td.flip(x, axis=1),
    "flipud": lambda x: td.flip(x, axis=0),
    "roll": lambda x, shifts, dims=None: td.roll(x, _both(shifts), _both(dims)),
    "tile": lambda x, reps: td.tile(x, tuple(reps)),
    "repeat": lambda x, reps: td.tile(x, tuple(reps)),
    "cat": lambda xs, dim=0: td.concat(_of_one_ndim(xs), axis=dim),
    "stack": lambda xs, dim=0: td.stack(xs, axis=dim),
    "unbind": lambda x, dim=0: td.unstack(x, axis=dim),
    "unbind_copy": lambda x, dim=0: td.unstack(x, axis=dim),
    "split": lambda x, size, dim=0: _split(x, size, dim),
    "split_with_sizes": lambda x, sizes, dim=0: _split(x, sizes, dim),
    "tensor_split": lambda x, parts, dim=0: _tensor_split(x, parts, dim),
    "chunk": lambda x, chunks, dim=0: _split(x, -(-x.shape[dim] // chunks) or 1, dim),
    "hstack": lambda xs: np.hstack(xs),
    "vstack": lambda xs: np.vstack(xs),
    "column_stack": lambda xs: np.column_stack(xs),
    "meshgrid.variadic_tensors": lambda *xs, indexing="ij": td.meshgrid(*_vectors(xs), indexing=indexing),
    "meshgrid.list_of_tensors": lambda xs, indexing="ij": td.meshgrid(*_vectors(xs), indexing=indexing),
    "tril": lambda x, k=0: td.tril(x, k=k),
    "triu": lambda x, k=0: td.triu(x, k=k),
}


def _listed(sizes: Any) -> tuple[int, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else tuple(sizes)


def _both(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _vectors(xs: Any) -> Any:
    return [td.reshape(x, (-1,)) for x in xs]


def _of_one_ndim(xs: Any) -> Any:
    if len({x.ndim for x in xs}) > 1:
        raise Unlike("PyTorch leaves out empty vectors among matrices")
    return xs


def _expanded(x: Any, shape: Any) -> Any:
    extra = len(shape) - x.ndim
    return tuple(x.shape[i - extra] if size == -1 else size for i, size in enumerate(shape))


def _split(x: Any, size: Any, dim: int) -> Any:
    n = x.shape[dim]
    stops = list(range(size, n, size)) if isinstance(size, int) else list(np.cumsum(size)[:-1])
    return td.split(x, [int(s) for s in stops], dim)


def _tensor_split(x: Any, parts: Any, dim: int) -> Any:
    if isinstance(parts, Tensor):
        parts = parts.numpy().tolist()
    return np.array_split(x, parts, dim) if isinstance(parts, int) else td.split(x, list(parts), dim)


@ours("flatten")
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    if not x.ndim:
        return td.reshape(x, (1,))
    a, b = start_dim % x.ndim, end_dim % x.ndim
    return td.reshape(x, (*x.shape[:a], product(x.shape[a : b + 1]), *x.shape[b + 1 :]))


@ours("unflatten")
def unflatten(x: Any, dim: int, sizes: Any) -> Any:
    a = dim % x.ndim
    return td.reshape(x, (*x.shape[:a], *sizes, *x.shape[a + 1 :]))


@ours("squeeze", "squeeze_copy", "squeeze.multiple")
def squeeze(x: Any, dim: Any = None) -> Any:
    if dim is None:
        return td.squeeze(x)
    dims = [d % max(x.ndim, 1) for d in (dim if isinstance(dim, (list, tuple)) else [dim])]
    return td.squeeze(x, tuple(d for d in dims if x.ndim and x.shape[d] == 1))


@ours("repeat_interleave")
def repeat_interleave(x: Any, repeats: Any, dim: Any = None, output_size: Any = None) -> Any:
    repeats = repeats.numpy() if isinstance(repeats, Tensor) else repeats
    if not x.ndim:
        x = td.reshape(x, (1,))
    return td.repeat(x, repeats, axis=dim)


@ours("constant_pad_nd")
def pad(x: Any, pad: Any, value: Any = 0) -> Any:
    if any(p < 0 for p in pad):
        raise Unlike("NumPy's pad does not cut")
    pairs = [tuple(pad[i : i + 2]) for i in range(0, len(pad), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    return td.pad(x, widths, constant_values=value)


# Indexing and sorting


def _key(key: Any) -> Any:
    if isinstance(key, (list, tuple)):
        return tuple(map(_key, key)) if isinstance(key, tuple) else key
    return key.numpy() if isinstance(key, Tensor) else key


OURS |= {
    "__getitem__": lambda x, key: x[_key(key)],
    "select": lambda x, dim, i: td.take(x, np.asarray(i), axis=dim),
    "narrow": lambda x, dim, start, length: _narrow(x, dim, int(start), length),
    "slice": lambda x, dim=0, start=None, end=None, step=1: _slice(x, dim, start, end, step),
    "index_select": lambda x, dim, index: td.take(x, _vector(index), axis=dim) if x.ndim else x * 1,
    "take": lambda x, index: td.take(td.reshape(x, (-1,)), index.numpy()),
    "take_along_dim": lambda x, index, dim=None: _along(x, index, dim),
    "gather": lambda x, dim, index: _gather(x, dim, index),
    "masked_select": lambda x, mask: _masked_select(x, mask),
    "masked_fill": lambda x, mask, value: td.where(mask, value, x),
    "sort": lambda x, dim=-1, descending=False, stable=False: _sort(x, dim, descending),
    "msort": lambda x: td.sort(x, axis=0),
    "topk": lambda x, k, dim=-1, largest=True, sorted=True: _topk(x, k, dim, largest),
}


def _vector(index: Any) -> Any:
    return index.numpy().reshape(-1)


def _narrow(x: Any, dim: int, start: int, length: int) -> Any:
    start = start + x.shape[dim] if start < 0 else start
    return _slice(x, dim, start, start + length, 1)


def _slice(x: Any, dim: int, start: Any, stop: Any, step: int) -> Any:
    key = [slice(None)] * x.ndim
    key[dim] = slice(start, stop, step)
    return x[tuple(key)]


def _along(x: Any, index: Any, dim: Any) -> Any:
    index = index.numpy()
    if dim is None:
        return td.take_along_axis(td.reshape(x, (-1,)), index.reshape(-1), axis=0)
    return td.take_along_axis(x, index, axis=dim)


def _gather(x: Any, dim: int, index: Any) -> Any:
    index = index.numpy()
    if not x.ndim:
        x = td.reshape(x, (1,))
        return td.reshape(td.take_along_axis(x, index.reshape(-1), axis=0), index.shape)
    if not index.size:
        return td.reshape(td.reshape(x, (-1,))[:0], index.shape)
    cut = tuple(slice(None) if d == dim % x.ndim else slice(n) for d, n in enumerate(index.shape))
    return td.take_along_axis(x[cut], index, axis=dim)


def _masked_select(x: Any, mask: Any) -> Any:
    mask = mask.numpy()
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return td.broadcast_to(x, shape)[np.broadcast_to(mask, shape)]


def _sort(x: Any, dim: int, descending: bool) -> Any:
    return td.sort(x, axis=dim, descending=descending) if x.ndim else x * 1


def _topk(x: Any, k: int, dim: int, largest: bool) -> Any:
    return _slice(_sort(x, dim, largest), dim, 0, k, 1) if x.ndim else x * 1
