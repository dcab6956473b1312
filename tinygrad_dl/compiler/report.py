"""What a compiled function tells of itself: the explanation, and the program as files."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.compiler.capture import fixed
from tinygrad_dl.compiler.fusion import Group, live
from tinygrad_dl.compiler.lowered import Lowered
from tinygrad_dl.compiler.program import CONVOLUTIONS, VIEW, Call, Effect, Prim, Step, Var, Vjp
from tinygrad_dl.compiler.sizes import Size
from tinygrad_dl.compiler.source import Printer
from tinygrad_dl.compiler.windows import multiply_adds
from tinygrad_dl.dispatch import draw_now
from tinygrad_dl.errors import CompileError
from tinygrad_dl.graph import Value
from tinygrad_dl.typing import PathLike

if TYPE_CHECKING:
    from tinygrad_dl.compiler.compiled import Entry
    from tinygrad_dl.compiler.native import Native

WIDTH = 80  # characters of a line of `explain()`


def explained(name: str, entries: Sequence[Entry], apart: Sequence[str]) -> str:
    """The text of `explain()`: a paragraph for each signature; `apart` says why some have no program in common."""
    parts = []
    for entry in entries:
        if entry.given_up:
            parts.append(
                f"{name} runs eagerly:\n" + "\n".join(f"  {p}" for p in dict.fromkeys(entry.problems))
            )
        elif entry.program is None:
            continue
        else:
            parts.append(f"{name}:\n" + "\n".join(f"  {line}" for line in _lines(entry)))
    parts += [f"no program for any number of rows: {problem}" for problem in apart]
    return "\n".join(parts) if parts else f"{name} has not been called yet."


def _lines(entry: Entry) -> list[str]:
    """What a signature's program is, in lines of at most `WIDTH` characters."""
    program, native = entry.program, entry.native
    assert program is not None
    common = entry.common
    inputs = program.arguments if common is None else getattr(common, "program", common).arguments
    calls = Counter(type(step) for step in program.steps)
    lines = [
        f"arguments: {', '.join(map(repr, inputs)) or 'none'}",
        f"captured: {calls[Call]} operations, {calls[Vjp]} vjps, "
        f"{calls[Effect]} side effect{'s' * (calls[Effect] != 1)}",
    ]
    if native is not None:
        lines += _planned(native)
    elif entry.run is not None:
        lines.append("backend: numpy, the forwards and rules of eager in a row")
    if common is not None:
        lines.append("one program for any number of rows")
    if not entry.verified:
        lines.append("not yet in use: the next calls compare it with the eager function")
    wrapped = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        wrapped += textwrap.wrap(line, WIDTH - 2, initial_indent="", subsequent_indent=f"{indent}    ")
    return wrapped


def _planned(native: Native) -> list[str]:
    """What became of the captured operations: primitives, loops, products, buffers, and what stays as it is."""
    lowered = native.lowered
    prims = [s for s in live(lowered.steps, set(native.outputs)) if isinstance(s, Prim)]
    views = sum(p.kind in VIEW for p in prims)
    products = [p for p in prims if p.kind in ("matmul", *CONVOLUTIONS)]
    groups = [item for item in native.items if isinstance(item, Group)]
    inside = sum(len(g.prims) for g in groups)
    work = sum(map(multiply_adds, products))
    lines = [f"after simplification: {len(prims)} primitives, {views} of them views, which move no data"]
    lines.append(f"fused: {inside} primitives into {len(groups)} loops")
    effort = (
        f"{work.slope:,} multiply-adds for each row" if isinstance(work, Size) else f"{work:,} multiply-adds"
    )
    lines.append(f"products: {len(products)}, {effort}")
    found = buffers(native)
    total = sum(b.var.nbytes for b in found)
    lines.append(f"buffers: {len(found)} of {total:,} bytes in a block of {native.block.size:,} bytes")
    written = {s.inputs[0].serial for s in lowered.steps if isinstance(s, Prim) and s.kind == "assign"}  # type: ignore[union-attr]
    if native.row_block.size:
        lines.append(
            f"buffers for each row: a block of {native.row_block.size:,} bytes, for the largest number so far"
        )
    if lowered.states:
        lines.append(f"state: {len(lowered.states)} arrays, {len(written)} of them written in place")
    if lowered.left:
        lines.append("not lowered, called as they are:")
        for what, n in Counter(lowered.left).items():
            name, _, reason = what.partition(": ")
            reason = reason or "a side effect, done by Python"
            lines.append(
                f"  {name.strip('_')}{f', {n} times' if n > 1 else ''}{f': {reason}' if reason else ''}"
            )
    else:
        lines.append("not lowered: nothing")
    functions = sum(isinstance(p, int) for p in native.parts)
    lines.append(f"backend: llvm, {functions} native function{'s' if functions != 1 else ''} per run")
    return lines


@dataclass
class Buffer:
    """An array in the block of a program: its first byte, and the items that write it first and read it last."""

    var: Var
    start: int
    first: int
    last: int


def buffers(native: Native) -> list[Buffer]:
    """What the block holds during a run, in the order in which it is written."""
    found: dict[int, Buffer] = {}
    for i, item in enumerate(native.items):
        if isinstance(item, Prim) and item.kind in VIEW:
            continue
        for var in stored_by(item):
            place = native.places.get(var.serial)
            if place is not None and place.slot == 0 and var.serial not in found:
                start = place.offset * np.dtype(place.dtype).itemsize
                last = min(native.last.get(var.serial, i), len(native.items) - 1)
                found[var.serial] = Buffer(var, start, i, max(i, last))
    return list(found.values())


def stored_by(item: Group | Step) -> list[Var]:
    """What an item of a program leaves in memory."""
    if isinstance(item, Group):
        return [v for p in item.prims for v in p.writes() if v.serial in item.stored]
    return list(item.writes())


def write_program(text: str, lowered: Lowered | None, function: str, path: PathLike) -> None:
    """A Python file that needs NumPy only, and the arrays that it reads, beside it."""
    assert lowered is not None
    left = [
        s.args[0] for s in lowered.steps if isinstance(s, Effect) and s.function.__name__ == "_update_all"
    ]
    left += [update.optimizer for update in lowered.updates if update.counted]
    if left:
        raise CompileError(
            f"save: expected an optimizer whose step has a formula in NumPy, got {type(left[0]).__name__}. Save a "
            "compiled model, or use SGD, Adam, AdamW, Adamax, RMSprop or Adagrad."
        )
    if any(isinstance(s, Effect) and s.function is draw_now and not s.args[2] for s in lowered.steps):
        raise CompileError(
            "save: expected random numbers that one call of a NumPy Generator draws, as in rand, got others."
        )
    target = Path(path)
    if target.suffix != ".py":
        target = target.with_name(target.name + ".py")
    printer = Printer(lowered)
    arrays = {}
    for var in lowered.computed_states:
        source = var.source
        if isinstance(source, Value):
            array = source._data
        elif len(source) == 3:
            array = source[0].state[source[1]][source[2]]
        elif source[0]._grad is None:
            raise CompileError(
                "save: expected the gradients that the step begins with, got none: save it before they are cleared."
            )
        else:
            array = source[0]._grad._data
        arrays[printer.names[var.serial]] = array
    arrays |= {printer.names[var.serial]: fixed(var) for var in printer.constants}
    given = [printer.names[v.serial] for v in lowered.program.arguments]
    numbers = printer.options
    options = "".join(f", {name}={value!r}" for name, value in numbers.items())
    passed = [*given, *(f'{name}=ARRAYS["{name}"]' for name in arrays), *(f"{n}={n}" for n in numbers)]
    counted = ""
    if lowered.forms.counted:
        optimizer = lowered.forms.counted[0]
        arrays["steps"] = np.array(max(state["step"] for state in optimizer.state.values()))
        counted = '    ARRAYS["steps"] += 1\n'
        passed.append(f'{lowered.forms.count}=int(ARRAYS["steps"])')
    if "rng" in text.partition("def program(")[2].partition(")")[0].split(", "):
        options += ", rng=np.random.default_rng()"
        passed.append("rng=rng")
    loader = (
        f'\n\nARRAYS = dict(np.load(__file__.removesuffix(".py") + ".npz"))\n\n\n'
        f"def {function}({', '.join(given)}{options if given else options[2:]}):\n"
        f'    """The program on the saved arrays; a training step changes them in place."""\n'
        f"{counted}    return program({', '.join(passed)})\n"
    )
    part = target.with_suffix(f".{os.getpid()}.npz")
    savez: Any = np.savez
    savez(part, **arrays)
    os.replace(part, target.with_suffix(".npz"))
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_text(text + loader, encoding="utf-8")
    os.replace(part, target)
