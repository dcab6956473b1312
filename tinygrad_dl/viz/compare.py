"""The differences of two diagrams, drawn as one: what was added, what was removed, what changed its value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.viz.labels import cut
from tinygrad_dl.viz.picture import Picture, PictureEdge, PictureModule, PictureNode, number
from tinygrad_dl.viz.view import GraphView, view_of


def diff(
    before: Any,
    after: Any,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    show: Sequence[str] = ("shape", "value", "grad"),
    depth: int | None = None,
    direction: str = "TB",
    max_nodes: int = 400,
    engine: str | None = None,
) -> GraphView:
    """The second graph, with what it has more or less than the first, and whose values differ, marked.

    `before`, `after`: two views that draw() made. Values differ if |a - b| > atol + rtol * |b|, element by
    element where a view holds them whole, else by norm and mean. Raises DTypeError, ValueRangeError.
    >>> from tinygrad_dl import Tensor, viz
    >>> x = Tensor(2.0, requires_grad=True, name="x")
    >>> print(viz.diff(viz.draw(x * 3), viz.draw(x * 4), show=()).text(), end="")
    n0 x; leaf; changed; grad 3 -> 4
    n1 3 -> 4; number; changed
    n2 *(n0, n1); changed; value 6 -> 8; output
    note: 3 changed
    """
    for view in (before, after):
        if not isinstance(view, GraphView):
            raise DTypeError(f"diff: two views made by draw() are needed; {type(view).__name__} came")
    if not (rtol >= 0 and atol >= 0):
        raise ValueRangeError(f"diff: rtol and atol of 0 or more are needed; {rtol} and {atol} came")
    united = _united(before.full, after.full, rtol, atol)
    return view_of(united, show, depth, None, direction, max_nodes, False, engine)


def _united(a: Picture, b: Picture, rtol: float, atol: float) -> Picture:
    pairs, order = _aligned(a, b)
    nodes: list[PictureNode] = []
    new_a: dict[str, str] = {}
    new_b: dict[str, str] = {}
    modules, module_of_a = _united_modules(a, b)
    for side, i in order:
        id = f"n{len(nodes)}"
        node = (a if side == "a" else b).nodes[i]
        if side == "a":
            new_a[node.id] = id
            nodes.append(
                replace(node, id=id, status="removed", module=module_of_a.get(node.module, ""), output=False)
            )
            continue
        new_b[node.id] = id
        old = pairs.get(i)
        if old is None:
            nodes.append(replace(node, id=id, status="added"))
            continue
        new_a[a.nodes[old].id] = id
        told = _changes(a.nodes[old], node, rtol, atol)
        nodes.append(replace(node, id=id, status="changed" if told else "", change="; ".join(told)))
    edges: list[PictureEdge] = []
    there = {(new_a[e.source], new_a[e.target], e.position) for e in a.edges}
    kept = set()
    for edge in b.edges:
        key = new_b[edge.source], new_b[edge.target], edge.position
        kept.add(key)
        status = "" if key in there else "added"
        edges.append(replace(edge, id=f"e{len(edges)}", source=key[0], target=key[1], status=status))
    for edge in a.edges:
        key = new_a[edge.source], new_a[edge.target], edge.position
        if key not in kept:
            edges.append(replace(edge, id=f"e{len(edges)}", source=key[0], target=key[1], status="removed"))
    counts = {
        status: sum(node.status == status for node in nodes) for status in ("added", "removed", "changed")
    }
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    if not summary and any(edge.status for edge in edges):
        summary = "connected differently"
    return Picture(nodes, edges, modules, [], [summary or "no differences"], "differences")


def _aligned(a: Picture, b: Picture) -> tuple[dict[int, int], list[tuple[str, int]]]:
    """Which node of b is which of a, and all nodes in one order that suits both."""
    matcher = SequenceMatcher(None, _keys(a), _keys(b), autojunk=False)
    pairs: dict[int, int] = {}
    order: list[tuple[str, int]] = []
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            pairs.update(zip(range(b0, b1), range(a0, a1)))
        else:
            order += [("a", i) for i in range(a0, a1)]
        order += [("b", i) for i in range(b0, b1)]
    return pairs, order


def _keys(picture: Picture) -> list[tuple[str, ...]]:
    paths = {module.id: module.path for module in picture.modules}
    # A number is the same operand with another value; a name tells leaves apart.
    return [
        (paths.get(n.module, ""), n.kind, n.op, n.name if n.kind in ("parameter", "leaf", "constant") else "")
        for n in picture.nodes
    ]


def _united_modules(a: Picture, b: Picture) -> tuple[list[PictureModule], dict[str, str]]:
    modules = list(b.modules)
    by_path: dict[str, list[str]] = {}
    for module in b.modules:
        by_path.setdefault(module.path, []).append(module.id)
    module_of_a: dict[str, str] = {}
    for module in a.modules:
        same = by_path.get(module.path)
        if same:
            module_of_a[module.id] = same.pop(0) if len(same) > 1 else same[0]
        else:
            module_of_a[module.id] = id = f"m{len(modules)}"
            modules.append(replace(module, id=id, parent=module_of_a.get(module.parent, "")))
    return modules, module_of_a


def _changes(old: PictureNode, new: PictureNode, rtol: float, atol: float) -> list[str]:
    told = []
    if old.kind == "number" and old.label != new.label:
        return [f"{old.label} -> {new.label}"]
    for what in ("shape", "dtype", "options"):
        if getattr(old, what) != getattr(new, what):
            told.append(f"{what} {getattr(old, what)} -> {getattr(new, what)}")
    for what in ("value", "grad"):
        first, second = getattr(old, what), getattr(new, what)
        if first is None or second is None or old.shape != new.shape:
            continue
        measure = _differs(first, second, rtol, atol)
        if measure:
            told.append(cut(f"{what} {measure}", 80))
    return told


def _differs(first: dict[str, Any], second: dict[str, Any], rtol: float, atol: float) -> str:
    def far(x: float, y: float) -> bool:
        if math.isnan(x) or math.isnan(y):
            return math.isnan(x) != math.isnan(y)
        return x != y and not abs(x - y) <= atol + rtol * abs(y)

    if "whole" in first and "whole" in second:
        if any(far(x, y) for x, y in zip(_flat(first["whole"]), _flat(second["whole"]))):
            if len(first["text"]) + len(second["text"]) < 60 and first["text"] != second["text"]:
                return f"{first['text']} -> {second['text']}"
            return f"norm {number(first['norm'], 7)} -> {number(second['norm'], 7)}"
        return ""
    for what in ("norm", "mean", "min", "max"):
        if what in first and what in second and far(first[what], second[what]):
            return f"{what} {number(first[what], 7)} -> {number(second[what], 7)}"
    return ""


def _flat(value: Any) -> list[float]:
    found: list[float] = []
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack += one
        else:
            found.append(one)
    return found
