"""The output formats of diagrams: one table, read by save(), its messages, its documentation and the command.

A new format is one file in this folder and one line in FORMATS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.viz.formats import dot, graphviz, html, json, mermaid, text
from tinygrad_dl.viz.graph.diagram import Diagram


@dataclass(frozen=True)
class Format:
    """How a diagram becomes the content of a file, and what the documentation says of it."""

    content: Callable[[Diagram], str | bytes]
    description: str
    needs_engine: bool = False


#: File name ending -> format.
FORMATS: dict[str, Format] = {
    "svg": Format(graphviz.svg, "vector image", needs_engine=True),
    "png": Format(graphviz.png, "bitmap image", needs_engine=True),
    "pdf": Format(graphviz.pdf, "document", needs_engine=True),
    "dot": Format(dot.content, "Graphviz source"),
    "json": Format(json.content, "nodes, edges, modules and the steps of the player"),
    "html": Format(html.content, "interactive page with the player of the backward pass"),
    "txt": Format(text.content, "outline"),
    "mmd": Format(mermaid.content, "Mermaid flowchart"),
}


def endings(without_engine: bool = False) -> str:
    """The endings of all formats as text, such as ".svg, .png"; or of those that need no layout engine."""
    return ", ".join(
        f".{ending}" for ending, entry in FORMATS.items() if not (without_engine and entry.needs_engine)
    )


def description() -> str:
    """The formats as text, one per line, for documentation."""
    return "\n".join(
        f"* .{ending}: {entry.description}{' (needs a layout engine)' if entry.needs_engine else ''}"
        for ending, entry in FORMATS.items()
    )


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format that the ending of a path names. Raises ValueRangeError."""
    path = Path(path)
    found = FORMATS.get(path.suffix[1:].lower())
    if found is None:
        raise ValueRangeError(f"save: expected a path that ends in one of {endings()}, got {path.name!r}")
    return found
