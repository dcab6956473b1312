"""GraphView: a diagram in memory, and the ways it can be shown and saved."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.viz.dot import to_dot
from tinygrad_dl.viz.fold import fold
from tinygrad_dl.viz.layout import LayoutError, available, render
from tinygrad_dl.viz.picture import Picture

FORMATS = ("svg", "png", "pdf", "dot", "json", "html", "txt", "mmd")
REPR_NODES = 400


class GraphView:
    """A diagram: `.source` is DOT, `save("x.svg")` writes a file, a notebook shows it by itself.

    It holds text and numbers only, so it keeps no Tensor and no graph alive.
    """

    def __init__(
        self,
        picture: Picture,
        full: Picture,
        show: Collection[str],
        color: str | None,
        direction: str,
        engine: str | None,
        max_nodes: int = 400,
        repeats: bool = True,
    ) -> None:
        self.picture = picture
        self.full = full
        self.show_lines, self.color, self.direction, self.engine = tuple(show), color, direction, engine
        self.max_nodes, self.repeats = max_nodes, repeats

    @property
    def source(self) -> str:
        """The diagram in DOT, Graphviz's language."""
        return to_dot(self.picture, self.show_lines, self.color, self.direction)

    def svg(self) -> str:
        """The diagram as SVG. Raises LayoutError where no layout engine is installed."""
        return render(self.source, "svg", self.engine).decode()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the diagram; the ending of the path says how: .svg .png .pdf .dot .json .html .txt .mmd.

        Only .svg, .png and .pdf need a layout engine. Raises ValueRangeError for another ending, LayoutError.
        """
        path = Path(path)
        format = path.suffix[1:].lower()
        if format not in FORMATS:
            raise ValueRangeError(
                f"save: the path must end in one of {', '.join('.' + f for f in FORMATS)}; {path.name!r} came"
            )
        content = self._made(format)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def _made(self, format: str) -> bytes:
        if format in ("svg", "png", "pdf"):
            return render(self.source, format, self.engine)
        if format == "dot":
            return self.source.encode()
        if format == "json":
            return self.json().encode()
        if format == "txt":
            return self.text().encode()
        if format == "mmd":
            return self.mermaid().encode()
        return self.html().encode()

    def json(self) -> str:
        """The neutral form: nodes, edges, modules and the steps of the player."""
        import json

        text = json.dumps(self.picture.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        # A lone surrogate is no character that a file can hold; escaped, it is still the user's name.
        return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)

    def text(self) -> str:
        """The diagram as an outline for terminals and screen readers."""
        from tinygrad_dl.viz.text import to_text

        return to_text(self.picture, self.show_lines)

    def mermaid(self) -> str:
        """The diagram as a Mermaid flowchart, which GitHub and many notebooks draw."""
        from tinygrad_dl.viz.mermaid import to_mermaid

        return to_mermaid(self.picture, self.show_lines, self.direction)

    def html(self) -> str:
        """One self-contained page: pan, zoom, search, panels, and the player of the backward pass."""
        from tinygrad_dl.viz.page import to_html

        return to_html(self)

    def show(self) -> None:
        """Show the page: in a notebook below the cell, else in the browser."""
        from tinygrad_dl.viz.page import open_page

        open_page(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # A notebook calls this for whatever stands last in a cell: it must not fail, nor fill the file.
        bundle = {"text/plain": self._brief()}
        if len(self.picture.nodes) <= REPR_NODES and available():
            try:
                bundle["image/svg+xml"] = render(self.source, "svg", self.engine, timeout=10.0).decode()
            except (LayoutError, ValueRangeError, OSError) as error:
                bundle["text/plain"] += f"\n({str(error).splitlines()[0]})"
        elif not available():
            bundle["text/plain"] += "\n(no layout engine: .show() lays the graph out in the browser)"
        return bundle

    def _brief(self) -> str:
        lines = self.text().splitlines()
        return "\n".join(lines[:100] + ([f"... {len(lines) - 100} more lines"] if len(lines) > 100 else []))

    def __repr__(self) -> str:
        ops = sum(node.count for node in self.picture.nodes if node.kind not in ("constant", "number"))
        return (
            f"<GraphView: {len(self.picture.nodes)} boxes for {ops} nodes, {len(self.picture.edges)} edges>"
        )


def view_of(
    full: Picture,
    show: Collection[str],
    depth: int | None,
    color: str | None,
    direction: str,
    max_nodes: int,
    repeats: bool,
    engine: str | None,
) -> GraphView:
    """A view of a picture, folded to the depth and the number of boxes asked for."""
    return GraphView(
        fold(full, depth, max_nodes, repeats), full, show, color, direction, engine, max_nodes, repeats
    )
