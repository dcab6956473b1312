"""What a compiled function tells of itself: the explanation, and the program as files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.compiler.capture import fixed
from tinygrad_dl.compiler.fusion import Group
from tinygrad_dl.compiler.lowered import Lowered
from tinygrad_dl.compiler.program import VIEW, Call, Effect, Prim, Vjp
from tinygrad_dl.compiler.source import printer
from tinygrad_dl.graph import Value
from tinygrad_dl.typing import PathLike

if TYPE_CHECKING:
    from tinygrad_dl.compiler.compiled import Entry


def explained(name: str, entries: Sequence[Entry]) -> str:
    """The text of `explain()`: a paragraph for each signature."""
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
    return "\n".join(parts) if parts else f"{name} has not been called yet."


def _lines(entry: Entry) -> list[str]:
    program, native = entry.program, entry.native
    assert program is not None
    lowered = native.lowered if native is not None else entry.lowered
    arguments = ", ".join(map(repr, program.arguments)) or "none"
    calls = Counter(type(step) for step in program.steps)
    lines = [
        f"arguments: {arguments}",
        f"captured: {calls[Call]} operations, {calls[Vjp]} vjps, {calls[Effect]} side effects",
    ]
    if lowered is not None:
        prims = [s for s in lowered.steps if isinstance(s, Prim)]
        lines.append(
            f"lowered: {len(prims)} primitives, {sum(s.kind == 'matmul' for s in prims)} of them products"
        )
        if lowered.left:
            counted = Counter(lowered.left)
            lines += ["called as they are:"] + [f"  {what} ({n})" for what, n in counted.items()]
    if native is not None:
        groups = [item for item in native.items if isinstance(item, Group)]
        inside = sum(len(g.prims) for g in groups)
        views = sum(isinstance(i, Prim) and i.kind in VIEW for i in native.items)
        lines.append(f"fused: {inside} primitives into {len(groups)} loops; {views} views move no data")
        lines.append(f"memory: {native.block.size:,} bytes for everything between, used again and again")
        lines.append(
            f"backend: llvm, {sum(isinstance(p, int) for p in native.parts)} native functions per run"
        )
    elif entry.run is not None:
        lines.append("backend: numpy, the forwards and rules of eager in a row")
    if not entry.verified:
        lines.append("not yet in use: the next calls compare it with the eager function")
    return lines


def write_program(text: str, lowered: Lowered | None, function: str, path: PathLike) -> None:
    """A Python file that needs NumPy only, and the arrays that it reads, beside it."""
    assert lowered is not None
    target = Path(path)
    if target.suffix != ".py":
        target = target.with_name(target.name + ".py")
    names = printer(lowered)
    names.name_inputs()
    arrays = {names.names[var.serial]: fixed(var) for var in names.constants}
    for var in lowered.states:
        source = var.source
        if isinstance(source, Value):
            array = source._data
        elif len(source) == 3:
            array = source[0].state[source[1]][source[2]]
        else:
            array = source[0]._grad._data
        arrays[names.names[var.serial]] = array
    given = [names.names[v.serial] for v in lowered.program.arguments]
    numbers = {}
    for update in lowered.updates:
        for i, value in enumerate(update.at_capture):
            numbers[names.numbers[update.first + i]] = value
    options = "".join(f", {name}={value!r}" for name, value in numbers.items())
    passed = [*given, *(f'{name}=ARRAYS["{name}"]' for name in arrays), *(f"{n}={n}" for n in numbers)]
    rng = "rng" in text.partition("def program(")[2].partition(")")[0].split(", ")
    if rng:
        options += ", rng=np.random.default_rng()"
        passed.append("rng=rng")
    loader = (
        f'\n\nARRAYS = dict(np.load(__file__.removesuffix(".py") + ".npz"))\n\n\n'
        f"def {function}({', '.join(given)}{options if given else options[2:]}):\n"
        f'    """The program on the saved arrays; a training step changes them in place."""\n'
        f"    return program({', '.join(passed)})\n"
    )
    part = target.with_suffix(f".{os.getpid()}.npz")
    savez: Any = np.savez
    savez(part, **arrays)
    os.replace(part, target.with_suffix(".npz"))
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_text(text + loader, encoding="utf-8")
    os.replace(part, target)
