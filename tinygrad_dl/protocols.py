"""NumPy's functions on Tensors (NEP 13 and 18), and the array API namespace."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.op import OPS

API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


def namespace(api_version: str | None = None) -> Any:
    """The module that implements the Python array API standard: tinygrad_dl itself."""
    if api_version is not None and api_version not in API_VERSIONS:
        raise ValueRangeError(
            f"__array_namespace__: the versions {', '.join(API_VERSIONS)} exist; {api_version!r} came"
        )
    return sys.modules["tinygrad_dl"]


_by_ufunc: dict[np.ufunc, Any] = {}


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`np.exp(tensor)` and `array * tensor`: the operation of the same ufunc, recorded."""
    if ufunc not in _by_ufunc:
        _by_ufunc.update({op.ufunc: op.function for op in OPS.values() if op.ufunc is not None})
    if method == "__call__" and ufunc in _by_ufunc and not kwargs:
        return _by_ufunc[ufunc](*inputs)
    raise DTypeError(
        f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method} cannot work on a Tensor. "
        "Use the function of tinygrad_dl, or .detach().numpy()."
    )


def array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """`np.sum(tensor, axis=0)`: the function of the same name here, recorded."""
    here = getattr(sys.modules["tinygrad_dl"], function.__name__, None)
    if here is None:
        raise DTypeError(
            f"{function.__module__}.{function.__name__} cannot work on a Tensor. Use .detach().numpy()."
        )
    return here(*args, **kwargs)
