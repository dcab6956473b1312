"""The picture as an outline: for terminals, screen readers and test files."""

from __future__ import annotations

from collections.abc import Collection

from tinygrad_dl.viz.dot import clean, module_title
from tinygrad_dl.viz.labels import SHOWABLE, cut, node_lines
from tinygrad_dl.viz.picture import LEAVES, Picture, PictureEdge


def to_text(picture: Picture, show: Collection[str] = SHOWABLE) -> str:
    """One line a node, operands by id, in topological order; modules indent what is theirs."""
    incoming: dict[str, list[PictureEdge]] = {}
    for edge in picture.edges:
        incoming.setdefault(edge.target, []).append(edge)
    modules = {module.id: module for module in picture.modules}
    lines: list[str] = []
    open_path: list[str] = []
    for node in picture.nodes:
        path = [module.id for module in picture.within(node.module)][::-1] if node.module else []
        shared = 0
        while shared < min(len(path), len(open_path)) and path[shared] == open_path[shared]:
            shared += 1
        for depth in range(shared, len(path)):
            lines.append("  " * depth + f"[{cut(module_title(modules[path[depth]]))}]")
        if node.kind not in LEAVES or shared < len(path):
            open_path = path  # what goes into a module from outside does not end it
        first, *rest = node_lines(node, show, whole=True)
        sources = incoming.get(node.id, [])
        text = f"{node.id} {first}"
        if sources:
            text += f"({', '.join(_operand(edge) for edge in sources)})"
        kind = {"op": "", "module": "module", "elided": ""}.get(node.kind, node.kind)
        told = [word for word in (kind, node.status) if word and word != first]
        told += [*rest, *(["output"] if node.output else [])]
        if node.bad:
            told.append("not finite, first here" if node.bad == "origin" else "not finite")
        lines.append("  " * len(path) + "; ".join([text, *told]))
        if "rule" in show:
            for edge in sources:
                if edge.rule:
                    back = f"  gradient to {edge.source}: {edge.rule}"
                    lines.append(
                        "  " * (len(path) + 1) + back + (f"; {edge.broadcast}" if edge.broadcast else "")
                    )
    lines += [f"note: {note}" for note in picture.notes]
    return "\n".join(clean(line) for line in lines) + "\n"


def _operand(edge: PictureEdge) -> str:
    return edge.source + (f" \u00d7{edge.count}" if edge.count > 1 else "")
