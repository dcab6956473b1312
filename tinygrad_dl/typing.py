"""The types that signatures share: what a caller may pass as an array, a shape, an axis or a dtype.

At run time these are ordinary objects; `Tensor` is named for type checkers only, as it is defined on a higher floor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from inspect import unwrap
from types import EllipsisType, FunctionType
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, TypeVar, Union

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tinygrad_dl.graph import Value
    from tinygrad_dl.tensor import Tensor
else:

    class npt:
        NDArray, ArrayLike, DTypeLike = (
            getattr(alias, "__value__", alias) for alias in (npt.NDArray, npt.ArrayLike, npt.DTypeLike)
        )


#: A NumPy array of any shape and dtype: what kernels and plain forwards compute with.
NDArray: TypeAlias = npt.NDArray[Any]
#: A Tensor or a NumPy array: what an operation takes and returns.
Array: TypeAlias = Union["Tensor", npt.NDArray[Any]]
#: A Python or NumPy number.
Scalar: TypeAlias = Union[bool, int, float, complex, np.generic]
#: Whatever `asarray` understands: arrays, numbers and nested lists of numbers.
ArrayLike: TypeAlias = Union["Tensor", npt.ArrayLike]
#: What the engine passes to an operation, and receives: a Tensor, an array, a number, or None for an input left out.
Input: TypeAlias = Union["Value", npt.NDArray[Any], Scalar, None]
#: The sizes of an array, one per axis.
Shape: TypeAlias = tuple[int, ...]
#: A shape as a user gives it: one size or several.
ShapeLike: TypeAlias = Union[int, Sequence[int]]
#: One axis, several axes, or None for all of them.
Axis: TypeAlias = Union[int, tuple[int, ...], None]
#: A dtype, its name or its NumPy class.
DTypeLike: TypeAlias = npt.DTypeLike
#: A random generator, a seed for one, or None for the default generator.
RandomLike: TypeAlias = Union[np.random.Generator, int, None]
#: One part of an index that selects by position and step alone, so that the result is a view.
BasicIndex: TypeAlias = Union[int, slice, EllipsisType, None]
#: The place of a file or folder.
PathLike: TypeAlias = Union[str, "os.PathLike[str]"]
#: One size per spatial dimension, or one for all of them: kernel sizes, strides, dilations.
Sizes: TypeAlias = Union[int, Sequence[int]]

#: What picks elements: integers, slices, None, Ellipsis, arrays of integers or booleans, or a tuple of these.
if TYPE_CHECKING:
    Index: TypeAlias = Union[
        SupportsIndex, slice, EllipsisType, None, npt.NDArray[Any], list[Any], tuple[Any, ...]
    ]
else:
    Index: TypeAlias = Any  # not compared: what NumPy says of a wrong index tells more

#: A Tensor in is a Tensor out, an array in is an array out.
ArrayT = TypeVar("ArrayT", bound=Array)

T = TypeVar("T")
PACKAGE = __name__.partition(".")[0]


class Annotation(str):
    """An annotation that help() shows as the source has it; Python 3.14 leaves out the quotes by itself."""

    __slots__ = ()
    __repr__ = str.__str__


def readable(thing: T) -> T:
    """Let help() show a function or the methods of a class without quotes around the types, and return it.

    An `__init__` without a docstring gets an empty one: help() would show the sentence of `object`'s.
    """
    for function in vars(thing).values() if isinstance(thing, type) else (thing,):
        function = unwrap(function) if isinstance(function, FunctionType) else None
        if function is not None and str(function.__module__).startswith(PACKAGE):
            types = function.__annotations__.items()
            function.__annotations__ = {name: Annotation(text) for name, text in types}
            if function.__doc__ is None and function.__name__ == "__init__":
                function.__doc__ = ""
    return thing
