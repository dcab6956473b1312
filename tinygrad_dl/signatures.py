"""The types of operations, for type checkers: a Tensor in is a Tensor out, an array in is an array out.

`@op` gives an operation one of these by the number of its rules. The forward function's further parameters keep their
names and types (P). Its inputs may be Tensors, arrays, numbers or lists; numbers and lists alone make a Tensor. `Value`
is what the engine below Tensor knows of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, Union, overload

import numpy as np

from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from tinygrad_dl.graph import Value
    from tinygrad_dl.tensor import Tensor

P = ParamSpec("P")

#: What has no array of its own: numbers and nested lists of them.
Numbers: TypeAlias = Union[complex, Sequence[Any]]
#: Whatever an operation takes for an input.
Input: TypeAlias = Union["Value", NDArray, np.generic, Numbers]


class Unary(Protocol[P]):
    """An operation of one input."""

    op: Any

    @overload
    def __call__(self, x: Value | Numbers, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: NDArray, /, *args: P.args, **kwargs: P.kwargs) -> NDArray: ...
    @overload
    def __call__(self, x: np.generic, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    # One or the other, where the caller does not know which
    @overload
    def __call__(self, x: Value | NDArray | np.generic, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    # As a method of Tensor
    @overload
    def __get__(self, instance: None, owner: object, /) -> Unary[P]: ...
    @overload
    def __get__(self, instance: object, owner: object, /) -> Callable[P, Tensor]: ...


class Binary(Protocol[P]):
    """An operation of two inputs."""

    op: Any

    @overload
    def __call__(self, x: Value, y: Input, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Input, y: Value, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Numbers, y: Numbers, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(
        self, x: NDArray, y: NDArray | np.generic | Numbers, /, *args: P.args, **kwargs: P.kwargs
    ) -> NDArray: ...
    @overload
    def __call__(
        self, x: np.generic | Numbers, y: NDArray, /, *args: P.args, **kwargs: P.kwargs
    ) -> NDArray: ...
    @overload
    def __call__(
        self, x: np.generic | Numbers, y: np.generic | Numbers, /, *args: P.args, **kwargs: P.kwargs
    ) -> Any: ...
    # One or the other, where the caller does not know which
    @overload
    def __call__(self, x: Input, y: Input, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    # As a method of Tensor
    @overload
    def __get__(self, instance: None, owner: object, /) -> Binary[P]: ...
    @overload
    def __get__(self, instance: object, owner: object, /) -> BoundBinary[P]: ...


class BoundBinary(Protocol[P]):
    """An operation of two inputs as a method of Tensor."""

    def __call__(self, y: Input, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...


class Several(Protocol):
    """An operation of more inputs, some of which may be left out or given by name."""

    op: Any

    @overload
    def __call__(self, x: Value, /, *args: Any, **kwargs: Any) -> Tensor: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    # As a method of Tensor
    @overload
    def __get__(self, instance: None, owner: object, /) -> Several: ...
    @overload
    def __get__(self, instance: object, owner: object, /) -> Callable[..., Tensor]: ...


class Variadic(Protocol[P]):
    """An operation of a sequence of arrays."""

    op: Any

    @overload
    def __call__(self, arrays: Iterable[Value | Numbers], /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(
        self, arrays: NDArray | Iterable[NDArray], /, *args: P.args, **kwargs: P.kwargs
    ) -> NDArray: ...
    @overload
    def __call__(self, arrays: Iterable[Any], /, *args: P.args, **kwargs: P.kwargs) -> Any: ...


class Composed(Protocol[P]):
    """A function composed of operations: a Tensor for its first input gives a Tensor."""

    @overload
    def __call__(self, x: Value, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    # As a method of Tensor
    @overload
    def __get__(self, instance: None, owner: object, /) -> Composed[P]: ...
    @overload
    def __get__(self, instance: object, owner: object, /) -> Callable[P, Tensor]: ...


def composed(function: Callable[Concatenate[Any, P], Any]) -> Composed[P]:
    """Decorator that types a function composed of operations; at run time it returns the function as it is."""
    return function  # type: ignore[return-value]


# What `@op(...)` is: the function that takes the forward function


class DefineUnary(Protocol):
    """`@op` with one rule."""

    def __call__(self, forward: Callable[Concatenate[Any, P], Any], /) -> Unary[P]: ...


class DefineBinary(Protocol):
    """`@op` with two rules."""

    def __call__(self, forward: Callable[Concatenate[Any, Any, P], Any], /) -> Binary[P]: ...


class DefineSeveral(Protocol):
    """`@op` with more rules, or with one for several inputs."""

    def __call__(self, forward: Callable[..., Any], /) -> Several: ...


class DefineVariadic(Protocol):
    """`@op` for a sequence of arrays."""

    def __call__(self, forward: Callable[Concatenate[Any, P], Any], /) -> Variadic[P]: ...
