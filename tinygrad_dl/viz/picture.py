"""The neutral form of a diagram: nodes, edges, modules, events, from which each format is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

SMALL = 8  # elements that are shown and recorded whole
BINS = 16

LEAVES = ("parameter", "constant", "number", "leaf")  # the kinds that no operation made


@dataclass(slots=True)
class PictureNode:
    """One box: an operation with its result, or a tensor or number that no operation made."""

    id: str
    kind: str
    label: str
    name: str = ""
    op: str = ""
    formula: str = ""
    options: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    module: str = ""  # the id of the innermost module
    output: bool = False
    value: dict[str, Any] | None = None
    grad: dict[str, Any] | None = None
    parts: list[str] = field(default_factory=list)  # what the gradient is the sum of, where it is a sum
    gain: float | None = None
    cost: dict[str, int] = field(default_factory=dict)
    kinks: str = ""
    origin: str = ""
    error: str = ""
    bad: str = ""  # "origin" or "path" of values that are not finite
    part: str = ""  # "forward" or "gradient" in the graph of a gradient
    status: str = ""  # in a comparison: "added", "removed", "changed"
    change: str = ""
    count: int = 1  # how many nodes a folded one stands for
    repeat: int = 1
    serial: int | None = field(default=None, repr=False)


@dataclass(slots=True)
class PictureEdge:
    """What flows from one box to another: an operand, and back along it a part of the gradient."""

    id: str
    source: str
    target: str
    position: int = 0
    operand: str = ""
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    rule: str = ""
    rule_source: str = ""
    local: float | None = None
    flow: dict[str, Any] | None = None  # the contribution to the gradient of the source
    broadcast: str = ""
    status: str = ""
    count: int = 1


@dataclass(slots=True)
class PictureModule:
    """A module of the model, drawn as a box around what its call computed."""

    id: str
    path: str
    kind: str
    parent: str = ""
    title: str = ""  # its name inside the parent
    repeat: int = 1


@dataclass(slots=True)
class Picture:
    """Nodes in topological order, edges in the order of their targets, modules outermost first, and events.

    `events` are the steps of the player: the forward steps, then those of the backward pass.
    """

    nodes: list[PictureNode] = field(default_factory=list)
    edges: list[PictureEdge] = field(default_factory=list)
    modules: list[PictureModule] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    title: str = ""
    hidden: dict[str, str] = field(default_factory=dict)  # folded node -> the box that stands for it

    def node(self, id: str) -> PictureNode:
        """The node with an id; KeyError if there is none."""
        for node in self.nodes:
            if node.id == id:
                return node
        raise KeyError(id)

    def within(self, id: str) -> Iterator[PictureModule]:
        """The module with an id and those around it, innermost first."""
        by_id = {module.id: module for module in self.modules}
        while id:
            yield by_id[id]
            id = by_id[id].parent

    def hide(self, inside: dict[str, str]) -> dict[str, str]:
        """`hidden` once more nodes stand for others: node id -> box id."""
        return {id: inside.get(box, box) for id, box in self.hidden.items()} | inside

    def to_dict(self) -> dict[str, Any]:
        """The whole as data for JSON: what is empty is left out, numbers that JSON lacks become text."""
        return {
            "format": "tinygrad_dl.picture",
            "version": 1,
            "title": self.title,
            "notes": list(self.notes),
            "nodes": [_plain(n) for n in self.nodes],
            "edges": [_plain(e) for e in self.edges],
            "modules": [_plain(m) for m in self.modules],
            "events": [jsonable(e) for e in self.events],
        }


def _plain(item: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for about in fields(item):
        value = getattr(item, about.name)
        if about.name == "serial" or value is None or value is False:
            continue
        if value in ("", {}, []) or (about.name in ("count", "repeat") and value == 1):
            continue
        found[about.name] = jsonable(value)
    return found


def jsonable(value: Any) -> Any:
    """The value as JSON can hold it, with six digits, so that the text is the same on every machine."""
    if isinstance(value, dict):
        return {key: jsonable(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value


def statistics(array: Any, detail: bool = False) -> dict[str, Any]:
    """What a diagram keeps of an array: its norm, what is not finite, few elements whole.

    With `detail` also range, mean and, of more than a few elements, spread and histogram.
    """
    array = np.asarray(array)
    if array.size == 0:
        return {"norm": 0.0, "size": 0, "text": f"empty {array.shape}"}
    if array.dtype.kind == "c":
        array = np.abs(array)
    if array.size == 1:
        value = float(array.reshape(()))
        found: dict[str, Any] = {"norm": abs(value), "size": 1, "whole": value, "text": number(value)}
        if not math.isfinite(value):
            found["nan" if value != value else "inf"] = 1
        return found
    found = {"norm": norm(array), "size": array.size}
    finite = array.reshape(-1)
    if not math.isfinite(found["norm"]):
        found["nan"], found["inf"] = int(np.isnan(array).sum()), int(np.isinf(array).sum())
        finite = array[np.isfinite(array)]
    if detail and finite.size:
        found |= _spread(finite)
    if array.size <= SMALL:
        found["whole"] = array.tolist() if array.dtype.kind != "b" else array.astype(int).tolist()
        found["text"] = whole_text(found["whole"])
    return found


def _spread(finite: np.ndarray) -> dict[str, Any]:
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(all="ignore"):
        found: dict[str, Any] = {"min": low, "max": high, "mean": float(finite.mean(dtype=np.float64))}
        if finite.size > SMALL:
            found["std"] = float(finite.std(dtype=np.float64))
            found["histogram"] = _histogram(finite, low, high)
    return found


def _histogram(values: np.ndarray, low: float, high: float) -> list[int]:
    if not high > low or not math.isfinite(high - low):
        return [int(values.size)]
    scaled = (values.astype(np.float64) - low) * (BINS / (high - low))
    return np.bincount(np.minimum(scaled.astype(np.intp), BINS - 1), minlength=BINS).tolist()


def norm(array: Any) -> float:
    """The Euclidean norm of all elements, in double precision; nan and inf show in it."""
    flat = np.asarray(array, np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        squared = float(np.dot(flat, flat))
        if squared == math.inf or (squared < 1e-290 and flat.size):
            # The squares left the range of doubles; the values may not have.
            largest = float(np.abs(flat).max())
            if 0 < largest < math.inf:
                return largest * math.sqrt(np.dot(flat / largest, flat / largest))
            return largest
    return math.sqrt(squared) if squared == squared else math.nan


def number(value: Any, digits: int = 4) -> str:
    """A number in a diagram: few significant digits, no trailing zeros."""
    if isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, complex):
        return f"{value:.{digits}g}"
    value = float(value)
    return "0" if value == 0 else f"{value:.{digits}g}"


def whole_text(value: Any) -> str:
    """A small array in a diagram, in brackets."""
    if isinstance(value, list):
        return "[" + ", ".join(whole_text(v) for v in value) + "]"
    return number(value)


def shape_text(shape: tuple[int, ...] | None) -> str:
    """A shape in a diagram: (2, 3), or nothing if it is not known."""
    return "" if shape is None else str(tuple(shape))
