"""The origin of a NaN or an infinity: the first node that has one though its inputs do not; and its path."""

from __future__ import annotations

from tinygrad_dl.viz.graph.model import GraphEdge, GraphModel, Stats


def mark(graph: GraphModel) -> None:
    """Set `bad` of each node to "origin" or "path" where values, or else gradients, are not finite."""
    incoming: dict[str, list[GraphEdge]] = {}
    for edge in graph.edges:
        incoming.setdefault(edge.target, []).append(edge)
    by_id = {node.id: node for node in graph.nodes}
    hidden: set[str] = set()  # nodes of unknown value after a bad one: on the path if a later one is bad
    for node in graph.nodes:
        before = [by_id[edge.source] for edge in incoming.get(node.id, ())]
        reached = any(n.bad or n.id in hidden for n in before)
        if node.value is None and reached:
            hidden.add(node.id)
        elif not_finite(node.value):
            node.bad = "path" if reached else "origin"
    for node in reversed(graph.nodes):
        if node.bad:
            for edge in incoming.get(node.id, ()):
                if edge.source in hidden:
                    by_id[edge.source].bad = "path"
    if not any(node.bad for node in graph.nodes):
        _mark_gradients(graph)


def not_finite(stats: Stats | None) -> bool:
    """Whether statistics count a NaN or an infinity."""
    return bool(stats and (stats.get("nan") or stats.get("inf")))


def _mark_gradients(graph: GraphModel) -> None:
    """The same for gradients: the origin is the backward step that receives finite numbers and passes on others."""
    by_id = {node.id: node for node in graph.nodes}
    for node in graph.nodes:
        if not_finite(node.grad):
            node.bad = "path"
    if not any(node.bad for node in graph.nodes):
        return
    graph.notes.append("the values are finite; the gradient is not")
    for event in graph.events:
        if event["pass"] == "backward" and not not_finite(event["g"]):
            if any(not_finite(part["part"]) for part in event["parts"]):
                by_id[event["node"]].bad = "origin"
