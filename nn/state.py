"""The tensors and modules that a module owns, found among its attributes; saving and loading them by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.nn.parameter import Buffer, Parameter, Uninitialized
from tinygrad_dl.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_dl.nn.module import Module

IGNORED = {"_hooks", "_absent"}
# Most attributes are settings of these types, which hold no tensors: they are skipped at once.
LEAF_TYPES = {int, float, bool, str, type(None)}


class Mismatch(NamedTuple):
    """The missing and the unexpected names of load_state_dict."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def members(module: Module) -> Iterator[tuple[str, Any]]:
    """The parameters, buffers and modules that are a module's attributes or are inside its lists, tuples and dicts."""
    for name, value in vars(module).items():
        if type(value) not in LEAF_TYPES and name not in IGNORED:
            yield from _inside(name, value, ())


def _inside(name: str, value: Any, ancestors: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Parameter, Buffer)) or _is_module(value):
        yield name, value
    elif isinstance(value, (list, tuple, dict)) and id(value) not in ancestors:  # a list may hold itself
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _inside(f"{name}.{key}", item, (*ancestors, id(value)))


def _is_module(value: Any) -> bool:
    return hasattr(type(value), "named_modules") and hasattr(type(value), "load_state_dict")


def joined(prefix: str, name: str) -> str:
    """Two parts of a dotted name."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def named_children(module: Module, remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
    """The modules directly inside, with their names."""
    visited: set[int] = set()
    for name, value in members(module):
        if _is_module(value) and not (remove_duplicate and id(value) in visited):
            visited.add(id(value))
            yield name, value


def named_modules(
    module: Module, prefix: str = "", remove_duplicate: bool = True
) -> Iterator[tuple[str, Module]]:
    """The module and all inside, outer ones first. A module that holds an outer one does not recurse forever."""
    # Not a function inside this one: it would refer to itself, and every call would leave a reference cycle.
    return _outer_first(module, prefix, (), set() if remove_duplicate else None)


def _outer_first(
    module: Module, prefix: str, ancestors: tuple[int, ...], visited: set[int] | None
) -> Iterator[tuple[str, Module]]:
    if id(module) in ancestors or (visited is not None and id(module) in visited):
        return
    if visited is not None:
        visited.add(id(module))
    yield prefix, module
    for name, child in named_children(module, remove_duplicate=False):
        yield from _outer_first(child, joined(prefix, name), (*ancestors, id(module)), visited)


def inner_first(module: Module, visited: set[int] | None = None) -> Iterator[Module]:
    """The module and all inside, each once, inner modules before outer ones."""
    visited = set() if visited is None else visited
    visited.add(id(module))
    for _, child in named_children(module):
        if id(child) not in visited:
            yield from inner_first(child, visited)
    yield module


def named_tensors(
    module: Module, kind: type, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Any]]:
    """The parameters, or the buffers, with their dotted names."""
    visited: set[int] = set()
    modules = named_modules(module, prefix, remove_duplicate) if recurse else iter([(prefix, module)])
    for path, owner in modules:
        for name, value in members(owner):
            if isinstance(value, kind) and not (remove_duplicate and id(value) in visited):
                visited.add(id(value))
                yield joined(path, name), value


def saved_tensors(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """What state_dict saves, in PyTorch's order: of each module its parameters, its buffers, then what is inside."""
    for path, owner in named_modules(module, prefix, remove_duplicate=False):
        own = [(name, value) for name, value in members(owner) if isinstance(value, Tensor)]
        own.sort(key=lambda entry: isinstance(entry[1], Buffer))
        for name, value in own:
            if not isinstance(value, Buffer) or value.persistent:
                yield joined(path, name), value


def extra_states(module: Module) -> dict[str, Any]:
    """The modules that define get_extra_state, by the name of their extra state."""
    owners = named_modules(module, remove_duplicate=False)
    return {
        joined(path, "_extra_state"): owner
        for path, owner in owners
        if hasattr(type(owner), "get_extra_state")
    }


def requested_dtype(what: str, args: Any, kwargs: Any) -> Any:
    """The dtype among the arguments of `to`, or None; a device other than the CPU raises ValueRangeError."""
    dtype = None
    for value in (*args, *kwargs.values()):
        value = value.dtype if isinstance(value, Tensor) else value
        if isinstance(value, bool) or value is None or str(value).partition(":")[0] == "cpu":
            continue
        try:
            dtype = np.dtype(value)
        except TypeError:
            raise ValueRangeError(
                f'{what}: expected the device "cpu", which is the only one, got {value!r}'
            ) from None
    return dtype


def _near(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _hooked(module: Module) -> list[tuple[str, Any]]:
    """The modules with hooks, outer ones first, with the prefix of their names."""
    owners = named_modules(module, remove_duplicate=False)
    return [(f"{path}." if path else "", owner) for path, owner in owners if owner._hooks is not None]


def _call_hooks(owner: Any, kind: str, *args: Any) -> None:
    for hook, _ in list(owner._hooks.of[kind].values()):
        hook(owner, *args)


def save(module: Module, prefix: str) -> dict[str, Any]:
    """Copies of what state_dict saves, and what modules keep beside arrays, by name; with the hooks around saving."""
    hooked = _hooked(module)
    for path, owner in hooked:
        _call_hooks(owner, "saving", prefix + path, False)
    saved: dict[str, Any] = {
        # As in PyTorch, the parameter of a lazy layer itself: there is no array yet.
        prefix + name: tensor if isinstance(tensor, Uninitialized) else tensor._data.copy()
        for name, tensor in saved_tensors(module)
    }
    for name, owner in extra_states(module).items():
        saved[prefix + name] = owner.get_extra_state()
    for path, owner in reversed(hooked):
        _call_hooks(owner, "saved", saved, prefix + path, {})
    return saved


def _raise_for_names(module: Module, missing: list[str], unexpected: list[str]) -> None:
    lines = [f"load_state_dict: the names do not match {type(module).__name__}."]
    if missing:
        lines.append(f"Missing: {', '.join(name + _near(name, unexpected) for name in missing)}.")
    if unexpected:
        lines.append(f"Unexpected: {', '.join(unexpected)}.")
    if missing or unexpected:
        raise ValueRangeError(" ".join([*lines, "Pass strict=False to load what fits."]))


def load(module: Module, given: Any, strict: bool, assign: bool = False) -> Mismatch:
    """Write the arrays into the module's tensors: all of them, or none if anything does not fit.

    `assign`: the arrays themselves replace those of the tensors, and keep their dtypes.
    """
    if not hasattr(given, "items"):
        raise DTypeError(f"load_state_dict: expected a dict of arrays by name, got {type(given).__name__}")
    own, arrays, extra, hooked = (
        dict(saved_tensors(module)),
        dict(given.items()),
        extra_states(module),
        _hooked(module),
    )
    missing: list[str] = []
    unexpected: list[str] = []
    mismatched: list[str] = []
    for path, owner in hooked:
        _call_hooks(owner, "loading", arrays, path, {}, strict, missing, unexpected, mismatched)
    missing += [name for name in (*own, *extra) if name not in arrays]
    unexpected += [name for name in arrays if name not in own and name not in extra]
    hooks_edit_names = any(owner._hooks.of["loaded"] for _, owner in hooked)
    if strict and not hooks_edit_names:
        _raise_for_names(module, missing, unexpected)
    writes: list[tuple[Tensor, np.ndarray]] = []
    for name, tensor in own.items():
        if name not in arrays:
            continue
        value = arrays[name]
        if isinstance(value, Uninitialized):
            if not isinstance(tensor, Uninitialized):
                mismatched.append(f"{name}: expected {tensor.shape}, got {value!r}")
            continue
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        kind = tensor.dtype.kind
        kinds = kind if assign and kind in "fc" else {"f": "biuf", "c": "biufc"}.get(kind, "biu")
        if array.dtype.kind not in kinds:
            mismatched.append(f"{name}: expected {tensor.dtype}, got {array.dtype}")
        elif isinstance(tensor, Uninitialized) and not tensor.fits(array.shape):
            mismatched.append(f"{name}: expected {tensor.expected()}, got {array.shape}")
        elif not isinstance(tensor, Uninitialized) and array.shape != tensor.shape:
            mismatched.append(f"{name}: expected {tensor.shape}, got {array.shape}")
        else:
            value_to_write = (
                np.require(array, requirements="W") if assign else np.array(array, dtype=tensor.dtype)
            )
            writes.append((tensor, value_to_write))
    if mismatched:
        raise ShapeError(
            f"load_state_dict: arrays do not fit {type(module).__name__}: {'; '.join(mismatched)}. Nothing was loaded."
        )
    for tensor, array in writes:
        if isinstance(tensor, Uninitialized):
            tensor.materialize(array.shape)
        if assign:
            tensor.grad = None
            tensor.data = array
        else:
            tensor._data[...] = array
    for name, owner in extra.items():
        if name in arrays:
            owner.set_extra_state(arrays[name])
    result = Mismatch(missing, unexpected)
    for _, owner in reversed(hooked):
        _call_hooks(owner, "loaded", result)
    if strict and hooks_edit_names:  # hooks may have removed names
        _raise_for_names(module, missing, unexpected)
    return result


def _entry(holder: Any, name: str) -> tuple[Any, Any]:
    """The key and the value (or None) for one part of a dotted name, in a module, list, tuple or dict."""
    if isinstance(holder, dict):
        return next(((key, value) for key, value in holder.items() if str(key) == name), (name, None))
    if isinstance(holder, (list, tuple)):
        i = int(name) if name.isdigit() else len(holder)
        return i, holder[i] if i < len(holder) else None
    return name, vars(holder).get(name) if _is_module(holder) else None


def set_submodule(module: Module, target: str, new: Any, strict: bool) -> None:
    """Replace the module with a dotted name, or add it unless `strict`."""
    if not _is_module(new):
        raise DTypeError(f"set_submodule: expected a Module, got {type(new).__name__}")
    holder: Any = None
    key: Any = None
    value = module
    for name in target.split("."):
        holder = value
        key, value = _entry(holder, name)
    place = isinstance(holder, (list, dict)) or _is_module(holder)
    if not target or not place or (value is None and (strict or isinstance(holder, list))):
        raise AttributeError(f"set_submodule: {type(module).__name__} has no module {target!r}")
    if value is not None and not _is_module(value):
        raise AttributeError(f"set_submodule: expected {target!r} to be a Module, got {type(value).__name__}")
    if isinstance(holder, (list, dict)):
        holder[key] = new
    else:
        holder.register_module(key, new)
