"""A diagram: a graph model, and how it is to be drawn."""

from __future__ import annotations

from dataclasses import dataclass

from tinygrad_dl.viz.graph.model import GraphModel


@dataclass(eq=False, repr=False)
class Diagram:
    """What a format is given: the graph as it is drawn, the whole graph, and the options of draw()."""

    graph: GraphModel  # collapsed to the depth and the number of boxes asked for
    full: GraphModel  # nothing collapsed
    show_lines: tuple[str, ...]
    color: str | None
    direction: str
    engine: str | None
    max_nodes: int = 400
    repeats: bool = True
