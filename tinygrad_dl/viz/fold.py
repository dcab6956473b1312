"""Folding: modules below a depth, repeated blocks, the middle of what is too long, become one box each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from tinygrad_dl.viz.picture import LEAVES, Picture, PictureEdge, PictureModule, PictureNode
from tinygrad_dl.viz.repeats import drop_copies, moved_events, repeated_modules, repeated_operations

REPEATS = 3  # copies from which on a block is folded


def fold(full: Picture, depth: int | None, max_nodes: int, repeats: bool = True) -> Picture:
    """The picture with modules open down to `depth` levels, and with at most about `max_nodes` boxes.

    What is folded for the sake of `max_nodes` is told in the notes: repeats of operations, then modules, the
    innermost first, then the middle of the graph.
    """
    folded = drop_copies(full, repeated_modules(full, REPEATS)) if repeats else full
    if depth is not None:
        folded = fold_modules(folded, depth)
    if len(folded.nodes) <= max_nodes:
        return folded
    before = len(folded.nodes)
    told: list[str] = []
    if repeats:
        groups = repeated_operations(folded, REPEATS)
        if groups:
            folded = drop_copies(folded, groups)
            told.append("repeated operations")
    deepest = max((len(list(folded.within(module.id))) for module in folded.modules), default=0)
    if len(folded.nodes) > max_nodes and deepest:
        by_depth = folded
        for level in range(deepest - 1, -1, -1):
            folded = fold_modules(by_depth, level)
            if len(folded.nodes) <= max_nodes:
                break
        told.append(f"modules below depth {level}")
    if len(folded.nodes) > max_nodes:
        folded = elide(folded, max_nodes)
        told.append("the middle")
    note = (
        f"folded from {before} boxes to {len(folded.nodes)}: {', '.join(told)}. max_nodes={before} shows all."
    )
    return replace(folded, notes=[*folded.notes, note])


def fold_modules(full: Picture, depth: int) -> Picture:
    """Each module below `depth` levels of modules as one box; 0 folds the outermost."""
    level: dict[str, int] = {}
    top: dict[str, PictureModule] = {}  # module id -> the module that stands for it
    for module in full.modules:  # outer ones come first
        level[module.id] = level.get(module.parent, -1) + 1
        if module.parent in top:
            top[module.id] = top[module.parent]
        elif level[module.id] >= depth:
            top[module.id] = module
    if not top:
        return full
    groups: dict[str, list[PictureNode]] = {}
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


def _box_of(module: PictureModule, members: list[PictureNode]) -> PictureNode:
    operations = [node for node in members if node.kind not in LEAVES]
    last = operations[-1] if operations else members[-1]
    title = f"{module.title}: {module.kind}" if module.title and module.title != module.kind else module.kind
    box = PictureNode(
        module.id, "module", title, module.path, op=module.kind, shape=last.shape, dtype=last.dtype
    )
    box.module, box.value, box.grad, box.repeat = module.parent, last.value, last.grad, module.repeat
    box.output = any(node.output for node in members)
    box.count = sum(node.count for node in operations)
    box.cost = _total(members)
    parameters = sum(_size(node) for node in members if node.kind == "parameter")
    if parameters:
        box.options["parameters"] = f"{parameters:,}"
    return _troubles(box, members)


def _gain(full: Picture, members: set[str], box: PictureNode) -> float | None:
    """The gradient that leaves a folded module towards its inputs, over the one that reaches its result."""
    parts = [e.flow["norm"] for e in full.edges if e.flow and e.target in members and e.source not in members]
    if not parts or not box.grad or not box.grad["norm"] or box.repeat > 1:
        return None
    return math.hypot(*parts) / box.grad["norm"]


def _troubles(box: PictureNode, members: Iterable[PictureNode]) -> PictureNode:
    """A folded box shows what must not be lost from sight: an error, a first nan, a difference."""
    for node in members:
        box.bad = "origin" if "origin" in (node.bad, box.bad) else node.bad or box.bad
        box.error = box.error or node.error
        box.status = box.status or ("changed" if node.status else "")
    return box


def _size(node: PictureNode) -> int:
    size = 1
    for n in node.shape or ():
        size *= n
    return size


def _total(members: Iterable[PictureNode]) -> dict[str, int]:
    total: dict[str, int] = {}
    for node in members:
        for name, count in node.cost.items():
            total[name] = total.get(name, 0) + count
    return total


def elide(full: Picture, max_nodes: int) -> Picture:
    """The first and the last part of a long graph, and one box for what stands between."""
    keep = max(2, max_nodes - 1)
    first, last = keep // 2, keep - keep // 2
    middle = full.nodes[first : len(full.nodes) - last]
    operations = [node for node in middle if node.kind not in LEAVES]
    counts: dict[str, int] = {}
    for node in operations:
        counts[node.label] = counts.get(node.label, 0) + node.count
    common = sorted(counts, key=lambda name: (-counts[name], name))[:4]
    label = f"{sum(counts.values())} operations: " + ", ".join(f"{counts[n]} {n}" for n in common)
    box = PictureNode("elided", "elided", label + (", ..." if len(counts) > 4 else ""))
    box.count, box.cost = len(middle), _total(middle)
    box.output = any(node.output for node in middle)
    _troubles(box, middle)
    kept = {node.module for node in (*full.nodes[:first], *full.nodes[len(full.nodes) - last :])}
    modules = {m.id for id in kept if id for m in full.within(id)}
    return merge(full, {node.id: box for node in middle}, [m for m in full.modules if m.id in modules])


def merge(full: Picture, inside: dict[str, PictureNode], modules: list[PictureModule]) -> Picture:
    """The picture with nodes replaced by boxes; edges within a box go, equal ones become one with a count."""
    at = {node.id: i for i, node in enumerate(full.nodes)}
    ends: dict[str, int] = {}
    for id, box in inside.items():
        if full.nodes[at[id]].kind not in LEAVES or box.id not in ends:
            ends[box.id] = max(ends.get(box.id, -1), at[id])
    nodes: list[PictureNode] = []
    for i, node in enumerate(full.nodes):
        stands = inside.get(node.id)
        if stands is None:
            nodes.append(node)
        elif ends[stands.id] == i:
            nodes.append(stands)
    edges: list[PictureEdge] = []
    merged: dict[tuple[str, str], PictureEdge] = {}
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
                # Which operand it is, and of what rule, is a matter of the inside.
                moved.operand = moved.rule = moved.rule_source = ""
            merged[source, target] = moved
            edges.append(moved)
    shown = {edge.id for edge in edges}
    moved_ids = {id: box.id for id, box in inside.items()}
    events = moved_events(full, moved_ids, shown)
    return Picture(nodes, edges, modules, events, full.notes, full.title, full.hide(moved_ids))
