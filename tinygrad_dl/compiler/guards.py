"""Guards: what a captured program took for granted about the Python around it, compared before every run.

A capture runs the user's code once. Whatever that code could have read outside of its arguments (globals, closures,
attributes of models and of other objects, entries of lists and dicts) is recorded here with its value, and the program
is used again only while all of it is as it was. What changes during the capture itself is a side effect, which a
program cannot repeat.
"""

from __future__ import annotations

from collections.abc import Callable
from dis import get_instructions
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tinygrad_dl.graph import Value

# Objects of these types cannot change.
FIXED = (int, float, complex, str, bytes, bool, type(None), np.generic, np.dtype, slice, range, frozenset)
# What has no parts that a step reads: compared by identity.
WHOLE = (
    type,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    ModuleType,
    CodeType,
    np.ufunc,
    np.random.Generator,
)
# Containers with more entries are compared by identity and length only.
MANY = 4096


class Guards:
    """The recorded facts, and the function that compares them; `add_*` record what a frame of the user's can read."""

    def __init__(self, skip: Callable[[object], bool]) -> None:
        self._skip = skip  # objects whose parts are inputs of the program: optimizers, schedules
        self._seen: dict[int, Any] = {}
        self._lines: list[str] = []
        self._paths: list[str] = []
        self._space: dict[str, Any] = {"ABSENT": object()}
        self._frames: set[tuple[int, int]] = set()
        self.tensors: dict[int, tuple[Any, str]] = {}
        self.modules: dict[int, tuple[Any, str]] = {}
        self.problems: list[str] = []
        self._after: set[int] = set()  # checks of what a run itself changes
        self.generators: list[np.random.Generator] = []

    def _name(self, value: object) -> str:
        name = f"k{len(self._space)}"
        self._space[name] = value
        return name

    def _check(self, expression: str, path: str) -> None:
        self._lines.append(expression)
        self._paths.append(path)

    def add_frame(self, code: CodeType, names: dict[str, Any], cells: tuple[Any, ...]) -> None:
        """The globals and closure variables that a function's code names."""
        key = id(code), id(cells)
        if key in self._frames:
            return
        self._frames.add(key)
        space = self._name(names)
        self._keep(code)
        self._keep(cells)
        # co_names has the names of attributes too; only those that are loaded as globals count.
        loaded = {i.argval for i in get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        for name in code.co_names:
            if name in loaded and name in names:
                self._entry(f"{space}.get({name!r}, ABSENT)", names[name], name)
        for name, cell in zip(code.co_freevars, cells):
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            self._entry(f"{self._name(cell)}.cell_contents", value, name)

    def add_argument(self, value: object, path: str) -> None:
        """An argument that is no array: an object whose parts the function can read."""
        self._parts(value, path)

    def add_gradient(self, leaf: Value, none: bool) -> None:
        """Whether the `.grad` of a leaf is None when the function is called."""
        self._check(f"(getattr({self._name(leaf)}, '_grad', None) is None) is {none}", "a gradient")
        self._after.add(len(self._lines) - 1)

    def _keep(self, value: object) -> None:
        self._seen[id(value)] = value

    def _entry(self, expression: str, value: object, path: str) -> None:
        """A place that holds `value`: the same object must be there, or an equal one that cannot change."""
        if isinstance(value, FIXED) and not isinstance(value, (bool, type(None))):
            name = self._name(value)
            short = f"x{len(self._lines)}"
            same = (
                f"({short} := {expression}) is {name} or type({short}) is type({name}) and {short} == {name}"
            )
            self._check(f"({same})", path)
        elif isinstance(value, tuple) and all(isinstance(part, FIXED) for part in value):
            name = self._name(value)
            short = f"x{len(self._lines)}"
            self._check(f"(({short} := {expression}) is {name} or {short} == {name})", path)
        else:
            self._check(f"{expression} is {self._name(value)}", path)
            self._parts(value, path)

    def _parts(self, value: object, path: str) -> None:
        if isinstance(value, np.random.Generator) and all(g is not value for g in self.generators):
            self.generators.append(value)
        if id(value) in self._seen or isinstance(value, (FIXED, WHOLE)):
            if isinstance(value, MethodType) and id(value.__self__) not in self._seen:
                self._parts(value.__self__, path)
            return
        self._keep(value)
        if isinstance(value, Value):
            self.tensors[id(value)] = value, path
            name = self._name(value)
            self._check(f"({name}.node is None) is {value.node is None}", f"{path}.requires_grad")
            return
        if isinstance(value, np.ndarray) or self._skip(value):
            return
        if type(value).__module__.startswith("tinygrad_dl.compiler"):
            return
        if hasattr(type(value), "__next__"):
            self.problems.append(f"{path} is an iterator, which moves on at every call")
            return
        if isinstance(value, (list, tuple)):
            name = self._name(value)
            self._check(f"len({name}) == {len(value)}", path)
            if len(value) <= MANY:
                for i, part in enumerate(value):
                    if type(value) is tuple:
                        self._parts(part, f"{path}[{i}]")
                    else:
                        self._entry(f"{name}[{i}]", part, f"{path}[{i}]")
            return
        if isinstance(value, dict):
            name = self._name(value)
            self._check(f"len({name}) == {len(value)}", path)
            if len(value) <= MANY:
                for key, part in value.items():
                    self._entry(f"{name}.get({self._name(key)}, ABSENT)", part, f"{path}[{key!r}]")
            return
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            if hasattr(type(value), "named_parameters"):
                self.modules[id(value)] = value, path
            name = self._name(attributes)
            self._check(f"len({name}) == {len(attributes)}", path)
            for key, part in attributes.items():
                self._entry(f"{name}.get({key!r}, ABSENT)", part, f"{path}.{key}")

    def build(self) -> Callable[[], bool]:
        """One function that compares everything."""
        body = " and\n        ".join(self._lines) or "True"
        source = (
            f"def guard():\n    try:\n        return ({body})\n    except Exception:\n        return False"
        )
        space = dict(self._space)
        exec(compile(source, "<tinygrad_dl guards>", "exec"), space)
        return space["guard"]

    def changed(self) -> list[str]:
        """The places that are no longer as they were."""
        found = []
        space = dict(self._space)
        for i, (line, path) in enumerate(zip(self._lines, self._paths)):
            if i in self._after:
                continue
            try:
                same = eval(line, space)
            except Exception:
                same = False
            if not same:
                found.append(path)
        return found
