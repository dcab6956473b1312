"""What a module owns, found by walking its attributes; saving and loading it by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.nn.parameter import Buffer, Parameter
from tinygrad_dl.tensor import Tensor

HIDDEN = {"_hooks"}


class Mismatch(NamedTuple):
    """The names that load_state_dict did not find, and those it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def members(module: Any) -> Iterator[tuple[str, Any]]:
    """The parameters, buffers and modules that are a module's attributes or lie in its lists, tuples and dicts."""
    for name, value in vars(module).items():
        if name not in HIDDEN:
            yield from _inside(name, value, ())


def _inside(name: str, value: Any, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Parameter, Buffer)) or _is_module(value):
        yield name, value
    elif isinstance(value, (list, tuple, dict)) and id(value) not in around:  # a list may hold itself
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _inside(f"{name}.{key}", item, (*around, id(value)))


def _is_module(value: Any) -> bool:
    return hasattr(type(value), "named_modules") and hasattr(type(value), "load_state_dict")


def joined(prefix: str, name: str) -> str:
    """Two parts of a dotted name."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def named_children(module: Any, remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
    """The modules directly inside, with their names."""
    seen: set[int] = set()
    for name, value in members(module):
        if _is_module(value) and not (remove_duplicate and id(value) in seen):
            seen.add(id(value))
            yield name, value


def named_modules(module: Any, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
    """The module and all inside, outer ones first. A module that holds an outer one does not go round."""
    seen: set[int] = set()

    def visit(module: Any, prefix: str, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
        if id(module) in around or (remove_duplicate and id(module) in seen):
            return
        seen.add(id(module))
        yield prefix, module
        for name, child in named_children(module, remove_duplicate=False):
            yield from visit(child, joined(prefix, name), (*around, id(module)))

    return visit(module, prefix, ())


def inner_first(module: Any) -> Iterator[Any]:
    """The module and all inside, each once, those inside before those around them."""
    seen: set[int] = set()

    def visit(module: Any) -> Iterator[Any]:
        seen.add(id(module))
        for _, child in named_children(module):
            if id(child) not in seen:
                yield from visit(child)
        yield module

    return visit(module)


def named_tensors(
    module: Any, kind: type, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Any]]:
    """The parameters, or the buffers, with their dotted names."""
    seen: set[int] = set()
    modules = named_modules(module, prefix, remove_duplicate) if recurse else iter([(prefix, module)])
    for path, owner in modules:
        for name, value in members(owner):
            if isinstance(value, kind) and not (remove_duplicate and id(value) in seen):
                seen.add(id(value))
                yield joined(path, name), value


def saved_tensors(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """What state_dict saves, in PyTorch's order: of each module its parameters, its buffers, then what is inside."""
    for path, owner in named_modules(module, prefix, remove_duplicate=False):
        own = [(name, value) for name, value in members(owner) if isinstance(value, Tensor)]
        own.sort(key=lambda entry: isinstance(entry[1], Buffer))
        for name, value in own:
            if not isinstance(value, Buffer) or value.persistent:
                yield joined(path, name), value


def extra_states(module: Any) -> dict[str, Any]:
    """The modules that save more than arrays, by the name of what they save: they define get_extra_state."""
    owners = named_modules(module, remove_duplicate=False)
    return {
        joined(path, "_extra_state"): owner
        for path, owner in owners
        if hasattr(type(owner), "get_extra_state")
    }


def dtype_asked_for(what: str, args: Any, kwargs: Any) -> Any:
    """The dtype among the arguments of `to`, or None; a device other than the CPU raises ValueRangeError."""
    dtype = None
    for value in (*args, *kwargs.values()):
        value = value.dtype if isinstance(value, Tensor) else value
        if isinstance(value, bool) or value is None or str(value).partition(":")[0] == "cpu":
            continue
        try:
            dtype = np.dtype(value)
        except TypeError:
            raise ValueRangeError(f'{what}: "cpu" is the only device; {value!r} came') from None
    return dtype


def _near(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def load(module: Any, given: Any, strict: bool) -> Mismatch:
    """Write the arrays into the module's tensors: all of them, or none if anything does not fit."""
    if not hasattr(given, "items"):
        raise DTypeError(f"load_state_dict: a dict of arrays by name is needed; {type(given).__name__} came")
    name_of = type(module).__name__
    own = dict(saved_tensors(module))
    arrays = dict(given.items())
    extra = extra_states(module)
    missing = [name for name in (*own, *extra) if name not in arrays]
    unexpected = [name for name in arrays if name not in own and name not in extra]
    if strict and (missing or unexpected):
        lines = [f"load_state_dict: the names do not fit {name_of}."]
        if missing:
            lines.append(f"Missing: {', '.join(name + _near(name, unexpected) for name in missing)}.")
        if unexpected:
            lines.append(f"Unexpected: {', '.join(unexpected)}.")
        raise ValueRangeError(" ".join([*lines, "Pass strict=False to load what fits."]))
    writes: list[tuple[np.ndarray, np.ndarray]] = []
    wrong = []
    for name, tensor in own.items():
        if name not in arrays:
            continue
        value = arrays[name]
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and tensor.dtype.kind != "f"):
            wrong.append(f"{name}: {array.dtype} does not fit {tensor.dtype}")
        elif array.shape != tensor.shape:
            wrong.append(f"{name}: {array.shape} came, {tensor.shape} is needed")
        else:
            writes.append((tensor._data, np.array(array, dtype=tensor.dtype)))
    if wrong:
        raise ShapeError(
            f"load_state_dict: arrays do not fit {name_of}: {'; '.join(wrong)}. Nothing was loaded."
        )
    for target, array in writes:
        target[...] = array
    for name, owner in extra.items():
        if name in arrays:
            owner.set_extra_state(arrays[name])
    return Mismatch(missing, unexpected)
