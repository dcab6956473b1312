"""The difference of two graph models as one: what was added, removed, or changed its value."""

from __future__ import annotations

import math
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from tinygrad_dl.viz.graph.array_statistics import number
from tinygrad_dl.viz.graph.labels import cut
from tinygrad_dl.viz.graph.model import GraphEdge, GraphModel, GraphModule, GraphNode, Stats


def diff_models(a: GraphModel, b: GraphModel, rtol: float, atol: float) -> GraphModel:
    """The second graph model with what it has more or less than the first, and whose values differ, marked."""
    pairs, order = _aligned(a, b)
    nodes: list[GraphNode] = []
    new_a: dict[str, str] = {}
    new_b: dict[str, str] = {}
    modules, module_of_a = _union_of_modules(a, b)
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
        changes = _changes(a.nodes[old], node, rtol, atol)
        nodes.append(replace(node, id=id, status="changed" if changes else "", change="; ".join(changes)))
    edges: list[GraphEdge] = []
    before = {(new_a[e.source], new_a[e.target], e.position) for e in a.edges}
    after = set()
    for edge in b.edges:
        key = new_b[edge.source], new_b[edge.target], edge.position
        after.add(key)
        status = "" if key in before else "added"
        edges.append(replace(edge, id=f"e{len(edges)}", source=key[0], target=key[1], status=status))
    for edge in a.edges:
        key = new_a[edge.source], new_a[edge.target], edge.position
        if key not in after:
            edges.append(replace(edge, id=f"e{len(edges)}", source=key[0], target=key[1], status="removed"))
    counts = {
        status: sum(node.status == status for node in nodes) for status in ("added", "removed", "changed")
    }
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    if not summary and any(edge.status for edge in edges):
        summary = "connected differently"
    return GraphModel(nodes, edges, modules, [], [summary or "no differences"], "differences")


def _aligned(a: GraphModel, b: GraphModel) -> tuple[dict[int, int], list[tuple[str, int]]]:
    """Which node of b corresponds to which of a, and all nodes in one order that is topological for both."""
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


def _keys(graph: GraphModel) -> list[tuple[str, ...]]:
    paths = {module.id: module.path for module in graph.modules}
    # A number is the same operand with another value; a name tells leaves apart.
    return [
        (paths.get(n.module, ""), n.kind, n.op, n.name if n.kind in ("parameter", "leaf", "constant") else "")
        for n in graph.nodes
    ]


def _union_of_modules(a: GraphModel, b: GraphModel) -> tuple[list[GraphModule], dict[str, str]]:
    """The modules of both graphs, and for each module of `a` the id of its counterpart; paths identify modules."""
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


def _changes(old: GraphNode, new: GraphNode, rtol: float, atol: float) -> list[str]:
    """What differs between two corresponding nodes, as short texts."""
    changes: list[str] = []
    if old.kind == "number" and old.label != new.label:
        return [f"{old.label} -> {new.label}"]
    for what in ("shape", "dtype", "options"):
        if getattr(old, what) != getattr(new, what):
            changes.append(f"{what} {getattr(old, what)} -> {getattr(new, what)}")
    for what in ("value", "grad"):
        first, second = getattr(old, what), getattr(new, what)
        if first is None or second is None or old.shape != new.shape:
            continue
        measure = _differs(first, second, rtol, atol)
        if measure:
            changes.append(cut(f"{what} {measure}", 80))
    return changes


def _differs(first: Stats, second: Stats, rtol: float, atol: float) -> str:
    """How two recorded arrays differ, in few words; "" if they agree within the tolerances."""

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


def _flat(value: float | list[Any]) -> list[float]:
    """The numbers of nested lists, in an order of its own that is the same for equal nesting."""
    found: list[float] = []
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack += one
        else:
            found.append(one)
    return found
