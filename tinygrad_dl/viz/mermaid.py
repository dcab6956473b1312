"""The picture as a Mermaid flowchart."""

from __future__ import annotations

import re
from collections.abc import Collection

from tinygrad_dl.viz.colors import KINDS
from tinygrad_dl.viz.dot import clean, module_title
from tinygrad_dl.viz.labels import edge_lines, node_lines
from tinygrad_dl.viz.picture import Picture, PictureModule, PictureNode

SHAPES = {"leaf": ("([", "])"), "number": ("((", "))"), "failed": ("{{", "}}"), "module": ("[[", "]]")}


def to_mermaid(picture: Picture, show: Collection[str], direction: str = "TB") -> str:
    """Text that Mermaid draws; every character of a label that could be syntax is written as its number."""
    lines = [f"flowchart {direction}"]
    members: dict[str, list[PictureNode]] = {}
    for node in picture.nodes:
        members.setdefault(node.module, []).append(node)
    children: dict[str, list[PictureModule]] = {}
    for module in picture.modules:
        children.setdefault(module.parent, []).append(module)
    lines += [_node(node, show) for node in members.get("", [])]
    stack: list[PictureModule | None] = list(reversed(children.get("", [])))
    while stack:
        opened = stack.pop()
        if opened is None:
            lines.append("  end")
            continue
        lines.append(f'  subgraph {opened.id}["{escaped(module_title(opened))}"]')
        lines += [_node(node, show) for node in members.get(opened.id, [])]
        stack += [None, *reversed(children.get(opened.id, []))]
    for edge in picture.edges:
        label = escaped("\n".join(edge_lines(edge, show)))
        told = f'|"{label}"|' if label else ""
        lines.append(f"  {edge.source} -->{told} {edge.target}")
    for kind, (fill, border, _, _) in KINDS.items():
        if any(node.kind == kind for node in picture.nodes):
            fill = "transparent" if fill == "none" else fill
            lines.append(f"  classDef {kind} fill:{fill},stroke:{border},color:#14181b")
    return "\n".join(lines) + "\n"


def _node(node: PictureNode, show: Collection[str]) -> str:
    before, after = SHAPES.get(node.kind, ("[", "]"))
    return f'  {node.id}{before}"{escaped(chr(10).join(node_lines(node, show)))}"{after}:::{node.kind}'


def escaped(text: str) -> str:
    """A label in quotes: what is not a letter, digit, space or harmless sign becomes #code;."""

    def code(found: re.Match[str]) -> str:
        return "<br/>" if found[0] == "\n" else f"#{ord(found[0])};"

    return re.sub(r"[^\w .,=()\u2190\u00d7+\-]", code, clean(text))
