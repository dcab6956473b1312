"""The table of handlers, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, Union

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, tell
from tinygrad_dl.ops import elementwise
from tinygrad_dl.ops.shape import value_of
from tinygrad_dl.typing import Array, ArrayLike, DTypeLike

F = TypeVar("F", bound=Callable[..., Any])

#: A parameter whose Tensors are recorded, alone or in a sequence; the others are options.
Data: TypeAlias = Any

#: Which casts a function may make.
Casting: TypeAlias = Literal["no", "equiv", "safe", "same_kind", "unsafe"]
#: How a function sorts; None for its default.
Kind: TypeAlias = Union[Literal["quicksort", "mergesort", "heapsort", "stable"], None]
#: The number of equal parts, or where each part but the first begins.
Sections: TypeAlias = Union[int, Sequence[int]]

HANDLERS: dict[Any, Callable[..., Any]] = {}


def stands_for(*functions: Callable[..., Any] | None) -> Callable[[F], F]:
    """Enter a handler for functions of NumPy; None in the place of one that this NumPy does not have."""

    def enter(handler: F) -> F:
        HANDLERS.update({function: handler for function in functions if function is not None})
        return handler

    return enter


def raw(x: Any) -> Any:
    """The array of a Tensor whose values NumPy reads, which nothing records; other values as they are."""
    if active and isinstance(x, Value):
        tell("read", "a function of NumPy's")
    if isinstance(x, Value):
        return x._data if x.level is None else np.asarray(x._data)  # raises where each example has its own
    return x


def described(x: Any) -> Any:
    """The array of a Tensor of which only shape, dtype and memory order count; other values as they are."""
    return x._data if isinstance(x, Value) else x


def choice(what: str, name: str, value: object, choices: Iterable[Any]) -> None:
    """Raise ValueRangeError unless an option is one of those that NumPy has."""
    choices = tuple(choices)
    if not any(type(value) is type(c) and value == c for c in choices):
        raise ValueRangeError(
            f"{what}: {name}: expected one of {', '.join(map(repr, choices))}, got {describe(value)}"
        )


def no_fields(what: str, order: object) -> None:
    """Raise for `order`, which names the fields of structured arrays; a Tensor has none."""
    if order is not None:
        raise ValueRangeError(
            f"{what}: order: expected None, as a Tensor has no fields, got {describe(order)}"
        )


def permission(what: str, **flags: object) -> None:
    """Check flags that permit something without changing the result: overwriting, passing subclasses on."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_, int)):
            raise DTypeError(f"{what}: {name}: expected True or False, got {describe(value)}")


def cast(what: str, x: ArrayLike | Value, dtype: DTypeLike | None, casting: Casting = "same_kind") -> Any:
    """A value in another dtype, if the casting rule allows it; dtype None leaves it."""
    x = value_of(x)
    choice(what, "casting", casting, ("no", "equiv", "safe", "same_kind", "unsafe"))
    if dtype is None:
        return x
    if not np.can_cast(x.dtype, dtype, casting):
        raise DTypeError(f"{what}: casting={casting!r} does not allow {x.dtype} as {np.dtype(dtype)}")
    return x if x.dtype == dtype else elementwise.astype(x, dtype)


def laid_out(what: str, result: Array, order: str | None, *inputs: ArrayLike) -> Any:
    """A new Tensor with its array in the memory order that NumPy's `order` asks for."""
    choice(what, "order", order, ("C", "F", "A", "K", None))
    if order == "A":
        flags = [described(x).flags for x in inputs]
        fortran = all(f.f_contiguous for f in flags) and not all(f.c_contiguous for f in flags)
        order = "F" if fortran else "C"
    if order in ("C", "F") and isinstance(result, Value) and result.level is None:
        result._data = np.asarray(result._data, order=order)  # type: ignore[call-overload]
    return result


def mask_for(what: str, where: ArrayLike, x: Array) -> Any:
    """The mask of `where=`, which must be boolean and broadcast to x."""
    mask = np.asarray(raw(where))
    if mask.dtype != bool:
        raise DTypeError(f"{what}: where: expected booleans, got {describe(where)}")
    try:
        return np.broadcast_to(mask, x.shape)
    except ValueError:
        raise ShapeError(
            f"{what}: where: expected a shape that broadcasts to {x.shape}, got {mask.shape}"
        ) from None
