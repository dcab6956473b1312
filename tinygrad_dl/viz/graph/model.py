"""The graph model: the nodes, edges, modules and events of a diagram, which every format is written from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

from tinygrad_dl.typing import Shape

LEAVES = (
    "parameter",
    "constant",
    "number",
    "leaf",
    "argument",
)  # the kinds that are not the result of an operation

#: What `statistics` records of an array: numbers, counts, a text, and small arrays whole.
Stats: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class GraphNode:
    """One box: an operation with its result, or a Tensor or number that is not the result of an operation."""

    id: str
    kind: str
    label: str
    name: str = ""
    op: str = ""
    formula: str = ""
    options: dict[str, str] = field(default_factory=dict)
    shape: Shape | None = None
    dtype: str = ""
    module: str = ""  # the id of the innermost module
    output: bool = False
    value: Stats | None = None
    grad: Stats | None = None
    parts: list[str] = field(
        default_factory=list
    )  # the contributions, where the gradient is a sum of several
    gain: float | None = None
    cost: dict[str, int] = field(default_factory=dict)
    kinks: str = ""
    origin: str = ""
    error: str = ""
    bad: str = ""  # "origin" of the first NaN or infinity, or on its "path"
    part: str = ""  # "forward" or "gradient" in the graph of a gradient
    status: str = ""  # in a difference of two graphs: "added", "removed", "changed"
    change: str = ""
    count: int = 1  # how many nodes a collapsed box stands for
    repeat: int = 1
    serial: int | None = field(default=None, repr=False)


@dataclass(slots=True)
class GraphEdge:
    """An operand that flows from one box to another, and the gradient contribution that flows back along it."""

    id: str
    source: str
    target: str
    position: int = 0
    operand: str = ""
    shape: Shape | None = None
    dtype: str = ""
    rule: str = ""
    rule_source: str = ""
    local: float | None = None  # the local derivative, where both ends are scalars
    flow: Stats | None = None  # the contribution to the gradient of the source node
    broadcast: str = ""
    status: str = ""
    count: int = 1


@dataclass(slots=True)
class GraphModule:
    """One call of an nn.Module, drawn as a box around what it computed."""

    id: str
    path: str
    kind: str
    parent: str = ""
    title: str = ""  # its name inside the parent
    repeat: int = 1
    steps: int = 0  # of a compiled program that are in it
    makes: str = ""  # what a fused loop leaves in memory


@dataclass(slots=True)
class GraphBuffer:
    """A buffer of a compiled program: where it begins in the block, and the steps from and to which it is in use."""

    name: str
    bytes: int
    start: int
    first: int
    last: int


@dataclass(slots=True)
class GraphModel:
    """A diagram before any format: nodes in topological order, edges by their targets, modules outermost first.

    `events` are the steps of the player: first those of the forward pass, then those of the backward pass.
    """

    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)
    modules: list[GraphModule] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    title: str = ""
    hidden: dict[str, str] = field(default_factory=dict)  # collapsed node -> the box that stands for it
    buffers: list[GraphBuffer] = field(default_factory=list)  # of a compiled program
    steps: int = 0  # how many it has
    runs: list[dict[str, Any]] = field(
        default_factory=list
    )  # the numbers of each training step, see graph/runs.py

    def node(self, id: str) -> GraphNode:
        """The node with an id. Raises KeyError."""
        for node in self.nodes:
            if node.id == id:
                return node
        raise KeyError(id)

    def next_node_id(self) -> str:
        """The id of the node that is appended next."""
        return f"n{len(self.nodes)}"

    def within(self, id: str) -> Iterator[GraphModule]:
        """The module with an id and the modules that enclose it, innermost first."""
        by_id = {module.id: module for module in self.modules}
        while id:
            yield by_id[id]
            id = by_id[id].parent

    def hide(self, inside: dict[str, str]) -> dict[str, str]:
        """`hidden`, node id -> box id, after more nodes were replaced by boxes."""
        return {id: inside.get(box, box) for id, box in self.hidden.items()} | inside

    def to_dict(self) -> dict[str, Any]:
        """The graph model as data for JSON: empty fields are left out, NaN and infinity become text."""
        return {
            "format": "tinygrad_dl.picture",  # part of the file format: readers check it
            "version": 1,
            "title": self.title,
            "notes": list(self.notes),
            "nodes": [_plain(n) for n in self.nodes],
            "edges": [_plain(e) for e in self.edges],
            "modules": [_plain(m) for m in self.modules],
            "events": [jsonable(e) for e in self.events],
            **({"buffers": [asdict(b) for b in self.buffers], "steps": self.steps} if self.buffers else {}),
        }


def _plain(item: GraphNode | GraphEdge | GraphModule) -> dict[str, Any]:
    """The fields of an item that are not empty, as JSON can hold them."""
    found: dict[str, Any] = {}
    for entry in fields(item):
        value = getattr(item, entry.name)
        if entry.name == "serial" or value is None or value is False:
            continue
        if value in ("", {}, []) or (entry.name in ("count", "repeat") and value == 1):
            continue
        if entry.name == "steps" and not value:
            continue
        found[entry.name] = jsonable(value)
    return found


def jsonable(value: object) -> Any:
    """The value as JSON can hold it; six digits of a float, so that the text is the same on every machine."""
    if isinstance(value, dict):
        return {key: jsonable(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value
