"""NumPy's functions on Tensors (NEP 13 and 18), and the array API namespace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import convert, numpy_functions
from tinygrad_dl.dispatch import by_example_if_read
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import modes
from tinygrad_dl.numpy_functions.table import choice, laid_out, permission
from tinygrad_dl.op import OPS
from tinygrad_dl.ops import elementwise, logic, matmul, rounding, scan, special, trigonometry
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.index import take_along_axis
from tinygrad_dl.ops.shape import axis_of, expand_dims, moveaxis, reshape, value_of
from tinygrad_dl.typing import Axis, NDArray

if TYPE_CHECKING:
    from tinygrad_dl.signatures import Input

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
    np.degrees: trigonometry.rad2deg,
    np.radians: trigonometry.deg2rad,
    np.logaddexp2: lambda x, y: special.logaddexp(x * LN2, y * LN2) / LN2,
    np.fmod: lambda x, y: rounding.copysign(logic.remainder(elementwise.abs(x), elementwise.abs(y)), x),
    np.ldexp: lambda x, y: x * np.ldexp(1.0, _constant("np.ldexp", y)),
}


def _constant(what: str, x: Input) -> NDArray:
    array = np.asarray(numpy_functions.without_gradient(what, "the second argument", x))
    if array.dtype.kind not in "iub":
        raise DTypeError(f"{what}: expected integers for the second argument, got {array.dtype}")
    return array


LN2 = 0.6931471805599453


def _by(*functions: np.ufunc | None) -> Callable[[Any], Any]:
    """Enter a function for ufuncs; None in the place of one that this NumPy does not have."""

    def enter(ours: Any) -> Any:
        _by_ufunc.update({ufunc: ours for ufunc in functions if ufunc is not None})
        return ours

    return enter


@_by(np.fmax)
def _fmax(x: Input, y: Input) -> Any:
    a, b = value_of(x), value_of(y)
    return where(logic.isnan(a), b, where(logic.isnan(b), a, elementwise.maximum(a, b)))


@_by(np.fmin)
def _fmin(x: Input, y: Input) -> Any:
    a, b = value_of(x), value_of(y)
    return where(logic.isnan(a), b, where(logic.isnan(b), a, elementwise.minimum(a, b)))


@_by(np.heaviside)
def _heaviside(x: Input, y: Input) -> Any:
    a = value_of(x)
    return where(logic.isnan(a), np.nan, where(a == 0, y, where(a > 0, 1.0, 0.0)))


@_by(getattr(np, "matvec", None))
def _matvec(x: Input, y: Input) -> Any:
    return matmul.matmul(x, expand_dims(value_of(y), -1))[..., 0]


@_by(getattr(np, "vecmat", None))
def _vecmat(x: Input, y: Input) -> Any:
    return matmul.matmul(expand_dims(elementwise.conj(value_of(x)), -2), y)[..., 0, :]


def _on_values(ufunc: np.ufunc) -> Callable[..., Any]:
    def compute(*inputs: Input) -> Any:
        try:
            return convert.wrap(ufunc(*(x._data if isinstance(x, Value) else x for x in inputs)))
        except TypeError as error:
            raise DTypeError(f"np.{ufunc.__name__}: expected integers ({error})") from None

    return compute


for _ufunc in (np.gcd, np.lcm, np.bitwise_count):  # of integers, which have no gradient
    _by_ufunc[_ufunc] = _on_values(_ufunc)

# Made of operations whose dtypes may be others than NumPy's: rint of integers is floating, round is not.
_composed = frozenset(_by_ufunc)

# What reducing a ufunc means: the function of NumPy that does the same.
_reductions: dict[np.ufunc, Any] = {
    np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min,
    np.logical_and: np.all, np.logical_or: np.any,
}  # fmt: skip


def _running(best: np.ufunc) -> Callable[..., Any]:
    """The extremes of the first elements along an axis; of equal ones the last has the gradient."""

    def accumulate(x: Input, axis: int = 0) -> Any:
        data = _data(x)
        axis = axis_of(axis, data.ndim, f"np.{best.__name__}.accumulate")
        run = best.accumulate(data, axis)
        shape = tuple(-1 if a == axis else 1 for a in range(data.ndim))
        positions = np.arange(data.shape[axis]).reshape(shape)
        found = np.where((data == run) | (np.isnan(data) & np.isnan(run)), positions, 0)
        return take_along_axis(x, np.maximum.accumulate(found, axis), axis=axis)

    return accumulate


_accumulations: dict[np.ufunc, Any] = {
    np.add: scan.cumulative_sum, np.multiply: scan.cumulative_prod,
    np.maximum: _running(np.maximum), np.minimum: _running(np.minimum),
}  # fmt: skip


def _find(ufunc: np.ufunc) -> Any:
    if ufunc not in _by_ufunc:
        _by_ufunc.update({op.ufunc: op.function for op in OPS.values() if op.ufunc is not None})
    return _by_ufunc.get(ufunc)


def operation_of(ufunc: np.ufunc) -> Any:
    """The operation that computes what a ufunc does, with its dtypes; None if there is none."""
    return None if ufunc in _composed else _find(ufunc)


def array_ufunc(tensor: Value, ufunc: np.ufunc, method: str, *inputs: Input, **kwargs: Any) -> Any:
    """`np.exp(tensor)` and `array * tensor`: the operation of the same ufunc, recorded."""
    if modes.levels and "out" not in kwargs:
        return by_example_if_read(ufunc.__name__, _ufunc_call, ufunc, method, inputs, kwargs)
    return _ufunc_call(ufunc, method, inputs, kwargs)


def _ufunc_call(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    kwargs = dict(kwargs)
    what = f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}"
    out = kwargs.pop("out", None)
    if out is not None:
        return _written(what, ufunc, method, inputs, out, kwargs)
    if method == "__call__" and not kwargs and ufunc not in _composed:
        ours = _find(ufunc)
        if ours is not None:
            return ours(*inputs)
    elif method == "__call__" and _find(ufunc) is not None:
        return _called(what, ufunc, inputs, kwargs)
    elif method == "reduce" and ufunc in _reductions:
        return _reduced(what, ufunc, inputs[0], **kwargs)
    elif method == "reduce" and ufunc is np.logaddexp:
        axis, keepdims = kwargs.pop("axis", 0), kwargs.pop("keepdims", False)
        _refuse(what, kwargs)
        x = value_of(inputs[0])
        x = elementwise.astype(x, ufunc.resolve_dtypes((x.dtype, x.dtype, None))[-1])
        return special.logsumexp(x, axis=axis, keepdims=keepdims)
    elif method == "accumulate" and ufunc in _accumulations:
        axis, dtype = kwargs.pop("axis", 0), kwargs.pop("dtype", None)
        _refuse(what, kwargs)
        how = {} if dtype is None else {"dtype": dtype}
        if dtype is not None and ufunc not in (np.add, np.multiply):
            _refuse(what, how)
        return _accumulations[ufunc](inputs[0], axis=axis, **how)
    elif method == "outer" and _find(ufunc) is not None and len(inputs) == 2:
        x, y = map(value_of, inputs)
        return _ufunc_call(ufunc, "__call__", (reshape(x, x.shape + (1,) * y.ndim), y), kwargs)
    raise DTypeError(
        f"{what} cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl."
    )


def _refuse(what: str, kwargs: dict[str, Any]) -> None:
    for name in kwargs:
        raise DTypeError(f"{what}: the argument {name}= is not supported on a Tensor")


def _called(what: str, ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc with NumPy's options: dtypes decided by its rules, where it is computed in another one."""
    ours = _find(ufunc)
    order, subok = kwargs.pop("order", "K"), kwargs.pop("subok", True)
    permission(what, subok=subok)
    if ufunc is np.vecdot and "axis" in kwargs:
        axis = kwargs.pop("axis")
        inputs = tuple(moveaxis(value_of(x), axis, -1) for x in inputs)
    dtype, signature = kwargs.pop("dtype", None), kwargs.pop("signature", kwargs.pop("sig", None))
    casting = kwargs.pop("casting", "same_kind")
    if kwargs.get("where", False) is True:
        del kwargs["where"]
    _refuse(what, kwargs)
    choice(what, "casting", casting, ("no", "equiv", "safe", "same_kind", "unsafe"))
    values = [_weak(x) if isinstance(x, (float, int, complex)) else value_of(x) for x in inputs]
    if dtype is not None and signature is not None:
        raise DTypeError(f"{what}: expected dtype or signature, not both")
    if dtype is not None:
        signature = (*(None,) * ufunc.nin, *(np.dtype(dtype),) * ufunc.nout)
    given = [type(x) if type(x) in (int, float, complex) else x.dtype for x in values]
    try:
        how_signed: dict[str, Any] = {} if signature is None else {"signature": signature}
        loop = ufunc.resolve_dtypes((*given, *(None,) * ufunc.nout), casting=casting, **how_signed)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"{what}: {error}") from None
    if dtype is not None or signature is not None or ufunc in _composed:
        values = [_as(x, d) for x, d in zip(values, loop)]
    result = ours(*values)
    results = result if isinstance(result, tuple) else (result,)
    found = tuple(
        laid_out(what, r if r.dtype == d else elementwise.astype(r, d), order, *map(_data, values))
        for r, d in zip(results, loop[ufunc.nin :])
    )
    return found if isinstance(result, tuple) else found[0]


def _as(x: Input, dtype: np.dtype) -> Any:
    if not isinstance(x, (Value, np.ndarray)):
        return np.asarray(x).astype(dtype)
    return x if _data(x).dtype == dtype else elementwise.astype(x, dtype)


def _weak(x: Input) -> Any:
    return float(x) if type(x) is np.float64 else complex(x) if type(x) is np.complex128 else x


def _data(x: Input) -> Any:
    return x._data if isinstance(x, Value) else np.asarray(x)


def _reduced(what: str, ufunc: np.ufunc, x: Input, axis: Axis = 0, **kwargs: Any) -> Any:
    """A reduction as NumPy's function of the same meaning computes it; axis 0 unless told otherwise."""
    function = _reductions[ufunc]
    given = {name: value for name, value in kwargs.items() if value is not None}
    if "dtype" in given and function in (np.max, np.min):
        x = elementwise.astype(value_of(x), given.pop("dtype"))
    if function in (np.all, np.any):
        for name in ("dtype", "initial"):
            if name in given:
                _refuse(what, {name: given[name]})
    return numpy_functions.call(function, (x,), {"axis": axis, **given})


def _written(
    what: str,
    ufunc: np.ufunc,
    method: str,
    inputs: tuple[Any, ...],
    out: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """A ufunc with `out=`, as `array += tensor` calls it: NumPy's own, unless a gradient would end in the array."""
    every = [*inputs, *out, *kwargs.values()]
    if modes.recording and any(isinstance(x, Value) and x.node is not None for x in every):
        if any(o is inputs[0] for o in out):
            raise DTypeError(
                f"{what}: array += t and the like: out= would overwrite an array, and what was overwritten cannot be "
                "recorded. Write x = x + t, use no_grad() to update a parameter, or t.detach()."
            )
        raise DTypeError(f"{what}: {numpy_functions.OUT_ADVICE}")
    if any(isinstance(o, Value) and o.node is not None and o.node.op is not None for o in out):
        raise DTypeError(f"{what}: {numpy_functions.OUT_ADVICE}")
    plain = [x._data if isinstance(x, Value) else x for x in inputs]
    options = {name: x._data if isinstance(x, Value) else x for name, x in kwargs.items()}
    arrays = tuple(o._data if isinstance(o, Value) else o for o in out)
    try:
        found = getattr(ufunc, method)(*plain, out=arrays, **options)
    except (TypeError, ValueError) as error:
        kind = ShapeError if isinstance(error, ValueError) else DTypeError
        raise kind(f"{what}: {error}") from None
    results = found if isinstance(found, tuple) else (found,)
    given = tuple(convert.wrap(r) if o is None else o for o, r in zip(out, results))
    return given if len(given) > 1 else given[0]


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
    if modes.levels:
        return by_example_if_read(function.__name__, numpy_functions.call, function, args, kwargs)
    return numpy_functions.call(function, args, kwargs)
