"""A function written with PyTorch or JAX as one of this library's Tensors, whose graph shows what a mistake would give.

The function runs with other modules under the names that it uses: tinygrad_dl.torch for torch, NumPy for jax.numpy.
Where it uses more than these have, it fails, and there is no graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from types import CellType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

# Functions that call each other are followed so far.
DEPTH = 4


def _module(name: str) -> Any:
    """What stands for a module of PyTorch or JAX; None if it is none of these."""
    if name == "torch":
        return import_module("tinygrad_dl.torch")
    if name in ("torch.nn.functional", "jax.nn"):
        return import_module("tinygrad_dl.nn.functional")
    if name == "jax.numpy":
        return np
    if name == "jax":
        return SimpleNamespace(numpy=np, nn=_module("jax.nn"))
    return None


def translated(function: Callable[..., Any], depth: int = DEPTH) -> Callable[..., Any]:
    """The same function with other modules under the names of PyTorch's and JAX's."""
    if hasattr(function, "fwd") or hasattr(
        function, "defjvp"
    ):  # a custom_vjp or custom_jvp computes as its function
        function = inspect.unwrap(function)
    if not isinstance(function, FunctionType) or not depth:
        return function

    def other(x: Any) -> Any:
        if isinstance(x, ModuleType):
            return _module(x.__name__) or x
        is_rule = hasattr(x, "defvjp") or hasattr(x, "defjvp")
        return translated(x, depth - 1) if isinstance(x, FunctionType) or is_rule else x

    names = [n for n in function.__code__.co_names if n in function.__globals__]
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(CellType(other(cell.cell_contents)))
        except ValueError:  # a name that has no value yet
            cells.append(cell)
    changed = {n: other(function.__globals__[n]) for n in names}
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **changed},
        function.__name__,
        function.__defaults__,
        tuple(cells),
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
