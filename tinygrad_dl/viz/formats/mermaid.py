"""The graph model as a Mermaid flowchart."""

from __future__ import annotations

import re
from collections.abc import Collection

from tinygrad_dl.viz.formats.colors import KINDS
from tinygrad_dl.viz.formats.dot import clean, module_title
from tinygrad_dl.viz.graph.buffers import strip, strip_lines
from tinygrad_dl.viz.graph.diagram import Diagram
from tinygrad_dl.viz.graph.labels import edge_lines, node_lines
from tinygrad_dl.viz.graph.model import GraphModel, GraphModule, GraphNode

SHAPES = {"leaf": ("([", "])"), "number": ("((", "))"), "failed": ("{{", "}}"), "module": ("[[", "]]")}


def content(diagram: Diagram) -> str:
    """The content of a .mmd file."""
    return to_mermaid(diagram.graph, diagram.show_lines, diagram.direction)


def to_mermaid(graph: GraphModel, show: Collection[str], direction: str = "TB") -> str:
    """A Mermaid flowchart; every character of a label that could be syntax is written as its code."""
    lines = [f"flowchart {direction}"]
    members: dict[str, list[GraphNode]] = {}
    for node in graph.nodes:
        members.setdefault(node.module, []).append(node)
    children: dict[str, list[GraphModule]] = {}
    for module in graph.modules:
        children.setdefault(module.parent, []).append(module)
    lines += [_node(node, show) for node in members.get("", [])]
    stack: list[GraphModule | None] = list(reversed(children.get("", [])))
    while stack:
        opened = stack.pop()
        if opened is None:
            lines.append("  end")
            continue
        lines.append(f'  subgraph {opened.id}["{escaped(module_title(opened))}"]')
        lines += [_node(node, show) for node in members.get(opened.id, [])]
        stack += [None, *reversed(children.get(opened.id, []))]
    for edge in graph.edges:
        label = escaped("\n".join(edge_lines(edge, show)))
        link_text = f'|"{label}"|' if label else ""
        lines.append(f"  {edge.source} -->{link_text} {edge.target}")
    for kind, (fill, border, _, _) in KINDS.items():
        if any(node.kind == kind for node in graph.nodes):
            fill = "transparent" if fill == "none" else fill
            lines.append(f"  classDef {kind} fill:{fill},stroke:{border},color:#14181b")
    life = strip(graph)
    lines += [f"  %% {line}" for line in strip_lines(life)] if life is not None else []
    return "\n".join(lines) + "\n"


def _node(node: GraphNode, show: Collection[str]) -> str:
    before, after = SHAPES.get(node.kind, ("[", "]"))
    return f'  {node.id}{before}"{escaped(chr(10).join(node_lines(node, show)))}"{after}:::{node.kind}'


def escaped(text: str) -> str:
    """The inside of a quoted label: all but letters, digits, spaces and harmless signs become #code;.

    So do signs that begin a list, a heading or a block of code in Markdown, which Mermaid reads: "1. x", "- x", "+".
    """
    return "<br/>".join(map(_escaped_line, clean(text).split("\n")))


def _escaped_line(line: str) -> str:
    def code(found: re.Match[str]) -> str:
        return f"#{ord(found[0])};"

    line = re.sub(r"[^\w .,=()\u2190\u00d7+\-]", code, line)
    line = re.sub(r"^([-+\s]|=(?==*\s*$))", code, line)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", lambda found: f"{found[1]}#{ord(found[2])};", line)
