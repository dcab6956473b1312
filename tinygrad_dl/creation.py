"""Functions that make Tensors: of arrays and lists, zeros, ranges, grids. Floats take the default dtype."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from tinygrad_dl import config, convert
from tinygrad_dl.arguments import LARGEST, Size, checked, explained
from tinygrad_dl.convert import constant
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, modes, tell
from tinygrad_dl.ops import elementwise
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.shape import broadcast_to
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import ArrayLike, DTypeLike, Scalar, ShapeLike


def check_device(device: str | None, name: str) -> None:
    """Raise ValueRangeError for a device that is not there."""
    if device not in (None, "cpu"):
        raise ValueRangeError(f'{name}: expected the device "cpu", the only one, got {device!r}')


def _number(x: object) -> Any:
    return x.item() if isinstance(x, (Tensor, np.ndarray, np.generic)) else x


def _dtype_for(*numbers: object) -> Any:
    """The dtype that Python numbers make: the default one for floats, NumPy's for integers and booleans."""
    if any(isinstance(n, complex) for n in numbers):
        return np.result_type(config.default_dtype, np.complex64)
    if any(isinstance(n, float) for n in numbers):
        return config.default_dtype
    return None


@explained
def asarray(
    obj: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | None = None, copy: bool | None = None
) -> Tensor:
    """A Tensor of an array, a list or a number; arrays are shared unless `copy` or a new dtype needs a copy.

    A Tensor comes back as it is. Raises ValueRangeError if `copy=False` cannot be kept.
    >>> asarray([1, 2])
    Tensor([1, 2])
    """
    check_device(device, "asarray")
    if isinstance(obj, Tensor) and (dtype is None or obj.dtype == dtype):
        return obj.copy() if copy else obj
    if isinstance(obj, Tensor):
        if copy is False:
            raise ValueRangeError("asarray: copy=False, but a new array is needed for this object and dtype")
        kind: Any = dtype
        return elementwise.astype(obj, kind)
    array = convert.asarray_of(obj, dtype)
    shared = isinstance(obj, np.ndarray) and np.may_share_memory(array, obj)
    if copy is False and not shared:
        raise ValueRangeError("asarray: copy=False, but a new array is needed for this object and dtype")
    result = convert.wrap(array.copy() if copy and shared else array)
    if active:
        tell("created", result, obj)
    return result


@explained
def zeros(shape: ShapeLike, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """A Tensor of zeros, of the default dtype unless another is given.

    Shape: `shape`, an int or a tuple.
    >>> zeros((2, 2))
    Tensor([[0., 0.],
            [0., 0.]])
    """
    check_device(device, "zeros")
    return constant(np.zeros(sizes_of(shape, "zeros"), config.default_dtype if dtype is None else dtype))


@explained
def ones(shape: ShapeLike, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """A Tensor of ones, of the default dtype unless another is given.

    Shape: `shape`, an int or a tuple.
    >>> ones(3)
    Tensor([1., 1., 1.])
    """
    check_device(device, "ones")
    return constant(np.ones(sizes_of(shape, "ones"), config.default_dtype if dtype is None else dtype))


@explained
def empty(shape: ShapeLike, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """A Tensor whose elements are not set yet, of the default dtype unless another is given.

    Shape: `shape`, an int or a tuple.
    >>> empty((2, 0)).shape
    (2, 0)
    """
    check_device(device, "empty")
    return constant(np.empty(sizes_of(shape, "empty"), config.default_dtype if dtype is None else dtype))


@explained
def full(
    shape: ShapeLike, fill_value: ArrayLike, *, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """A Tensor with one value everywhere, recorded; a Python float makes the default dtype.

    Shape: `shape`, an int or a tuple.
    >>> full(2, 7.0)
    Tensor([7., 7.])
    """
    check_device(device, "full")
    sizes = sizes_of(shape, "full")
    if active and modes.watchers and isinstance(fill_value, np.ndarray):
        fill_value = asarray(fill_value)  # which a compiled step reads at every run
    if isinstance(fill_value, Value) and (fill_value.node is not None or (active and modes.watchers)):
        made = fill_value if dtype is None else elementwise.astype(fill_value, dtype)
        filled = broadcast_to(made, sizes)
        return filled if filled.node is not None else elementwise.positive(filled)
    value = fill_value._data if isinstance(fill_value, Value) else fill_value
    value = convert.asarray_of(value, _dtype_for(value) if dtype is None else dtype)
    if value.ndim > len(sizes) or any(m not in (1, n) for n, m in zip(sizes[::-1], value.shape[::-1])):
        raise ShapeError(f"full: values of the shape {value.shape} do not fill the shape {sizes}")
    return constant(np.full(sizes, value))


def sizes_of(shape: ShapeLike, name: str) -> tuple[int, ...]:
    """A shape argument as a tuple of ints; `name` is named in errors."""
    try:
        sizes = tuple(
            int(n.__index__()) for n in (shape if isinstance(shape, (tuple, list)) else (cast(int, shape),))
        )
    except (AttributeError, TypeError):
        raise DTypeError(
            f"{name}: expected an int or a tuple of ints for the shape, got {convert.short(shape)}"
        ) from None
    if any(n < 0 for n in sizes):
        raise ValueRangeError(f"{name}: expected sizes of at least 0, got {shape!r}")
    if any(n > LARGEST for n in sizes):
        raise ValueRangeError(f"{name}: expected sizes of at most {LARGEST}, got {shape!r}")
    return sizes


def _like(x: ArrayLike, dtype: DTypeLike | None) -> tuple[tuple[int, ...], Any]:
    data = convert.asarray_of(x)
    return data.shape, data.dtype if dtype is None else dtype


@explained
def zeros_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """A Tensor of zeros with the shape and dtype of x.

    Shape: same as x.
    >>> zeros_like(Tensor([1, 2]))
    Tensor([0, 0])
    """
    shape, dtype = _like(x, dtype)
    return zeros(shape, dtype=dtype, device=device)


@explained
def ones_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """A Tensor of ones with the shape and dtype of x.

    Shape: same as x.
    >>> ones_like(Tensor([1, 2]))
    Tensor([1, 1])
    """
    shape, dtype = _like(x, dtype)
    return ones(shape, dtype=dtype, device=device)


@explained
def empty_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """A Tensor with the shape and dtype of x whose elements are not set yet.

    Shape: same as x.
    >>> empty_like(Tensor([1, 2])).shape
    (2,)
    """
    shape, dtype = _like(x, dtype)
    return empty(shape, dtype=dtype, device=device)


@explained
def full_like(
    x: ArrayLike, /, fill_value: ArrayLike, *, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """A Tensor with the shape and dtype of x and one value everywhere.

    Shape: same as x.
    >>> full_like(Tensor([1, 2]), 7)
    Tensor([7, 7])
    """
    shape, dtype = _like(x, dtype)
    return full(shape, fill_value, dtype=dtype, device=device)


@checked
def arange(
    start: Scalar | Tensor,
    /,
    stop: Scalar | Tensor | None = None,
    step: Scalar | Tensor = 1,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """The numbers from `start` in steps, `stop` excluded; with one number from 0 up to it.

    out_k = start + k * step.   Shape: (ceil((stop - start) / step),). Raises ValueRangeError for step 0.
    >>> arange(3)
    Tensor([0, 1, 2])
    """
    check_device(device, "arange")
    for name, x in (("start", start), ("stop", stop), ("step", step)):
        if isinstance(x, Value) and x.node is not None and modes.recording:
            raise GraphError(
                f"arange: {name}: there is no gradient for this argument, and the Tensor requires grad. "
                "Call .detach() on it, or use linspace."
            )
    first, last, step = _number(start), _number(stop), _number(step)
    if last is None:
        first, last = 0, first
    if step == 0:
        raise ValueRangeError("arange: the step is not 0")
    length = (last - first) / step
    if not abs(length) <= LARGEST:
        raise ValueRangeError(
            f"arange: expected at most {LARGEST} numbers, got start={first}, stop={last}, step={step}"
        )
    dtype = _dtype_for(first, last, step) if dtype is None else dtype
    return constant(np.arange(first, last, step, dtype))  # type: ignore[call-overload]


@checked
def linspace(
    start: Scalar | Tensor,
    stop: Scalar | Tensor,
    /,
    num: Size,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` numbers at equal distances, from `start` to `stop`, which `endpoint=False` leaves out.

    out_k = start + k * (stop - start) / (num - 1).   Shape: (num,).
    >>> linspace(0, 1, 3)
    Tensor([0. , 0.5, 1. ])
    """
    check_device(device, "linspace")
    out, _ = spaced("linspace", start, stop, num, endpoint)
    numbers = not any(isinstance(x, (Value, np.ndarray, list, tuple)) for x in (start, stop))
    dtype = _dtype_for(_number(start), _number(stop), 0.0) if dtype is None and numbers else dtype
    return out if dtype is None or out.dtype == dtype else elementwise.astype(out, dtype)


def spaced(what: str, start: ArrayLike, stop: ArrayLike, num: Any, endpoint: object) -> tuple[Any, Any]:
    """`num` values at equal distances along a new first axis, recorded, and the distance."""
    num = _number(num)
    if not isinstance(num, (int, np.integer)):
        raise DTypeError(f"{what}: num: expected an int, got {convert.describe(num)}")
    if num < 0:
        raise ValueRangeError(f"{what}: expected num of at least 0, got {num}")
    if not isinstance(endpoint, (bool, np.bool_)):
        raise DTypeError(f"{what}: endpoint: expected True or False, got {convert.describe(endpoint)}")
    first: Any = _end(what, start)
    last: Any = _end(what, stop)
    if not any(isinstance(x, Value) for x in (first, last)):  # a number alone is weak
        first = convert.wrap(np.asarray(first, np.result_type(first, 0.0)))
    steps = int(num) - 1 if endpoint else int(num)
    distance = (last - first) / steps if steps > 0 else (last - first) * np.nan
    shape = np.broadcast_shapes(np.shape(_values(first)), np.shape(_values(last)))
    counted = np.arange(int(num), dtype=distance.dtype).reshape(-1, *(1,) * len(shape))
    out = first + counted * (distance if steps > 0 else last - first)
    if endpoint and num > 1:  # exactly there, whatever the rounding of the sum
        end = last if isinstance(last, Value) else convert.wrap(np.asarray(last, out.dtype))
        out = concat([out[:-1], elementwise.astype(broadcast_to(end, (1, *shape)), out.dtype)], axis=0)
    return out, distance


def _end(what: str, x: ArrayLike) -> Any:
    """An end of the values: a Python number, or a Tensor of a floating dtype."""
    x = x if isinstance(x, Value) else convert.coerce(what, x)
    if isinstance(x, (int, float, complex)):
        return x if isinstance(x, complex) else float(x)
    x = x if isinstance(x, Value) else convert.wrap(x)
    return x if x.dtype.kind in "fc" else elementwise.astype(x, np.float64)


def _values(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x


@checked
def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """The identity matrix: ones on the k-th diagonal, zeros elsewhere.

    out[i, j] = 1 if j == i + k else 0.   Shape: (n_rows, n_cols), square without `n_cols`.
    >>> eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    check_device(device, "eye")
    rows, columns = sizes_of((n_rows, n_rows if n_cols is None else n_cols), "eye")
    return constant(np.eye(rows, columns, k, config.default_dtype if dtype is None else dtype))


@checked
def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A Tensor that shares the memory of another library's array, by the DLPack protocol.

    Shape: same as x. Raises DTypeError for what has no `__dlpack__`.
    >>> from_dlpack(np.array([1, 2]))
    Tensor([1, 2])
    """
    check_device(device, "from_dlpack")
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: expected an array with __dlpack__, got {convert.describe(x)}")
    try:
        array = np.from_dlpack(x)
    except BufferError as error:
        raise DTypeError(f"from_dlpack: expected numbers, got {convert.describe(x)} ({error})") from None
    return convert.wrap(array.copy() if copy else array)
