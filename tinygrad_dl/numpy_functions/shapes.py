"""NumPy's functions that move, join and split elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.numpy_functions.calls import each
from tinygrad_dl.numpy_functions.table import (
    Casting,
    Data,
    Sections,
    cast,
    choice,
    described,
    permission,
    raw,
    stands_for,
)
from tinygrad_dl.ops import diagonals, index, join
from tinygrad_dl.ops import shape as shaping
from tinygrad_dl.ops.shape import axis_of, moveaxis, permute_dims, reshape, value_of
from tinygrad_dl.typing import ArrayLike, Axis, DTypeLike, NDArray, ShapeLike

# Shapes


@stands_for(np.reshape)
def reshape_(a: Data, shape: int | tuple[int, ...], order: str = "C", copy: bool | None = None) -> Any:
    return shaping.reshaped("np.reshape", a, shape, order, copy)


@stands_for(np.ravel)
def ravel(a: Data, order: str = "C") -> Any:
    return shaping.raveled("np.ravel", a, order)


@stands_for(np.transpose, getattr(np, "permute_dims", None))
def transpose(a: Data, axes: Sequence[int] | None = None) -> Any:
    a = value_of(a)
    return permute_dims(a, tuple(range(a.ndim))[::-1] if axes is None else tuple(axes))


@stands_for(getattr(np, "matrix_transpose", None), getattr(np.linalg, "matrix_transpose", None))
def matrix_transpose(x: Data) -> Any:
    from tinygrad_dl.ops.matmul import matrix_transpose

    return matrix_transpose(x)


@stands_for(np.moveaxis)
def moveaxis_(a: Data, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Any:
    return moveaxis(a, source, destination)


@stands_for(np.swapaxes)
def swapaxes(a: Data, axis1: int, axis2: int) -> Any:
    return shaping.swapaxes(a, axis1, axis2)


@stands_for(np.rollaxis)
def rollaxis(a: Data, axis: int, start: int = 0) -> Any:
    a = value_of(a)
    axis = axis_of(axis, a.ndim, "np.rollaxis")
    if not -a.ndim <= start <= a.ndim:
        raise ValueRangeError(f"np.rollaxis: start: expected {-a.ndim} to {a.ndim}, got {start}")
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - 1 if axis < start else start)


@stands_for(np.expand_dims)
def expand_dims(a: Data, axis: int | Sequence[int]) -> Any:
    return shaping.expand_dims(a, tuple(axis) if isinstance(axis, list) else axis)


@stands_for(np.squeeze)
def squeeze(a: Data, axis: Axis = None) -> Any:
    return shaping.squeeze(a, axis)


@stands_for(np.broadcast_to)
def broadcast_to(array: Data, shape: ShapeLike, subok: bool = False) -> Any:
    permission("np.broadcast_to", subok=subok)
    return shaping.broadcast_to(array, shape)


@stands_for(np.broadcast_arrays)
def broadcast_arrays(*args: Data, subok: bool = False) -> Any:
    permission("np.broadcast_arrays", subok=subok)
    return join.broadcast_arrays(*args)


def _at_least(x: ArrayLike, ndim: int) -> Any:
    x = value_of(x)
    return x if x.ndim >= ndim else reshape(x, (1,) * (ndim - x.ndim) + x.shape)


@stands_for(np.atleast_1d)
def atleast_1d(*arys: Data) -> Any:
    return each(_at_least(x, 1) for x in arys)


@stands_for(np.atleast_2d)
def atleast_2d(*arys: Data) -> Any:
    return each(_at_least(x, 2) for x in arys)


def _three(x: ArrayLike) -> Any:
    x = value_of(x)
    return (
        reshape(x, (*x.shape, 1))
        if x.ndim == 2
        else _at_least(reshape(x, (1, -1, 1)) if x.ndim < 2 else x, 3)
    )


@stands_for(np.atleast_3d)
def atleast_3d(*arys: Data) -> Any:
    return each(map(_three, arys))


@stands_for(np.resize)
def resize(a: Data, new_shape: ShapeLike) -> Any:
    flat = reshape(value_of(a), (-1,))
    shape = (int(new_shape),) if isinstance(new_shape, (int, np.integer)) else tuple(new_shape)
    if any(n < 0 for n in shape):
        raise ValueRangeError(f"np.resize: new_shape: expected sizes of at least 0, got {new_shape!r}")
    count = int(np.prod(shape, dtype=int))
    if not flat.shape[0]:
        raise ShapeError("np.resize: expected at least one element to repeat, got none")
    return reshape(index.take(flat, np.arange(count) % flat.shape[0]), shape)


# Order of elements


@stands_for(np.flip)
def flip(m: Data, axis: Axis = None) -> Any:
    return shaping.flip(m, axis)


@stands_for(np.fliplr)
def fliplr(m: Data) -> Any:
    return shaping.flip(m, 1)


@stands_for(np.flipud)
def flipud(m: Data) -> Any:
    return shaping.flip(m, 0)


@stands_for(np.rot90)
def rot90(m: Data, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    m = value_of(m)
    if len(axes) != 2:
        raise ValueRangeError(f"np.rot90: axes: expected two axes, got {describe(axes)}")
    first, second = (axis_of(a, m.ndim, "np.rot90") for a in axes)
    if first == second:
        raise ValueRangeError(f"np.rot90: axes: expected two different axes, got {describe(axes)}")
    k %= 4
    if k == 0:
        return m
    if k == 2:
        return shaping.flip(m, (first, second))
    if k == 1:
        return shaping.swapaxes(shaping.flip(m, second), first, second)
    return shaping.flip(shaping.swapaxes(m, first, second), second)


@stands_for(np.roll)
def roll(a: Data, shift: int | list[int] | tuple[int, ...] | NDArray, axis: Axis = None) -> Any:
    steps = shift.tolist() if isinstance(shift, np.ndarray) else shift
    return shaping.roll(a, tuple(steps) if isinstance(steps, list) else steps, axis)


@stands_for(np.repeat)
def repeat(a: Data, repeats: int | Sequence[int] | NDArray, axis: int | None = None) -> Any:
    return shaping.repeat(a, repeats, axis=axis)


@stands_for(np.tile)
def tile(A: Data, reps: int | Sequence[int]) -> Any:
    return shaping.tile(A, reps)


@stands_for(np.tril)
def tril(m: Data, k: int = 0) -> Any:
    return shaping.tril(m, k=k)


@stands_for(np.triu)
def triu(m: Data, k: int = 0) -> Any:
    return shaping.triu(m, k=k)


@stands_for(np.diag)
def diag(v: Data, k: int = 0) -> Any:
    return diagonals.diag(v, k)


@stands_for(np.diagflat)
def diagflat(v: Data, k: int = 0) -> Any:
    return diagonals.diag(reshape(value_of(v), (-1,)), k)


@stands_for(np.diagonal)
def diagonal(a: Data, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return diagonals.diagonal(a, offset, axis1, axis2)


@stands_for(np.trace)
def trace(a: Data, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: DTypeLike | None = None) -> Any:
    return diagonals.trace(a, offset, axis1, axis2, dtype=dtype)


# Choosing elements


@stands_for(np.take)
def take(
    a: Data, indices: int | Sequence[int] | NDArray, axis: int | None = None, mode: str = "raise"
) -> Any:
    choice("np.take", "mode", mode, ("raise", "wrap", "clip"))
    a = value_of(a)
    if mode != "raise":
        size = int(np.prod(a.shape, dtype=int)) if axis is None else a.shape[axis_of(axis, a.ndim, "np.take")]
        positions = np.asarray(indices)
        indices = positions % size if mode == "wrap" else np.clip(positions, 0, size - 1)
    return index.take(a, indices, axis=axis)


@stands_for(np.take_along_axis)
def take_along_axis(arr: Data, indices: NDArray, axis: int | None = -1) -> Any:
    return index.take_along_axis(arr, indices, axis=axis)


@stands_for(np.compress)
def compress(condition: ArrayLike, a: Data, axis: int | None = None) -> Any:
    mask = np.asarray(condition)
    if mask.ndim != 1:
        raise ShapeError(f"np.compress: condition: expected shape (N,), got {mask.shape}")
    return index.take(value_of(a), np.flatnonzero(mask), axis=axis)


@stands_for(np.extract)
def extract(condition: ArrayLike, arr: Data) -> Any:
    return index.take(value_of(arr), np.flatnonzero(condition))


@stands_for(np.delete)
def delete(arr: Data, obj: Any, axis: int | None = None) -> Any:
    arr = value_of(arr)
    arr, axis = (reshape(arr, (-1,)), 0) if axis is None else (arr, axis_of(axis, arr.ndim, "np.delete"))
    return index.take(arr, np.delete(np.arange(arr.shape[axis]), obj), axis=axis)


@stands_for(np.insert)
def insert(arr: Data, obj: Any, values: Data, axis: int | None = None) -> Any:
    arr = value_of(arr)
    arr, axis = (reshape(arr, (-1,)), 0) if axis is None else (arr, axis_of(axis, arr.ndim, "np.insert"))
    values, size = cast("np.insert", values, arr.dtype, "unsafe"), arr.shape[axis]
    single = isinstance(obj, (int, np.integer)) or (isinstance(obj, np.ndarray) and not obj.ndim)
    values = _at_least(values, arr.ndim)
    if single and values.ndim == arr.ndim:
        # as NumPy: the values of one position run along the axis from their first one
        values = moveaxis(values, 0, axis)
    positions = np.asarray(range(*obj.indices(size)) if isinstance(obj, slice) else obj)
    count = (
        values.shape[axis] if single else int(positions.sum() if positions.dtype == bool else positions.size)
    )
    whole = shaping.broadcast_to(values, (*arr.shape[:axis], count, *arr.shape[axis + 1 :]))
    order = np.insert(np.arange(size), obj, size + np.arange(count))
    return index.take(join.concat([arr, whole], axis=axis), order, axis=axis)


@stands_for(np.append)
def append(arr: Data, values: Data, axis: int | None = None) -> Any:
    if axis is None:
        return join.concat([reshape(value_of(arr), (-1,)), reshape(value_of(values), (-1,))])
    return join.concat([arr, values], axis=axis)


@stands_for(np.trim_zeros)
def trim_zeros(filt: Data, trim: str = "fb", axis: Axis = None) -> Any:
    filt = value_of(filt)
    choice("np.trim_zeros", "trim", trim.lower(), ("f", "b", "fb", "bf"))
    found = np.argwhere(raw(filt))
    given = range(filt.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = {axis_of(a, filt.ndim, "np.trim_zeros") for a in given}
    key = []
    for a in range(filt.ndim):
        start, stop = (found[:, a].min(), found[:, a].max() + 1) if len(found) else (0, 0)
        keep = (start if "f" in trim.lower() else None, stop if "b" in trim.lower() else None)
        key.append(slice(*keep) if a in axes else slice(None))
    return filt[tuple(key)]


@stands_for(np.pad)
def pad(array: Data, pad_width: Any, mode: Any = "constant", constant_values: ArrayLike = 0) -> Any:
    if isinstance(pad_width, dict):
        ndim = np.ndim(described(array))
        widths: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            pair = (width, width) if isinstance(width, (int, np.integer)) else tuple(width)
            widths[axis_of(axis, ndim, "np.pad")] = pair
        pad_width = tuple(widths)
    return index.pad(array, pad_width, mode, constant_values=constant_values)


# Joining


def _in_one_dtype(
    what: str, arrays: Sequence[ArrayLike], dtype: DTypeLike | None, casting: Casting
) -> list[Any]:
    parts = [value_of(x) for x in arrays]
    if dtype is None and casting == "same_kind":
        return parts
    if dtype is None:
        dtype = np.result_type(*(described(x) for x in parts))
    return [cast(what, x, dtype, casting) for x in parts]


@stands_for(np.concatenate)
def concatenate(
    arrays: Data, axis: int | None = 0, dtype: DTypeLike | None = None, casting: Casting = "same_kind"
) -> Any:
    return join.concat(_in_one_dtype("np.concatenate", arrays, dtype, casting), axis=axis)


@stands_for(np.stack)
def stack(arrays: Data, axis: int = 0, dtype: DTypeLike | None = None, casting: Casting = "same_kind") -> Any:
    return join.stack(_in_one_dtype("np.stack", arrays, dtype, casting), axis=axis)


@stands_for(np.vstack)
def vstack(tup: Data, dtype: DTypeLike | None = None, casting: Casting = "same_kind") -> Any:
    return join.concat([_at_least(x, 2) for x in _in_one_dtype("np.vstack", tup, dtype, casting)], axis=0)


@stands_for(np.hstack)
def hstack(tup: Data, dtype: DTypeLike | None = None, casting: Casting = "same_kind") -> Any:
    parts = [_at_least(x, 1) for x in _in_one_dtype("np.hstack", tup, dtype, casting)]
    return join.concat(parts, axis=0 if parts and parts[0].ndim == 1 else 1)


@stands_for(np.dstack)
def dstack(tup: Data) -> Any:
    return join.concat(list(map(_three, tup)), axis=2)


@stands_for(np.column_stack)
def column_stack(tup: Data) -> Any:
    parts = [value_of(x) for x in tup]
    return join.concat([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in parts], axis=1)


@stands_for(np.block)
def block(arrays: Data) -> Any:
    depth, ndim = _nesting(arrays)
    return _blocks(arrays, 0, depth, max(depth, ndim))


def _nesting(x: Any) -> tuple[int, int]:
    """How deep the lists of blocks are nested, and the most axes that a block has."""
    if isinstance(x, tuple):
        raise DTypeError("np.block: expected lists of arrays, got a tuple. Write the rows as lists.")
    if not isinstance(x, list):
        return 0, np.ndim(described(x))
    if not x:
        raise ShapeError("np.block: expected at least one array in each list, got an empty list")
    inside = [_nesting(part) for part in x]
    if len({depth for depth, _ in inside}) > 1:
        raise ShapeError("np.block: expected lists nested equally deep everywhere")
    return inside[0][0] + 1, max(ndim for _, ndim in inside)


def _blocks(x: Any, level: int, depth: int, ndim: int) -> Any:
    if level == depth:
        return _at_least(x, ndim)
    return join.concat([_blocks(part, level + 1, depth, ndim) for part in x], axis=ndim - depth + level)


# Splitting


@stands_for(np.split)
def split(ary: Data, indices_or_sections: Sections, axis: int = 0) -> Any:
    return list(join.split(ary, indices_or_sections, axis))


@stands_for(np.array_split)
def array_split(ary: Data, indices_or_sections: Sections, axis: int = 0) -> Any:
    ary = value_of(ary)
    if isinstance(indices_or_sections, (int, np.integer)):
        if indices_or_sections < 1:
            raise ShapeError(f"np.array_split: expected at least 1 part, got {indices_or_sections}")
        size = ary.shape[axis_of(axis, ary.ndim, "np.array_split")]
        whole, more = divmod(size, int(indices_or_sections))
        sizes = [whole + 1] * more + [whole] * (int(indices_or_sections) - more)
        indices_or_sections = np.cumsum(sizes)[:-1].tolist()
    return list(join.split(ary, indices_or_sections, axis))


def _split_along(what: str, ary: ArrayLike, sections: Sections, axis: int, least: int) -> Any:
    ary = value_of(ary)
    if ary.ndim < least:
        raise ShapeError(f"{what}: expected at least {least} axes, got shape {ary.shape}")
    return list(join.split(ary, sections, axis))


@stands_for(np.hsplit)
def hsplit(ary: Data, indices_or_sections: Sections) -> Any:
    return _split_along("np.hsplit", ary, indices_or_sections, 0 if np.ndim(described(ary)) == 1 else 1, 1)


@stands_for(np.vsplit)
def vsplit(ary: Data, indices_or_sections: Sections) -> Any:
    return _split_along("np.vsplit", ary, indices_or_sections, 0, 2)


@stands_for(np.dsplit)
def dsplit(ary: Data, indices_or_sections: Sections) -> Any:
    return _split_along("np.dsplit", ary, indices_or_sections, 2, 3)


@stands_for(getattr(np, "unstack", None))
def unstack(x: Data, axis: int = 0) -> Any:
    return join.unstack(x, axis=axis)


@stands_for(np.meshgrid)
def meshgrid(*xi: Data, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    permission("np.meshgrid", copy=copy)
    grids: Sequence[Any] = join.meshgrid(*xi, indexing=indexing)
    if not sparse:
        return grids
    n, parts = len(xi), []
    for position, x in enumerate(xi):
        axis = 1 - position if indexing == "xy" and n > 1 and position < 2 else position
        parts.append(reshape(value_of(x), tuple(-1 if i == axis else 1 for i in range(n))))
    return tuple(parts)
