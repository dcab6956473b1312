"""The graph of a gradient: which of its nodes are the forward graph's, and which backward made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.graph import ancestors
from tinygrad_dl.viz.picture import Picture, PictureModule


def split_parts(picture: Picture, forward: Sequence[Any]) -> None:
    """Draw two boxes, `forward` and `gradient`, around what the forward Tensors depend on and the rest.

    The links between the two stay: the values of the forward pass that the derivative rules use.
    """
    known = {node.serial for node in ancestors([t.node for t in forward if t.node is not None])}
    used_by: dict[str, str] = {}
    for node in picture.nodes:
        if node.serial is not None:
            node.part = "forward" if node.serial in known else "gradient"
    parts = {node.id: node.part for node in picture.nodes}
    for edge in picture.edges:
        used_by.setdefault(edge.source, parts[edge.target])
    boxes = [
        PictureModule("forward", "forward", "forward"),
        PictureModule("gradient", "gradient", "gradient"),
    ]
    tops = {module.id: "forward" for module in picture.modules}
    for node in picture.nodes:
        node.part = node.part or used_by.get(node.id, "forward")
        if node.module and node.part == "gradient":
            # A module's call made it, but its place in this drawing is the backward pass.
            node.module = ""
        if not node.module:
            node.module = node.part
    for module in picture.modules:
        if not module.parent:
            module.parent = tops[module.id]
    present = {node.part for node in picture.nodes}
    picture.modules[:0] = [box for box in boxes if box.id in present]
