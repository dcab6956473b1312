"""A lowered program placed in memory and made native, with what was not lowered called between its parts."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from tinygrad_dl.codegen import distinct
from tinygrad_dl.compiler import threads, windows
from tinygrad_dl.compiler.assembly import KINDS
from tinygrad_dl.compiler.capture import fixed
from tinygrad_dl.compiler.fusion import Group, fuse, live, reads_of
from tinygrad_dl.compiler.llvm import (
    DIVIDED_PRODUCT,
    SCRATCH,
    Emitter,
    Place,
    blas,
    blas_layout,
    contiguous_strides,
    reshaped,
    small,
    viewed,
)
from tinygrad_dl.compiler.lower import Builder
from tinygrad_dl.compiler.program import (
    CONVOLUTIONS,
    VIEW,
    Call,
    Effect,
    NotLowered,
    Operand,
    Prim,
    Step,
    Var,
    Vjp,
)
from tinygrad_dl.compiler.replay import RUN_TIME, Writer, write_call, write_effect, write_vjp
from tinygrad_dl.compiler.sizes import Filled, Size, at_rows, is_rows
from tinygrad_dl.compiler.update import Changed, Shared
from tinygrad_dl.convert import wrap
from tinygrad_dl.graph import Value

LINE = 64  # bytes of a line of the cache: arrays in the block begin with one
ENTRIES = 3  # of the table before those of arrays: the block, where products pack, the number of rows
TURNS = 16  # of a convolution for any number of rows, to decide whether two threads share it
UNIT = 8  # bytes for each row in which memory for any number of rows is handed out


class Block:
    """The memory for what is needed only during a run; parts are used again when what lay there is done with."""

    def __init__(self, line: int = LINE) -> None:
        self.line = line
        self.size = 0
        self._free: list[tuple[int, int]] = []  # start, bytes

    def take(self, nbytes: int) -> int:
        need = max(self.line, -(-nbytes // self.line) * self.line)
        fitting = [part for part in self._free if part[1] >= need]
        if fitting:
            start, have = min(fitting, key=lambda part: part[1])
            self._free.remove((start, have))
            if have > need:
                self._free.append((start + need, have - need))
            return start
        start = self.size
        self.size += need
        return start

    def give_back(self, start: int, nbytes: int) -> None:
        need = max(self.line, -(-nbytes // self.line) * self.line)
        parts = sorted([*self._free, (start, need)])
        merged = [parts[0]]
        for begin, size in parts[1:]:
            last, length = merged[-1]
            if last + length == begin:
                merged[-1] = (last, length + size)
            else:
                merged.append((begin, size))
        self._free = merged


class Native:
    """The program as a function: `native.run(leaves)` runs it on the flattened arguments and returns its results.

    In a program for any number of rows, arrays whose size follows from it lie in a second block, where every part is a
    number of bytes for each row: it grows to the largest number that has come. `like` is the code of the same program,
    written for another number of rows.
    """

    def __init__(self, lowered: Any, like: str | None = None) -> None:
        self.lowered = lowered
        self.program = lowered.program
        outputs = {r.serial for r in lowered.results if isinstance(r, Var)}
        outputs |= {v.serial for _, v in lowered.gradients if v is not None}
        self.outputs = set(outputs)
        steps = live(lowered.steps, outputs)
        self.items = self._hoisted(fuse(steps, set(self.outputs)))
        self._slots: list[Var | None] = [None] * ENTRIES
        self._slot_of: dict[int, int] = {}
        self.places: dict[int, Place] = {}
        self.block, self.row_block = Block(), Block(UNIT)
        self._home = 0  # the entry of the table that what needs memory is placed in
        self.row_slots: dict[
            int, int
        ] = {}  # bytes for each row from the start of the second block -> entry of the table
        self._check()
        self._emit()
        self.code = self.emitter.assembly() if self._any_rows else ""
        if (like is not None and like != self.code) or re.search(r"(?<!%)\brows\b", self.code):
            raise NotLowered("code that depends on the number of rows")
        if like is not None or not self._any_rows:
            self._make_runner()

    def _check(self) -> None:
        """Refuse what native code does not know, before anything is made."""
        for item in self.items:
            for var in (*_reads(item), *_writes(item)) if isinstance(item, (Group, Prim)) else ():
                if var.dtype.str[1:] not in KINDS or not var.dtype.isnative:
                    raise NotLowered(f"{var.dtype}")
        arrays: list[tuple[np.ndarray, bool]] = []
        written = {
            x.serial
            for s in self.lowered.steps
            if isinstance(s, Prim) and s.kind == "assign"
            for x in s.reads()
        }
        for var in self.lowered.states:
            array = _array_of(var.source)
            if array is None:  # a gradient that the step has cleared: `set` looks at those that come
                continue
            if not (array.flags.c_contiguous and array.flags.aligned) or array.dtype != var.dtype:
                raise NotLowered("a state that does not lie in one piece")
            for other, changes in arrays:
                if (changes or var.serial in written) and np.may_share_memory(other, array):
                    raise NotLowered("states that share memory")
            arrays.append((array, var.serial in written))

    # Where everything lies

    def _hoisted(self, items: list[Any]) -> list[Any]:
        """Checks of arguments first, before anything is changed."""
        outside = {v.serial for v in (*self.program.arguments, *self.lowered.states, *self.program.constants)}
        first = [
            i
            for i in items
            if isinstance(i, Prim)
            and i.kind == "check_classes"
            and all(x.serial in outside for x in i.reads())
        ]
        self.checks = len(first)
        rest = [i for i in items if not any(i is f for f in first)]
        # What Python does without anything that the program computes comes before, so that the rest is one piece.
        free: list[Any] = []
        held = False
        read: set[int] = set()  # by what stays where it is
        written: set[int] = set()
        for item in rest:
            if isinstance(item, (Group, Prim)):
                read.update(v.serial for v in _reads(item))
                if isinstance(item, Prim) and item.kind == "assign":
                    written.update(x.serial for x in item.reads())
                continue
            used = {v.serial for v in (*reads_of(item), *self._given(item))}
            changed = {v.serial for v in getattr(item, "changes", ())}
            if held or not used <= outside or used & written or changed & read or not _is_local(item):
                held = True
            else:
                free.append(item)
                outside.update(v.serial for v in item.writes())
        return first + free + [i for i in rest if not any(i is f for f in free)]

    def _given(self, item: Step) -> list[Var]:
        """The states that a side effect is given as the Tensors that they are."""
        tensors = {id(x) for x in item.args} if isinstance(item, Effect) else set()
        return [var for var in self.lowered.states if id(var.source) in tensors]

    def _slot(self, var: Var) -> int:
        if var.serial not in self._slot_of:
            self._slot_of[var.serial] = len(self._slots)
            self._slots.append(var)
            self.places[var.serial] = Place(
                len(self._slots) - 1, 0, contiguous_strides(var.shape), var.shape, var.dtype
            )
        return self._slot_of[var.serial]

    def _plan(self) -> None:
        for var in (*self.program.arguments, *self.lowered.states, *self.program.constants):
            self._slot(var)
        for item in self.items:
            if not isinstance(item, (Group, Prim)):
                for var in item.writes():
                    self._slot(var)
        self.made_by_python = {
            v.serial for item in self.items if not isinstance(item, (Group, Prim)) for v in item.writes()
        }
        variables: dict[int, Var] = {}
        for item in self.items:
            for var in _writes(item):
                variables[var.serial] = var
        self.fresh = [
            var for s, var in variables.items() if s in self.outputs and s not in self.made_by_python
        ]
        for var in self.fresh:
            self._slot(var)
        self._in_place()
        # A view is read in the memory of what it shows, and of what that shows.
        self._shown: dict[int, int] = {}
        self.last: dict[int, int] = {}
        for item in self.items:
            if isinstance(item, Prim) and item.kind in VIEW:
                (x,), (out,) = item.inputs, item.outputs
                assert isinstance(x, Var) and out is not None
                self._shown[out.serial] = x.serial
        for i, item in enumerate(self.items):
            for var in (*_reads(item), *_writes(item)):
                serial: int | None = var.serial
                while serial is not None:
                    self.last[serial] = i
                    serial = self._shown.get(serial)

    def _in_place(self) -> None:
        """A state's new value is written where the old one lies, if nothing reads the old one afterwards."""
        kept = []
        for i, item in enumerate(self.items):
            if isinstance(item, Prim) and item.kind == "assign":
                target, value = item.inputs
                assert isinstance(target, Var)
                if isinstance(value, Var) and self._can_take(target, value, i):
                    self.places[value.serial] = self.places[target.serial]
                    continue
            kept.append(item)
        self.items = kept

    def _can_take(self, target: Var, value: Var, at: int) -> bool:
        if value.serial in self.places or value.shape != target.shape or value.dtype != target.dtype:
            return False
        maker = next(
            (j for j, it in enumerate(self.items) if isinstance(it, Group) and value.serial in it.made), None
        )
        if maker is None or value.serial in self.items[maker].reduced:
            return False
        later = self.items[maker + 1 : at]
        if any(not isinstance(it, (Group, Prim)) for it in later):  # what Python does between may end the run
            return False
        readers = [it for it in later if any(x.serial == target.serial for x in _reads(it))]
        inside = [p for p in self.items[maker].prims if any(x.serial == target.serial for x in p.reads())]
        if (
            sum(isinstance(it, Prim) and it.kind == "assign" and it.inputs[0] is target for it in self.items)
            > 1
        ):
            return False
        shown = {target.serial}  # the state, its views, and theirs
        for it in self.items:
            if isinstance(it, Prim) and it.kind in VIEW and any(x.serial in shown for x in it.reads()):
                shown.update(v.serial for v in it.writes())
        shown.discard(target.serial)
        shown_late = any(x.serial in shown for it in self.items[maker:] for x in _reads(it))
        return (
            not readers
            and not shown_late
            and self.items[maker].shape == target.shape
            and all(p.kind not in ("take", "rows") for p in inside)
        )

    def _placed(self, var: Var) -> Place:
        if var.serial not in self.places:
            strides = contiguous_strides(var.shape)
            if isinstance(var.size, Size):
                need = (var.size.slope + max(0, var.size.rest)) * var.dtype.itemsize
                start = self.row_block.take(need)
                slot = self.row_slots.setdefault(start, len(self._slots))
                if slot == len(self._slots):
                    self._slots.append(None)
                self.places[var.serial] = Place(slot, 0, strides, var.shape, var.dtype)
                self._taken[var.serial] = self.row_block, start, need
                return self.places[var.serial]
            start = self.block.take(var.nbytes)
            self.places[var.serial] = Place(
                self._home, start // var.dtype.itemsize, strides, var.shape, var.dtype
            )
            self._taken[var.serial] = self.block, start, var.nbytes
        return self.places[var.serial]

    def _placed_as(self, var: Var, like: Place) -> Place:
        """A place for an array whose axes lie in memory in the order of another's."""
        if var.serial in self.places or len(like.shape) != len(var.shape):
            return self._placed(var)
        order = sorted(range(len(var.shape)), key=lambda i: -like.strides[i])
        if any(like.strides[i] == 0 and var.shape[i] != 1 for i in order):
            return self._placed(var)
        place = self._placed(var)
        strides, step = [0] * len(order), 1
        for i in reversed(order):
            strides[i] = step
            step *= var.shape[i]
        self.places[var.serial] = replace(place, strides=tuple(strides))
        return self.places[var.serial]

    # Code

    def _emit(self) -> None:
        self._plan()
        self._taken: dict[int, tuple[Block, int, int]] = {}
        self.parts: list[Any] = []  # numbers of native functions, and steps for Python
        self.emitter = e = Emitter()
        e.shared = self._leaves_nothing_to_blas()
        open_ = False
        for i, item in enumerate(self.items):
            self._at = i
            native = isinstance(item, (Group, Prim)) and not self._by_numpy(item)
            if native and not open_:
                self.parts.append(e.begin())
                open_ = True
            elif not native and open_:
                e.end()
                open_ = False
            if native:
                self._item(e, item)
            else:
                assert isinstance(item, Step)
                self._for_python(e, item)
                self.parts.append(item)
            if self.checks and i == self.checks - 1:
                e.end()
                open_ = False
            for serial, (block, start, nbytes) in list(self._taken.items()):
                if self.last.get(serial, i) <= i:
                    del self._taken[serial]
                    block.give_back(start, nbytes)
        if open_:
            e.end()

    @property
    def _any_rows(self) -> bool:
        return any(isinstance(n, Size) for var in self.program.arguments for n in var.shape)

    def _by_numpy(self, item: Group | Step) -> bool:
        """Whether NumPy computes a product, as its BLAS cannot be called and the product is not small."""
        if not isinstance(item, Prim) or item.kind != "matmul" or blas():
            return False
        x, (out,) = item.inputs[0], item.outputs
        assert isinstance(x, Var) and out is not None
        return out.size * x.shape[-1] > small(self.emitter.shared)

    def _leaves_nothing_to_blas(self) -> bool:
        """Whether two threads share a convolution, and with their higher limit every product is made here."""
        if not threads.wanted():
            return False
        convolutions, largest = False, 0
        for item in self.items:
            if isinstance(item, Prim) and item.kind in CONVOLUTIONS:
                convolutions = convolutions or _is_large(item)
                largest = max(largest, _turns(item)[2])
            elif isinstance(item, Prim) and item.kind == "matmul":
                x, y = (v.shape[-2:] for v in item.inputs if isinstance(v, Var))
                sizes = (*x, *y[1:])
                if any(isinstance(n, Size) for n in sizes):  # these are BLAS's
                    return False
                largest = max(largest, prod(sizes))
        return convolutions and largest <= small(shared=True)

    def _for_python(self, e: Emitter, item: Step) -> None:
        """What Python reads has to lie in one piece: views are given to it as views of the block."""
        for var in (*reads_of(item), *item.writes()):
            self._placed(var)

    def _item(self, e: Emitter, item: Group | Prim) -> None:
        if isinstance(item, Group):
            for prim in item.prims:
                (out,) = prim.outputs
                if out is not None and out.serial in item.stored:
                    self._place_result(item, prim, out)
            e.group(item, self.places)
        elif item.kind in VIEW:
            (x,), (out,) = item.inputs, item.outputs
            assert isinstance(x, Var) and out is not None
            self._view(e, item, x, out)
        elif item.kind == "matmul":
            self._product(e, item)
        elif item.kind in CONVOLUTIONS:
            self._convolution(e, item)
        elif item.kind == "assign":
            target, value = item.inputs
            assert isinstance(target, Var)
            self._copy(e, value, target)
        elif item.kind == "pad":
            self._pad(e, item)
        elif item.kind in ("fold", "join"):
            self._assemble(e, item)
        elif item.kind == "scatter":
            self._scatter(e, item)
        elif item.kind == "check_classes":
            (x,) = item.inputs
            assert isinstance(x, Var)
            e.check_classes(self._placed(x), x.size, item.params["classes"], item.params["ignored"])
        else:
            raise NotLowered(item.kind)

    def _place_result(self, group: Group, prim: Prim, out: Var) -> None:
        """A result of a group lies in memory as the largest input does, so that loops run along both.

        It takes the place of an input that nothing reads afterwards: each turn reads what it needs before it writes.
        """
        given = self._done_with(group, out)
        if given is not None:
            self.places[out.serial] = replace(self.places[given.serial], dtype=out.dtype)
            self._taken[out.serial] = self._taken.pop(given.serial)
            return
        if out.shape == group.shape and len(out.shape) > 1:
            for x in group.reads():
                if (
                    x.shape == out.shape
                    and x.serial in self.places
                    and 0 not in self.places[x.serial].strides
                ):
                    self._placed_as(out, self.places[x.serial])
                    return
        self._placed(out)

    def _done_with(self, group: Group, out: Var) -> Var | None:
        """An input that a group reads element by element, and last, whose memory fits a result of the group."""
        if out.serial in self.places or out.shape != group.shape or out.serial in group.reduced:
            return None
        reads = group.reads()
        taken_from = {
            x.serial for p in group.prims if p.kind in ("take", "rows") for x in p.reads()
        }  # anywhere
        for x in reads:
            fits = x.shape == out.shape and x.dtype.itemsize == out.dtype.itemsize
            if not fits or x.serial not in self._taken or self.last.get(x.serial) != self._at:
                continue
            if x.serial not in taken_from and sum(self._root(y) == x.serial for y in reads) == 1:
                return x
        return None

    def _root(self, var: Var) -> int:
        """The array in whose memory a view is read."""
        serial = var.serial
        while serial in self._shown:
            serial = self._shown[serial]
        return serial

    def _view(self, e: Emitter, item: Prim, x: Var, out: Var) -> None:
        place = viewed(item.kind, self._placed(x), item.params, out.shape)
        if place is None:
            copy = Var(x.shape, x.dtype)
            if out.serial in self.last:
                self.last[copy.serial] = self.last[out.serial]
            if item.kind == "reshape" and out.serial not in self.places:
                self._placed_for_reshape(copy, self.places[x.serial], out.shape)
            self._copy(e, x, copy)
            place = viewed(item.kind, self.places[copy.serial], item.params, out.shape)
            assert place is not None
        if out.serial in self.places:  # it goes out of the program, where it lies in one piece
            source = Var(out.shape, out.dtype)
            self.places[source.serial] = place
            self._copy(e, source, out)
        else:
            self.places[out.serial] = place

    def _placed_for_reshape(self, copy: Var, source: Place, shape: tuple[int, ...]) -> None:
        """A place for a copy that is reshaped, with the axes that become one next to each other.

        Those groups lie in the order in which the source has them: windows are copied along whole rows of an image.
        """
        groups: list[list[int]] = []
        axis = 0
        for n in shape:
            own: list[int] = []
            have = 1
            while axis < len(copy.shape) and (have < n or copy.shape[axis] == 1):
                own.append(axis)
                have *= copy.shape[axis]
                axis += 1
            if have != n:  # some axis is split
                self._placed(copy)
                return
            groups.append(own)
        place = self._placed(copy)

        def last(group: list[int]) -> tuple[int, int]:
            inner = [i for i in group if copy.shape[i] != 1][-1:]
            return (source.strides[inner[0]] or 1, -copy.shape[inner[0]]) if inner else (1 << 60, 0)

        strides, step = [0] * len(copy.shape), 1
        for group in sorted(groups, key=last):
            for i in reversed(group):
                strides[i] = step
                step *= copy.shape[i]
        self.places[copy.serial] = replace(place, strides=tuple(strides))

    def _fill(self, e: Emitter, out: Var, value: float) -> None:
        """Set all elements of an array to one value."""
        self._placed(out)
        group = Group(out.shape)
        group.add(Prim([value], [out], kind="positive"))
        group.stored = {out.serial}
        e.group(group, self.places)

    def _pad(self, e: Emitter, item: Prim) -> None:
        (x,), (out,) = item.inputs, item.outputs
        assert isinstance(x, Var) and out is not None
        place = self._placed(x)
        self._placed_as(out, place)
        self._fill(e, out, item.params["value"])
        start = tuple(lo for lo, _ in item.params["pairs"])
        axes = tuple((i, 1, n) for i, n in enumerate(x.shape))
        inside = Var(x.shape, x.dtype)
        within = viewed("strided", self.places[out.serial], {"axes": axes, "start": start}, x.shape)
        assert within is not None
        self.places[inside.serial] = within
        self._copy(e, x, inside)

    def _assemble(self, e: Emitter, item: Prim) -> None:
        """Write the parts where they lie in the result, or add them there: windows may overlap."""
        (out,) = item.outputs
        assert out is not None
        part = item.inputs[0]
        assert isinstance(part, Var)
        if len(part.shape) == len(out.shape):
            self._placed_as(out, self._placed(part))
        self._placed(out)
        if item.kind == "fold":
            self._fill(e, out, 0.0)
        for part, (axes, start) in zip(item.inputs, item.params["places"]):
            assert isinstance(part, Var)
            self._placed(part)
            there = Var(part.shape, part.dtype)
            total = Var(part.shape, part.dtype)
            place = viewed("strided", self.places[out.serial], {"axes": axes, "start": start}, part.shape)
            assert place is not None
            self.places[there.serial] = self.places[total.serial] = place
            if item.kind == "join":
                self._copy(e, part, total)
                continue
            group = Group(part.shape)
            group.add(Prim([there, part], [total], kind="add"))
            group.stored = {total.serial}
            e.group(group, self.places)

    def _scatter(self, e: Emitter, item: Prim) -> None:
        """Rows added to those of a table that begins with zeros."""
        (x, at), (out,) = item.inputs, item.outputs
        assert isinstance(x, Var) and isinstance(at, Var) and out is not None
        self._fill(e, out, 0.0)
        if self._placed(x).strides[1] != 1:
            copy = Var(x.shape, x.dtype)
            self.last[copy.serial] = self.last.get(x.serial, 0)
            self._copy(e, x, copy)
            x = copy
        if x.size:
            e.scatter(self.places[x.serial], self._placed(at), self.places[out.serial])

    def _product(self, e: Emitter, item: Prim) -> None:
        x, y = item.inputs
        assert isinstance(x, Var) and isinstance(y, Var)
        (out,) = item.outputs
        assert out is not None
        places = []
        for v in (x, y):
            place = self._placed(v)
            if (
                len(v.shape) > 1
                and blas_layout(Place(0, 0, place.strides[-2:], place.shape[-2:], v.dtype)) is None
            ):
                copy = Var(v.shape, v.dtype)
                self.last[copy.serial] = self.last.get(v.serial, 0)
                self._copy(e, v, copy)
                place = self.places[copy.serial]
            places.append(place)
        left, right = places
        result = self._placed(out)
        if (
            result.slot == 0
            and len(out.shape) == len(left.shape) == 2
            and left.strides[0] == 1
            and left.shape[0] >= 4 * out.shape[1]
        ):
            # Rows of the left matrix lie side by side, and so do those of a long result.
            result = replace(result, strides=(1, out.shape[0]))
            self.places[out.serial] = result
        if len(left.shape) == 1:  # a row
            left = replace(left, strides=(0, *left.strides), shape=(1, *left.shape))
            strides, shape = list(result.strides), list(result.shape)
            at = len(shape) - (len(right.shape) > 1)
            result = replace(
                result, strides=(*strides[:at], 0, *strides[at:]), shape=(*shape[:at], 1, *shape[at:])
            )
        if len(right.shape) == 1:  # a column
            right = replace(right, strides=(*right.strides, 0), shape=(*right.shape, 1))
            result = replace(result, strides=(*result.strides, 0), shape=(*result.shape, 1))
        e.product(left, right, result, item.params.get("add", False))

    # Convolutions, some examples at a time

    def _convolution(self, e: Emitter, item: Prim) -> None:
        """The formulas of `windows` for a few examples, repeated until all are done.

        Columns of windows are never there for more than these examples: they stay in the cache, and the memory that
        they need does not grow with the batch. Two threads sum a weight's gradient in two parts.
        """
        x, y = item.inputs
        (out,) = item.outputs
        assert isinstance(x, Var) and isinstance(y, Var) and out is not None
        many, turns, work = _turns(item)
        divided = _is_large(item) and work <= small(e.shared) and threads.wanted()
        f, groups = windows.geometry(item), item.params["groups"]
        place = self._placed(x)
        if item.kind != "conv_weight":
            self._placed_images(out, place, many)
        self._placed(y)
        block, self.block, self._home = self.block, Block(), SCRATCH
        b = Builder()
        part = self._some_of(x, many)
        with e.repeated(f"part{len(e.texts)}", divided, lambda: self.block.size) as repeated:
            sums: Var | None = None
            if item.kind == "conv_weight":
                factors = windows.conv_weight(b, part, self._some_of(y, many), f, groups)
                sums = b.matmul(*factors)
                b.steps[-1].params["add"] = True  # type: ignore[attr-defined]
                self._fill(e, sums, 0.0)
            elif item.kind == "conv":
                made, there = windows.conv(b, part, y, f, groups), self._some_of(out, many)
                if not self._lies_in(made, there):
                    made = windows.images(b, made, many, f.counts)
                    b.steps.append(Prim([there, made], [], kind="assign"))
            else:
                made = windows.conv_input(b, part, y, f, groups)
                self._lies_in(made, self._some_of(out, many))
            with e.turns():
                for step in fuse(b.steps, {made.serial if sums is None else sums.serial}):
                    self._item(e, step)
        self.block, self._home = block, 0
        bytes_ = repeated.nbytes * (1 + divided)
        start = self.block.take(bytes_)
        e.repeat(repeated, turns, Place(0, start, (1,), (bytes_,), np.dtype(np.bool_)), divided)
        if sums is not None:
            self._add_halves(e, sums, out, start, repeated.nbytes if divided else 0)
        self.block.give_back(start, bytes_)

    def _some_of(self, var: Var, many: int) -> Var:
        """The examples of a turn."""
        part, place = Var((many, *var.shape[1:]), var.dtype), self.places[var.serial]
        self.places[part.serial] = replace(place, shape=part.shape, step=many * place.strides[0])
        return part

    def _placed_images(self, out: Var, like: Place, many: int) -> None:
        """A place for images: one after the other, or, where many are one product, channel after channel."""
        place = self._placed(out)
        if many > 1 and out.serial not in self._slot_of:
            n, c, *rest = out.shape
            own = contiguous_strides(rest)
            length = prod(rest)
            self.places[out.serial] = replace(place, strides=(length, n * length, *own))

    def _lies_in(self, made: Var, images: Var) -> bool:
        """Let what was made, channels first, be written where images (N, C, *S) lie, if their strides allow that."""
        place = self.places[images.serial]
        strides = (place.strides[1], place.strides[0], *place.strides[2:])
        n, c, *sizes = images.shape
        found = reshaped((c, n, *sizes), strides, made.shape)
        if found is not None:
            self.places[made.serial] = replace(place, strides=found, shape=made.shape)
        return found is not None

    def _add_halves(self, e: Emitter, sums: Var, out: Var, start: int, apart: int) -> None:
        """The gradient of a weight from the sums of one or two halves, whose memory is so many bytes apart."""
        own = self.places[sums.serial]
        size = out.dtype.itemsize
        parts: list[Operand] = []
        for begin in (start, start + apart) if apart else (start,):
            half = Var(out.shape, out.dtype)
            self.places[half.serial] = Place(
                0, begin // size + own.offset, contiguous_strides(out.shape), out.shape, out.dtype
            )
            parts.append(half)
        self._placed(out)
        group = Group(out.shape)
        group.add(Prim(parts, [out], kind="add" if apart else "positive"))
        group.stored = {out.serial}
        e.group(group, self.places)

    def _copy(self, e: Emitter, x: Operand, out: Var) -> None:
        if isinstance(x, Var):
            self._placed(x)
        self._placed(out)
        group = Group(out.shape)
        group.add(Prim([x], [out], kind="positive"))
        group.stored = {out.serial}
        e.group(group, self.places)

    # Running

    def _make_runner(self) -> None:
        self._engine, addresses = self.emitter.finish()
        workspace = self.emitter.workspace
        del self.emitter
        kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
        functions = [kind(a) for a in addresses]
        t = Table(self._slots, self.block.size, workspace, self.lowered.numbers, self._engine)
        t.row_bytes, t.row_slots = (
            self.row_block.size,
            {slot: start for start, slot in self.row_slots.items()},
        )
        written = {
            x.serial
            for s in self.lowered.steps
            if isinstance(s, Prim) and s.kind == "assign"
            for x in s.reads()
        }
        t.written = frozenset(
            i
            for i, v in enumerate(self._slots)
            if v is not None and v.kind == "state" and v.serial in written
        )
        del self._engine
        w = Writer()
        w.space |= {
            "have": dict.fromkeys(u.first for u in self.lowered.updates), "kept": t.kept, "set": t.set,
            "table": t.table.ctypes.data, "pointer": t.numbers.ctypes.data, "numbers": t.numbers, "outs": t.outs,
            "fresh": t.fresh, "getrefcount": sys.getrefcount, "wrap": wrap, "distinct": distinct, "Value": Value,
            "own": t.own, "take": t.take, "matmul": np.matmul, "seen": _seen, "Changed": Changed, **RUN_TIME,
        }  # fmt: skip
        python_reads = {v.serial for p in self.parts if not isinstance(p, int) for v in reads_of(p)}
        python_reads |= {v.serial for p in self.parts if isinstance(p, Prim) for v in p.writes()}
        python_reads |= {r.serial for r in self.lowered.results if isinstance(r, Var)}
        lines = w.lines
        if self._any_rows:
            first, numbers = getattr(self.lowered, "row_numbers", (0, ()))
            t.first_number = first
            text = f"lambda rows: ({', '.join(numbers)}{',' if numbers else ''})"
            t.row_numbers = eval(text, {})  # expressions of our own making
            axis, var = next(
                (v.shape.index(n), v) for v in self.program.arguments for n in v.shape if is_rows(n)
            )
            w.space |= {"size": t.rows, "resize": t.resize, "view": t.view}
            lines.append(f"rows = {self._source(w, var)}.shape[{axis}]")
            lines.append("if rows != size[0]: resize(rows)")
        inputs = [
            (i, v) for i, v in enumerate(self._slots) if v is not None and v.kind in ("argument", "state")
        ]
        loads: list[str] = []
        for slot, var in sorted(inputs, key=lambda part: part[1].kind == "argument"):
            name = w.var(var)
            loads.append(f"{name} = {self._source(w, var)}")
            loads.append(f"if kept[{slot}] is not {name}: set({slot}, {name})")
        if loads:  # an entry of an optimizer's state may be gone
            lines += [
                "try:",
                *(f"    {line}" for line in loads),
                "except LookupError:",
                "    raise Changed from None",
            ]
        for var in self.program.constants:
            slot = self._slot_of[var.serial]
            if isinstance(var.source, Filled):
                lines.append(f"{w.var(var)} = kept[{slot}]")
                continue
            array = fixed(var)
            if not (array.flags.c_contiguous and array.flags.aligned):  # it may have been written to
                lines.append(f"set({slot}, {w.object(array, 'c')})")
            lines.append(f"{w.var(var)} = {w.object(t.kept[slot], 'c')}")
        for var in self.fresh:
            slot = self._slot_of[var.serial]
            lines.append(f"o{slot} = outs[{slot}]")
            holders = [
                f"(getattr({w.object(leaf, 'p')}, '_grad', None) is o{slot})"
                for leaf, v in self.lowered.gradients
                if v is var
            ]
            limit = " + ".join(["3", *holders])  # the list, the name here, the call, and those
            lines.append(
                f"if getrefcount(o{slot}) > {limit} or getrefcount(o{slot}._data) > 3: o{slot} = fresh({slot})"
            )
            if var.serial in python_reads:
                lines.append(f"{w.var(var)} = o{slot}._data")
            if not isinstance(var.size, Size):
                t.fresh(slot)
        for serial in sorted(python_reads):
            place = self.places.get(serial)
            if place is not None and place.slot == 0:
                kind_ = np.dtype(place.dtype)
                strides = tuple(s * kind_.itemsize for s in place.strides)
                view = np.ndarray(
                    place.shape, kind_, t.memory.data, t.begin + place.offset * kind_.itemsize, strides
                )
                w.space[f"v{serial}"] = view
        last = max((i for i, part in enumerate(self.parts) if isinstance(part, int)), default=-1)
        for i, part in enumerate(self.parts):
            if not isinstance(part, (int, Prim)):  # views of what lies outside of the block
                for var in reads_of(part):
                    slot = self.places[var.serial].slot
                    if var.serial not in self._slot_of and slot != 0 and slot not in t.row_slots:
                        lines.append(f"{w.var(var)} = {self._view_text(w, var)}")
            if isinstance(part, int):
                lines.append(f"if {w.object(functions[part], 'native')}(table, pointer): return None")
                if part == 0 and self.checks:
                    self._write_numbers(lines, w)
                if i == last:  # what Python did before may have ended the run
                    lines += [f"{w.object(u.count, 'count')}()" for u in self.lowered.updates]
                continue
            for v in (*reads_of(part), *part.writes()):
                place = self.places.get(v.serial)
                if place is not None and place.slot in t.row_slots:
                    apart = w.operand(tuple(place.strides))
                    dtype = w.object(np.dtype(place.dtype))
                    lines.append(
                        f"{w.var(v)} = view({place.slot}, {w.operand(place.shape)}, {apart}, {dtype})"
                    )
            if isinstance(part, Call):
                write_call(w, part, True)
            elif isinstance(part, Vjp):
                write_vjp(w, part)
            elif isinstance(part, Prim):
                names = [self._view_text(w, v) for v in (*part.reads(), *part.writes())]
                lines.append(f"matmul({names[0]}, {names[1]}, out={names[2]})")
            else:
                write_effect(w, part)
            if not isinstance(part, (int, Prim)):
                for var in part.writes():
                    lines.append(f"{w.var(var)} = take({self._slot_of[var.serial]}, {w.var(var)})")
        if not self.checks:
            at = next((i for i, line in enumerate(lines) if "(table, pointer)" in line), len(lines))
            more: list[str] = []
            self._write_numbers(more, w)
            lines[at:at] = more
        fresh = {f.serial for f in self.fresh}
        handed: set[int] = set()  # new arrays that are somebody's: what else is equal gets a copy

        def outgoing(v: Var) -> str:
            if v.serial not in fresh:
                return f"wrap(own({w.var(v)}))"
            name, known = f"o{self._slot_of[v.serial]}", v.serial in handed
            handed.add(v.serial)
            return f"wrap({name}._data.copy())" if known else name

        for leaf, v in self.lowered.gradients:
            lines.append(f"{w.object(leaf, 'p')}._grad = {'None' if v is None else outgoing(v)}")
        out = [outgoing(r) if isinstance(r, Var) else w.operand(r) for r in self.lowered.results]
        lines.append(f"return [{', '.join(out)}]")
        self.text = "def run(leaves):\n" + "\n".join(f"    {line}" for line in lines) + "\n"
        exec(compile(self.text, "<tinygrad_dl native program>", "exec"), w.space)
        run = w.space.pop("run")  # nothing refers to itself, so that programs die with their last reference
        self.run: Callable[[Sequence[Any]], Any] = run
        if any(not isinstance(p, int) for p in self.parts):

            def quiet(leaves: Sequence[Any]) -> Any:
                with np.errstate(all="ignore"):
                    return run(leaves)

            self.run = quiet

    def _write_numbers(self, lines: list[str], w: Writer) -> None:
        for update in self.lowered.updates:
            first, last = update.first, update.first + len(update)
            if last > first:
                lines.append(f"n = {w.object(update.numbers, 'numbers_of')}()")
                lines.append(f"if n is not have[{first}]: numbers[{first}:{last}] = have[{first}] = n")
            else:
                lines.append(f"{w.object(update.numbers, 'numbers_of')}()")

    def _source(self, w: Writer, var: Var) -> str:
        source = var.source
        if var.kind == "argument":
            return f"leaves[{source[0]}]._data" if source[1] else f"leaves[{source[0]}]"
        if type(source) is not tuple:
            return f"{w.object(source, 'p')}._data"
        if len(source) == 2:
            return f"{w.object(source[0], 'p')}._grad._data"
        optimizer, p, key = source
        return f"{w.object(optimizer, 'optimizer')}.state[{w.object(p, 'p')}][{key!r}]"

    def _view_text(self, w: Writer, var: Var) -> str:
        """An expression for an array as it lies, in the block or in an array of its own."""
        place = self.places[var.serial]
        if place.slot == 0 or place.slot in self.row_slots.values():
            return w.var(var)
        return f"seen(kept[{place.slot}], {place.offset}, {place.strides}, {place.shape})"


class Table:
    """What a program's native functions work on: addresses, numbers, and the block of memory, with what owns them."""

    def __init__(
        self, slots: Sequence[Var | None], size: int, workspace: int, numbers: int, engine: object
    ) -> None:
        self.slots, self._engine = slots, engine
        self.memory = np.empty(size + workspace + LINE, np.uint8)
        self.begin = -self.memory.ctypes.data % LINE
        self.rows, self.capacity, self.row_bytes, self.row_slots = [0], 0, 0, dict[int, int]()
        self.row_memory = np.empty(0, np.uint8)
        self.shapes = [() if var is None else tuple(var.shape) for var in slots]
        self.first_number = 0
        self.row_numbers: Callable[[int], Sequence[float]] = lambda rows: ()
        self.table = np.zeros(len(slots), np.uintp)
        self.table[0] = self.memory.ctypes.data + self.begin
        self.table[1] = self.table[0] + np.uintp(size)
        self.kept: list[Any] = [None] * len(slots)  # the arrays whose addresses are in the table
        self.outs: list[Any] = [None] * len(slots)  # the Tensors that go out
        self.numbers = np.zeros(max(1, numbers))
        self.written: frozenset[int] = frozenset()  # entries of states that are written
        self.ranges: dict[int, tuple[int, int]] = {}  # entries of states -> where they begin and end
        for slot, var in enumerate(slots):
            if var is not None and var.kind == "constant" and not isinstance(var.source, Filled):
                self.set(slot, fixed(var))

    def resize(self, rows: int) -> None:
        """Prepare a run on another number of rows: the memory grows if there were never as many."""
        self.rows[0] = 0  # if this fails, the next run tries again
        if rows > self.capacity:
            capacity = -(-rows // LINE) * LINE
            self.row_memory = np.empty(self.row_bytes * capacity + LINE, np.uint8)
            self.capacity = capacity
            self.row_begin = -self.row_memory.ctypes.data % LINE
            for slot, start in self.row_slots.items():
                self.table[slot] = self.row_memory.ctypes.data + self.row_begin + start * capacity
        self.table[2] = rows
        for i, value in enumerate(self.row_numbers(rows), self.first_number):
            self.numbers[i] = value
        self.rows[0] = rows
        self.shapes = [() if var is None else at_rows(var.shape, rows) for var in self.slots]
        for slot, var in enumerate(self.slots):
            if var is not None and any(isinstance(n, Size) for n in var.shape):
                if self.outs[slot] is not None or var.kind == "result":
                    self.fresh(slot)
                elif isinstance(var.source, Filled):
                    self.set(slot, np.full(at_rows(var.shape, rows), var.source.value, var.dtype))

    def view(self, slot: int, shape: Any, strides: Any, dtype: Any) -> np.ndarray:
        """An array in the memory for any number of rows."""
        offset = self.row_begin + self.row_slots[slot] * self.capacity
        return np.ndarray(
            shape, dtype, self.row_memory.data, offset, tuple(s * dtype.itemsize for s in strides)
        )

    def set(self, slot: int, array: np.ndarray) -> None:
        """Put the address of an array into the table: of a copy if it does not lie as code expects, for this run."""
        var = self.slots[slot]
        assert var is not None
        if array.shape != self.shapes[slot] or array.dtype != var.dtype:
            raise Changed
        flags = array.flags
        lies = flags.c_contiguous and flags.aligned
        if var.kind == "state":
            if not lies:
                raise Changed
            self._place(slot, array)
            return
        start = array.__array_interface__["data"][0]
        if var.kind == "argument":
            begin, end = (start, start + array.nbytes) if lies else byte_bounds(array)
            if self._is_written(begin, end):
                raise Shared
        if not lies:
            array = np.array(array, order="C")
            start = array.__array_interface__["data"][0]
        self.kept[slot] = array
        self.table[slot] = start

    def _place(self, slot: int, array: np.ndarray) -> None:
        """Put the address of a state into the table."""
        start = array.__array_interface__["data"][0]
        stop = start + array.nbytes
        for other, (begin, end) in self.ranges.items():
            overlap = other != slot and start < end and begin < stop
            if overlap and (slot in self.written or other in self.written):
                raise Changed
        for other, var in enumerate(self.slots):
            if var is not None and var.kind == "argument":
                self.kept[other] = None  # looked at again: it may be this array's memory
        self.ranges[slot] = start, stop
        self.kept[slot] = array
        self.table[slot] = start

    def _is_written(self, start: int, stop: int) -> bool:
        """Whether memory may be that of a state that is written: for each new argument, so nothing slower."""
        for slot, (begin, end) in self.ranges.items():
            if start < end and begin < stop and slot in self.written:
                return True
        return False

    def _inside(self, array: np.ndarray) -> bool:
        at = array.__array_interface__["data"][0]
        return any(
            0 <= at - memory.__array_interface__["data"][0] < memory.nbytes
            for memory in (self.memory, self.row_memory)
        )

    def take(self, slot: int, array: np.ndarray) -> np.ndarray:
        """What Python computed, for native code: a copy if it is a view of the block, whose memory is used again."""
        array = array.copy() if self._inside(array) else array
        self.set(slot, array)
        return array

    def own(self, array: np.ndarray) -> np.ndarray:
        """What Python computed, for the caller: an array that nothing else refers to or writes."""
        shared = array.base is not None or any(array is other for other in self.kept)
        return array.copy() if shared or self._inside(array) else array

    def fresh(self, slot: int) -> Any:
        """A new array for what goes out, as somebody still holds the one before."""
        var = self.slots[slot]
        assert var is not None
        out = self.outs[slot] = wrap(np.empty(self.shapes[slot], var.dtype))
        self.set(slot, out._data)
        return out


def _array_of(source: Value | tuple[Any, ...]) -> Any:
    """The array of a state, from where it comes; None for a gradient that is not there."""
    if not isinstance(source, tuple):
        return source._data
    if len(source) == 2:
        return None if source[0]._grad is None else source[0]._grad._data
    optimizer, p, key = source
    return optimizer.state[p][key]


def _seen(array: np.ndarray, offset: int, strides: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """A part of an array that lies in one piece, in elements from its start."""
    size = array.itemsize
    start = array.reshape(-1)[offset:]
    return np.lib.stride_tricks.as_strided(start, shape, tuple(s * size for s in strides))


def _turns(convolution: Prim) -> tuple[int, int, int]:
    """How many examples of a convolution are taken at a time, how often, and the multiplications of each time."""
    n, positions, weights = windows.products(convolution)
    many = windows.at_a_time(n, positions)
    return many, n // many, many * positions * weights


def _is_large(convolution: Prim) -> bool:
    """Whether a convolution is worth two threads."""
    _, turns, work = _turns(convolution)
    return turns > 1 and work * (TURNS if isinstance(turns, Size) else turns) >= DIVIDED_PRODUCT


def _is_local(item: Step) -> bool:
    """Whether a step that Python runs reads and changes nothing but what it is seen to be given."""
    if not isinstance(item, Effect):
        return True
    if item.outputs and not (item.changes or item.objects or item.gradients):  # a draw of random numbers
        return True
    parts = (Var, Value, int, float, str, type(None))
    return not item.objects and not item.gradients and all(isinstance(x, parts) for x in item.args)


def _reads(item: Group | Step) -> list[Var]:
    return item.reads() if isinstance(item, Group) else reads_of(item)


def _writes(item: Group | Step) -> list[Var]:
    if isinstance(item, Group):
        return [
            p.outputs[0]
            for p in item.prims
            if p.outputs[0] is not None and p.outputs[0].serial in item.stored
        ]
    return list(item.writes())
