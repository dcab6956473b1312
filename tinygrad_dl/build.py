"""The functions made for each operation, of source for exactly its inputs, options and saved names.

As a dataclass builds its `__init__`: nothing generic is left to run when an operation is called or pulled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from tinygrad_dl import calls
from tinygrad_dl.codegen import call_source, vjp_source
from tinygrad_dl.domain import Missing
from tinygrad_dl.graph import Node, Value, next_serial
from tinygrad_dl.modes import active

# What generated code reads. `Tensor` is bound by tensor.py, which stands above this floor.
COMMON: dict[str, Any] = {
    "np": np, "ndarray": np.ndarray, "plain": calls.plain, "active": active, "under_modes": calls.under_modes,
    "Value": Value, "Node": Node, "next_serial": next_serial, "coerce": calls.coerce,
    "constant": calls.constant, "apply_plain": calls.apply_plain, "apply_variadic": calls.apply_variadic,
    "explain": calls.explain, "unusual": calls.unusual,
    "F4": np.dtype(np.float32), "F8": np.dtype(np.float64),
    "new": object.__new__, "RAW": frozenset((float, int, bool)),
}  # fmt: skip
_namespaces: list[dict[str, Any]] = []
_compiled: dict[str, Any] = {}


def bind_tensor(tensor: type[Value]) -> None:
    """Tell the operations which class their results have."""
    for namespace in (COMMON, *_namespaces):
        namespace["Tensor"] = tensor
    calls.bind_tensor(tensor)


def _unbuilt(*args: Any, **kwargs: Any) -> Any:
    build(op)  # type: ignore[name-defined]  # noqa: F821  in the namespace of the operation
    return op.function(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821


def declare(self: Any, forward: Callable[..., Any]) -> Any:
    """The public function of an operation; its code is built at the first call, which keeps the import quick."""
    namespace = dict(COMMON, op=self, forward=self.run, build=_build)
    _namespaces.append(namespace)
    function: Any = FunctionType(_unbuilt.__code__, namespace, forward.__name__)
    function.__doc__, function.__qualname__ = forward.__doc__, forward.__qualname__
    function.__module__, function.__annotations__ = forward.__module__, forward.__annotations__
    function.__wrapped__ = forward  # whose signature help() shows until then
    function.op = self
    return function


def _build(self: Any) -> None:
    """Give an operation's function the code made for it; equal sources are compiled once."""
    source = call_source(self)
    if source not in _compiled:
        space: dict[str, Any] = {}
        exec(compile(source, "<tinygrad_dl operation>", "exec"), space)
        _compiled[source] = space["call"].__code__
    function, forward = self.function, self.forward
    function.__defaults__, function.__kwdefaults__ = forward.__defaults__, forward.__kwdefaults__
    function.__code__ = _compiled[source]
    vars(function).pop("__wrapped__", None)


def vjp(self: Any, recording: bool, selective: bool) -> Callable[..., tuple[Any, ...]]:
    """The function that runs an operation's rules: on arrays or on Tensors, for all parents or for some."""
    if self.variadic:
        how: dict[str, Any] = {} if selective else {"needed": None}
        return partial(calls.vjp_variadic, self, recording, **how)
    plain = recording or self.fast is None
    rules, rule_arguments = (self.rules, self.rule_arguments) if plain else (self.fast, self.fast_arguments)
    namespace = {
        "Node": Node, "shape_of": calls.shape_of, "dtype_of": calls.dtype_of, "attach": calls.attach,
        "distinct": calls.distinct,
    }  # fmt: skip
    namespace |= {f"rule{i}": rule for i, rule in enumerate(rules)}
    live = [rule is not None and not isinstance(rule, Missing) for rule in rules]
    exec(vjp_source(self, rule_arguments, live, recording, selective), namespace)
    return namespace["vjp"]  # type: ignore[return-value]
