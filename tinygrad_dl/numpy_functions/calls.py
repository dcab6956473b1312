"""How a call of a NumPy function on Tensors runs: its arguments by name, its options plain, its `out` filled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from inspect import Parameter, Signature, signature
from typing import Any

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import modes
from tinygrad_dl.numpy_functions.table import HANDLERS, Casting, raw
from tinygrad_dl.typing import Array

# Signatures of functions written in C, which older NumPy does not tell.
COMPILED: dict[str, Callable[..., Any]] = {
    "can_cast": lambda from_, to, casting="safe": None,
    "concatenate": lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": None,
    "copyto": lambda dst, src, casting="same_kind", where=True: None,
    "dot": lambda a, b, out=None: None,
    "empty_like": lambda prototype, /, dtype=None, order="K", subok=True, shape=None, *, device=None: None,
    "inner": lambda a, b, /: None,
    "lexsort": lambda keys, axis=-1: None,
    "may_share_memory": lambda a, b, /, max_work=0: None,
    "min_scalar_type": lambda a, /: None,
    "ravel_multi_index": lambda multi_index, dims, mode="raise", order="C": None,
    "result_type": lambda *arrays_and_dtypes: None,
    "shares_memory": lambda a, b, /, max_work=-1: None,
    "unravel_index": lambda indices, shape, order="C": None,
    "vdot": lambda a, b, /: None,
    "where": lambda condition, x=None, y=None, /: None,
}


@cache
def handlers() -> dict[Any, Callable[..., Any]]:
    """The table, filled at the first call: an import should not pay for it."""
    for subject in ("algebra", "elements", "order", "reductions", "shapes", "values"):
        import_module(f"tinygrad_dl.numpy_functions.{subject}")
    return HANDLERS


@cache
def numpys_signature(function: Callable[..., Any]) -> Signature:
    """The signature of a NumPy function."""
    return signature(COMPILED.get(function.__name__, function))


@cache
def handler_parameters(handler: Callable[..., Any]) -> dict[str, bool]:
    """The names that a handler takes, and whether they are data."""
    return {p.name: p.annotation == "Data" for p in signature(handler).parameters.values()}


def name_of(function: Callable[..., Any]) -> str:
    """A NumPy function as users write it: np.linalg.svd."""
    module = function.__module__
    return f"{'np' if module == 'numpy' else module.replace('numpy', 'np', 1)}.{function.__name__}"


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a NumPy function, computed by our operations; DTypeError for what cannot be done."""
    what = name_of(function)
    handler = handlers().get(function)
    if handler is None:
        raise DTypeError(
            f"{what} cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl."
        )
    known = handler_parameters(handler)
    numpys = numpys_signature(function)
    bound = numpys.bind(*args, **kwargs)
    leading: list[str] = []
    first: tuple[Any, ...] = ()
    named: dict[str, Any] = {}
    for key, value in bound.arguments.items():
        parameter = numpys.parameters[key]
        if parameter.kind is Parameter.VAR_POSITIONAL:
            leading, first = list(named), value
        elif parameter.kind is Parameter.VAR_KEYWORD:
            named.update(value)
        elif not _same(value, parameter.default):
            named[key] = value
    out = named.pop("out", None)
    tensors = _holds_tensors(first)
    for key, value in named.items():
        if key not in known:
            raise DTypeError(f"{what}: the argument {key}= is not supported on a Tensor")
        if known[key]:
            tensors = tensors or _holds_tensors(value)
        else:
            named[key] = without_gradient(what, key, value)
    if not tensors:
        # Tensors among the options alone: NumPy's own function on their values
        bound.arguments.update(
            {k: without_gradient(what, k, v) for k, v in bound.arguments.items() if k != "out"}
        )
        bound.arguments.pop("out", None)
        result = function(*bound.args, **bound.kwargs)
    else:
        result = handler(*(named.pop(key) for key in leading), *first, **named)
    return result if out is None else store(what, out, result)


def _same(value: Any, default: Any) -> bool:
    simple = type(value) in (bool, int, float, str) and type(value) is type(default)
    return value is default or (simple and value == default)


def _holds_tensors(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_holds_tensors, x))
    return isinstance(x, Value)


def without_gradient(what: str, name: str, value: Any) -> Any:
    """The value of an option, a Tensor as its array or number; GraphError where its gradient would be lost."""
    if isinstance(value, Value):
        if value.node is not None and modes.recording:
            raise GraphError(
                f"{what}: {name}: there is no gradient for this argument, and the Tensor requires grad. "
                "Call .detach() on it."
            )
        data = value._data if value.level is None else np.asarray(value._data)
        return data if data.ndim else data.item()
    if type(value) in (list, tuple):
        return type(value)(without_gradient(what, name, v) for v in value)
    if type(value) is dict:
        return {key: without_gradient(what, name, v) for key, v in value.items()}
    return value


OUT_ADVICE = (
    "out= would overwrite an array, and what was overwritten cannot be recorded. Leave out= away, and write "
    "x = x + t for array += t."
)


def store(
    what: str, out: Array | tuple[Array | None, ...], result: Any, casting: Casting = "same_kind"
) -> Any:
    """Write a result that was not recorded into the array given as `out`; returns that array."""
    if isinstance(out, tuple) and isinstance(result, tuple):
        pairs: list[tuple[Any, Any]] = list(zip(out, result))
    else:
        pairs = [(out[0] if isinstance(out, tuple) and len(out) == 1 else out, result)]
    for target, value in pairs:
        _check_target(what, target, value, casting)
    for target, value in pairs:
        if target is not None:
            np.copyto(raw(target), raw(value), casting=casting)
    found = tuple(value if target is None else target for target, value in pairs)
    return found if len(pairs) > 1 else found[0]


def _check_target(what: str, target: Array | None, value: Any, casting: Casting) -> None:
    if isinstance(value, Value) and value.node is not None:
        raise DTypeError(f"{what}: {OUT_ADVICE}")
    if target is None:
        return
    if not isinstance(target, (Value, np.ndarray)):
        raise DTypeError(f"{what}: out: expected an array, got {describe(target)}")
    if isinstance(target, Value) and target.node is not None:
        on_leaf = target.node.op is None
        if not on_leaf or modes.recording:
            raise DTypeError(f"{what}: {OUT_ADVICE}")
    data, array = np.asarray(raw(value)), raw(target)
    if array.shape != data.shape:
        raise ShapeError(f"{what}: out: expected an array of shape {data.shape}, got {array.shape}")
    if not np.can_cast(data.dtype, array.dtype, casting):
        raise DTypeError(f"{what}: out: the result is {data.dtype}, and out is {array.dtype}")


def each(values: Iterable[Any]) -> Any:
    """One value alone, several as a tuple: what functions of any number of arrays return."""
    made = tuple(values)
    return made[0] if len(made) == 1 else made
