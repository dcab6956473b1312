"""The array library underneath: NumPy, or what answers its functions (NEP 13 and 18); where arrays lie in memory.

Forward functions call `np.`: given a CuPy array, NumPy hands the call to CuPy. Only this file names CuPy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar
from ctypes import addressof, c_char
from math import prod
from typing import Any

import numpy as np

# glibc asks the system again for each block larger than the largest freed so far (at first 128 KiB), and gives it back
# when it is freed: every training step would pay for the same pages again. One block of nearly 32 MiB, the most that it
# adapts to, made and freed without being touched, lets the arrays of a step be used again by the next.
np.empty((1 << 25) - (1 << 14), np.uint8)


# What `np.seterr` sets is a context variable, found so. To set it takes a tenth of the time of `np.errstate`.
_empty = Context()
_empty.run(np.seterr, all="ignore")
_treatment, _ignored = next(iter(_empty.items()), (ContextVar("treatment"), None))


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function without NumPy's warnings of what is not finite."""
    token = _treatment.set(_ignored)
    try:
        return function(*args, **kwargs)
    finally:
        _treatment.reset(token)


LINE = 64  # bytes of a line of the cache


class Memory(np.ndarray):
    """The memory of an array that `aligned` made; a view of that array refers to the array, not to this."""


def aligned(shape: Any, dtype: Any, strides: Any = None) -> np.ndarray:
    """An uninitialized array aligned to a line of the cache, for what is written again and again.

    NumPy writes thousands of elements there in down to half the time that it needs where malloc puts them.
    """
    kind = np.dtype(dtype)
    memory = Memory(prod(shape) * kind.itemsize + LINE, np.uint8)
    return np.ndarray(shape, kind, memory, -addressof(c_char.from_buffer(memory.data)) % LINE, strides)


def copied(array: np.ndarray) -> np.ndarray:
    """A copy in the same order; one of some size begins with a line of the cache."""
    if array.nbytes < 64 * LINE or not array.flags.c_contiguous:
        return np.array(array)
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def is_array(x: Any) -> bool:
    """Whether `x` is an array or a NumPy scalar (a Python number or a list is not)."""
    return isinstance(x, (np.ndarray, np.generic)) or type(x).__module__.split(".")[0] == "cupy"


def to_cpu(x: Any) -> np.ndarray:
    """The values as a NumPy array, copied from the GPU when they are there."""
    return x.get() if type(x).__module__.split(".")[0] == "cupy" else np.asarray(x)
