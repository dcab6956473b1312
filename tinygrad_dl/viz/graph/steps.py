"""What a recording adds to a graph model: gradients on nodes and edges, and the steps of the player."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_dl.viz.graph.labels import summary
from tinygrad_dl.viz.graph.model import GraphEdge, GraphModel
from tinygrad_dl.viz.graph.recording import Recording


def edges_by_target(graph: GraphModel) -> dict[str, list[GraphEdge]]:
    """Node id -> the edges that lead to it, in the order of the operands."""
    found: dict[str, list[GraphEdge]] = {}
    for edge in graph.edges:
        found.setdefault(edge.target, []).append(edge)
    return found


def add_gradients(graph: GraphModel, recording: Recording) -> None:
    """Put the recorded gradients on the nodes, and the contributions and local derivatives on the edges."""
    incoming = edges_by_target(graph)
    gradients = recording.gradients
    for drawn in graph.nodes:
        if drawn.serial is None:
            continue
        drawn.grad = gradients.get(drawn.serial, drawn.grad)
        step = recording.backward_steps.get(drawn.serial) if drawn.kind == "op" else None
        if step is None:
            continue
        drawn.gain = step.gain
        for edge in incoming.get(drawn.id, []):
            edge.flow = step.parts.get(edge.position)
            edge.local = step.locals.get(edge.position)
    _write_sums(graph)


def _write_sums(graph: GraphModel) -> None:
    """List the contributions of each gradient that is a sum of several."""
    contributions: dict[str, list[str]] = {}
    for edge in reversed(graph.edges):  # the order of backward: the last operation contributes first
        if edge.flow is not None:
            contributions.setdefault(edge.source, []).append(summary(edge.flow))
    for drawn in graph.nodes:
        if len(contributions.get(drawn.id, ())) > 1 and not drawn.output:
            drawn.parts = contributions[drawn.id]


def add_steps(graph: GraphModel, recording: Recording | None, ids: Mapping[int, str]) -> None:
    """List the steps of the player: each operation forward, then each recorded step of backward.

    `ids`: serial of a node of the computation graph -> id in the graph model.
    """
    graph.events += [{"pass": "forward", "node": n.id} for n in graph.nodes if n.kind in ("op", "failed")]
    if recording is None:
        return
    incoming = edges_by_target(graph)
    for serial, step in recording.backward_steps.items():
        if serial not in ids:
            continue  # recorded, but not part of what is drawn
        parts: list[dict[str, Any]] = [
            {
                "edge": edge.id,
                "to": edge.source,
                "part": step.parts[edge.position],
                "sum": step.sums[edge.position],
                "nth": step.nth[edge.position],
            }
            for edge in incoming.get(ids[serial], [])
            if edge.position in step.parts
        ]
        graph.events.append({"pass": "backward", "node": ids[serial], "g": step.g, "parts": parts})
