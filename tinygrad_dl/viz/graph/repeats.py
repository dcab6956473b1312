"""Repeated blocks: runs of modules, or of operations, that are built the same way, and drawing them once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_dl.viz.graph.model import LEAVES, GraphEdge, GraphModel, GraphModule, GraphNode

PERIODS = 12  # longest block, in operations or sibling modules


class Group(NamedTuple):
    """The copies of a repeated block, each the ids of its nodes, in corresponding order; the first one stays."""

    blocks: list[list[str]]
    modules: list[str]  # of the first copy; empty for a block of operations


class ModuleTree:
    """What each module of a graph model contains; "" is the level outside of all modules."""

    def __init__(self, graph: GraphModel) -> None:
        self.position = {node.id: i for i, node in enumerate(graph.nodes)}
        enclosing = {module.id: [m.id for m in graph.within(module.id)] for module in graph.modules}
        #: node id -> the modules around it, innermost first
        self.around = {node.id: enclosing.get(node.module, []) for node in graph.nodes}
        self.members: dict[str, list[GraphNode]] = {}  # module -> its nodes, those of inner modules included
        self.own_operations: dict[str, list[str]] = {}  # level -> operations that are in no inner module
        for node in graph.nodes:
            for module in self.around[node.id]:
                self.members.setdefault(module, []).append(node)
            if node.kind not in LEAVES:
                self.own_operations.setdefault(node.module, []).append(node.id)
        self.start = {  # module -> the position of its first operation; modules without one are not compared
            module: min(self.position[node.id] for node in nodes if node.kind not in LEAVES)
            for module, nodes in self.members.items()
            if any(node.kind not in LEAVES for node in nodes)
        }
        self.children: dict[str, list[str]] = {}  # level -> the modules directly inside; inner levels first
        parent = {module.id: module.parent for module in graph.modules}
        placed: set[str] = set()
        for node in graph.nodes:
            for module in self.around[node.id]:
                if module in self.start and module not in placed:
                    placed.add(module)
                    self.children.setdefault(parent[module], []).append(module)
        self.structure = self._structures(graph)

    def _structures(self, graph: GraphModel) -> dict[str, Hashable]:
        """Module -> a key that is equal for modules with the same nodes, wired in the same way."""
        number = {module: {n.id: i for i, n in enumerate(nodes)} for module, nodes in self.members.items()}
        wires: dict[str, list[tuple[int, int, int]]] = {}
        for edge in graph.edges:
            for module in self.around[edge.target]:
                inside = number[module]
                if edge.source in inside:
                    wire = inside[edge.source], inside[edge.target], edge.position
                    wires.setdefault(module, []).append(wire)
        kinds = {module.id: module.kind for module in graph.modules}
        return {
            module: (kinds[module], tuple(_look(node) for node in nodes), tuple(wires.get(module, ())))
            for module, nodes in self.members.items()
        }

    def items(self, level: str) -> list[tuple[str, Hashable]]:
        """The operations and modules of a level in order, each with a key; keys of operations are never equal.

        Operations are listed because only modules that follow each other directly are a run.
        """
        found = [(self.position[id], id, ("operation", id)) for id in self.own_operations.get(level, [])] + [
            (self.start[module], module, self.structure[module]) for module in self.children[level]
        ]
        found.sort(key=lambda item: item[0])
        return [(id, key) for _, id, key in found]

    def ids(self, modules: Iterable[str]) -> list[str]:
        """The ids of the nodes in some modules."""
        return [node.id for module in modules for node in self.members[module]]


def repeated_modules(graph: GraphModel, least: int) -> list[Group]:
    """Runs of at least `least` sibling modules, or short sequences of them, with the same inside."""
    tree = ModuleTree(graph)
    found: list[Group] = []
    # Groups must not overlap: once a run is found, the levels around it and inside its copies are done.
    done: set[str] = set()
    for level in tree.children:
        if level in done:
            continue
        ids, keys = zip(*tree.items(level))
        for start, period, copies in runs(keys, least):
            starts = range(start, start + copies * period, period)
            blocks = [tree.ids(ids[i : i + period]) for i in starts]
            found.append(Group(blocks, list(ids[start : start + period])))
            done.update(module for block in blocks[1:] for id in block for module in tree.around[id])
    dropped = {id for group in found for block in group.blocks[1:] for id in block}
    return [group for group in found if dropped.isdisjoint(group.blocks[0])]


def _look(node: GraphNode) -> Hashable:
    """What two nodes must have in common to be drawn as one."""
    return (
        node.kind,
        node.op,
        node.shape,
        node.dtype,
        tuple(node.options.items()),
        bool(node.status or node.bad or node.output),
    )


def repeated_operations(graph: GraphModel, least: int) -> list[Group]:
    """Runs of operations outside of modules that repeat with the same wiring, as a loop makes them.

    A leaf that only one operation uses, such as a number, belongs to that operation's copy.
    """
    operations = [node for node in graph.nodes if node.kind not in LEAVES and not node.module]
    number = {node.id: i for i, node in enumerate(operations)}
    nodes = {node.id: node for node in graph.nodes}
    wires: dict[str, list[Hashable]] = {}
    leaves: dict[str, list[str]] = {}
    uses: dict[str, int] = {}
    for edge in graph.edges:
        uses[edge.source] = uses.get(edge.source, 0) + 1
    for edge in graph.edges:
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
    found: list[Group] = []
    for start, period, copies in runs(keys, least):
        blocks = []
        for c in range(copies):
            copy = operations[start + c * period : start + (c + 1) * period]
            blocks.append([id for node in copy for id in (*leaves.get(node.id, ()), node.id)])
        found.append(Group(blocks, []))
    return found


def runs(keys: Sequence[Hashable], least: int) -> list[tuple[int, int, int]]:
    """Where a sequence repeats itself: (start, period, copies), at each place the longest, none overlapping.

    >>> runs("xababab", 3)
    [(1, 2, 3)]
    """
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


def drop_copies(graph: GraphModel, groups: Sequence[Group]) -> GraphModel:
    """The graph model with the first copy of each group; edges and steps of the other copies go to it."""
    if not groups:
        return graph
    first: dict[str, str] = {}  # node -> the corresponding node of the first copy
    copy: dict[str, tuple[int, int]] = {}  # node -> (group, number of the copy)
    repeat: dict[str, int] = {}  # node or module of a first copy -> number of copies
    for g, group in enumerate(groups):
        for c, block in enumerate(group.blocks):
            first.update(zip(block, group.blocks[0]))
            copy.update(dict.fromkeys(block, (g, c)))
        repeat.update(dict.fromkeys(group.modules or group.blocks[0], len(group.blocks)))
    nodes = _first_nodes(graph, first, repeat)
    edges = _edges_of_first(graph, first, copy)
    used = {m.id for node in nodes for m in graph.within(node.module)}
    modules: list[GraphModule] = [
        replace(m, repeat=repeat.get(m.id, m.repeat)) for m in graph.modules if m.id in used
    ]
    dropped = {id: kept for id, kept in first.items() if id != kept}
    events = moved_events(graph, dropped, {edge.id for edge in edges})
    return GraphModel(
        nodes,
        edges,
        modules,
        events,
        graph.notes,
        graph.title,
        graph.hide(dropped),
        graph.buffers,
        graph.steps,
    )


def _first_nodes(graph: GraphModel, first: dict[str, str], repeat: dict[str, int]) -> list[GraphNode]:
    """The nodes without those of later copies; a node of a repeated block of operations counts for all copies."""
    outputs = {first.get(node.id, node.id) for node in graph.nodes if node.output}
    nodes = []
    for node in graph.nodes:
        if first.get(node.id, node.id) != node.id:
            continue
        copies = repeat.get(node.id, 1)
        output = node.id in outputs if copies > 1 else node.output
        nodes.append(replace(node, repeat=node.repeat * copies, count=node.count * copies, output=output))
    return nodes


def _edges_of_first(
    graph: GraphModel, first: dict[str, str], copy: dict[str, tuple[int, int]]
) -> list[GraphEdge]:
    """The edges between what stays; those of later copies join the first copy's."""
    edges: dict[tuple[str, str, int], GraphEdge] = {}
    for edge in graph.edges:
        if edge.source in copy and edge.target in copy:
            (group, c), (other_group, other_c) = copy[edge.source], copy[edge.target]
            if group == other_group and c != other_c:
                continue  # from one copy to the next: the box says how often it repeats
        source, target = first.get(edge.source, edge.source), first.get(edge.target, edge.target)
        key = source, target, edge.position
        if key not in edges:
            edges[key] = replace(edge, source=source, target=target)
        elif edge.source not in first or edge.target not in first:
            edges[key].count += edge.count  # one node feeds, or is fed by, every copy
    return list(edges.values())


def moved_events(graph: GraphModel, inside: dict[str, str], shown: set[str]) -> list[dict[str, Any]]:
    """The player's steps with hidden nodes replaced by their boxes (`inside`: node -> box); `of` is the node itself.

    `shown`: the ids of the edges that are still drawn.
    """
    moved = []
    for event in graph.events:
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
