"""Operations that move elements without computing: reshape, transpose, broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any

import numpy as np

from tinygrad_dl import batching, convert
from tinygrad_dl.arguments import explained, refuse_huge
from tinygrad_dl.backend import is_array
from tinygrad_dl.batching import Call
from tinygrad_dl.errors import AxisError, DTypeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.index import place
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import Array, ArrayLike, Axis, NDArray, Shape, ShapeLike


def _reshape_hint(x: NDArray, shape: int | tuple[int, ...], copy: bool | None) -> str | None:
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not all(isinstance(n, (int, np.integer)) for n in sizes):
        return None
    if sum(n == -1 for n in sizes) > 1 or any(n < -1 for n in sizes):
        return f"expected sizes of 0 or more, of which one may be -1 and is worked out, got {shape}"
    known = prod(int(n) for n in sizes if n != -1)
    if x.size == known or -1 in sizes and known and not x.size % known:
        return None
    needed = f"a multiple of {known}" if -1 in sizes else str(known)
    return f"the shape {x.shape} has {x.size} elements, but {sizes} needs {needed}"


def _reshape_all(call: Call) -> Any:
    shape = call.options["shape"]
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if -1 in sizes:  # which the whole batch would not tell if it is empty
        sizes = np.empty(call.shape(), np.bool_).reshape(sizes).shape
    return call.run(call.inputs[0], shape=(call.size, *sizes))


@op(
    lambda g, x_shape: reshape(g, x_shape),
    cases=(Case((2, 3), (3, 2)), Case((2, 3), -1), Case((), (1, 1))),
    inputs=1,
    hint=_reshape_hint,
    batch=_reshape_all,
    jvp="linear",
    math=(r"x \text{ in another shape}", r"g \text{ in the shape of } x"),
)
def reshape(x: NDArray, /, shape: ShapeLike, *, copy: bool | None = None) -> Any:
    """The same elements in another shape; one size may be -1.

    Shape: `shape`, with as many elements as x. Raises ShapeError if they do not fit.
    >>> reshape(np.array([[1, 2], [3, 4]]), (4,))
    array([1, 2, 3, 4])
    """
    out = np.reshape(x, shape)
    if copy is None or copy != np.may_share_memory(out, x):
        return out
    if not copy:
        raise ValueRangeError(f"reshape: copy=False, but {x.shape} as {shape} needs a copy of this array")
    return out.copy()


def reshaped(
    what: str, x: ArrayLike | Value, shape: int | tuple[int, ...], order: str = "C", copy: bool | None = None
) -> Any:
    """reshape with NumPy's `order`: how the elements are read and placed, "C" the last axis fastest, "F" the first.

    "A" is "F" for an array that is contiguous in that order alone, else "C".
    """
    x = value_of(x)
    if not isinstance(order, str) or order not in ("C", "F", "A"):
        raise ValueRangeError(f'{what}: order: expected "C", "F" or "A", got {convert.describe(order)}')
    if order == "C" or (order == "A" and not _data_of(x).flags.fnc):
        return reshape(x, shape, copy=copy)
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    out: Any = _turned(reshape(_turned(x), sizes[::-1]))
    if copy is False and not np.may_share_memory(_data_of(out), _data_of(x)):
        raise ValueRangeError(f"{what}: copy=False, but {x.shape} as {shape} needs a copy of this array")
    return out.copy("F") if copy else out


def raveled(what: str, x: ArrayLike | Value, order: str = "C") -> Any:
    """The elements along one axis, read in NumPy's `order`; "K" as they lie in memory."""
    x = value_of(x)
    if isinstance(order, str) and order == "K":
        strides = _data_of(x).strides
        return reshape(permute_dims(x, tuple(sorted(range(x.ndim), key=lambda a: -abs(strides[a])))), (-1,))
    if not isinstance(order, str) or order not in ("C", "F", "A"):
        raise ValueRangeError(f'{what}: order: expected "C", "F", "A" or "K", got {convert.describe(order)}')
    return reshaped(what, x, (-1,), order)


def _data_of(x: Array) -> NDArray:
    return x._data if isinstance(x, Value) else x


def _turned(x: Array) -> Any:
    return permute_dims(x, tuple(range(x.ndim))[::-1])


def _axes_hint(x: NDArray, axes: Sequence[int]) -> str:
    return f"the shape {x.shape} has {x.ndim} axes: expected each once, such as {tuple(range(x.ndim))}, got {axes}"


def _inverse(axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort([a % ndim for a in axes]))


@op(
    lambda g, axes: permute_dims(g, _inverse(axes, g.ndim)),
    cases=(Case((2, 3, 4), (1, -1, 0)), Case((), ())),
    label="transpose",
    hint=_axes_hint,
    batch=lambda call: call.run(*call.inputs, axes=(0, *batching.axes_of(call, tuple(call.options["axes"])))),
    jvp="linear",
    math=(r"x^{\pi}", r"g^{\pi^{-1}}"),
)
def permute_dims(x: NDArray, /, axes: Sequence[int]) -> Any:
    """The axes in another order.

    out[i_axes[0], i_axes[1], ...] = x[i_0, i_1, ...].   Shape: x's sizes in the order of `axes`.
    >>> permute_dims(np.array([[1, 2], [3, 4]]), (1, 0))
    array([[1, 3],
           [2, 4]])
    """
    return np.transpose(x, axes)


def _broadcast_hint(x: NDArray, shape: ShapeLike) -> str:
    return (
        f"the shape {x.shape} does not broadcast to {shape}: aligned from the right, each of its sizes must be the "
        "one expected or 1"
    )


def _broadcast_all(call: Call) -> Any:
    shape = call.options["shape"]
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    own = call.shape()
    x = call.inputs[0].reshape((call.size, *(1,) * (len(sizes) - len(own)), *own))
    return call.run(x, shape=(call.size, *sizes))


@op(
    lambda g: g,
    cases=(Case((3, 1), (2, 3, 4)), Case((), (2,)), Case((2, 3), (2, 3))),
    hint=_broadcast_hint,
    batch=_broadcast_all,
    jvp="linear",
    math=(r"x \text{ repeated}", r"\sum_{\text{copies}} g"),
)
def broadcast_to(x: NDArray, /, shape: ShapeLike) -> Any:
    """The elements repeated along new axes and axes of size 1; the engine sums the gradient back.

    Shape: `shape`, to which x's shape must broadcast.
    >>> broadcast_to(np.array([1, 2]), (2, 2))
    array([[1, 2],
           [1, 2]])
    """
    return np.broadcast_to(x, shape)


def _expand_all(call: Call) -> Any:
    axis = call.options["axis"]
    added = len(axis) if isinstance(axis, (tuple, list)) else 1
    return call.run(*call.inputs, axis=batching.axes_of(call, axis, len(call.shape()) + added))


@op(
    lambda g, axis: squeeze(g, axis),
    cases=(Case((2, 3), 1), Case((2, 3), axis=(0, -1))),
    batch=_expand_all,
    jvp="linear",
    math=(r"x \text{ with new axes}", r"g \text{ without them}"),
)
def expand_dims(x: NDArray, /, axis: int | Sequence[int] = 0) -> Any:
    """New axes of size 1 at the given positions of the result.

    Shape: x's with a 1 at each `axis`, an int or a tuple.
    >>> expand_dims(np.array([1, 2]), 1)
    array([[1],
           [2]])
    """
    return np.expand_dims(x, axis)


def _squeeze_all(call: Call) -> Any:
    axis = call.options["axis"]
    if not call.shape() and axis is not None:  # NumPy takes axis 0 of a number
        return None
    ones = tuple(a for a, size in enumerate(call.shape()) if size == 1)
    return call.run(*call.inputs, axis=batching.axes_of(call, ones if axis is None else axis))


def _squeeze_hint(x: NDArray, axis: int | tuple[int, ...]) -> str | None:
    axes = axis if isinstance(axis, tuple) else (axis,)
    if not all(isinstance(a, int) and -x.ndim <= a < x.ndim for a in axes):
        return None
    long = [a for a in axes if x.shape[a] != 1]
    return f"axis {long[0]} of the shape {x.shape} has size {x.shape[long[0]]}, not 1" if long else None


@op(
    lambda g, x_shape: reshape(g, x_shape),
    cases=(Case((2, 1, 3), 1), Case((1, 2, 1), axis=(0, 2))),
    hint=_squeeze_hint,
    batch=_squeeze_all,
    jvp="linear",
    math=(r"x \text{ without axes of size } 1", r"g \text{ with them}"),
)
def squeeze(x: NDArray, /, axis: Axis = None) -> Any:
    """Without axes of size 1: the given ones, or all of them.

    Shape: x's without `axis`. Raises ShapeError if one has another size.
    >>> squeeze(np.array([[1, 2]]), 0)
    array([1, 2])
    """
    return np.squeeze(x, axis)


def value_of(x: Any) -> Array:
    """What a function made of operations begins with: Tensors and arrays as they are, lists as Tensors."""
    return x if isinstance(x, Value) or is_array(x) else convert.wrap(convert.asarray_of(x))  # type: ignore[return-value]  # the Value is a Tensor


@composed
@explained
def moveaxis(x: ArrayLike, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Any:
    """Axes moved to other positions; the others keep their order.

    Shape: x's sizes in the new order. Raises AxisError for an axis that x does not have.
    >>> moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = value_of(x)
    ndim = x.ndim
    sources = [
        axis_of(a, ndim, "moveaxis") for a in (source if isinstance(source, (tuple, list)) else (source,))
    ]
    targets = [
        axis_of(a, ndim, "moveaxis")
        for a in (destination if isinstance(destination, (tuple, list)) else (destination,))
    ]
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ValueRangeError(
            f"moveaxis: expected as many destinations as axes, each once, got {source} and {destination}"
        )
    order = [a for a in range(ndim) if a not in sources]
    for target, axis in sorted(zip(targets, sources)):
        order.insert(target, axis)
    return permute_dims(x, tuple(order))


def axis_of(axis: int, ndim: int, name: str) -> int:
    """An axis counted from the front. Raises AxisError, or DTypeError for what is not an int."""
    if not hasattr(axis, "__index__"):
        raise DTypeError(f"{name}: expected an axis that is an int, got {convert.describe(axis)}")
    if not -ndim <= axis < ndim:
        raise AxisError(f"{name}: axis {axis} is out of bounds for an array with {ndim} axes")
    return index(axis) % ndim


@composed
@explained
def swapaxes(x: ArrayLike, axis1: int, axis2: int, /) -> Any:
    """Two axes exchanged.

    Shape: x's with the two sizes exchanged. Raises AxisError for an axis that x does not have.
    >>> swapaxes(np.zeros((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    x = value_of(x)
    order = list(range(x.ndim))
    first, second = (axis_of(a, len(order), "swapaxes") for a in (axis1, axis2))
    order[first], order[second] = second, first
    return permute_dims(x, tuple(order))


@op(
    lambda g, axis: flip(g, axis),
    cases=(Case((2, 3)), Case((2, 3), axis=1), Case((2, 3, 4), axis=(0, -1)), Case(())),
    batch=batching.along,
    jvp="linear",
    math=("x_{n-1-i}", "g_{n-1-i}"),
)
def flip(x: NDArray, /, axis: Axis = None) -> Any:
    """The elements in reverse order along axes (all of them by default).

    Shape: same as x.
    >>> flip(np.array([1, 2, 3]))
    array([3, 2, 1])
    """
    return np.flip(x, axis)


def _roll_all(call: Call) -> Any:
    x, axis = call.inputs[0], call.options["axis"]
    if axis is None:
        flat = x.reshape((call.size, prod(call.shape())))
        return call.run(flat, axis=1).reshape(x.shape)
    return call.run(x, axis=batching.axes_of(call, axis))


def _opposite(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift


@op(
    lambda g, shift, axis: roll(g, _opposite(shift), axis),
    cases=(Case((2, 3), 1), Case((2, 3), -2, axis=1), Case((2, 3, 4), (1, 5), axis=(0, 2)), Case((), 1)),
    batch=_roll_all,
    jvp="linear",
    math=(r"x_{(i - s) \bmod n}", r"g_{(i + s) \bmod n}"),
)
def roll(x: NDArray, /, shift: int | tuple[int, ...], axis: Axis = None) -> Any:
    """The elements shifted by some positions along axes, those beyond the end put at the start.

    out[(i + shift) mod n] = x[i]; without `axis` the flattened elements move.   Shape: same as x.
    >>> roll(np.array([1, 2, 3]), 1)
    array([3, 1, 2])
    """
    if not all(
        isinstance(s, (int, np.integer)) for s in (shift if isinstance(shift, (tuple, list)) else (shift,))
    ):
        raise DTypeError(
            f"roll: expected a shift that is an int, or a tuple of ints for several axes, got {shift!r}"
        )
    return np.roll(x, shift, axis)


def _repeat_all(call: Call) -> Any:
    return None if call.batched[1] else batching.along_one(call)


def _unrepeated(g: NDArray, x_shape: Shape, repeats: NDArray, axis: int | None) -> NDArray:
    shape = (int(np.prod(x_shape, dtype=int)),) if axis is None else x_shape
    axis = 0 if axis is None else axis % len(shape)
    if np.ndim(repeats) == 0:
        apart = reshape(g, (*shape[: axis + 1], int(repeats), *shape[axis + 1 :]))
        return reshape(apart.sum(axis=axis + 1), x_shape)
    owners = np.repeat(np.arange(shape[axis]), repeats)
    return reshape(place(g, (slice(None),) * axis + (owners,), shape), x_shape)


@op(
    lambda g, x_shape, repeats, axis: _unrepeated(g, x_shape, repeats, axis),
    None,
    cases=(
        Case((2, 3), 2), Case((2, 3), 3, axis=0), Case((2, 3), np.array([2, 0, 1]), axis=-1), Case((3,), 0),
        Case((), 2),
    ),
    batch=_repeat_all, jvp=(lambda t, repeats, axis: repeat(t, repeats, axis=axis), None),
    math=(r"x \text{ repeated}", r"\sum_{\text{copies}} g", ""),
)  # fmt: skip
def repeat(x: NDArray, repeats: NDArray, /, axis: int | None = None) -> Any:
    """Each element repeated along an axis, all as often or each as often as said; flattened without `axis`.

    Shape: x's with `axis` times `repeats`, or their sum.
    >>> repeat(np.array([1, 2]), 2)
    array([1, 1, 2, 2])
    """
    refuse_huge("repeat", "repeats", repeats)
    return np.repeat(x, repeats, axis)


def _tile_all(call: Call) -> Any:
    times = tuple(int(n) for n in np.ravel(np.asarray(call.options["repetitions"])))
    shape = call.shape()
    x = call.inputs[0].reshape((call.size, *(1,) * (len(times) - len(shape)), *shape))
    return call.run(x, repetitions=times)


def _untiled(g: NDArray, x_shape: Shape, repetitions: int | Sequence[int]) -> NDArray:
    times = tuple(int(n) for n in np.ravel(np.asarray(repetitions)))
    ndim = max(len(times), len(x_shape))
    times, sizes = (1,) * (ndim - len(times)) + times, (1,) * (ndim - len(x_shape)) + x_shape
    apart = reshape(g, tuple(n for pair in zip(times, sizes) for n in pair))
    return reshape(apart.sum(axis=tuple(range(0, 2 * ndim, 2))), x_shape)


@op(
    lambda g, x_shape, repetitions: _untiled(g, x_shape, repetitions),
    cases=(Case((2, 3), 2), Case((3,), (2, 1, 2)), Case((2, 3), (2, 2)), Case((), (3,)), Case((2,), 0)),
    batch=_tile_all,
    jvp="linear",
    math=(r"x \text{ repeated}", r"\sum_{\text{copies}} g"),
)
def tile(x: NDArray, repetitions: int | Sequence[int], /) -> Any:
    """The whole array repeated along each axis, as often as said.

    Shape: x's sizes times `repetitions`, both filled up with ones on the left.
    >>> tile(np.array([1, 2]), 2)
    array([1, 2, 1, 2])
    """
    refuse_huge("tile", "repetitions", repetitions)
    return np.tile(x, repetitions)


def _triangles(call: Call) -> Any:
    return call.run(*call.inputs) if len(call.shape()) > 1 else None


TRIANGLES = (Case((3, 3)), Case((2, 3, 4), k=1), Case((3, 2), k=-1), Case((0, 2)))


@op(
    lambda g, k: tril(g, k=k),
    cases=TRIANGLES,
    batch=_triangles,
    jvp="linear",
    math=(r"x_{ij} \cdot [j \le i + k]", r"g_{ij} \cdot [j \le i + k]"),
)
def tril(x: NDArray, /, *, k: int = 0) -> Any:
    """The lower triangles of matrices, zeros above the k-th diagonal.

    out[..., i, j] = x[..., i, j] if j <= i + k else 0.   Shape: same as x, (..., N, M).
    >>> tril(np.array([[1, 2], [3, 4]]))
    array([[1, 0],
           [3, 4]])
    """
    return np.tril(x, k)


@op(
    lambda g, k: triu(g, k=k),
    cases=TRIANGLES,
    batch=_triangles,
    jvp="linear",
    math=(r"x_{ij} \cdot [j \ge i + k]", r"g_{ij} \cdot [j \ge i + k]"),
)
def triu(x: NDArray, /, *, k: int = 0) -> Any:
    """The upper triangles of matrices, zeros below the k-th diagonal.

    out[..., i, j] = x[..., i, j] if j >= i + k else 0.   Shape: same as x, (..., N, M).
    >>> triu(np.array([[1, 2], [3, 4]]))
    array([[1, 2],
           [0, 4]])
    """
    return np.triu(x, k)
