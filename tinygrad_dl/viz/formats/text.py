"""The graph model as an outline: for terminals, screen readers and test files."""

from __future__ import annotations

from collections.abc import Collection

from tinygrad_dl.viz.formats.dot import clean, module_title
from tinygrad_dl.viz.graph.buffers import strip, strip_lines
from tinygrad_dl.viz.graph.diagram import Diagram
from tinygrad_dl.viz.graph.labels import SHOWABLE, cut, node_lines
from tinygrad_dl.viz.graph.model import LEAVES, GraphEdge, GraphModel


def content(diagram: Diagram) -> str:
    """The content of a .txt file."""
    return to_text(diagram.graph, diagram.show_lines)


def to_text(graph: GraphModel, show: Collection[str] = SHOWABLE) -> str:
    """One line per node in topological order, operands by id; nodes are indented below their module."""
    incoming: dict[str, list[GraphEdge]] = {}
    for edge in graph.edges:
        incoming.setdefault(edge.target, []).append(edge)
    modules = {module.id: module for module in graph.modules}
    lines: list[str] = []
    open_path: list[str] = []
    for node in graph.nodes:
        path = [module.id for module in graph.within(node.module)][::-1] if node.module else []
        shared = 0
        while shared < min(len(path), len(open_path)) and path[shared] == open_path[shared]:
            shared += 1
        for depth in range(shared, len(path)):
            lines.append("  " * depth + f"[{cut(module_title(modules[path[depth]]))}]")
        if node.kind not in LEAVES or shared < len(path):
            open_path = path  # a leaf outside of a module, used by it, does not end the module's lines
        first, *rest = node_lines(node, show, whole=True)
        sources = incoming.get(node.id, [])
        text = f"{node.id} {first}"
        if sources:
            text += f"({', '.join(_operand(edge) for edge in sources)})"
        kind = {"op": "", "module": "module", "elided": ""}.get(node.kind, node.kind)
        details = [word for word in (kind, node.status) if word and word != first]
        details += [*rest, *(["output"] if node.output else [])]
        if node.bad:
            details.append("not finite, origin" if node.bad == "origin" else "not finite")
        lines.append("  " * len(path) + "; ".join([text, *details]))
        if "rule" in show:
            for edge in sources:
                if edge.rule:
                    rule = f"  gradient to {edge.source}: {edge.rule}"
                    broadcast = f"; {edge.broadcast}" if edge.broadcast else ""
                    lines.append("  " * (len(path) + 1) + rule + broadcast)
    lines += [f"note: {note}" for note in graph.notes]
    life = strip(graph)
    lines += strip_lines(life) if life is not None else []
    return "\n".join(clean(line) for line in lines) + "\n"


def _operand(edge: GraphEdge) -> str:
    return edge.source + (f" \u00d7{edge.count}" if edge.count > 1 else "")
