"""Guards: what a captured program took for granted about the Python around it, compared before every run.

A capture runs the user's code once. Whatever that code could have read outside of its arguments (globals, closures,
default arguments, attributes of models, of other objects, of their classes and of modules, entries of containers) is
recorded here with its value, and the program is used again only while all of it is as it was. What changes during the
capture itself is a side effect, which a program cannot repeat.

Of what is large (modules, classes, functions) only the names count that stand in the code that ran; and what cannot be
compared at every call (an iterator, a list of 100,000 entries) is a problem only if the code names it.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from abc import ABCMeta, get_cache_token
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from math import copysign
from operator import is_
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import numpy as np

from tinygrad_dl.compiler.bytecode import draws_with_numpy, elements_read, globals_loaded, imported, place_of
from tinygrad_dl.compiler.origins import is_own, is_users
from tinygrad_dl.graph import Value

# Objects of these types cannot change.
FIXED = (int, float, complex, str, bytes, bool, type(None), np.generic, np.dtype, slice, range, frozenset)
# What has no parts that a step reads: compared by identity.
WHOLE = (BuiltinFunctionType, CodeType, np.ufunc, np.random.Generator)
# Containers with more entries, and arrays of more bytes that are no operand, are not compared at every call.
MANY, LARGE = 4096, 1 << 20
# Arrays of more bytes are taken for operands, which are read at every run, where an operation was given them.
SMALL = 1 << 14
# What is between strings in the code that asks an object for an attribute by name, and so for any attribute of a class.
DYNAMIC = frozenset(["getattr", "hasattr", "vars", "dir", "__dict__", "attrgetter", "__getattribute__"])
# Parts of an optimizer or a schedule that user code reads as numbers.
OPTIONS = frozenset(
    ["param_groups", "defaults", "state", "get_last_lr", "last_epoch", "base_lrs", "_last_lr", "state_dict"]
)
# What code names that looks at sizes.
SIZES = frozenset(("shape", "size", "len", "__len__", "nbytes", "numel"))
DRAWS = "it draws random numbers with NumPy"
# Attributes that every class or function has.
COMMON = frozenset(["__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__"])


def same(x: Any, y: Any) -> bool:
    """Whether two values that cannot change are the same: 1 is not True, and 0.0 is not -0.0."""
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, tuple):
        return len(x) == len(y) and all(map(same, x, y))
    if isinstance(x, (float, np.floating)):
        return bool(x == y and copysign(1, x) == copysign(1, y)) or (x != x and y != y)
    if isinstance(x, (frozenset, np.void, complex, np.complexfloating)):
        return repr(x) == repr(y)
    return bool(x == y)


def alike(x: Any, y: list[Any]) -> bool:
    """Whether two lists hold the same objects."""
    return len(x) == len(y) and all(map(is_, x, y))


def _is_fixed(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_fixed, value))
    return isinstance(value, FIXED) and type(value) is not np.void


class Guards:
    """The recorded facts, and the function that compares them; `add_*` record what a frame of the user's can read."""

    def __init__(self, skip: Callable[[Any], bool]) -> None:
        self._skip = skip  # objects whose parts are inputs of the program: optimizers, schedules
        self._seen: dict[int, Any] = {}
        self._lines: list[str] = []
        self._paths: list[str] = []
        self._space: dict[str, Any] = {
            "ABSENT": object(),
            "same": same,
            "alike": alike,
            "cache_token": get_cache_token,
        }
        self._frames: set[tuple[int, int]] = set()
        self.codes: dict[CodeType, None] = {}  # the code that ran, in this order
        self._grouped: set[int] = set()
        self._after: set[int] = set()  # checks of what a run itself changes
        self._modes: dict[int, set[int]] = {}  # id of an object -> the checks of whether it is in training
        self._queue: list[tuple[Any, str, str]] = []  # what is still to be looked into: value, path, name
        self._names: set[str] = set()  # names and strings in the code that ran
        self._holders: list[tuple[str, Any, str, bool]] = []  # modules, classes and functions, asked by name
        self._asked: set[tuple[str, str]] = set()
        self._skipped: list[tuple[Any, str]] = []  # optimizers and schedules
        self._read: set[str] = set()  # names of which the code reads elements
        self._suspects: list[tuple[str, str, str]] = []  # name, path, problem
        self.arrays: list[tuple[np.ndarray, str, str, bytes]] = []
        self.tensors: dict[int, tuple[Any, str]] = {}
        self.modules: dict[int, tuple[Any, str]] = {}
        self.computed: dict[int, tuple[Any, str]] = {}  # Tensors that modules compute before each forward
        self.generators: list[np.random.Generator] = []
        self.sized = False  # whether code of the user's looks at the sizes of something
        self._draws: list[tuple[Any, Any, str, str]] = []  # generators and their states when they were found

    # What is recorded

    def add_frame(self, code: CodeType, names: dict[str, Any], cells: tuple[Any, ...]) -> None:
        """What a function's code can read: globals, closure variables, and attributes by the names in it."""
        key = id(code), id(cells)
        if key in self._frames:
            return
        self._frames.add(key)
        self.codes[code] = None
        self.sized = self.sized or not SIZES.isdisjoint(code.co_names)
        self._keep(code)
        self._keep(cells)
        space = self._name(names)
        # co_names has the names of attributes too; only those that are loaded as globals count.
        loaded = globals_loaded(code)
        self._read |= elements_read(code)
        if draws_with_numpy(code, names):
            self._suspect("", "", DRAWS + place_of([code], "random"))
        strings = {x for x in code.co_consts if isinstance(x, str) and x.isidentifier()}
        self._add_names({*code.co_names, *code.co_freevars, *strings})
        for name in code.co_names:
            if name not in loaded:
                continue
            if name in names:
                self._entry(f"{space}.get({name!r}, ABSENT)", names[name], name, name)
            else:  # a built-in function, unless a global of this name is made
                self._check(f"{name!r} not in {space}", name)
        for module in filter(is_users, imported(code, names)):
            self._entry(f"{self._name(sys.modules)}.get({module!r})", sys.modules[module], module, module)
        for name, cell in zip(code.co_freevars, cells):
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            self._entry(f"{self._name(cell)}.cell_contents", value, name, name)
        self._look()

    def knows(self, value: Any) -> bool:
        """Whether an object has been looked into."""
        return id(value) in self._seen

    def add_argument(self, value: Any, path: str) -> None:
        """An argument that is no array: an object whose parts the function can read."""
        self._queue.append((value, path, path))
        self._look()

    def add_groups(self, optimizer: Any) -> None:
        """Which parameters each group of an optimizer has; its options are inputs of the program."""
        if id(optimizer) in self._grouped:
            return
        self._grouped.add(id(optimizer))
        known = f"{self._name(optimizer)}.param_groups"
        self._check(f"len({known}) == {len(optimizer.param_groups)}", "an optimizer's groups")
        for i, group in enumerate(optimizer.param_groups):
            parameters = self._name(list(group["params"]))
            self._check(f"alike({known}[{i}]['params'], {parameters})", "an optimizer's parameters")

    def add_gradient(self, leaf: Any, none: bool) -> None:
        """Whether the `.grad` of a leaf is None when the function is called."""
        self._check(f"(getattr({self._name(leaf)}, '_grad', None) is None) is {none}", "a gradient")
        self._after.add(len(self._lines) - 1)

    def allow_switch(self, module: Any) -> None:
        """A run switches a module to training or to evaluation: how it is afterwards does not count."""
        self._after |= self._modes.get(id(module), set())

    def _name(self, value: Any) -> str:
        name = f"k{len(self._space)}"
        self._space[name] = value
        return name

    def _check(self, expression: str, path: str) -> None:
        self._lines.append(expression)
        self._paths.append(path)

    def _keep(self, value: Any) -> None:
        self._seen[id(value)] = value

    def _entry(self, expression: str, value: Any, path: str, name: str) -> None:
        """A place that holds `value`: the same object must be there, or an equal one that cannot change."""
        if value is None or value is True or value is False:
            self._check(f"{expression} is {value!r}", path)
        elif _is_fixed(value):
            known, short = self._name(value), f"x{len(self._lines)}"
            self._check(f"(({short} := {expression}) is {known} or same({short}, {known}))", path)
        else:
            self._check(f"{expression} is {self._name(value)}", path)
            self._queue.append((value, path, name))

    def _look(self) -> None:
        """Look into everything that was found."""
        while self._queue:
            value, path, name = self._queue.pop()
            if id(value) in self._seen or _is_fixed(value):
                continue
            self._keep(value)
            self._parts(value, path, name)

    def _parts(self, value: Any, path: str, name: str) -> None:
        """The checks of what an object holds."""
        if isinstance(value, (np.random.Generator, np.random.RandomState)):
            if isinstance(value, np.random.Generator):
                self.generators.append(value)
            self._draws.append((value, _state(value), path, name))
        elif isinstance(value, Value):
            self._tensor(value, path)
        elif isinstance(value, np.ndarray):
            self._array(value, path, name)
        elif isinstance(value, ModuleType):
            if value is np.random:
                self._suspect(name, path, DRAWS)
            elif is_users(value.__name__):
                self._holder(vars(value), path)
        elif isinstance(value, type):
            self._class(value, path)
        elif isinstance(value, WHOLE):
            if isinstance(getattr(value, "__self__", None), np.random.RandomState):
                self._suspect(name, path, DRAWS)
        elif is_own(type(value), "tinygrad_dl.compiler"):
            pass
        elif isinstance(value, FunctionType):
            self._function(value, path, name)
        elif isinstance(value, MethodType):
            self._queue += [(value.__self__, path, name), (value.__func__, path, name)]
        elif self._skip(value):
            self._skipped.append((value, path))
            self._add_names(())
            self._check(f"len(vars({self._name(value)})) == {len(vars(value))}", path)
            self._queue.append((type(value), path, name))
        else:
            self._object(value, path, name)

    def _tensor(self, value: Any, path: str) -> None:
        self.tensors[id(value)] = value, path
        known, watch = self._name(value), value.node.watch if value.node is not None else None
        if value.node is None:
            self._check(f"{known}.node is None", f"{path}.requires_grad")
        elif watch is None:
            self._check(f"{known}.node.watch is None", f"{path}.requires_grad or its hooks")
        elif not watch.hooks:
            self._check(f"not {known}.node.watch.hooks", f"{path}.requires_grad or its hooks")
        else:
            self._check(f"[*{known}.node.watch.hooks] == {[*watch.hooks]}", f"the hooks of {path}")

    def _array(self, value: np.ndarray, path: str, name: str) -> None:
        """An array: its contents count where Python may have read them."""
        known = self._name(value)
        self._check(f"{known}.shape == {value.shape} and {known}.dtype == {self._name(value.dtype)}", path)
        if value.dtype == object:
            self._suspect(name, path, f"it can read {path}, an array of objects")
        else:
            self.arrays.append((value, path, name, value.tobytes() if value.nbytes <= LARGE else b""))

    def _function(self, value: FunctionType, path: str, name: str) -> None:
        """A function of the user's: its code and default arguments may be replaced; it may have attributes."""
        if not is_users(str(value.__globals__.get("__name__") or "__main__"), value.__globals__):
            return
        known = self._name(value)
        code, defaults, named = map(self._name, (value.__code__, value.__defaults__, value.__kwdefaults__))
        self._check(
            f"{known}.__code__ is {code} and {known}.__defaults__ is {defaults} and {known}.__kwdefaults__ is {named}",
            path,
        )
        for part in (value.__defaults__, value.__kwdefaults__):
            if part:
                self._queue.append((part, f"a default argument of {path}", name))
        if value.__dict__:
            self._holder(value.__dict__, path)

    def _class(self, value: type, path: str) -> None:
        """A class and those that it is derived from."""
        for kind in value.__mro__:
            if kind is value or id(kind) not in self._seen:
                self._keep(kind)
                if is_users(str(kind.__module__)):
                    self._holder(kind.__dict__, path, True)
                    if type(kind) is ABCMeta:
                        self._check(f"cache_token() == {get_cache_token()}", path)
                elif "forward" in vars(kind):  # a layer of the package
                    known = self._name(kind.__dict__)
                    self._check(f"{known}.get('forward') is {self._name(vars(kind)['forward'])}", path)

    def _object(self, value: Any, path: str, name: str) -> None:
        kind = type(value)
        if isinstance(value, threading.local):
            self._suspect(name, path, f"{path} has attributes of each thread's own")
            return
        if hasattr(kind, "__next__"):
            self._suspect(name, path, f"{path} is an iterator, which moves on at every call")
            return
        known = self._name(value)
        if isinstance(value, (list, tuple, dict, MappingProxyType, set, deque)):
            self._container(value, known, path, name)
        elif isinstance(value, (bytearray, array, memoryview)):
            copy = bytes(value)
            if len(copy) > MANY:
                self._suspect(name, path, _too_many(path, kind, len(copy)))
            self._check(f"bytes({known}) == {self._name(copy)}", path)
        elif isinstance(value, weakref.ref):
            self._entry(f"{known}()", value(), path, name)
        elif isinstance(value, functools.partial):
            self._queue += [(part, path, name) for part in (value.func, value.args, value.keywords)]
        elif isinstance(value, (property, staticmethod, classmethod)):
            parts = [getattr(value, part, None) for part in ("fget", "fset", "__func__")]
            self._queue += [(part, path, name) for part in parts if part is not None]
        elif isinstance(value, functools._lru_cache_wrapper):
            inner = value.__wrapped__
            if isinstance(inner, FunctionType):
                self._queue.append((inner, path, name))
                self.add_frame(inner.__code__, inner.__globals__, inner.__closure__ or ())
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            if hasattr(kind, "named_parameters"):
                self.modules[id(value)] = value, path
            names = self._name(attributes)
            first = len(self._lines)
            # The order of the parts is that of a model's layers; otherwise only code that asks for all sees it.
            ordered = sum(hasattr(type(part), "named_parameters") for part in attributes.values()) > 1
            if ordered or self._names & DYNAMIC:
                self._check(f"[*{names}] == {self._name([*attributes])}", path)
            else:
                self._check(f"len({names}) == {len(attributes)}", path)
            computed = getattr(value, "_computed", ()) if hasattr(kind, "named_parameters") else ()
            self.computed |= {id(attributes[key]): (attributes[key], f"{path}.{key}") for key in computed}
            for key, part in attributes.items():
                if key in computed:
                    continue
                if key == "training":
                    self._modes[id(value)] = {first, len(self._lines)}
                self._entry(f"{names}.get({key!r}, ABSENT)", part, f"{path}.{key}", str(key))
            self._modes.setdefault(id(value), {first})
        if kind.__module__ == "builtins":
            return
        if isinstance(attributes, dict) or is_users(str(kind.__module__)):
            self._check(f"type({known}) is {self._name(kind)}", path)
            self._queue.append((kind, path, name))
        for slot in _slots(kind):
            default = self._space["ABSENT"]
            part = getattr(value, slot, default)
            if part is default:
                self._check(f"getattr({known}, {slot!r}, ABSENT) is ABSENT", f"{path}.{slot}")
            else:
                self._entry(f"getattr({known}, {slot!r}, ABSENT)", part, f"{path}.{slot}", slot)

    def _container(self, value: Any, known: str, path: str, name: str) -> None:
        self._check(f"len({known}) == {len(value)}", path)
        if len(value) > MANY:
            self._suspect(name, path, _too_many(path, type(value), len(value)))
        elif isinstance(value, (dict, MappingProxyType)):
            self._check(f"[*{known}] == {self._name([*value])}", path)
            for key, part in value.items():
                self._entry(f"{known}.get({self._name(key)}, ABSENT)", part, f"{path}[{key!r}]", name)
                self._queue.append((key, path, name))
        elif isinstance(value, set):
            self._check(f"[*{known}] == {self._name([*value])}", path)
            self._queue += [(part, path, name) for part in value]
        elif isinstance(value, tuple):
            self._queue += [(part, f"{path}[{i}]", name) for i, part in enumerate(value)]
        else:
            for i, part in enumerate(value):
                self._entry(f"{known}[{i}]", part, f"{path}[{i}]", name)

    # What is asked by name

    def _holder(self, space: Any, path: str, dynamic: bool = False) -> None:
        """A namespace of many names: those that the code has count, and of a class its methods for operators."""
        known = self._name(space)
        self._check(f"len({known}) == {len(space)}", path)
        self._holders.append((known, space, path, dynamic))
        self._ask(known, space, path, self._wanted(space, dynamic))

    def _wanted(self, space: Any, dynamic: bool) -> Iterator[str]:
        if dynamic and self._names & DYNAMIC:
            yield from (name for name in [*space] if name not in COMMON)
            return
        yield from self._names & space.keys()
        if dynamic:
            for name, part in [*space.items()]:
                if name == "forward" or (name.startswith("__") and isinstance(part, FunctionType)):
                    yield name

    def _add_names(self, names: Any) -> None:
        """More names that code has: what they mean in the namespaces that are known."""
        new = set(names) - self._names
        dynamic = bool(new & DYNAMIC) and not self._names & DYNAMIC
        self._names |= new
        for known, space, path, is_class in self._holders:
            wanted = self._wanted(space, True) if dynamic and is_class else new & space.keys()
            self._ask(known, space, path, wanted)
        if self._names & OPTIONS:
            for value, path in self._skipped:
                for name in ("param_groups", "defaults", "_last_lr", "last_epoch", "base_lrs"):
                    part = vars(value).get(name)
                    self._options(value, name, part, f"{path}.{name}")
            self._skipped.clear()

    def _options(self, value: Any, name: str, part: Any, path: str) -> None:
        """The options of an optimizer, or of a schedule, that the user's code reads itself."""
        groups = part if isinstance(part, list) else [part]
        for i, group in enumerate(groups):
            place = f"vars({self._name(value)}).get({name!r})" + (f"[{i}]" if isinstance(part, list) else "")
            if not isinstance(group, dict):
                self._entry(place, group, path, name)
                continue
            for key, option in group.items():
                self._entry(f"{place}.get({key!r}, ABSENT)", option, f"{path}[{i}][{key!r}]", name)

    def _ask(self, known: str, space: Any, path: str, names: Any) -> None:
        for name in sorted(names):
            if (known, name) not in self._asked:
                self._asked.add((known, name))
                self._entry(f"{known}.get({name!r}, ABSENT)", space[name], f"{path}.{name}", name)

    def _suspect(self, name: str, path: str, problem: str) -> None:
        self._suspects.append((name, path, problem))

    # What they are for

    @property
    def problems(self) -> list[str]:
        """What the code that ran could read and no guard can compare."""
        named = [
            text + (place_of(self.codes, path) or place_of(self.codes, name))
            for name, path, text in self._suspects
            if name in self._names or name == path
        ]
        return list(dict.fromkeys(named))

    def finish(self, operands: set[int], scalars: list[Any], arguments: list[str]) -> None:
        """The checks of what arrays and generators hold, now that it is known which of them operations were given.

        `operands`: the ids of those; `scalars`: NumPy's scalars that operations were given; `arguments`: names of
        the arrays that the function was called with.
        """
        for generator, state, path, name in self._draws:
            if id(generator) not in operands and repr(_state(generator)) != repr(state):
                self._suspect(name, path, f"it draws from {path} in Python")
        known = {id(value) for value in self._space.values()}
        read = any(id(scalar) not in known for scalar in scalars)
        if read and arguments:
            where = place_of(self.codes, arguments[0])
            self._suspect("", "", f"it reads elements of {' or '.join(arguments)} in Python{where}")
        for value, path, name, contents in self.arrays:
            operand = id(value) in operands
            if value.nbytes <= SMALL or value.nbytes <= LARGE and not operand:
                self._check(f"{self._name(value)}.tobytes() == {self._name(contents)}", path)
            elif not operand:
                self._suspect(name, path, _too_many(path, type(value), value.size))
            elif read or (name in self._read and not path.endswith("]")):
                self._suspect(name, path, f"it reads elements of {path} in Python")

    def build(self, states: set[int], held: set[int]) -> Callable[[], bool]:
        """One function that compares everything.

        `states`: ids of Tensors whose arrays the program itself compares; `held`: ids of arrays that it was given.
        """
        for value, path in self.tensors.values():
            if id(value._data) in held:
                self._check(f"{self._name(value)}._data is {self._name(value._data)}", path)
            elif id(value) not in states:
                known, data = self._name(value), value._data
                text = (
                    f"{known}._data.shape == {data.shape} and {known}._data.dtype is {self._name(data.dtype)}"
                )
                self._check(text, path)
        parts = [self._lines[i : i + 200] for i in range(0, len(self._lines), 200)]
        body = "".join(
            f"        if not ({' and '.join(lines)}):\n            return False\n" for lines in parts
        )
        source = (
            f"def guard():\n    try:\n{body}        return True\n    except Exception:\n        return False"
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
                unchanged = eval(line, space)
            except Exception:
                unchanged = False
            if not unchanged:
                found.append(path)
        return found


def _state(generator: Any) -> Any:
    return (
        getattr(generator, "bit_generator", None) and generator.bit_generator.state or generator.get_state()
    )


def _too_many(path: str, kind: type, count: int) -> str:
    return (
        f"it can read {path}, {kind.__name__} of {count} entries, too many to compare at every call: pass what it "
        "reads as an argument"
    )


def _slots(kind: type) -> Iterator[str]:
    """The names of the slots of a user's class."""
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ()) if is_users(base.__module__) else ()
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{base.__name__.lstrip('_')}{name}"
            if name not in ("__dict__", "__weakref__"):
                yield name
