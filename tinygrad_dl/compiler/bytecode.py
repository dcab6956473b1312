"""What the text of a function tells of what it reads: modules it imports, and names whose elements it asks for."""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import resolve_name
from types import CodeType
from typing import Any

import numpy as np

# How many values the instructions that read an array's elements take from the stack; others by their effect.
READING = {"BINARY_SUBSCR": 2, "BINARY_SLICE": 3, "COMPARE_OP": 2, "CONTAINS_OP": 2, "GET_ITER": 1, "UNARY_NOT": 1,
           "TO_BOOL": 1, "UNPACK_SEQUENCE": 1, "BUILD_SLICE": 2, "POP_JUMP_IF_FALSE": 1, "POP_JUMP_IF_TRUE": 1,
           "POP_JUMP_FORWARD_IF_FALSE": 1, "POP_JUMP_FORWARD_IF_TRUE": 1}  # fmt: skip
TAKING = {
    "BINARY_OP": 2,
    "LOAD_ATTR": 1,
    "LOAD_METHOD": 1,
    "STORE_FAST": 1,
    "STORE_DEREF": 1,
    "STORE_NAME": 1,
}
# Built-in functions that read the elements of what they are called with.
READERS = frozenset("float int bool complex min max sum any all list tuple sorted enumerate zip map iter reversed str "
                    "repr format set abs round divmod".split())  # fmt: skip
# Instructions that write to a part of an object.
WRITING = frozenset(["STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE", "STORE_ATTR", "DELETE_ATTR"])
SUBSCRIPT = re.compile(r"""\[('[^']*'|"[^"]*"|[^]]*)\]""")


@lru_cache(maxsize=1024)
def written_in_place(code: CodeType) -> frozenset[str]:
    """The names of local variables whose arrays the code writes to: `x += 1`."""
    instructions = list(dis.get_instructions(code))
    found = set()
    for operator, store in zip(instructions, instructions[1:]):
        name = operator.opname
        in_place = name.startswith("INPLACE_") or (name == "BINARY_OP" and operator.argrepr.endswith("="))
        if in_place and store.opname.startswith("STORE_FAST"):
            found.add(store.argval[0] if isinstance(store.argval, tuple) else store.argval)
    return frozenset(found)


@lru_cache(maxsize=1024)
def elements_read(code: CodeType) -> frozenset[str]:
    """The names of variables and attributes whose elements the code reads: `x[0]`, `for v in x`, `float(x)`."""
    instructions = list(dis.get_instructions(code))
    found: set[str] = set()
    aliases: list[tuple[str, str]] = []
    for i, instruction in enumerate(instructions):
        if not instruction.opname.startswith(
            ("LOAD_FAST", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME", "LOAD_ATTR")
        ):
            continue
        names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        before = instructions[max(0, i - 3) : i]
        if any(x.opname in ("LOAD_GLOBAL", "LOAD_NAME") and x.argval in READERS for x in before):
            found.update(map(str, names))
        for above, name in enumerate(reversed(names)):
            consumer = _consumer(instructions, i + 1, above)
            if consumer is None:
                continue
            if consumer.opname in READING or (consumer.opname == "BINARY_OP" and consumer.argrepr == "[]"):
                found.add(str(name))
            elif consumer.opname.startswith("STORE_") and isinstance(consumer.argval, str):
                aliases.append((str(name), consumer.argval))
    for _ in aliases:
        found.update(name for name, alias in aliases if alias in found)
    return frozenset(found)


def _consumer(instructions: list[dis.Instruction], start: int, above: int) -> dis.Instruction | None:
    """The instruction that takes a value from the stack on which `above` others lie, looking straight ahead."""
    for instruction in instructions[start : start + 24]:
        takes = READING.get(instruction.opname, TAKING.get(instruction.opname))
        if takes is not None and takes > above:
            return instruction
        try:
            above += dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        except ValueError:
            return None
        if above < 0:
            return instruction
    return None


def imported(code: CodeType, names: dict[str, Any]) -> list[str]:
    """The modules, loaded already, that the code imports."""
    instructions = list(dis.get_instructions(code))
    found: list[str] = []
    for i, instruction in enumerate(instructions):
        if instruction.opname != "IMPORT_NAME":
            continue
        level = next((x.argval for x in instructions[max(0, i - 2) : i] if isinstance(x.argval, int)), 0)
        name = instruction.argval
        if level:
            name = resolve_name("." * level + name, str(names.get("__package__") or ""))
        parts = name.split(".")
        found += [".".join(parts[: n + 1]) for n in range(len(parts))]
    return [name for name in dict.fromkeys(found) if name in sys.modules]


def draws_with_numpy(code: CodeType, names: dict[str, Any]) -> bool:
    """Whether the code calls a function of numpy.random."""
    instructions = list(dis.get_instructions(code))
    return any(
        second.argval == "random"
        and names.get(str(first.argval)) is np
        and third.argval not in ("Generator", "BitGenerator")
        for first, second, third in zip(instructions, instructions[1:], instructions[2:])
    )


def place_of(codes: Iterable[CodeType], path: str, changed: bool = False) -> str:
    """Where code names what is at a path such as `model.scale['a']`: " (file:line)", or "" if none does.

    `changed`: a line that writes to it, if there is one.
    """
    names = re.findall(r"[^\W\d]\w*", SUBSCRIPT.sub("", path))[::-1]
    lines = [(code, line, *parts) for code in codes for line, parts in _lines(code).items()]
    for written in (True, False) if changed else (False,):
        for name in names:
            for code, line, found, stored in lines:
                if name in (stored if written else found):
                    return f" ({code.co_filename}:{line})"
    return ""


@lru_cache(maxsize=1024)
def _lines(code: CodeType) -> dict[int, tuple[set[str], set[str]]]:
    """The names in each line, and those of what is written to."""
    starts = dict(dis.findlinestarts(code))
    line = code.co_firstlineno
    found: dict[int, tuple[set[str], set[str]]] = {}
    for instruction in dis.get_instructions(code):
        line = starts.get(instruction.offset) or line
        names, stored = found.setdefault(line, (set(), set()))
        value = instruction.argval
        own = {x for x in (value if isinstance(value, tuple) else (value,)) if isinstance(x, str)}
        names |= own
        if instruction.opname in WRITING:
            stored |= own or names
        elif instruction.opname.startswith(("STORE_GLOBAL", "STORE_DEREF", "STORE_NAME", "DELETE_")):
            stored |= own
    return found


def globals_loaded(code: CodeType) -> set[str]:
    """The names that are loaded as globals."""
    return {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
