"""Functions of other frameworks, as functions of NumPy arrays with their gradients: one file each, imported on use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.testing.frameworks.adapter import Adapter

# The name of a framework -> its module here, and the first part of the names of the modules that define its types.
FRAMEWORKS = {
    "torch": ("pytorch", ("torch",)),
    "jax": ("jax_functions", ("jax", "jaxlib")),
    "autograd": ("hips_autograd", ()),  # its functions take NumPy arrays: it is asked for by name
    "mygrad": ("mygrad_functions", ("mygrad",)),
}


# What is no framework of its own: functions of Tensors, and NumPy functions with a backward.
OWN = ("tinygrad_dl", "numpy")


def module_of(name: str, what: str = "gradcheck") -> Any:
    """The module here for a framework by its name: `adapter(f, inputs)` and `asarray(array)`."""
    if name in OWN:
        return import_module("tinygrad_dl.testing.frameworks.own_functions")
    if name not in FRAMEWORKS:
        known = ", ".join(repr(n) for n in (*FRAMEWORKS, "numpy"))
        raise ValueRangeError(f"{what}: framework: expected one of {known}, got {name!r}")
    return import_module(f"tinygrad_dl.testing.frameworks.{FRAMEWORKS[name][0]}")


def adapter_of(f: Callable[..., Any], inputs: Any, framework: str | None) -> Adapter | None:
    """The adapter for a function and its inputs, None where they are Tensors or NumPy arrays."""
    name = framework or framework_of(f, inputs)
    if name is None or name in OWN:
        return None
    found: Adapter = module_of(name).adapter(f, inputs)
    return found


def framework_of(f: Any, inputs: Any) -> str | None:
    """The framework whose types the inputs, or the function, are of."""
    leaves: list[Any] = [f]
    stack, seen = [inputs], set()
    while stack:
        item = stack.pop()
        if not isinstance(item, (list, tuple, dict)):
            leaves.append(item)
        elif id(item) not in seen:  # a list may contain itself
            seen.add(id(item))
            stack += item.values() if isinstance(item, dict) else item
    for leaf in leaves:
        types = leaf.__mro__ if isinstance(leaf, type) else type(leaf).__mro__
        for kind in types:
            first = kind.__module__.partition(".")[0]
            for name, (_, modules) in FRAMEWORKS.items():
                if first in modules:
                    return name
    return None
