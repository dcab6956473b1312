"""Operands that are not nodes of the computation graph: constant arrays and numbers, each drawn once."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.graph import Value
from tinygrad_dl.typing import NDArray, Shape
from tinygrad_dl.viz.graph.array_statistics import number, statistics
from tinygrad_dl.viz.graph.model import GraphModel, GraphNode, Stats
from tinygrad_dl.viz.graph.rules import dtype_text, short


class Constants:
    """The constants and numbers of a graph model; equal ones are one box."""

    def __init__(self, graph: GraphModel, detail: bool) -> None:
        self.graph, self.detail = graph, detail
        self.placed: set[str] = set()
        self._drawn: dict[tuple[Any, ...], list[GraphNode]] = {}  # (name, shape, dtype) -> boxes

    def add(self, label: str, value: Any, known: Stats | None = None) -> GraphNode:
        """The box of a value that needs no gradient: a number, an array, a Tensor, or (shape, dtype, name).

        The last is what a node stores of a constant operand. Such are told apart by name, shape, dtype and
        `known`, the statistics of the value if some were recorded.
        """
        if isinstance(value, tuple):
            shape, dtype, name = value
            return self._add_operand(label, shape, dtype, name, known)
        if isinstance(value, np.ndarray):
            return self._add_array(label, value)
        if isinstance(value, Value):
            return self._add_array(getattr(value, "_name", None) or label, value._data)
        is_number = isinstance(value, (int, float, complex, np.generic))
        drawn = self._append("number", number(value, 7) if is_number else short(value))
        if isinstance(value, (int, float)):
            drawn.value = statistics(value)
        return drawn

    def _add_operand(
        self, label: str, shape: Shape, dtype: np.dtype[Any], name: str | None, known: Stats | None
    ) -> GraphNode:
        """The box of a constant operand; the same box for the same name, shape, dtype and known value."""
        key = name, shape, dtype
        for same in self._drawn.get(key, ()) if name else ():
            if same.value is None or known is None or repr(same.value) == repr(known):
                same.value = same.value or known
                return same
        drawn = self._append("constant", name or label)
        drawn.name, drawn.shape, drawn.dtype, drawn.value = name or "", shape, dtype_text(dtype), known
        self._drawn.setdefault(key, []).append(drawn)
        return drawn

    def _add_array(self, label: str, array: NDArray) -> GraphNode:
        drawn = self._append("constant", label)
        drawn.shape, drawn.dtype = array.shape, str(array.dtype)
        drawn.value = statistics(array, self.detail)
        return drawn

    def _append(self, kind: str, label: str) -> GraphNode:
        drawn = GraphNode(self.graph.next_node_id(), kind, label)
        self.graph.nodes.append(drawn)
        return drawn

    def place(self, constant: GraphNode, module: str, is_model_input: bool) -> None:
        """Put a constant into the module of the operation that uses it.

        What several modules use is outside of them, and so is what was put into a model.
        """
        shared = constant.id in self.placed and constant.module != module
        constant.module = "" if shared or is_model_input else module
        self.placed.add(constant.id)
