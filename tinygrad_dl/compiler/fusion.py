"""Fusion: primitives that run over the same index space become one loop nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygrad_dl.compiler.program import ELEMENTWISE, Prim, Step, Var, all_reads
from tinygrad_dl.typing import Shape

# Loops with more primitives than this spill registers.
MOST = 32
# Rows of up to so many elements are computed whole: a reduction over them can be used in the same loop.
ROW = 32
REDUCTIONS = frozenset("sum max min prod".split())


@dataclass
class Group:
    """Primitives that share one loop nest over `shape`, in order; `stored` are the results that others read."""

    shape: Shape
    prims: list[Prim] = field(default_factory=list)
    made: set[int] = field(default_factory=set)
    reduced: set[int] = field(default_factory=set)  # results of reductions, complete only after the loops
    stored: set[int] = field(default_factory=set)
    row: bool = False  # rows are handled whole, so that what reduces them can be used at once
    rows: set[int] = field(default_factory=set)  # results that belong to rows: one for each

    def add(self, prim: Prim) -> None:
        """Put a primitive at the end."""
        (out,) = prim.outputs
        assert out is not None
        self.prims.append(prim)
        self.made.add(out.serial)
        if any(x.serial in self.rows for x in prim.reads()):
            self.row = True
        if prim.kind in REDUCTIONS:
            self.reduced.add(out.serial)
            if self.reduces_rows(prim):
                self.rows.add(out.serial)
        elif out.shape != self.shape:
            self.rows.add(out.serial)

    @property
    def row_shape(self) -> Shape | None:
        """The shape of what belongs to rows; None if rows are too long, or have one element."""
        return (*self.shape[:-1], 1) if self.shape and 1 < self.shape[-1] <= ROW else None

    def reduces_rows(self, prim: Prim) -> bool:
        """Whether a reduction gives one value for each row, as others in the group can read it."""
        (out,) = prim.outputs
        assert out is not None
        return out.shape == self.row_shape and tuple(prim.params["axes"]) == (len(self.shape) - 1,)

    def reads(self) -> list[Var]:
        """What is read from memory: the inputs that were not made here."""
        found: dict[int, Var] = {}
        for prim in self.prims:
            for x in prim.reads():
                if x.serial not in self.made:
                    found.setdefault(x.serial, x)
        return list(found.values())


def index_space(prim: Prim) -> Shape | None:
    """The index space that a fusible primitive runs over; None for the others."""
    if prim.kind in ELEMENTWISE or prim.kind in ("take", "rows", "iota"):
        (out,) = prim.outputs
        assert out is not None
        return out.shape
    if prim.kind in REDUCTIONS:
        (x,) = prim.inputs
        assert isinstance(x, Var)
        return x.shape
    return None


def live(steps: Sequence[Step], wanted: set[int]) -> list[Step]:
    """The steps whose results are wanted, or that change something outside."""
    kept = []
    for step in reversed(steps):
        always = not isinstance(step, Prim) or step.kind in ("assign", "check_classes")
        always = always or step.params.get("always", False)  # type: ignore[attr-defined]
        if always or any(v.serial in wanted for v in step.writes()):
            kept.append(step)
            wanted.update(v.serial for v in reads_of(step))
    return kept[::-1]


def reads_of(step: Step) -> list[Var]:
    """Everything that a step reads, what was left as captured included."""
    return list(step.reads()) if isinstance(step, Prim) else all_reads(step)


def fuse(steps: Sequence[Step], outputs: set[int]) -> list[Any]:
    """Groups and single steps in an order that respects who reads what; `outputs` are read after the last step."""
    items: list[Any] = []
    complete: dict[int, int] = {}  # serial of a variable -> position of the item after which it can be read
    barrier = -1  # position of the last step that has side effects
    for step in steps:
        space = index_space(step) if isinstance(step, Prim) else None
        ready = max((complete.get(x.serial, -1) for x in reads_of(step)), default=-1)
        if space is None:
            items.append(step)
            for out in step.writes():
                complete[out.serial] = len(items) - 1
            if (isinstance(step, Prim) and step.kind == "assign") or (
                not isinstance(step, Prim) and reads_of(step)
            ):
                barrier = len(items) - 1
            continue
        assert isinstance(step, Prim)
        at = _place_for(step, space, items, complete, max(ready, barrier + 1 if _reads_state(step) else 0))
        if at is None:
            items.append(Group(space))
            at = len(items) - 1
        items[at].add(step)
        complete.update((out.serial, at) for out in step.writes())
    read: set[int] = set(outputs)
    for item in items:
        if isinstance(item, Group):
            read.update(x.serial for x in item.reads())
            read |= item.reduced - item.rows
        else:
            read.update(x.serial for x in reads_of(item))
    for item in items:
        if isinstance(item, Group):
            item.stored = item.made & read
            for prim in item.prims:  # what a gather reads must lie in memory
                if prim.kind in ("take", "rows") and isinstance(prim.inputs[0], Var):
                    item.stored |= {prim.inputs[0].serial} & item.made
    return items


def _reads_state(step: Step) -> bool:
    return any(x.kind == "state" for x in step.reads())


def _place_for(
    prim: Prim, space: Shape, items: Sequence[Any], complete: dict[int, int], first: int
) -> int | None:
    """The latest group over the same space in which everything that the primitive reads is at hand."""
    for at in range(len(items) - 1, max(first, 0) - 1, -1):
        item = items[at]
        if not isinstance(item, Group) or len(item.prims) >= MOST:
            continue
        if item.shape != space:
            # Of one element for each row, and computed from such: between two passes over the rows.
            of_rows = (
                space == item.row_shape
                and prim.kind in ELEMENTWISE
                and any(x.serial in item.rows for x in prim.reads())
            )
            if not of_rows or not all(
                complete.get(x.serial, -1) < at or x.serial in item.rows for x in prim.reads()
            ):
                continue
            return at
        if all(_at_hand(x, item, at, complete, prim) for x in prim.reads()):
            return at
    return None


def _at_hand(x: Var, group: Group, at: int, complete: dict[int, int], prim: Prim) -> bool:
    if complete.get(x.serial, -1) < at:
        return True
    if x.serial in group.rows:
        return prim.kind in ELEMENTWISE
    return x.serial in group.made and x.serial not in group.reduced and prim.kind not in ("take", "rows")
