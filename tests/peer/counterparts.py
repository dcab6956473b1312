"""Where the counterparts of PyTorch's operators are entered, by PyTorch's names.

Each is a function with PyTorch's parameters. A sample for which it raises `Unlike` has no counterpart, for the reason
given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Unlike(Exception):
    """A sample that asks for something that is not there, or is another thing, here."""


OURS: dict[str, Callable[..., Any]] = {}


def ours(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The function is the counterpart of the operators of these names."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        OURS.update(dict.fromkeys(names, function))
        return function

    return enter


def axes_of(x: Any, dim: Any) -> Any:
    """Ours: all axes are None, not (); and a number has no axis 0."""
    if isinstance(dim, (list, tuple)):
        return tuple(dim) if dim and x.ndim else None
    return dim if x.ndim else None
