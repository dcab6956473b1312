"""Indexing and assignment: picking elements out, and putting them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl.batching import Call, OfAll, axes_of
from tinygrad_dl.convert import describe, wrap
from tinygrad_dl.errors import IndexRangeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, modes, tell
from tinygrad_dl.op import OPS, Case, op
from tinygrad_dl.typing import ArrayLike, Index, NDArray, Shape, ShapeLike


def plain_key(key: Index | Value) -> Any:
    """An index with arrays in the place of Tensors and lists."""
    if type(key) is tuple:
        return tuple(plain_key(k) for k in key)
    if isinstance(key, Value):
        if key.level is not None:  # the index of one example of func.vmap
            return key
        data = key._data
        if data.dtype.kind not in "iub":
            raise IndexRangeError(
                f"indexing: expected integers, slices or booleans, got an array of {data.dtype}"
            )
        if data.ndim == 0 and data.dtype.kind in "iu" and not (active and modes.watchers):
            return int(data)
        return data  # a compiled step reads even a single index at every run
    if type(key) is not list:
        return key
    try:
        array = np.asarray(key, dtype=None if len(key) else int)
        if active:
            tell("created", wrap(array), key)
        return array
    except (ValueError, RecursionError):
        raise IndexRangeError(
            f"indexing: expected integers or booleans in rows of equal length, got {describe(key)}"
        ) from None


def _add_at(out: NDArray, key: Any, x: NDArray) -> None:
    """out[key] += x, repeated indices adding up; through a flat index, along which NumPy adds several times faster."""
    if type(key) is np.ndarray and out.ndim > 1 and out.size:
        n, row = len(out), out.size // len(out)
        if key.size and -n <= key.min() and key.max() < n:
            positions = (key.reshape(-1, 1) % n * row + np.arange(row)).reshape(-1)
            np.add.at(out.reshape(-1), positions, np.broadcast_to(x, key.shape + out.shape[1:]).reshape(-1))
            return
    elif type(key) is tuple and out.size <= 4 * np.size(x):
        positions = np.arange(out.size).reshape(out.shape)[key]
        np.add.at(out.reshape(-1), positions.reshape(-1), np.broadcast_to(x, positions.shape).reshape(-1))
        return
    np.add.at(out, key, x)


def is_basic(key: Index) -> bool:
    """Whether a key picks every element at most once, and so may be written without adding up."""
    parts = key if type(key) is tuple else (key,)
    return all(
        k is None
        or k is Ellipsis
        or isinstance(k, (int, slice, np.integer, bool))
        or getattr(k, "dtype", None) == np.bool_
        for k in parts
    )


# Indexing the examples of a batch


def _index_of_all(
    key: Any, ndim: int, size: int, batched: bool
) -> tuple[tuple[Any, ...], tuple[int, ...], Any] | None:
    """How one example's index picks from all: the index, how its result's axes are ordered, one example's index.

    `batched`: whether what is indexed has the batch axis, or only the index differs between examples; `ndim`: the axes
    of one example. None for an index with a boolean number.
    """
    parts = key if type(key) is tuple else (key,)
    if any(isinstance(part, (bool, np.bool_)) or getattr(part, "ndim", 1) == 0 for part in parts):
        if any(isinstance(part, OfAll) for part in parts):
            raise IndexRangeError(
                "func.vmap: expected no True or False beside an index of each example. Write None in the place of True."
            )
        return None
    arrays = [k for k, part in enumerate(parts) if isinstance(part, (OfAll, np.ndarray))]
    used = sum(
        part.ndim if _is_mask(part) else 1 for part in parts if part is not None and part is not Ellipsis
    )
    # Where there are arrays, integers count as arrays, too.
    picking = [k for k, part in enumerate(parts) if k in arrays or (arrays and _is_integer(part))]
    together = not picking or picking[-1] - picking[0] + 1 == len(picking)
    sizes = [ndim - used if part is Ellipsis else not _is_integer(part) for part in parts]
    before = int(sum(sizes[: picking[0]])) if picking and together else 0  # axes in front of what arrays pick
    rank = max((_rank(parts[k]) for k in arrays), default=0)
    rest = (
        sum(sizes)
        - sum(sizes[k] for k in picking)
        + max(ndim - used, 0) * (Ellipsis not in map(_kind, parts))
    )
    example = tuple(
        np.zeros(part.indices.shape[1:], np.intp) if isinstance(part, OfAll) else part for part in parts
    )
    if not any(isinstance(part, OfAll) for part in parts):
        first = 0 if together else rank  # where the batch axis lands
        return (slice(None), *parts), (first, *range(first), *range(first + 1, rank + int(rest) + 1)), example
    new = [_with_rank(part, rank) if isinstance(part, OfAll) else part for part in parts]
    if batched:
        new = [np.arange(size).reshape(size, *(1,) * rank), *new]
        order = (
            0,
            *range(1 + rank, 1 + rank + before),
            *range(1, 1 + rank),
            *range(1 + rank + before, 1 + rank + int(rest)),
        )
    else:
        order = (before, *range(before), *range(before + 1, 1 + rank + int(rest)))
    return tuple(new), order, example


def _kind(part: Any) -> Any:
    return Ellipsis if part is Ellipsis else None


def _is_integer(part: Any) -> bool:
    return isinstance(part, (int, np.integer))


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype == np.bool_


def _rank(part: Any) -> int:
    return part.indices.ndim - 1 if isinstance(part, OfAll) else 1 if _is_mask(part) else part.ndim


def _with_rank(part: OfAll, rank: int) -> Any:
    indices = part.indices
    if indices.dtype.kind == "b":
        raise IndexRangeError(
            "func.vmap: each example would pick another number of elements by its mask. Use where(mask, x, 0)."
        )
    return indices.reshape((indices.shape[0], *(1,) * (rank - indices.ndim + 1), *indices.shape[1:]))


def _in_order(x: Any, order: tuple[int, ...]) -> Any:
    return x if order == tuple(range(len(order))) else x.transpose(order)


def _out_of_order(x: Any, order: tuple[int, ...]) -> Any:
    return _in_order(x, tuple(sorted(range(len(order)), key=order.__getitem__)))


def _getitem_all(call: Call) -> Any:
    found = _index_of_all(call.options["key"], len(call.shape()), call.size, call.batched[0])
    return None if found is None else _in_order(getitem(call.inputs[0], found[0]), found[1])


def _place_all(call: Call) -> Any:
    shape = tuple(call.options["shape"])
    found = _index_of_all(call.options["key"], len(shape), call.size, True)
    if found is None:
        return None
    return place(_out_of_order(call.full(0), found[1]), found[0], (call.size, *shape))


def _setitem_all(call: Call) -> Any:
    x, key = call.full(0), call.options["key"]
    value: Any = call.inputs[1]
    if isinstance(key, OfAll) and key.indices.dtype.kind == "b":
        return _where_all(call, x, key.indices)
    found = _index_of_all(key, len(call.shape()), call.size, True)
    if found is None:
        return None
    new, order, example = found
    if hasattr(value, "reshape"):
        shape, own = np.broadcast_to(False, call.shape())[example].shape, call.shape(1)
        own = own[len(own) - len(shape) :] if len(own) > len(shape) else own
        own = (1,) * (len(shape) - len(own)) + own
        value = value.reshape((call.size, *own) if call.batched[1] else own)
        value = _out_of_order(OPS["broadcast_to"].function(value, (call.size, *shape)), order)
    return setitem(x, value, new)


def _where_all(call: Call, x: Any, mask: Any) -> Any:
    value = call.inputs[1]
    if call.shape(1) != ():
        raise IndexRangeError(
            "func.vmap: each example would write another number of elements by its mask. Use where(mask, value, x)."
        )
    value = value.reshape((call.size, *(1,) * (x.ndim - 1))) if call.batched[1] else value
    mask = mask.reshape((*mask.shape, *(1,) * (x.ndim - mask.ndim)))
    return OPS["where"].function(
        mask, OPS["astype"].function(value, x.dtype) if isinstance(value, Value) else value, x
    )


def _take_all(call: Call) -> Any:
    x, axis = call.inputs[0], call.options["axis"]
    shape = call.shape()
    if axis is None:
        shape, axis = (int(np.prod(shape, dtype=int)),), 0
        x = x.reshape((*x.shape[: call.batched[0]], *shape))
    at = axes_of(call, axis, len(shape)) - 1
    if not call.batched[1]:
        return take(x, call.inputs[1], axis=at + 1)
    key = (slice(None),) * at + (OfAll(plain_key(call.inputs[1])),)
    return _getitem_all(Call(OPS["getitem"], call.size, (x,), call.batched[:1], (key,)))


def _take_along_all(call: Call) -> Any:
    x, indices, axis = call.full(0), call.full(1), call.options["axis"]
    if axis is None:
        x, axis = x.reshape((call.size, int(np.prod(call.shape(), dtype=int)))), 0
    return take_along_axis(x, indices, axis=axes_of(call, axis, x.ndim - 1))


def _pad_all(call: Call) -> Any:
    widths = np.broadcast_to(call.options["pad_width"], (len(call.shape()), 2)).tolist()
    return call.run(*call.inputs, pad_width=((0, 0), *map(tuple, widths)))


@op(
    lambda g, x_shape, key: place(g, key, x_shape),
    cases=(
        Case((4, 3), 1), Case((4, 3), (slice(None, None, -2), None, Ellipsis)), Case((), ()),
        Case((4, 3), np.array([0, 0, 2])), Case((4, 3), (slice(1, 3), np.array([2, 2]))),
        Case((3,), np.array([True, False, True])),
        Case((4, 3, 2), (np.array([0, 1, 0]), slice(None), np.array([1, 1, 1]))),
    ),
    batch=_getitem_all, jvp="linear",
    math=("x_k", r"\sum_{j \, : \, k_j = i} g_j"),
)  # fmt: skip
def getitem(x: NDArray, /, key: Index) -> Any:
    """The elements that an index picks: integers, slices, None, Ellipsis, integer arrays, masks, mixed.

    out = x[key]; the gradients of an element picked repeatedly add up.   Shape: as NumPy's indexing gives it.
    >>> getitem(np.array([1, 2, 3]), slice(1, None))
    array([2, 3])
    """
    return x[key]


@op(
    lambda g, key: getitem(g, key),
    cases=(
        Case((2, 3), slice(1, 3), (4, 3)), Case((3, 3), np.array([0, 0, 2]), (4, 3)),
        Case((2,), np.array([True, False, True]), (3,)),
    ),
    batch=_place_all, jvp="linear",
    math=(r"\sum_{j \, : \, k_j = i} x_j", "g_k"),
)  # fmt: skip
def place(x: NDArray, /, key: Index, shape: ShapeLike) -> Any:
    """Zeros of the given shape with x added at an index: the counterpart of getitem.

    out = zeros(shape); out[key] += x, repeated indices adding up.   Shape: `shape`.
    >>> place(np.array([1, 10]), np.array([0, 0]), (3,))
    array([11,  0,  0])
    """
    out = np.zeros(shape, x.dtype)
    if is_basic(key):
        out[key] = x
    else:
        _add_at(out, key, x)
    return out


def _written(g: NDArray, x_shape: Shape, key: Index) -> NDArray:
    picked = getitem(g, key)
    if is_basic(key):
        return picked
    # which of the values written to one place is still there: the assignment itself tells
    marks = np.arange(picked.size).reshape(picked.shape)
    board = np.full(x_shape, -1)
    board[key] = marks
    return picked * (board[key] == marks)


@op(
    lambda g, key: setitem(g, 0, key),
    lambda g, x_shape, key: _written(g, x_shape, key),
    cases=(
        Case((4, 3), (2, 3), slice(1, 3)), Case((4, 3), (), 2), Case((3,), (2,), np.array([0, 2])),
        Case((4, 3), (3, 3), np.array([0, 2, 0])), Case((4,), (3,), np.array([0, 2, 0])),
    ),
    kinks="of values written to one place only the last has a gradient",
    batch=_setitem_all, jvp="linear",
    math=(r"\begin{cases} v & \text{at } k \\ x & \text{else} \end{cases}", r"g \cdot [\text{not at } k]", "g_k"),
)  # fmt: skip
def setitem(x: NDArray, value: NDArray, /, key: Index) -> Any:
    """A copy of x with a value put in at an index, as `x[key] = value` does it.

    Shape: same as x; the value broadcasts to that of x[key].
    >>> setitem(np.array([1, 2, 3]), 0, 1)
    array([1, 0, 3])
    """
    out = np.array(x)
    out[key] = value
    return out


def _taken(g: NDArray, x_shape: Shape, indices: NDArray, axis: int | None) -> NDArray:
    if axis is None:
        return place(g, indices, (int(np.prod(x_shape, dtype=int)),)).reshape(x_shape)
    return place(g, (slice(None),) * (axis % len(x_shape)) + (indices,), x_shape)


@op(
    lambda g, x_shape, indices, axis: _taken(g, x_shape, indices, axis),
    None,
    cases=(
        Case((4, 3), np.array([0, 0, 2])), Case((4, 3), np.array([[2, -1]]), axis=1), Case((4, 3), 1, axis=0),
        Case((4,), np.array([1, 3]), axis=0), Case((4, 3), np.array([], int), axis=-1),
    ),
    batch=_take_all, jvp=(lambda t, indices, axis: take(t, indices, axis=axis), None),
    math=("x_{k_i}", r"\sum_{i \, : \, k_i = j} g_i", ""),
)  # fmt: skip
def take(x: NDArray, indices: NDArray, /, axis: int | None = None) -> Any:
    """The slices at given indices along an axis; of the flattened array without `axis`.

    out[..., i, ...] = x[..., indices[i], ...].   Shape: x's with that of `indices` in the place of `axis`.
    >>> take(np.array([[1, 2], [3, 4]]), np.array([1, 1]), axis=1)
    array([[2, 2],
           [4, 4]])
    """
    return np.take(x, indices, axis=axis)


def _along(indices: NDArray, axis: int) -> tuple[Any, ...]:
    """The index that take_along_axis means: the indices along the axis, every position along the others."""
    axis %= indices.ndim
    positions = np.ogrid[tuple(slice(n) for n in indices.shape)]
    return tuple(indices if a == axis else p for a, p in enumerate(positions))


def _put_back(g: NDArray, x_shape: Shape, indices: NDArray, axis: int | None) -> NDArray:
    if axis is None:
        return _taken(g, x_shape, indices, None)
    axis %= len(x_shape)
    shape = tuple(n if a == axis or n != 1 else m for a, (n, m) in enumerate(zip(x_shape, g.shape)))
    indices = np.broadcast_to(indices, g.shape)
    return place(g, _along(indices, axis), shape)


@op(
    lambda g, x_shape, indices, axis: _put_back(g, x_shape, indices, axis),
    None,
    cases=(
        Case((4, 3), np.array([[0, 2, 0], [0, 1, -1]]), axis=0), Case((2, 3), np.array([[1], [0]])),
        Case((2, 3), np.array([[1, 1]]), axis=1), Case((1, 3), np.array([[1, 1], [0, 2]]), axis=1),
        Case((2, 3), np.array([5, 0, 5]), axis=None),
    ),
    batch=_take_along_all, jvp=(lambda t, indices, axis: take_along_axis(t, indices, axis=axis), None),
    math=("x_{k_{ij}, j}", r"\sum_{i \, : \, k_{ij} = l} g_{ij}", ""),
)  # fmt: skip
def take_along_axis(x: NDArray, indices: NDArray, /, axis: int | None = -1) -> Any:
    """For each line along an axis the elements at the indices in the same line of `indices`.

    out[i, j] = x[indices[i, j], j] for axis=0.   Shapes broadcast together but along `axis`; with axis=None
    x is flattened and indices (K,).
    >>> take_along_axis(np.array([[5, 6], [7, 8]]), np.array([[1, 0]]), axis=0)
    array([[7, 6]])
    """
    return np.take_along_axis(x, indices, axis)


#: (before, after) an axis, one pair for all axes, or one number.
PadWidth = int | Sequence[int] | Sequence[Sequence[int]] | NDArray
PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def _inner(g: NDArray, x_shape: Shape, pad_width: PadWidth, mode: Any) -> NDArray:
    widths = np.broadcast_to(pad_width, (len(x_shape), 2)).tolist()
    if mode == "constant":
        return getitem(g, tuple(slice(a, a + n) for n, (a, _) in zip(x_shape, widths)))
    sources = [np.pad(np.arange(n), width, mode) for n, width in zip(x_shape, widths)]
    return place(g, np.ix_(*sources), x_shape)


@op(
    lambda g, x_shape, pad_width, mode: _inner(g, x_shape, pad_width, mode),
    cases=(
        Case((2, 3), 1), Case((2, 3), ((0, 1), (2, 0)), constant_values=1.5), Case((0,), 2),
        Case((3, 4), ((1, 2), (2, 3)), "reflect"), Case((3,), (1, 4), "edge"), Case((2, 3), 2, "symmetric"),
        Case((2, 3), ((1, 1), (4, 0)), "wrap"),
    ),
    batch=_pad_all, jvp=(lambda t, pad_width, mode: pad(t, pad_width, mode),),
    math=(
        r"\begin{cases} x_i & \text{inside} \\ \text{padding} & \text{else} \end{cases}",
        r"g_i \text{ inside, plus } g \text{ of each copy of } x_i",
    ),
)  # fmt: skip
def pad(x: NDArray, /, pad_width: PadWidth, mode: Any = "constant", *, constant_values: ArrayLike = 0) -> Any:
    """Elements added around the array: a constant, or by "edge", "reflect", "symmetric", "wrap" those inside.

    `pad_width`: ((before, after), ...) an axis, (before, after) or a number for all.   Shape: x's plus these.
    Raises ShapeError for widths that do not fit, ValueRangeError for another mode.
    >>> pad(np.array([1, 2]), (1, 2))
    array([0, 1, 2, 0, 0])
    """
    if mode not in PAD_MODES:
        raise ValueRangeError(f"pad: expected a mode of {', '.join(PAD_MODES)}, got {mode!r}")
    if mode != "constant" and np.any(np.not_equal(constant_values, 0)):
        raise ValueRangeError(
            f'pad: constant_values: expected with the mode "constant" only, got mode {mode!r}'
        )
    how: dict[str, Any] = {"constant_values": constant_values} if mode == "constant" else {}
    return np.pad(x, pad_width, mode, **how)
