"""What the user calls an array: the variables where the graph is drawn, and the arguments of what is drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from inspect import CO_OPTIMIZED, signature
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.graph import Value

MOST = 2000  # variables that are looked at


class Known(NamedTuple):
    """An array that has a name, and the memory that it is in."""

    name: str
    array: Any
    begin: int
    end: int


class Variables:
    """Names of arrays, found by the memory of an array: what shares it is the array, or a view of it.

    The spaces of names come in the order of their priority. A Tensor's own name goes before that of the variable.
    """

    def __init__(self, *spaces: Mapping[str, Any]) -> None:
        self.known: list[Known] = []
        self.leaves: dict[int, str] = {}  # the serial of a Tensor's node -> the name of the variable
        for name, value in _arrays(spaces):
            if isinstance(value, Value) and value.node is not None:
                if value.node.op is None and getattr(value, "_name", None) is None:
                    self.leaves.setdefault(value.node.serial, name)
                continue
            own = getattr(value, "_name", None)
            array = getattr(value, "_data", value)
            if isinstance(array, np.ndarray) and array.size:
                self.known.append(Known(str(own or name), array, *_range(array)))

    def name_of(self, array: object) -> str:
        """The name of the array whose memory this one is in; "" if there is none."""
        if not isinstance(array, np.ndarray) or not array.size or not self.known:
            return ""
        begin, end = _range(array)
        best, rank = "", 0
        for known in self.known:
            if known.begin <= begin and end <= known.end and known.array.dtype == array.dtype:
                same = begin == known.begin and end == known.end
                found = 3 if same and array.shape == known.array.shape else 2 if same else 1
                if found > rank:
                    best, rank = known.name if same else f"{known.name}[...]", found
        return best


def _arrays(spaces: tuple[Mapping[str, Any], ...]) -> Iterator[tuple[str, Any]]:
    seen = 0
    for space in spaces:
        for name, value in list(space.items()):
            if isinstance(value, (Value, np.ndarray)) and not str(name).startswith("_"):
                seen += 1
                if seen > MOST:
                    return
                yield str(name), value


def _range(array: np.ndarray) -> tuple[int, int]:
    """The addresses of an array's first byte and of the byte after its last."""
    begin: int = array.__array_interface__["data"][0]
    end = begin + array.itemsize
    for size, stride in zip(array.shape, array.strides):
        if stride < 0:
            begin += (size - 1) * stride
        else:
            end += (size - 1) * stride
    return begin, end


def of_caller() -> list[Mapping[str, Any]]:
    """The variables of the innermost function outside of this package, and those of its module."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("tinygrad_dl."):
        frame = frame.f_back
    local = frame.f_locals
    if local is frame.f_globals:
        return [local]
    found = {name: value for name, value in local.items() if isinstance(value, (Value, np.ndarray))}
    # Before Python 3.13 a function keeps this dict, and it would keep arrays alive that the function deletes. Where
    # somebody else has it, as after locals(), it is theirs.
    if sys.version_info < (3, 13) and frame.f_code.co_flags & CO_OPTIMIZED:
        own: dict[str, Any] = {}
        references = getattr(sys, "getrefcount", None)  # other interpreters have none
        if references is not None and references(local) <= references(own) + 1:
            local.clear()
    return [found, frame.f_globals]


def of_arguments(function: Any, inputs: Any) -> dict[str, Any]:
    """The arguments of a function or a model by the names of its parameters."""
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        bound = signature(getattr(function, "forward", function)).bind(*given).arguments
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in bound.items() if isinstance(value, (Value, np.ndarray))}
