"""Which function of ours stands for which of NumPy's, for NumPy's functions called on Tensors (NEP 18).

Arguments are bound to NumPy's own signature, so names and order are as NumPy has them. What is not in these
tables raises TypeError: a function of the same name may mean something else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.ops import elementwise, join, logic, reduce, scan, sets, sort, statistics
from tinygrad_dl.ops import shape as shaping
from tinygrad_dl.typing import Array, ArrayLike

# The same name and the same meaning.
SAME = frozenset(
    """
    all any argmax argmin argsort average broadcast_arrays broadcast_to can_cast clip count_nonzero
    cross cumulative_prod cumulative_sum diag diagonal diff dot einsum empty_like expand_dims flip
    full_like imag inner interp isclose isin kron matrix_transpose max mean median meshgrid min
    moveaxis nonzero ones_like outer pad prod ptp quantile real repeat reshape result_type roll
    round searchsorted sort split squeeze stack std sum swapaxes take take_along_axis tensordot tile
    trace tril triu unique_all unique_counts unique_inverse unique_values unstack var where
    zeros_like
    """.split()
)
LINALG = frozenset(
    """
    cholesky cond cross det diagonal eig eigh eigvals eigvalsh inv lstsq matmul matrix_norm
    matrix_power matrix_rank matrix_transpose multi_dot norm outer pinv qr slogdet solve
    svd svdvals tensordot trace vecdot
    vector_norm
    """.split()
)
RENAMED = {
    "amax": "max", "amin": "min", "around": "round", "concatenate": "concat",
    "ddof": "correction", "a_min": "min", "a_max": "max", "newshape": "shape",
}  # fmt: skip
# What says how NumPy is to do it, not what it is to do.
IGNORED = frozenset({"kind", "subok", "overwrite_input", "optimize", "order"})


def _axis_zero(x: Any, ndim: int) -> Any:
    x = shaping.value_of(x)
    return x if x.ndim >= ndim else shaping.reshape(x, (1,) * (ndim - x.ndim) + x.shape)


def _cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def cumulative(a: Any, axis: Any = None, dtype: Any = None) -> Any:
        x = a if axis is not None else shaping.reshape(a, (-1,))
        return function(x, axis=0 if axis is None else axis, dtype=dtype)

    return cumulative


def _transpose(a: Any, axes: Any = None) -> Any:
    return shaping.permute_dims(a, tuple(range(a.ndim))[::-1] if axes is None else tuple(axes))


def _ravel(a: Any) -> Any:
    return shaping.reshape(a, (-1,))


def _hstack(tup: Any) -> Any:
    parts = [_axis_zero(x, 1) for x in tup]
    return join.concat(parts, axis=0 if parts[0].ndim == 1 else 1)


def _column_stack(tup: Any) -> Any:
    parts = [shaping.value_of(x) for x in tup]
    return join.concat([shaping.reshape(x, (-1, 1)) if x.ndim < 2 else x for x in parts], axis=1)


def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if isinstance(indices_or_sections, (int, np.integer)):
        if indices_or_sections < 1:
            raise ShapeError(f"np.array_split: expected at least 1 part, got {indices_or_sections}")
        whole, more = divmod(ary.shape[axis], int(indices_or_sections))
        sizes = [whole + 1] * more + [whole] * (int(indices_or_sections) - more)
        indices_or_sections = np.cumsum(sizes)[:-1].tolist()
    return join.split(ary, indices_or_sections, axis)


def _unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    *,
    axis: Any = None,
) -> Any:
    if axis is not None:
        raise DTypeError("np.unique: axis= is not supported on a Tensor")
    found = sets.unique_all(ar)
    wanted = [True, return_index, return_inverse, return_counts]
    parts = [part for part, yes in zip(found, wanted) if yes]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _allclose(a: Array, b: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    return bool(reduce.all(logic.isclose(a, b, rtol, atol, equal_nan)))


def _array_equal(a1: ArrayLike, a2: ArrayLike, equal_nan: bool = False) -> bool:
    return np.array_equal(_data(a1), _data(a2), equal_nan=equal_nan)


def _data(x: object) -> Any:
    return x._data if isinstance(x, Value) else x


# NumPy's own, with NumPy's names and order of arguments.
OWN: dict[str, Callable[..., Any]] = {
    "allclose": _allclose,
    "argwhere": lambda a: join.stack(sort.nonzero(a), axis=-1),
    "array2string": lambda a, **how: np.array2string(a._data, **how),
    "array_equal": _array_equal,
    "array_repr": lambda arr: repr(arr),
    "array_split": _array_split,
    "array_str": lambda a: np.array_str(a._data),
    "atleast_1d": lambda *arys: _each(arys, 1),
    "atleast_2d": lambda *arys: _each(arys, 2),
    "column_stack": _column_stack,
    "copy": lambda a: a.copy(),
    "cumprod": _cumulative(scan.cumulative_prod),
    "cumsum": _cumulative(scan.cumulative_sum),
    "flatnonzero": lambda a: sort.nonzero(_ravel(a))[0],
    "fliplr": lambda m: shaping.flip(m, 1),
    "flipud": lambda m: shaping.flip(m, 0),
    "hstack": _hstack,
    "iscomplexobj": lambda x: np.iscomplexobj(_data(x)),
    "isrealobj": lambda x: np.isrealobj(_data(x)),
    "ndim": lambda a: a.ndim,
    "percentile": lambda a, q, axis=None, method="linear", keepdims=False: statistics.quantile(
        a, np.asarray(_data(q)) / 100, axis, method=method, keepdims=keepdims
    ),
    "ravel": _ravel,
    "shape": lambda a: a.shape,
    "size": lambda a, axis=None: a.size if axis is None else a.shape[axis],
    "transpose": _transpose,
    "unique": _unique,
    "vdot": lambda a, b: reduce.sum(elementwise.conj(_ravel(a)) * _ravel(b)),
    "vstack": lambda tup: join.concat([_axis_zero(x, 2) for x in tup], axis=0),
}


# Signatures of functions written in C, which older NumPy does not tell.
COMPILED: dict[str, Callable[..., Any]] = {
    "can_cast": lambda from_, to, casting="safe": None,
    "concatenate": lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": None,
    "dot": lambda a, b, out=None: None,
    "empty_like": lambda prototype, /, dtype=None, order="K", subok=True, shape=None, *, device=None: None,
    "inner": lambda a, b, /: None,
    "result_type": lambda *arrays_and_dtypes: None,
    "vdot": lambda a, b, /: None,
    "where": lambda condition, x=None, y=None, /: None,
}


def _each(arrays: tuple[Any, ...], ndim: int) -> Any:
    made = tuple(_axis_zero(x, ndim) for x in arrays)
    return made[0] if len(made) == 1 else made


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a NumPy function, computed by our operations; DTypeError for what cannot be done."""
    module, name = function.__module__, function.__name__
    shown = f"{'np' if module == 'numpy' else module.replace('numpy', 'np', 1)}.{name}"
    ours = _find(module, name)
    if ours is None:
        raise DTypeError(
            f"{shown} cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl."
        )
    if name == "where" and len(args) == 1 and not kwargs:
        return sort.nonzero(*args)
    first, named = _bound(function, args, kwargs, shown)
    # An operation's own code is built at its first call; its parameters are those of its forward function.
    code = getattr(unwrap(getattr(getattr(ours, "op", None), "forward", ours)), "__code__", None)
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code is not None else ()
    spreads = code is not None and code.co_flags & 0x0C
    positional = list(first)
    if name not in OWN:
        count = 0 if code is None else code.co_posonlyargcount
        while named and len(positional) < count:
            positional.append(named.pop(next(iter(named))))
    for key in named:
        if key not in known and not spreads:
            raise DTypeError(f"{shown}: the argument {key}= is not supported on a Tensor")
    return ours(*positional, **named)


def _find(module: str, name: str) -> Any:
    package: Any = sys.modules["tinygrad_dl"]
    if module == "numpy.linalg" and name in LINALG:
        return getattr(package.linalg, name, None)
    if module == "numpy.fft":
        return getattr(getattr(package, "fft", None), name, None)
    if module != "numpy":
        return None
    if name in OWN:
        return OWN[name]
    name = RENAMED.get(name, name)
    return getattr(package, name, None) if name in SAME or name == "concat" else None


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], shown: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `*arrays`, and those given otherwise than by default, by our names."""
    from inspect import Parameter, signature

    if function.__name__ in COMPILED:
        function = COMPILED[function.__name__]
    parameters = signature(function).parameters
    bound = signature(function).bind(*args, **kwargs).arguments
    first: tuple[Any, ...] = ()
    named: dict[str, Any] = {}
    for key, value in bound.items():
        kind, default = parameters[key].kind, parameters[key].default
        if kind is Parameter.VAR_POSITIONAL:
            first = value
        elif kind is Parameter.VAR_KEYWORD:
            named.update(value)
        elif key == "out" and value is not None:
            raise DTypeError(f"{shown}: {OUT_ADVICE}")
        elif default is Parameter.empty or not (value is default or key in IGNORED or _same(value, default)):
            named[RENAMED.get(key, key) if key not in ("a", "x") else key] = value
    return first, named


def _same(value: object, default: object) -> bool:
    return type(value) in (bool, int, float, str) and type(value) is type(default) and value == default


OUT_ADVICE = (
    "out= would overwrite an array, and what was overwritten cannot be recorded. Leave out= away, and write "
    "x = x + t for array += t."
)
