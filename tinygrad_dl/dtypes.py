"""Dtypes: the objects, and what can be asked of them."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.arguments import explained
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.typing import ArrayLike, DTypeLike

bool = np.dtype(np.bool_)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)

# The kinds of the array API standard; float16 is ours, outside of it.
KINDS: dict[str, tuple[np.dtype, ...]] = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, uint16, uint32, uint64),
    "integral": (int8, int16, int32, int64, uint8, uint16, uint32, uint64),
    "real floating": (float32, float64),
    "complex floating": (complex64, complex128),
}
KINDS["numeric"] = (*KINDS["integral"], *KINDS["real floating"], *KINDS["complex floating"])


def _plain(x: object) -> Any:
    return x._data if isinstance(x, Value) else x


def _dtype_of(x: object) -> np.dtype:
    data = _plain(x)
    return data.dtype if isinstance(data, (np.ndarray, np.generic)) else np.dtype(data)


@explained
def isdtype(dtype: DTypeLike, kind: DTypeLike | tuple[DTypeLike, ...]) -> builtins.bool:
    """Whether a dtype is of a kind: another dtype, a name such as "real floating", or a tuple of these.

    Raises ValueRangeError for an unknown name.
    >>> isdtype(float32, ("integral", "real floating"))
    True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    dtype = np.dtype(dtype)
    if not isinstance(kind, str):
        return dtype == np.dtype(kind)
    if kind not in KINDS:
        raise ValueRangeError(
            f"isdtype: expected kind to be a dtype or one of {', '.join(KINDS)}, got {kind!r}"
        )
    return dtype in KINDS[kind] or dtype == float16 and kind in ("real floating", "numeric")


@explained
def can_cast(from_: ArrayLike | DTypeLike, to: DTypeLike, /) -> builtins.bool:
    """Whether a dtype, or that of an array, converts to another without losing values.

    >>> can_cast(float32, float64)
    True
    """
    return np.can_cast(_dtype_of(from_), _dtype_of(to))


@explained
def result_type(*arrays_and_dtypes: ArrayLike | DTypeLike) -> np.dtype:
    """The dtype that an operation on arrays, dtypes and Python numbers gives; the numbers are weak.

    Raises DTypeError for dtypes that do not mix.
    >>> result_type(float32, 2.0)
    dtype('float32')
    """
    values = [float(x) if type(x) is np.float64 else _plain(x) for x in arrays_and_dtypes]
    # a 0-d array counts by its dtype as every array does
    values = [v.dtype if isinstance(v, np.ndarray) else v for v in values]
    try:
        return np.result_type(*values)
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"result_type: expected arrays, dtypes and numbers with a common dtype ({error})"
        ) from error


class finfo:
    """What a floating dtype can hold, in Python numbers: bits, eps, max, min, smallest_normal and the dtype.

    Takes a dtype or an array; a complex dtype answers for its parts. Raises DTypeError for others.
    >>> finfo(float32).bits
    32
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "smallest_normal")

    @explained
    def __init__(self, type: ArrayLike | DTypeLike, /) -> None:
        dtype = _dtype_of(type)
        if dtype.kind not in "fc":
            raise DTypeError(f"finfo: expected a floating dtype, got {dtype}")
        info = np.finfo(dtype)
        self.bits, self.dtype = int(info.bits), np.dtype(info.dtype)
        self.eps, self.smallest_normal = float(info.eps), float(info.smallest_normal)
        self.max, self.min = float(info.max), float(info.min)

    def __repr__(self) -> str:
        return f"finfo({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class iinfo:
    """What an integer dtype can hold, in Python numbers: bits, max, min and the dtype.

    Takes a dtype or an array. Raises DTypeError for others.
    >>> iinfo(int8).max
    127
    """

    __slots__ = ("bits", "dtype", "max", "min")

    @explained
    def __init__(self, type: ArrayLike | DTypeLike, /) -> None:
        dtype = _dtype_of(type)
        if dtype.kind not in "iu":
            raise DTypeError(f"iinfo: expected an integer dtype, got {dtype}")
        info = np.iinfo(dtype)
        self.bits, self.dtype, self.max, self.min = int(info.bits), dtype, int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class NamespaceInfo:
    """What this array namespace can do, as the array API standard asks it."""

    def capabilities(self) -> dict[str, Any]:
        """Whether shapes may depend on data (they may), and the largest number of axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Where new Tensors lie."""
        return "cpu"

    def devices(self) -> list[str]:
        """All places where Tensors may lie."""
        return ["cpu"]

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype]:
        """The dtypes that numbers take."""
        self._check(device)
        floating = config.get_default_dtype()
        return {
            "real floating": floating,
            "complex floating": np.result_type(floating, complex64),
            "integral": np.dtype(np.intp),
            "indexing": np.dtype(np.intp),
        }

    def dtypes(
        self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype]:
        """The dtypes of a kind, or of a tuple of kinds, by name; all of the standard's by default."""
        self._check(device)
        kinds = ("bool", "numeric") if kind is None else kind if isinstance(kind, tuple) else (kind,)
        for one in kinds:
            if one not in KINDS:
                raise ValueRangeError(f"dtypes: expected kind to be one of {', '.join(KINDS)}, got {one!r}")
        return {dtype.name: dtype for one in kinds for dtype in KINDS[one]}

    @staticmethod
    def _check(device: str | None) -> None:
        if device not in (None, "cpu"):
            raise ValueRangeError(f'device: expected "cpu", the only one, got {device!r}')


def __array_namespace_info__() -> NamespaceInfo:
    """What this array namespace can do: capabilities, devices and dtypes.

    >>> __array_namespace_info__().default_device()
    'cpu'
    """
    return NamespaceInfo()
