"""NumPy's functions on Tensors (NEP 13 and 18), and the array API namespace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_dl import numpy_functions
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.op import OPS
from tinygrad_dl.ops import elementwise, logic, reduce, rounding, scan, special
from tinygrad_dl.ops.shape import reshape, value_of

API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


def namespace(api_version: str | None = None) -> Any:
    """The module that implements the Python array API standard: tinygrad_dl itself."""
    if api_version is not None and api_version not in API_VERSIONS:
        raise ValueRangeError(
            f"__array_namespace__: expected one of the versions {', '.join(API_VERSIONS)}, got {api_version!r}"
        )
    return sys.modules["tinygrad_dl"]


_by_ufunc: dict[np.ufunc, Any] = {
    np.rint: rounding.round,
    np.fabs: elementwise.abs,
    np.float_power: elementwise.power,
    np.divmod: lambda x, y: (logic.floor_divide(x, y), logic.remainder(x, y)),
}
# What reducing a ufunc means; NumPy reduces axis 0 unless told otherwise.
_reductions: dict[np.ufunc, Any] = {
    np.add: reduce.sum, np.multiply: reduce.prod, np.maximum: reduce.max, np.minimum: reduce.min,
    np.logical_and: reduce.all, np.logical_or: reduce.any, np.logaddexp: special.logsumexp,
}  # fmt: skip
_accumulations: dict[np.ufunc, Any] = {np.add: scan.cumulative_sum, np.multiply: scan.cumulative_prod}


def array_ufunc(tensor: Value, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`np.exp(tensor)` and `array * tensor`: the operation of the same ufunc, recorded."""
    shown = f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}"
    if kwargs.pop("out", None) is not None:
        raise DTypeError(f"{shown}: {numpy_functions.OUT_ADVICE}")
    if len(_by_ufunc) < 10:
        _by_ufunc.update({op.ufunc: op.function for op in OPS.values() if op.ufunc is not None})
    ours = _by_ufunc.get(ufunc)
    allowed: tuple[str, ...] = ()
    if method == "reduce":
        ours, allowed = _reductions.get(ufunc), ("axis", "dtype", "keepdims")
        inputs, given = inputs[:1], dict(zip(("axis", "dtype"), inputs[1:]))
        kwargs = {"axis": 0, **given, **kwargs}
        if kwargs.get("dtype", 0) is None:
            del kwargs["dtype"]
    elif method == "accumulate":
        ours, allowed = _accumulations.get(ufunc), ("axis", "dtype")
        kwargs = {"axis": 0, **dict(zip(("axis", "dtype"), inputs[1:])), **kwargs}
        inputs = inputs[:1]
    elif method == "outer" and ours is not None and len(inputs) == 2:
        x, y = map(value_of, inputs)
        inputs = (reshape(x, x.shape + (1,) * y.ndim), y)
    elif method != "__call__":
        ours = None
    if ours is None:
        raise DTypeError(
            f"{shown} cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl."
        )
    for name in kwargs:
        if name not in allowed:
            raise DTypeError(f"{shown}: the argument {name}= is not supported on a Tensor")
    return ours(*inputs, **kwargs)


def array_function(
    tensor: Value,
    function: Callable[..., Any],
    types: Iterable[type],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """`np.sum(tensor, axis=0)`: our function that means the same, recorded."""
    if not all(issubclass(kind, (Value, np.ndarray)) for kind in types):
        return NotImplemented
    return numpy_functions.call(function, args, kwargs)
