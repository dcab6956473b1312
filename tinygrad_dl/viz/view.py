"""GraphView: a diagram in memory, and the ways it can be shown and saved."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tinygrad_dl.arguments import explained
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.viz import formats
from tinygrad_dl.viz.formats.dot import to_dot
from tinygrad_dl.viz.formats.graphviz import LayoutError, available, render
from tinygrad_dl.viz.formats.html import open_page
from tinygrad_dl.viz.formats.themes import embedded, themed
from tinygrad_dl.viz.graph.collapse import collapse
from tinygrad_dl.viz.graph.diagram import Diagram
from tinygrad_dl.viz.graph.model import GraphModel

REPR_NODES = 400  # boxes up to which a notebook shows the diagram and not only its outline
REPR_LINES = 100
REPR_SECONDS = 10.0


class GraphView(Diagram):
    """A diagram: `.source` is DOT, `save("x.svg")` writes a file, and a notebook displays it.

    It holds text and numbers only, so it keeps no Tensor and no computation graph alive.
    """

    @property
    def source(self) -> str:
        """The diagram in DOT, Graphviz's language."""
        return to_dot(self.graph, self.show_lines, self.color, self.direction)

    def svg(self) -> str:
        """The diagram as SVG. Raises LayoutError if no layout engine is installed."""
        return formats.graphviz.svg(self).decode()

    def json(self) -> str:
        """The graph model as JSON: nodes, edges, modules and the steps of the player."""
        return formats.json.content(self)

    def text(self) -> str:
        """The diagram as an outline for terminals and screen readers."""
        return formats.text.content(self)

    def mermaid(self) -> str:
        """The diagram as a Mermaid flowchart, which GitHub and many notebooks draw."""
        return formats.mermaid.content(self)

    def html(self) -> str:
        """One self-contained page: pan, zoom, search, panels, and the player of the backward pass."""
        return formats.html.content(self)

    @explained
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the diagram in the format that the ending of the path names. Returns the path.

        Raises ValueRangeError for an unknown ending, LayoutError without the layout engine that a format needs.
        """
        path = Path(path)
        content = formats.format_of(path).content(self)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    if save.__doc__:  # none under python -OO
        save.__doc__ += "\n        " + formats.description().replace("\n", "\n        ") + "\n        "

    def show(self) -> None:
        """Show the page: below the cell of a notebook, else in the browser. Raises GraphError without either."""
        open_page(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        # A notebook calls this for the last value of a cell: it must neither fail nor bloat the file.
        bundle = {"text/plain": self._outline()}
        if len(self.graph.nodes) <= REPR_NODES and available():
            try:
                svg = render(self.source, "svg", self.engine, timeout=REPR_SECONDS)
                bundle["image/svg+xml"] = themed(svg).decode()
                bundle["text/html"] = embedded(svg.decode(), repr(self))
            except (LayoutError, ValueRangeError, OSError) as error:
                bundle["text/plain"] += f"\n({str(error).splitlines()[0]})"
        elif not available():
            bundle["text/plain"] += "\n(no layout engine: .show() lays the graph out in the browser)"
        return bundle

    def _outline(self) -> str:
        lines = self.text().splitlines()
        more = len(lines) - REPR_LINES
        return "\n".join(lines[:REPR_LINES] + ([f"... {more} more lines"] if more > 0 else []))

    def __repr__(self) -> str:
        ops = sum(node.count for node in self.graph.nodes if node.kind not in ("constant", "number"))
        return f"<GraphView: {len(self.graph.nodes)} boxes for {ops} nodes, {len(self.graph.edges)} edges>"


def view_of(
    full: GraphModel,
    show: Collection[str],
    depth: int | None,
    color: str | None,
    direction: str,
    max_nodes: int,
    repeats: bool,
    engine: str | None,
) -> GraphView:
    """A view of a graph model, collapsed to the depth and the number of boxes asked for."""
    return GraphView(
        collapse(full, depth, max_nodes, repeats),
        full,
        tuple(show),
        color,
        direction,
        engine,
        max_nodes,
        repeats,
    )
