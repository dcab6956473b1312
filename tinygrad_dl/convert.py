"""What an argument becomes: arrays of lists and numbers, Tensors of arrays, and words for error messages."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tinygrad_dl import config
from tinygrad_dl.backend import is_array
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.graph import Node, Value
from tinygrad_dl.modes import active, modes, tell
from tinygrad_dl.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from tinygrad_dl.tensor import Tensor

_tensor_type: Any = Value


def bind_tensor(tensor: type[Value]) -> None:
    """Register the class of results; it is defined on a higher floor, in tensor.py."""
    global _tensor_type
    _tensor_type = tensor


def tensor_type() -> type[Tensor]:
    """The class of results: Tensor."""
    return _tensor_type


def wrap(out: npt.ArrayLike) -> Tensor:
    """A Tensor of an array, which is shared; it does not require grad."""
    result = object.__new__(_tensor_type)
    result._data = out if type(out) is np.ndarray else np.asarray(out)
    result.node = result._name = None  # looking up a name that was never set takes ten times as long
    return result


def attach(data: Any, entry: object) -> Any:
    """A saved value as a Tensor connected to its node, for rules that record; what has no node as it is.

    While operations are watched that is a Tensor, too, as nobody sees what is done with arrays, such as `x.mT`.
    """
    if type(entry) is not Node or data is None:
        if active and modes.watchers and type(data) is np.ndarray and data.dtype.kind in "fc":
            return wrap(data)
        return data
    result = wrap(data)
    result.node = entry
    for level in modes.levels:
        result = level.attached(result)
    return result


def values_of(x: Any) -> Any:
    """The array of a value, for checks of values; under func.vmap that of all examples, the batch axes in front."""
    while isinstance(x, Value) and x.level is not None:
        x = x.held
    return x._data if isinstance(x, Value) else x


def conjugated(x: Any) -> Any:
    """The complex conjugate of an array or a Tensor; a real one as it is, without an operation."""
    return x.conj() if x.dtype.kind == "c" else x


def as_pairs(x: Any) -> NDArray:
    """A view of complex numbers as (real, imaginary) along a last axis: what is written into it reaches x."""
    half = x.dtype.itemsize // 2
    return np.lib.stride_tricks.as_strided(x.real, (*x.shape, 2), (*x.strides, half))


def as_complex(pairs: NDArray) -> NDArray:
    """The counterpart of as_pairs; a view where the pairs are contiguous."""
    return np.ascontiguousarray(pairs).view(np.result_type(pairs, np.complex64))[..., 0]


def dtype_of(dtype: Any, what: str) -> np.dtype:
    """A dtype argument as NumPy's object; DTypeError for what is none, or none of numbers."""
    try:
        found = np.dtype(dtype)
    except Exception:  # whatever NumPy raises
        found = None
    if found is None or found.kind not in "biufc" or isinstance(dtype, float):
        raise DTypeError(f"{what}: dtype: expected a dtype of numbers or None, got {describe(dtype)}")
    return found


def beside(x: Any, array: NDArray) -> Any:
    """An array that follows from shapes and options alone, for an operation with x: beside a Tensor a Tensor.

    So a compiled step knows that it is the same at every call.
    """
    return constant(array) if isinstance(x, Value) else array


def constant(array: NDArray) -> Tensor:
    """A Tensor of an array that follows from shapes, dtypes and numbers alone: see `beside`."""
    found = wrap(array)
    if active:
        tell("created", found, None)
    return found


def asarray_of(x: Any, dtype: DTypeLike | None = None, what: str = "asarray") -> NDArray:
    """A list, a number or an array as an array; Python floats take the default dtype. `what` is named in errors."""
    if dtype is not None:
        dtype = dtype_of(dtype, what)
    if isinstance(x, Value):
        array = x._data if x.level is None else np.asarray(x._data)
    elif isinstance(x, (np.ndarray, np.generic)):
        array = np.asarray(x)
    elif isinstance(x, (list, tuple)) and any(isinstance(v, Value) for v in x):
        if any(
            isinstance(v, Value) and (v.level is not None or (modes.recording and v.node is not None))
            for v in x
        ):
            raise GraphError(
                f"{what}: the list holds Tensors that require grad, and its array would be cut off from the graph. "
                "Use stack(list), or detach() them."
            )
        array = np.stack([asarray_of(v, None, what) for v in x])
    else:
        try:
            array = np.asarray(x, dtype)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            if "inhomogeneous" in str(error):
                raise ShapeError(
                    f"{what}: expected nested lists with rows of equal length, got rows of different lengths. "
                    "Pad them to one length first."
                ) from None
            raise DTypeError(f"{what}: expected numbers, got {describe(x)} ({error})") from None
        # float64 arrays inside a list keep their dtype; Python floats are weak.
        if dtype is None and array.dtype == np.float64 and not _contains_float64_array(x):
            array = array.astype(config.default_dtype)
        elif dtype is None and array.dtype == np.complex128 and config.default_dtype == np.float32:
            array = array.astype(np.complex64)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if array.dtype.kind not in "biufc":
        raise DTypeError(f"{what}: expected numbers or booleans, got {describe(x)}")
    return array


def _contains_float64_array(x: object) -> bool:
    """Whether the first innermost element of nested lists is a float64 array."""
    while isinstance(x, (list, tuple)) and len(x):
        x = x[0]
    return isinstance(x, np.ndarray) and x.dtype == np.float64


def coerce(what: str, x: object) -> Any:
    """An argument that is not a Tensor as an array or a Python number; DTypeError if that cannot be done.

    `what` names the operation in the error.
    """
    if isinstance(x, np.ndarray):
        if x.dtype.kind in "biufc":
            return x if type(x) is np.ndarray else x.view(np.ndarray)
    elif isinstance(x, np.generic):
        if x.dtype.kind in "biufc":
            # np.float64 is a Python float too, and weak as one is.
            return float(x) if type(x) is np.float64 else x
    elif isinstance(x, (builtins.int, builtins.float, builtins.complex)):
        return x
    elif isinstance(x, (list, tuple)):
        return asarray_of(x)
    elif is_array(x):
        return x
    raise DTypeError(f"{what}: expected a Tensor, an array or a number, got {describe(x)}")


def describe(x: object) -> str:
    """An argument in few words, for error messages."""
    if isinstance(x, (Value, np.ndarray)):
        data = x._data if isinstance(x, Value) else x
        return f"an array of shape {data.shape} and dtype {data.dtype}"
    return f"{type(x).__name__} {short(x)}"


def short(x: object) -> str:
    """The representation of an argument, cut where it is long."""
    text = repr(x[:20]) if isinstance(x, (list, tuple, str, bytes)) and len(x) > 20 else repr(x)
    return text if len(text) <= 40 else text[:37] + "..."


def shape_text(x: object) -> str:
    """An input in an error message: its shape, or the number itself."""
    data = x._data if isinstance(x, Value) else x
    return str(getattr(data, "shape", repr(data)))
