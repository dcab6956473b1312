"""What happens around an operation's forward function off the fast path: other inputs, modes, errors.

The generated call of an operation (codegen.py) handles Tensors, arrays and numbers itself and comes here for the rest.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.backend import is_array
from tinygrad_dl.errors import (
    AxisError,
    DTypeError,
    GraphError,
    IndexRangeError,
    ShapeError,
    TinygradError,
    ValueRangeError,
)
from tinygrad_dl.graph import Node, Value, next_serial
from tinygrad_dl.modes import active, modes

_tensor: Any = Value


def bind_tensor(tensor: type[Value]) -> None:
    """Tell this floor which class results have; it stands above."""
    global _tensor
    _tensor = tensor


def coerce(self: Any, x: Any) -> Any:
    """What is no Tensor, array or Python number as one of them; TypeError for what cannot be computed with."""
    if isinstance(x, np.ndarray):
        if x.dtype.kind in "biufc":
            return x if type(x) is np.ndarray else x.view(np.ndarray)
    elif isinstance(x, np.generic):
        if x.dtype.kind in "biufc":
            return float(x) if type(x) is np.float64 else x
    elif isinstance(x, (builtins.int, builtins.float, builtins.complex)):
        return x
    elif isinstance(x, (list, tuple)):
        return asarray_of(x)
    elif is_array(x):
        return x
    raise DTypeError(f"{self.name}: a Tensor, an array or a number is needed; {describe(x)} came")


def asarray_of(x: Any, dtype: Any = None) -> np.ndarray:
    """A list, a number or an array as an array; Python floats take the default dtype."""
    if isinstance(x, Value):
        array = x._data
    elif isinstance(x, (np.ndarray, np.generic)):
        array = np.asarray(x)
    elif isinstance(x, (list, tuple)) and any(isinstance(v, Value) for v in x):
        if modes.recording and any(isinstance(v, Value) and v.node is not None for v in x):
            raise GraphError(
                "asarray: the list holds Tensors that require grad, and its array would be cut off from "
                "the graph. "
                "Use stack(list), or detach() them."
            )
        array = np.stack([asarray_of(v) for v in x])
    else:
        try:
            array = np.asarray(x, dtype)
        except (ValueError, TypeError, OverflowError) as error:
            if "inhomogeneous" in str(error):
                raise ShapeError("asarray: the nested lists have rows of different lengths") from error
            raise DTypeError(f"asarray: numbers are needed; {describe(x)} came ({error})") from error
        if dtype is None and array.dtype == np.float64 and not _holds_float64(x):
            array = array.astype(config.default_dtype)
        elif dtype is None and array.dtype == np.complex128 and config.default_dtype == np.float32:
            array = array.astype(np.complex64)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if array.dtype.kind not in "biufc":
        raise DTypeError(f"asarray: numbers or booleans are needed; {describe(x)} came")
    return array


def _holds_float64(x: Any) -> bool:
    while isinstance(x, (list, tuple)) and len(x):
        x = x[0]
    return isinstance(x, np.ndarray) and x.dtype == np.float64


def describe(x: Any) -> str:
    """What came, in few words, for error messages."""
    if isinstance(x, (Value, np.ndarray)):
        data = x._data if isinstance(x, Value) else x
        return f"an array of shape {data.shape} and dtype {data.dtype}"
    text = repr(x)
    return f"{type(x).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


def shown(x: Any) -> str:
    """An input in an error message: its shape, or the number itself."""
    data = x._data if isinstance(x, Value) else x
    return str(data.shape) if hasattr(data, "shape") else repr(data)


def explain(self: Any, inputs: Sequence[Any], options: Sequence[Any], error: Exception) -> Any:
    """Raise the error of a forward function again, with the operation, what came, and what to do."""
    if isinstance(error, TinygradError):
        raise error
    kinds = (
        (np.exceptions.AxisError, AxisError),
        (IndexError, IndexRangeError),
        (ValueError, ShapeError),
        (TypeError, DTypeError),
    )
    for base, kind in kinds:  # noqa: B007  read after the loop
        if isinstance(error, base) and type(error).__module__ in (
            "builtins",
            "numpy.exceptions",
            "numpy._core._exceptions",
        ):
            break
    else:
        raise error
    advice = self.hint(*inputs, *options) if self.hint is not None else None
    arrays = inputs[0] if self.variadic and len(inputs) == 1 else inputs
    came = ", ".join(shown(x) for x in arrays)
    if advice is None:
        text = str(error)
        if "could not be broadcast" in text:
            text = (
                "the shapes do not broadcast: aligned from the right, two sizes must be equal or one of "
                "them 1. "
                "Reshape one of them?"
            )
        chosen = ", ".join(
            f"{n}={describe(v) if isinstance(v, np.ndarray) and v.size > 8 else repr(v)}"
            for n, v in zip(self.options, options)
            if not (v is (usual := self.defaults.get(n, self)) or type(v) in (int, float, str) and v == usual)
        )
        advice = f"({came}{', ' if chosen and came else ''}{chosen}): {text}"
        raise kind(f"{self.name}{advice}") from error
    raise kind(f"{self.name}: {advice}") from error


def apply_plain(self: Any, inputs: tuple[Any, ...], options: tuple[Any, ...]) -> Any:
    """A call without a Tensor: on arrays and NumPy scalars it computes; on numbers and lists alone it makes Tensors."""
    if any(is_array(x) for x in inputs):
        data = [
            x if is_array(x) or (x is None and n in self.defaults) else coerce(self, x)
            for n, x in zip(self.inputs, inputs)
        ]
        return self.compute(data, options)
    if all(x is None for x in inputs):
        coerce(self, None)
    coerced = [
        None if x is None and n in self.defaults else coerce(self, x) for n, x in zip(self.inputs, inputs)
    ]
    tensors = [None if x is None else _tensor(x) for x in coerced]
    args, kwargs = self.arguments(tensors, options)
    return self.function(*args, **kwargs)


def apply_variadic(self: Any, values: Any, options: tuple[Any, ...]) -> Any:
    """A call of an operation that takes a sequence of arrays."""
    if active:
        result = under_modes(self, (values,), options)
        if result is not None:
            return result
    if not isinstance(values, Iterable):
        raise DTypeError(f"{self.name}: a sequence of arrays is needed; {describe(values)} came")
    values = tuple(values)
    if not values:
        raise ValueRangeError(f"{self.name}: at least one array is needed; an empty sequence came")
    data = tuple(v._data if isinstance(v, Value) else coerce(self, v) for v in values)
    out = self.compute((data,), options)
    if not any(isinstance(v, Value) for v in values):
        return out if any(is_array(v) for v in values) else wrap(out)
    nodes = [v.node if isinstance(v, Value) else None for v in values]
    result = wrap(out)
    if any(node is not None for node in nodes) and (out.dtype.kind == "f" or unusual(self, out.dtype)):
        node = Node()
        node.op, node.options, node.shape, node.dtype = self, options, out.shape, out.dtype
        node.parents = tuple(n if n is not None else constant(v, d) for n, v, d in zip(nodes, values, data))
        node.saved = (data,) if self.inputs[0] in self.saves else ()
        node.serial, node.watch, node.scope = next_serial(), None, None
        result.node = node
    return result


def vjp_variadic(self: Any, recording: bool, node: Node, g: Any, needed: Any) -> tuple[Any, ...]:
    known: dict[str, Any] = dict(
        zip(self.options, node.options), g=g, shapes=tuple(shape_of(p) for p in node.parents)
    )
    if node.saved:
        known[self.inputs[0]] = (
            tuple(map(attach, node.saved[0], node.parents)) if recording else node.saved[0]
        )
    return tuple(
        self.rules[0](*[i if name == "i" else known[name] for name in self.rule_arguments[0]])
        if type(parent) is Node and (needed is None or parent.serial in needed)
        else None
        for i, parent in enumerate(node.parents)
    )


def under_modes(self: Any, inputs: tuple[Any, ...], options: tuple[Any, ...]) -> Any:
    """The result of a call while some mode is on somewhere; None when this thread's modes leave it as it is."""
    if modes.watched:
        return None
    values = tuple(inputs[0]) if self.variadic else inputs
    if not any(isinstance(x, Value) for x in values):
        return None
    if modes.strict:
        _check_strict(self, values)
    if modes.recording:
        if not modes.watchers:
            return None
        args, kwargs = self.arguments((values,) if self.variadic else values, options)
        modes.watched = True
        try:
            result = self.function(*args, **kwargs)
        finally:
            modes.watched = False
    else:
        data = tuple(
            x._data if isinstance(x, Value) else None if x is None and n in self.defaults else coerce(self, x)
            for n, x in zip(self.inputs if not self.variadic else self.inputs * len(values), values)
        )
        result = wrap(self.compute((data,) if self.variadic else data, options))
    for watcher in modes.watchers:
        watcher.after_forward(self, values, options, result)
    return result


def _check_strict(self: Any, values: Sequence[Any]) -> None:
    if self.ufunc is None:
        return
    shapes = [x._data.shape if isinstance(x, Value) else np.shape(x) for x in values]
    whole = np.broadcast_shapes(*shapes) if _fit(shapes) else None
    if (
        whole is not None
        and len(shapes) > 1
        and all(np.prod(s, dtype=int) < np.prod(whole, dtype=int) for s in shapes)
    ):
        raise ShapeError(
            f"{self.name}: {' with '.join(map(str, shapes))} expands both to {whole} under strict_broadcast. "
            "Reshape one of them to the shape of the other."
        )


def _fit(shapes: Sequence[tuple[int, ...]]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def plain(self: Any, out: Any, options: Sequence[Any]) -> np.ndarray:
    """The result of a forward function that is no plain array as one: a NumPy scalar, most often."""
    if isinstance(out, Value):
        for name, option in zip(self.options, options):
            if isinstance(option, Value):
                raise DTypeError(
                    f"{self.name}: the option {name} is a Tensor; options have no gradient. "
                    "Make it an input, or pass a number."
                )
    return np.asarray(out)


def wrap(out: Any) -> Any:
    """A Tensor of an array that needs no gradient; the array is shared."""
    result = object.__new__(_tensor)
    result._data = out if type(out) is np.ndarray else np.asarray(out)
    result.node = result._name = None  # a name that was never set takes ten times as long to look up
    return result


def constant(x: Any, data: Any) -> Any:
    """What a node remembers of an input that needs no gradient: never the array itself."""
    if isinstance(data, np.ndarray):
        return (data.shape, data.dtype, getattr(x, "_name", None))
    return data


def unusual(self: Any, dtype: Any) -> bool:
    """Whether a result of a dtype other than float32 and float64 may need a gradient."""
    if dtype.kind == "c":
        raise GraphError(
            f"{self.name}: the result is complex, and complex values have no gradient here. "
            "Call .detach() on the inputs if no gradient should flow."
        )
    return bool(dtype.kind == "f")


def shape_of(entry: Any) -> tuple[int, ...]:
    """The shape of a parents entry of a node."""
    return entry.shape if type(entry) is Node else entry[0] if type(entry) is tuple else np.shape(entry)


def dtype_of(entry: Any) -> Any:
    """The dtype of a parents entry of a node."""
    return entry.dtype if type(entry) is Node else entry[1] if type(entry) is tuple else np.result_type(entry)


def attach(data: Any, entry: Any) -> Any:
    """A saved value as a Tensor that is connected to its node, for rules that record."""
    if type(entry) is not Node or data is None:
        return data
    result = wrap(data)
    result.node = entry
    return result


def distinct(contributions: tuple[Any, ...]) -> list[Any]:
    """The contributions of a joint rule, none of them the same array twice: they may be added to in place."""
    if len({*map(id, contributions)}) == len(contributions):
        return list(contributions)
    seen: list[Any] = []
    for c in contributions:
        if c is not None and any(c is s for s in seen):
            c = c * 1
        seen.append(c)
    return seen
