"""PyTorch's dtypes, devices and sizes, and its rules for the dtype of a result."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.tensor import Tensor as Value


class dtype:
    """A dtype under PyTorch's name. NumPy takes it for its own: it has `dtype`, and equals it."""

    __slots__ = ("dtype", "name")

    def __init__(self, name: str, numpy: Any) -> None:
        self.name, self.dtype = name, np.dtype(numpy)

    @property
    def is_floating_point(self) -> builtins.bool:
        """Whether it is float16, float32 or float64."""
        return self.dtype.kind == "f"

    @property
    def is_complex(self) -> builtins.bool:
        """Whether it is complex64 or complex128."""
        return self.dtype.kind == "c"

    @property
    def is_signed(self) -> builtins.bool:
        """Whether it has negative numbers."""
        return self.dtype.kind in "fci"

    def to_real(self) -> dtype:
        """The dtype of a real part."""
        empty: Any = np.empty(0, self.dtype)
        return of(empty.real.dtype)

    def to_complex(self) -> dtype:
        """The complex dtype with such a real part."""
        return of(np.result_type(self.dtype, np.complex64))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dtype, name)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, dtype):
            return self.name == other.name
        try:
            return self.dtype == other
        except TypeError:
            return False

    def __hash__(self) -> builtins.int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> Any:
        return _dtype_named, (self.name,)


float16 = half = dtype("float16", np.float16)
float32 = float = dtype("float32", np.float32)
float64 = double = dtype("float64", np.float64)
complex64 = cfloat = dtype("complex64", np.complex64)
complex128 = cdouble = dtype("complex128", np.complex128)
uint8 = dtype("uint8", np.uint8)
uint16 = dtype("uint16", np.uint16)
uint32 = dtype("uint32", np.uint32)
uint64 = dtype("uint64", np.uint64)
int8 = dtype("int8", np.int8)
int16 = short = dtype("int16", np.int16)
int32 = int = dtype("int32", np.int32)
int64 = long = dtype("int64", np.int64)
bool = dtype("bool", np.bool_)
#: Computed as float32: NumPy has no bfloat16. What is converted to it warns once.
bfloat16 = dtype("bfloat16", np.float32)

_ALL = (
    float16,
    float32,
    float64,
    complex64,
    complex128,
    uint8,
    uint16,
    uint32,
    uint64,
    int8,
    int16,
    int32,
    int64,
    bool,
)
_OF = {one.dtype: one for one in _ALL}


def _dtype_named(name: str) -> dtype:
    found: dtype = globals()[name]
    return found


def of(numpy: Any) -> dtype:
    """PyTorch's name for a dtype of NumPy's."""
    found = _OF.get(numpy)
    return found if found is not None else _OF[np.dtype(numpy).newbyteorder("=")]


def numpy_of(given: Any) -> Any:
    """A dtype argument as NumPy's: PyTorch's, NumPy's, Python's float, int, bool and complex; None stays None."""
    if given is None:
        return None
    if isinstance(given, dtype):
        if given is bfloat16:
            warnings.warn(
                "torch.bfloat16: NumPy has no bfloat16; float32 is used in its place.", stacklevel=4
            )
        return given.dtype
    if given is builtins.float:
        return config.default_dtype
    try:
        return np.dtype(given)
    except TypeError:
        raise DTypeError(f"dtype: expected a torch.dtype, got {type(given).__name__} {given!r}") from None


def get_default_dtype() -> dtype:
    """The dtype of Python floats and of new parameters."""
    return of(config.default_dtype)


def set_default_dtype(d: Any) -> None:
    """Set the dtype that Python floats and new parameters take."""
    config.set_default_dtype(numpy_of(d))


class device:
    """A device: "cpu" is the only one there is; others can be named and compared, but hold nothing."""

    __slots__ = ("index", "type")

    def __init__(self, type: Any = "cpu", index: builtins.int | None = None) -> None:
        if isinstance(type, device):
            given: Any = str(type)
        else:
            given = f"cuda:{type}" if isinstance(type, builtins.int) else type
        if not isinstance(given, str):
            raise DTypeError(f"torch.device: expected a string such as 'cpu', got {given!r}")
        name, _, number = given.partition(":")
        if name not in ("cpu", "cuda", "mps", "meta", "xpu", "xla", "hpu"):
            raise ValueRangeError(f"torch.device: expected a device such as 'cpu', got {given!r}")
        self.type, self.index = name, builtins.int(number) if number else index

    def __eq__(self, other: object) -> builtins.bool:
        if isinstance(other, device):
            return (self.type, self.index) == (other.type, other.index)
        return NotImplemented

    def __hash__(self) -> builtins.int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + ("" if self.index is None else f", index={self.index}") + ")"

    def __enter__(self) -> device:
        check_device(self)
        return self

    def __exit__(self, *exc: object) -> None:
        pass


CPU = device("cpu")


def check_device(given: Any) -> None:
    """Raise RuntimeError, as PyTorch's CPU builds do, for a device that is not there."""
    if given is None or given == "cpu" or (isinstance(given, device) and given.type == "cpu"):
        return
    one = device(given)
    if one.type != "cpu":
        raise RuntimeError(f"tinygrad_dl.torch runs on the CPU only: there is no device {str(one)!r}")


class Size(tuple[Any, ...]):
    """The sizes of a Tensor's axes: a tuple with numel()."""

    __slots__ = ()

    def numel(self) -> builtins.int:
        """The number of elements."""
        return prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return Size(found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Any:
        return Size(tuple(self) + tuple(other))

    def __mul__(self, times: Any) -> Any:
        return Size(tuple(self) * times)


class Count(builtins.int):
    """The number of elements as the core reads it; called, the sizes: `x.size()`, `x.size(0)`."""

    shape: tuple[builtins.int, ...]

    def __call__(self, dim: builtins.int | None = None) -> Any:
        if dim is None:
            return Size(self.shape)
        if not -len(self.shape) <= dim < len(self.shape):
            raise IndexError(
                f"size: Dimension out of range (expected to be in range of [{-len(self.shape)}, "
                f"{len(self.shape) - 1}], but got {dim})"
            )
        return self.shape[dim]


class finfo:
    """The limits of a floating dtype."""

    def __init__(self, type: Any = None) -> None:
        found: Any = np.finfo(config.default_dtype if type is None else numpy_of(type))
        self.bits, self.dtype = builtins.int(found.bits), str(found.dtype)
        self.eps, self.max, self.min = (
            builtins.float(found.eps),
            builtins.float(found.max),
            builtins.float(found.min),
        )
        self.tiny = self.smallest_normal = builtins.float(found.tiny)
        self.resolution = builtins.float(found.resolution)


class iinfo:
    """The limits of an integer dtype."""

    def __init__(self, type: Any) -> None:
        found = np.iinfo(numpy_of(type))
        self.bits, self.max, self.min = found.bits, builtins.int(found.max), builtins.int(found.min)
        self.dtype = str(found.dtype)


# The dtype of a result


def _promoted(a: Any, b: Any) -> Any:
    if a is None or b is None or a == b:
        return b if a is None else a
    if a.kind in "fc" and b.kind in "biu":
        return a
    if b.kind in "fc" and a.kind in "biu":
        return b
    return np.result_type(a, b)


_CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def _combined(higher: Any, lower: Any) -> Any:
    """Dimensioned Tensors decide over those without axes, and these over numbers, unless the category is higher."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    if _CATEGORY[lower.kind] <= _CATEGORY[higher.kind]:
        return higher
    if higher.kind == "f":  # a complex number
        return np.result_type(higher, np.complex64)
    return lower


def result_type_of(values: Iterable[Any]) -> np.dtype:
    """The dtype, as NumPy's, of an elementwise operation on Tensors, arrays and Python numbers."""
    axes: Any = None
    scalars: Any = None
    numbers: Any = None
    for x in values:
        if isinstance(x, (Value, np.ndarray)):
            data: Any = x._data if isinstance(x, Value) else x
            if data.ndim:
                axes = _promoted(axes, data.dtype)
            else:
                scalars = _promoted(scalars, data.dtype)
        elif isinstance(x, (builtins.bool, np.bool_)):
            numbers = _promoted(numbers, np.dtype(np.bool_))
        elif isinstance(x, (builtins.int, np.integer)):
            numbers = _promoted(numbers, np.dtype(np.int64))
        elif isinstance(x, (builtins.float, np.floating)):
            numbers = _promoted(numbers, config.default_dtype)
        elif isinstance(x, (complex, np.complexfloating)):
            numbers = _promoted(numbers, np.result_type(config.default_dtype, np.complex64))
    found: np.dtype = _combined(_combined(axes, scalars), numbers)
    return found


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype of an elementwise operation on the two."""
    return of(result_type_of((tensor1, tensor2)))


def promote_types(type1: Any, type2: Any) -> dtype:
    """The smallest dtype that both convert to."""
    return of(_promoted(numpy_of(type1), numpy_of(type2)))


def can_cast(from_: Any, to: Any) -> builtins.bool:
    """Whether PyTorch converts the one to the other in results."""
    return _CATEGORY[numpy_of(from_).kind] <= _CATEGORY[numpy_of(to).kind]
