"""float16 in functions made of several operations: computed in float32, rounded at the end.

One operation says `accumulates=True` (op.py). Where squares are made by one and summed by another, the squares of
float16 numbers above 255 would be infinite in between.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from tinygrad_dl.graph import Value
from tinygrad_dl.ops.elementwise import astype
from tinygrad_dl.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])


def accumulating(function: F) -> F:
    """Decorator: arguments of float16 reach the function as float32, and its result is float16 again.

    It stays float32 where another argument is float32 or float64.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        arrays: list[Any] = [x for x in (*args, *kwargs.values()) if isinstance(x, (Value, np.ndarray))]
        given = [x.dtype for x in arrays]
        if np.dtype(np.float16) not in given:
            return function(*args, **kwargs)
        out = function(*map(_wide, args), **{name: _wide(x) for name, x in kwargs.items()})
        kept = all(dtype == np.float16 or dtype.kind not in "fc" for dtype in given)
        return astype(out, "float16") if kept else out

    return call  # type: ignore[return-value]


def _wide(x: NDArray) -> NDArray:
    is_half = isinstance(x, (Value, np.ndarray)) and getattr(x, "dtype", None) == np.float16
    return astype(x, "float32") if is_half else x
