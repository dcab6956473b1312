"""Finding repeated blocks: runs of modules, or of operations, that are built the same way."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_dl.viz.picture import LEAVES, Picture, PictureEdge, PictureNode

PERIODS = 12  # longest block, in operations or sibling modules

# A group: the copies of a block, each the list of its node ids, in corresponding order; the first one stays.
Group = list[list[str]]


def repeated_modules(picture: Picture, least: int) -> list[tuple[Group, list[str]]]:
    """Runs of sibling modules with the same inside: the group, and the ids of the modules that stay."""
    if not picture.modules:
        return []
    members: dict[str, list[PictureNode]] = {}
    around: dict[str, list[str]] = {}
    for node in picture.nodes:
        for module in picture.within(node.module) if node.module else ():
            members.setdefault(module.id, []).append(node)
    parent = {module.id: module.parent for module in picture.modules}
    signatures = _module_signatures(picture, members)
    # The items of a level are its modules and its own operations, in order: only neighbours are one run.
    levels: dict[str, list[tuple[str, bool]]] = {}
    seen: set[str] = set()
    for node in picture.nodes:
        chain = [m.id for m in picture.within(node.module)] if node.module else []
        if node.kind not in LEAVES:
            levels.setdefault(node.module, []).append((node.id, False))
        for id in chain:
            if id not in seen and any(n.kind not in LEAVES for n in members[id]):
                seen.add(id)
                around.setdefault(parent[id], []).append(id)
    order = {node.id: i for i, node in enumerate(picture.nodes)}
    found = []
    taken: set[str] = set()
    for level, modules in around.items():
        items = [(order[id], id, False) for id, _ in levels.get(level, [])]
        items += [(min(order[n.id] for n in members[m] if n.kind not in LEAVES), m, True) for m in modules]
        items.sort()
        keys: list[Hashable] = [signatures[id] if whole else ("op", id) for _, id, whole in items]
        if level in taken:
            continue
        for start, period, copies in runs(keys, least):
            blocks = [
                [
                    n.id
                    for item in items[start + c * period : start + (c + 1) * period]
                    for n in members[item[1]]
                ]
                for c in range(copies)
            ]
            stay = [item[1] for item in items[start : start + period]]
            found.append((blocks, stay))
            taken |= {
                m.id for c in blocks[1:] for id in c for m in picture.within(_module_of(picture, id, order))
            }
    inner = {id for blocks, _ in found for copy in blocks[1:] for id in copy}
    return [(blocks, stay) for blocks, stay in found if not (set(blocks[0]) & inner)]


def _module_of(picture: Picture, id: str, order: dict[str, int]) -> str:
    return picture.nodes[order[id]].module


def _module_signatures(picture: Picture, members: dict[str, list[PictureNode]]) -> dict[str, Hashable]:
    place: dict[str, dict[str, int]] = {
        m: {n.id: i for i, n in enumerate(nodes)} for m, nodes in members.items()
    }
    wires: dict[str, list[tuple[int, int, int]]] = {}
    for edge in picture.edges:
        for id in members:
            here = place[id]
            if edge.target in here and edge.source in here:
                wires.setdefault(id, []).append((here[edge.source], here[edge.target], edge.position))
    kinds = {module.id: module.kind for module in picture.modules}
    return {
        id: (kinds[id], tuple(_look(node) for node in nodes), tuple(wires.get(id, ())))
        for id, nodes in members.items()
    }


def _look(node: PictureNode) -> Hashable:
    return (
        node.kind,
        node.op,
        node.shape,
        node.dtype,
        tuple(node.options.items()),
        bool(node.status or node.bad or node.output),
    )


def repeated_operations(picture: Picture, least: int) -> list[tuple[Group, list[str]]]:
    """Runs of operations outside of modules that repeat with the same wiring, as a loop makes them."""
    operations = [node for node in picture.nodes if node.kind not in LEAVES and not node.module]
    number = {node.id: i for i, node in enumerate(operations)}
    nodes = {node.id: node for node in picture.nodes}
    wires: dict[str, list[Hashable]] = {}
    leaves: dict[str, list[str]] = {}
    uses: dict[str, int] = {}
    for edge in picture.edges:
        uses[edge.source] = uses.get(edge.source, 0) + 1
    for edge in picture.edges:
        if edge.target not in number:
            continue
        source = nodes[edge.source]
        if source.id in number:
            wire: Hashable = edge.position, number[edge.target] - number[source.id]
        elif source.kind in LEAVES and uses[source.id] == 1:
            wire = edge.position, _look(source), source.label
            leaves.setdefault(edge.target, []).append(source.id)
        else:
            wire = edge.position, source.id
        wires.setdefault(edge.target, []).append(wire)
    keys: list[Hashable] = [(_look(node), tuple(wires.get(node.id, ()))) for node in operations]
    found: list[tuple[Group, list[str]]] = []
    for start, period, copies in runs(keys, least):
        blocks = []
        for c in range(copies):
            copy = operations[start + c * period : start + (c + 1) * period]
            blocks.append([id for node in copy for id in (*leaves.get(node.id, ()), node.id)])
        found.append((blocks, []))
    return found


def runs(keys: Sequence[Hashable], least: int) -> list[tuple[int, int, int]]:
    """Where a sequence repeats itself: (start, period, copies), the longest first, none overlapping."""
    count = len(keys)
    same: dict[int, list[int]] = {}  # for each period, how long keys[i] == keys[i + period] holds from i on
    for period in range(1, min(PERIODS, count // least) + 1):
        length = [0] * (count + 1)
        for i in range(count - period - 1, -1, -1):
            length[i] = length[i + 1] + 1 if keys[i] == keys[i + period] else 0
        same[period] = length
    found = []
    i = 0
    while i < count:
        best = (0, 0, 0)
        for period, length in same.items():
            copies = length[i] // period + 1
            if copies >= least and copies * period > best[0]:
                best = copies * period, period, copies
        if best[0]:
            found.append((i, best[1], best[2]))
            i += best[0]
        else:
            i += 1
    return found


def drop_copies(picture: Picture, groups: list[tuple[Group, list[str]]]) -> Picture:
    """The picture with the first copy of each group; the others' edges and steps go to it."""
    if not groups:
        return picture
    stands: dict[str, str] = {}
    group_of: dict[str, int] = {}
    copies: dict[str, int] = {}
    module_copies: dict[str, int] = {}
    for g, (blocks, modules) in enumerate(groups):
        for copy in blocks:
            for first, id in zip(blocks[0], copy):
                stands[id], group_of[id] = first, g
        for id in modules:
            module_copies[id] = len(blocks)
        if not modules:
            copies.update({id: len(blocks) for id in blocks[0]})
    at = {node.id: node for node in picture.nodes}
    copy_of = {id: c for blocks, _ in groups for c, copy in enumerate(blocks) for id in copy}
    nodes = []
    for node in picture.nodes:
        if stands.get(node.id, node.id) != node.id:
            continue
        times = copies.get(node.id, 1)
        output = (
            node.output or any(at[id].output for id, first in stands.items() if first == node.id)
            if times > 1
            else node.output
        )
        nodes.append(replace(node, repeat=node.repeat * times, count=node.count * times, output=output))
    edges = []
    seen: dict[tuple[str, str, int], PictureEdge] = {}
    for edge in picture.edges:
        source, target = stands.get(edge.source, edge.source), stands.get(edge.target, edge.target)
        if (
            edge.source in group_of
            and group_of[edge.source] == group_of.get(edge.target)
            and (copy_of[edge.source] != copy_of[edge.target])
        ):
            continue  # from one copy to the next: the box says how often it repeats
        key = source, target, edge.position
        if key in seen:
            if edge.source not in stands or edge.target not in stands:
                seen[key].count += edge.count
            continue
        seen[key] = moved = replace(edge, source=source, target=target)
        edges.append(moved)
    used = {m.id for node in nodes if node.module for m in picture.within(node.module)}
    modules_left = [
        replace(m, repeat=module_copies.get(m.id, m.repeat)) for m in picture.modules if m.id in used
    ]
    shown = {edge.id for edge in edges}
    copies_of = {id: first for id, first in stands.items() if id != first}
    events = moved_events(picture, copies_of, shown)
    return Picture(nodes, edges, modules_left, events, picture.notes, picture.title, picture.hide(copies_of))


def moved_events(picture: Picture, inside: dict[str, str], shown: set[str]) -> list[dict[str, Any]]:
    """The steps with hidden nodes replaced by what stands for them; `of` keeps which node it was."""
    moved = []
    for event in picture.events:
        parts = [
            {
                **part,
                "to": inside.get(part["to"], part["to"]),
                "edge": part["edge"] if part["edge"] in shown else "",
            }
            for part in event.get("parts", ())
        ]
        event = {
            **event,
            "node": inside.get(event["node"], event["node"]),
            "of": event.get("of", event["node"]),
        }
        moved.append({**event, "parts": parts} if "parts" in event else event)
    return moved
