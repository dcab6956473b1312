"""Collapsing: modules below a depth, repeated blocks and the middle of a long graph become one box each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from tinygrad_dl.viz.graph.model import LEAVES, GraphEdge, GraphModel, GraphModule, GraphNode
from tinygrad_dl.viz.graph.repeats import drop_copies, moved_events, repeated_modules, repeated_operations

MIN_COPIES = 3  # copies from which on a repeated block is drawn once


def collapse(full: GraphModel, depth: int | None, max_nodes: int, repeats: bool = True) -> GraphModel:
    """The graph model with modules open down to `depth` levels, and with at most about `max_nodes` boxes.

    The notes list what is collapsed to stay below `max_nodes`: first repeated operations, then modules, the
    innermost first, then the middle of the graph.
    """
    collapsed = drop_copies(full, repeated_modules(full, MIN_COPIES)) if repeats else full
    if depth is not None:
        collapsed = collapse_modules(collapsed, depth)
    if len(collapsed.nodes) <= max_nodes:
        return collapsed
    before = len(collapsed.nodes)
    reasons: list[str] = []
    if repeats:
        groups = repeated_operations(collapsed, MIN_COPIES)
        if groups:
            collapsed = drop_copies(collapsed, groups)
            reasons.append("repeated operations")
    deepest = max((len(list(collapsed.within(module.id))) for module in collapsed.modules), default=0)
    if len(collapsed.nodes) > max_nodes and deepest:
        by_depth = collapsed
        for level in range(deepest - 1, -1, -1):
            collapsed = collapse_modules(by_depth, level)
            if len(collapsed.nodes) <= max_nodes:
                break
        reasons.append(f"modules below depth {level}")
    if len(collapsed.nodes) > max_nodes:
        collapsed = elide(collapsed, max_nodes)
        reasons.append("the middle")
    note = f"collapsed from {before} boxes to {len(collapsed.nodes)}: {', '.join(reasons)}."
    note += f" max_nodes={before} shows all."
    return replace(collapsed, notes=[*collapsed.notes, note])


def collapse_modules(full: GraphModel, depth: int) -> GraphModel:
    """Each module below `depth` levels of modules as one box; 0 collapses the outermost."""
    level: dict[str, int] = {}
    top: dict[str, GraphModule] = {}  # module id -> the module that stands for it
    for module in full.modules:  # outer ones come first
        level[module.id] = level.get(module.parent, -1) + 1
        if module.parent in top:
            top[module.id] = top[module.parent]
        elif level[module.id] >= depth:
            top[module.id] = module
    if not top:
        return full
    groups: dict[str, list[GraphNode]] = {}
    for node in full.nodes:
        if node.module in top:
            groups.setdefault(top[node.module].id, []).append(node)
    boxes = {}
    for module in full.modules:
        if module.id in groups:
            boxes[module.id] = _box_of(module, groups[module.id])
            boxes[module.id].gain = _gain(full, {node.id for node in groups[module.id]}, boxes[module.id])
    inside = {node.id: boxes[top[node.module].id] for node in full.nodes if node.module in top}
    return merge(full, inside, [m for m in full.modules if m.id not in top])


def _box_of(module: GraphModule, members: list[GraphNode]) -> GraphNode:
    """The box of a collapsed module: its result, and the sums of costs and parameters."""
    operations = [node for node in members if node.kind not in LEAVES]
    last = operations[-1] if operations else members[-1]
    title = f"{module.title}: {module.kind}" if module.title and module.title != module.kind else module.kind
    box = GraphNode(
        module.id, "module", title, module.path, op=module.kind, shape=last.shape, dtype=last.dtype
    )
    box.module, box.value, box.grad, box.repeat = module.parent, last.value, last.grad, module.repeat
    box.output = any(node.output for node in members)
    box.count = sum(node.count for node in operations)
    box.cost = _total(members)
    parameters = sum(_size(node) for node in members if node.kind == "parameter")
    if parameters:
        box.options["parameters"] = f"{parameters:,}"
    if module.makes or module.steps:  # of a compiled program, where the last result stands for nothing
        box.shape, box.dtype, box.change = None, "", module.makes
    return _with_marks(box, members)


def _gain(full: GraphModel, members: set[str], box: GraphNode) -> float | None:
    """The norm of the gradient that leaves a collapsed module towards its inputs, over that at its result."""
    parts = [e.flow["norm"] for e in full.edges if e.flow and e.target in members and e.source not in members]
    if not parts or not box.grad or not box.grad["norm"] or box.repeat > 1:
        return None
    return math.hypot(*parts) / box.grad["norm"]


def _with_marks(box: GraphNode, members: Iterable[GraphNode]) -> GraphNode:
    """The box with the marks that must stay visible: an error, the origin of a NaN, a difference."""
    for node in members:
        box.bad = "origin" if "origin" in (node.bad, box.bad) else node.bad or box.bad
        box.error = box.error or node.error
        box.status = box.status or ("changed" if node.status else "")
    return box


def _size(node: GraphNode) -> int:
    size = 1
    for n in node.shape or ():
        size *= n
    return size


def _total(members: Iterable[GraphNode]) -> dict[str, int]:
    total: dict[str, int] = {}
    for node in members:
        for name, count in node.cost.items():
            total[name] = total.get(name, 0) + count
    return total


def elide(full: GraphModel, max_nodes: int) -> GraphModel:
    """The first and the last part of a long graph, and one box for what is between."""
    shown = max(2, max_nodes - 1)
    first, last = shown // 2, shown - shown // 2
    middle = full.nodes[first : len(full.nodes) - last]
    operations = [node for node in middle if node.kind not in LEAVES]
    counts: dict[str, int] = {}
    for node in operations:
        counts[node.label] = counts.get(node.label, 0) + node.count
    common = sorted(counts, key=lambda name: (-counts[name], name))[:4]
    label = f"{sum(counts.values())} operations: " + ", ".join(f"{counts[n]} {n}" for n in common)
    box = GraphNode("elided", "elided", label + (", ..." if len(counts) > 4 else ""))
    box.count, box.cost = len(middle), _total(middle)
    box.output = any(node.output for node in middle)
    _with_marks(box, middle)
    kept = {node.module for node in (*full.nodes[:first], *full.nodes[len(full.nodes) - last :])}
    modules = {m.id for id in kept if id for m in full.within(id)}
    return merge(full, {node.id: box for node in middle}, [m for m in full.modules if m.id in modules])


def merge(full: GraphModel, inside: dict[str, GraphNode], modules: list[GraphModule]) -> GraphModel:
    """The graph model with nodes replaced by boxes (`inside`: node id -> box).

    Edges within a box are dropped; parallel ones become one edge with a count.
    """
    at = {node.id: i for i, node in enumerate(full.nodes)}
    # A box takes the place of its last operation, so that the nodes stay in topological order.
    ends: dict[str, int] = {}
    for id, box in inside.items():
        if full.nodes[at[id]].kind not in LEAVES or box.id not in ends:
            ends[box.id] = max(ends.get(box.id, -1), at[id])
    nodes: list[GraphNode] = []
    for i, node in enumerate(full.nodes):
        replacement = inside.get(node.id)
        if replacement is None:
            nodes.append(node)
        elif ends[replacement.id] == i:
            nodes.append(replacement)
    edges: list[GraphEdge] = []
    merged: dict[tuple[str, str], GraphEdge] = {}
    for edge in full.edges:
        source = inside[edge.source].id if edge.source in inside else edge.source
        target = inside[edge.target].id if edge.target in inside else edge.target
        if source == target:
            continue
        if source == edge.source and target == edge.target:
            edges.append(edge)
        elif (source, target) in merged:
            merged[source, target].count += edge.count
        else:
            moved = replace(edge, source=source, target=target)
            if target != edge.target:
                # Operand and rule belong to an operation inside the box, not to the box.
                moved.operand = moved.rule = moved.rule_source = ""
            merged[source, target] = moved
            edges.append(moved)
    shown = {edge.id for edge in edges}
    box_ids = {id: box.id for id, box in inside.items()}
    events = moved_events(full, box_ids, shown)
    return GraphModel(
        nodes, edges, modules, events, full.notes, full.title, full.hide(box_ids), full.buffers, full.steps
    )
