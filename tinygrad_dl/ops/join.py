"""Operations that put arrays together and take them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import checked, explained
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.shape import axis_of, broadcast_to, moveaxis, reshape, value_of
from tinygrad_dl.typing import ArrayLike, NDArray, Shape


def _part(g: NDArray, i: int, shapes: Sequence[Shape], axis: int | None) -> NDArray:
    if axis is None:
        sizes = [int(np.prod(s, dtype=int)) for s in shapes]
        start = sum(sizes[:i])
        return reshape(g[start : start + sizes[i]], shapes[i])
    axis %= g.ndim
    start = sum(s[axis] for s in shapes[:i])
    return g[(slice(None),) * axis + (slice(start, start + shapes[i][axis]),)]


def _concat_all(call: batching.Call) -> Any:
    axis, arrays = call.options["axis"], [call.full(i) for i in range(len(call.inputs))]
    if axis is None:
        return concat([x.reshape((call.size, int(np.prod(x.shape[1:], dtype=int)))) for x in arrays], axis=1)
    return concat(arrays, axis=batching.axes_of(call, axis))


def _stack_all(call: batching.Call) -> Any:
    axis = batching.axes_of(call, call.options["axis"], len(call.shape()) + 1)
    return stack([call.full(i) for i in range(len(call.inputs))], axis=axis)


def _concat_hint(arrays: Sequence[NDArray], axis: int | None) -> str | None:
    shapes = [np.shape(x) for x in arrays]
    ndim = len(shapes[0])
    if axis is None or not all(len(s) == ndim for s in shapes):
        wrong = next((s for s in shapes if len(s) != ndim), None)
        if wrong is None:
            return None
        return f"{shapes[0]} and {wrong} have a different number of axes. Reshape one, or stack them?"
    if not isinstance(axis, int) or not -ndim <= axis < ndim:
        return None
    for shape in shapes[1:]:
        for a, (n, m) in enumerate(zip(shapes[0], shape)):
            if n != m and a != axis % ndim:
                return f"{shapes[0]} and {shape} differ in axis {a}; along axis={axis} only they may"
    return None


def _stack_hint(arrays: Sequence[NDArray], axis: int) -> str | None:
    shapes = [np.shape(x) for x in arrays]
    wrong = next((s for s in shapes if s != shapes[0]), None)
    return (
        None
        if wrong is None
        else f"expected equal shapes, got {shapes[0]} and {wrong}. concat joins along an axis."
    )


@op(
    lambda g, i, shapes, axis: _part(g, i, shapes, axis),
    variadic=True,
    cases=(
        Case(((2, 3), (1, 3))), Case(((2, 3), (2, 1), (2, 0)), axis=-1), Case(((2,), (), (1, 2)), axis=None),
    ),
    hint=_concat_hint,
    batch=_concat_all, jvp="linear",
    math=(r"(x_1, x_2, \ldots)", r"\text{the part of } g \text{ at } x_i"),
)  # fmt: skip
def concat(arrays: Sequence[NDArray], /, axis: int | None = 0) -> Any:
    """Arrays put one behind another along an axis that they have; axis=None flattens them first.

    Shapes: equal but along `axis`, where the sizes add up.
    >>> concat([np.array([1, 2]), np.array([3])])
    array([1, 2, 3])
    """
    return np.concatenate(arrays, axis=axis)


@op(
    lambda g, i, axis: moveaxis(g, axis, 0)[i],
    variadic=True,
    cases=(Case(((2, 3), (2, 3))), Case(((2, 3), (2, 3), (2, 3)), axis=-1), Case(((), ()))),
    hint=_stack_hint,
    batch=_stack_all,
    jvp="linear",
    math=(r"(x_1, x_2, \ldots)", "g_i"),
)
def stack(arrays: Sequence[NDArray], /, axis: int = 0) -> Any:
    """Arrays of one shape put side by side along a new axis.

    Shapes: n of the same shape -> that shape with n at `axis`.
    >>> stack([np.array([1, 2]), np.array([3, 4])])
    array([[1, 2],
           [3, 4]])
    """
    return np.stack(arrays, axis=axis)


@checked
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, as a tuple: the counterpart of stack.

    Shapes: x's without `axis`, as many as `axis` is long. Raises AxisError without such an axis.
    >>> unstack(np.array([[1, 2], [3, 4]]))
    (array([1, 2]), array([3, 4]))
    """
    x = value_of(x)
    front = moveaxis(x, axis_of(axis, x.ndim, "unstack"), 0)
    return tuple(front[i] for i in range(front.shape[0]))


@checked
def split(x: Any, indices_or_sections: Any, /, axis: int = 0) -> tuple[Any, ...]:
    """Parts along an axis: that many equal ones, or split at the given positions.

    Shapes: x's but along `axis`. Raises ShapeError if the size is not a multiple of the number of parts.
    >>> split(np.array([1, 2, 3, 4]), 2)
    (array([1, 2]), array([3, 4]))
    """
    x = value_of(x)
    front = moveaxis(x, axis_of(axis, x.ndim, "split"), 0)
    size = front.shape[0]
    if isinstance(indices_or_sections, (int, np.integer)):
        parts = int(indices_or_sections)
        if parts < 1 or size % parts:
            raise ShapeError(
                f"split: {size} elements along axis {axis} do not make {parts} equal parts. "
                "Give the positions to split at, such as split(x, [2, 5])."
            )
        cuts = [size // parts * i for i in range(parts + 1)]
    else:
        cuts = [0, *(int(c) for c in indices_or_sections), size]
    return tuple(moveaxis(front[start:stop], 0, axis) for start, stop in zip(cuts[:-1], cuts[1:]))


@explained
def broadcast_arrays(*arrays: ArrayLike) -> tuple[Any, ...]:
    """Arrays repeated to the shape to which all of them broadcast, as a tuple.

    Shapes: all that of the broadcast. Raises ShapeError if there is none.
    >>> broadcast_arrays(np.array([1, 2]), np.array([3]))
    (array([1, 2]), array([3, 3]))
    """
    values = tuple(value_of(x) for x in arrays)
    shapes = [x.shape for x in values]
    try:
        whole = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ShapeError(
            f"broadcast_arrays({', '.join(map(str, shapes))}): the shapes do not broadcast: "
            "aligned from the right, two sizes must be equal or one of them 1"
        ) from error
    return tuple(broadcast_to(x, whole) for x in values)


@checked
def meshgrid(*arrays: Any, indexing: str = "xy") -> tuple[Any, ...]:
    """The coordinates of a grid, from those along each axis: "ij" in order, "xy" with the first two swapped.

    Shapes: (N,), (M,) -> (N, M) twice for "ij", (M, N) twice for "xy". Raises ShapeError otherwise.
    >>> meshgrid(np.array([1, 2]), np.array([3]))
    (array([[1, 2]]), array([[3, 3]]))
    """
    if indexing not in ("xy", "ij"):
        raise ValueRangeError(f'meshgrid: expected indexing "xy" or "ij", got {indexing!r}')
    n = len(arrays)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[0], order[1] = 1, 0
    lined = []
    for position, x in zip(order, map(value_of, arrays)):
        if x.ndim > 1:
            raise ShapeError(f"meshgrid: expected arrays with one axis, got shape {x.shape}")
        lined.append(reshape(x, tuple(-1 if i == position else 1 for i in range(n))))
    return broadcast_arrays(*lined)
