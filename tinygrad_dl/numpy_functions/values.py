"""NumPy's functions that ask about arrays: their results are constants, computed from the values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.graph import Value
from tinygrad_dl.numpy_functions.calls import store
from tinygrad_dl.numpy_functions.table import Casting, Data, described, raw, stands_for
from tinygrad_dl.typing import Array, ArrayLike, DTypeLike


@stands_for(np.ndim)
def ndim(a: Data) -> int:
    return np.ndim(described(a))


@stands_for(np.shape)
def shape(a: Data) -> tuple[int, ...]:
    return np.shape(described(a))


@stands_for(np.size)
def size(a: Data, axis: int | None = None) -> int:
    return np.size(described(a), axis)


@stands_for(np.iscomplexobj)
def iscomplexobj(x: Data) -> bool:
    return np.iscomplexobj(described(x))


@stands_for(np.isrealobj)
def isrealobj(x: Data) -> bool:
    return np.isrealobj(described(x))


@stands_for(np.iscomplex)
def iscomplex(x: Data) -> Any:
    return convert.wrap(np.asarray(np.iscomplex(raw(x))))


@stands_for(np.isreal)
def isreal(x: Data) -> Any:
    return convert.wrap(np.asarray(np.isreal(raw(x))))


@stands_for(np.isposinf)
def isposinf(x: Data) -> Any:
    return convert.wrap(np.asarray(np.isposinf(raw(x))))


@stands_for(np.isneginf)
def isneginf(x: Data) -> Any:
    return convert.wrap(np.asarray(np.isneginf(raw(x))))


@stands_for(np.array_equal)
def array_equal(a1: Data, a2: Data, equal_nan: bool = False) -> bool:
    return np.array_equal(raw(a1), raw(a2), equal_nan=equal_nan)


@stands_for(np.array_equiv)
def array_equiv(a1: Data, a2: Data) -> bool:
    return np.array_equiv(raw(a1), raw(a2))


@stands_for(np.can_cast)
def can_cast(from_: Data, to: DTypeLike, casting: Casting = "safe") -> bool:
    source: Any = getattr(from_, "dtype", from_)
    return np.can_cast(source, to, casting)


@stands_for(np.result_type)
def result_type(*arrays_and_dtypes: Data) -> Any:
    return np.result_type(*map(raw, arrays_and_dtypes))


@stands_for(np.common_type)
def common_type(*arrays: Data) -> Any:
    return np.common_type(*map(raw, arrays))


@stands_for(np.min_scalar_type)
def min_scalar_type(a: Data) -> Any:
    return np.min_scalar_type(described(a))


@stands_for(np.may_share_memory)
def may_share_memory(a: Data, b: Data, max_work: Any = 0) -> bool:
    return np.may_share_memory(described(a), described(b), max_work)


@stands_for(np.shares_memory)
def shares_memory(a: Data, b: Data, max_work: Any = -1) -> bool:
    return np.shares_memory(described(a), described(b), max_work)


@stands_for(np.tril_indices_from)
def tril_indices_from(arr: Data, k: int = 0) -> Any:
    return np.tril_indices_from(described(arr), k)


@stands_for(np.triu_indices_from)
def triu_indices_from(arr: Data, k: int = 0) -> Any:
    return np.triu_indices_from(described(arr), k)


@stands_for(np.diag_indices_from)
def diag_indices_from(arr: Data) -> Any:
    return np.diag_indices_from(described(arr))


# Text


@stands_for(np.array2string)
def array2string(
    a: Data, max_line_width: int | None = None, precision: int | None = None,
    suppress_small: bool | None = None, separator: str = " ", prefix: str = "", formatter: Any = None,
    threshold: int | None = None, edgeitems: int | None = None, sign: Any = None, floatmode: Any = None,
    suffix: str = "", legacy: Any = None,
) -> str:  # fmt: skip
    return np.array2string(
        raw(a), max_line_width, precision, suppress_small, separator, prefix, formatter=formatter,
        threshold=threshold, edgeitems=edgeitems, sign=sign, floatmode=floatmode, suffix=suffix, legacy=legacy,
    )  # fmt: skip


@stands_for(np.array_repr)
def array_repr(
    arr: Data,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    if max_line_width is None and precision is None and suppress_small is None:
        return repr(arr)
    return np.array_repr(raw(arr), max_line_width, precision, suppress_small).replace("array(", "Tensor(", 1)


@stands_for(np.array_str)
def array_str(
    a: Data,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    return np.array_str(raw(a), max_line_width, precision, suppress_small)


# Writing


@stands_for(np.copyto)
def copyto(dst: Array, src: Data, casting: Casting = "same_kind", where: ArrayLike = True) -> None:
    data, x = raw(dst), raw(src)
    store(
        "np.copyto",
        dst,
        src if where is True and np.shape(x) == data.shape else _whole(dst, src, where),
        casting,
    )


def _whole(dst: Array, src: ArrayLike, where: ArrayLike) -> Any:
    if isinstance(src, Value) and src.node is not None:
        return src  # refused by `store`
    whole = raw(dst).copy()
    np.copyto(whole, raw(src), casting="unsafe", where=where)
    return whole
