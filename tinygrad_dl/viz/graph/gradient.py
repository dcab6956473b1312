"""The graph of a gradient: which of its nodes belong to the forward pass, and which backward created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.graph import ancestors
from tinygrad_dl.viz.graph.model import GraphModel, GraphModule


def split_parts(graph: GraphModel, forward: Sequence[Any]) -> None:
    """Draw two boxes: `forward` around what the forward Tensors depend on, `gradient` around the rest.

    The edges between the two show which values of the forward pass the derivative rules use.
    """
    forward_serials = {node.serial for node in ancestors([t.node for t in forward if t.node is not None])}
    used_by: dict[str, str] = {}
    for node in graph.nodes:
        if node.serial is not None:
            node.part = "forward" if node.serial in forward_serials else "gradient"
    parts = {node.id: node.part for node in graph.nodes}
    for edge in graph.edges:
        used_by.setdefault(edge.source, parts[edge.target])
    boxes = [
        GraphModule("forward", "forward", "forward"),
        GraphModule("gradient", "gradient", "gradient"),
    ]
    tops = {module.id: "forward" for module in graph.modules}
    for node in graph.nodes:
        node.part = node.part or used_by.get(node.id, "forward")
        if node.module and node.part == "gradient":
            # Computed during a module's call, but drawn as part of the backward pass.
            node.module = ""
        if not node.module:
            node.module = node.part
    for module in graph.modules:
        if not module.parent:
            module.parent = tops[module.id]
    present = {node.part for node in graph.nodes}
    graph.modules[:0] = [box for box in boxes if box.id in present]
