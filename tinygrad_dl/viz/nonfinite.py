"""Where a NaN or an infinity came from: the first node that has one though its inputs do not; its path."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.viz.picture import Picture, PictureEdge


def mark(picture: Picture) -> None:
    """Set `bad` of each node to "origin" or "path" where values, or else gradients, are not finite."""
    incoming: dict[str, list[PictureEdge]] = {}
    for edge in picture.edges:
        incoming.setdefault(edge.target, []).append(edge)
    by_id = {node.id: node for node in picture.nodes}
    hidden: set[str] = set()  # nodes of unknown value behind a bad one: on the path if it goes on
    for node in picture.nodes:
        before = [by_id[edge.source] for edge in incoming.get(node.id, ())]
        reached = any(n.bad or n.id in hidden for n in before)
        if node.value is None and reached:
            hidden.add(node.id)
        elif not_finite(node.value):
            node.bad = "path" if reached else "origin"
    for node in reversed(picture.nodes):
        if node.bad:
            for edge in incoming.get(node.id, ()):
                if edge.source in hidden:
                    by_id[edge.source].bad = "path"
    if not any(node.bad for node in picture.nodes):
        _mark_gradients(picture)


def not_finite(found: dict[str, Any] | None) -> bool:
    """Whether recorded statistics tell of a NaN or an infinity."""
    return bool(found and (found.get("nan") or found.get("inf")))


def _mark_gradients(picture: Picture) -> None:
    by_id = {node.id: node for node in picture.nodes}
    for node in picture.nodes:
        if not_finite(node.grad):
            node.bad = "path"
    if not any(node.bad for node in picture.nodes):
        return
    picture.notes.append("the values are finite; the gradient is not")
    for event in picture.events:
        if event["pass"] == "backward" and not not_finite(event["g"]):
            if any(not_finite(part["part"]) for part in event["parts"]):
                by_id[event["node"]].bad = "origin"
