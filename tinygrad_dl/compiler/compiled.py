"""`compile`: a function that is captured once per signature and run as a program from then on."""

from __future__ import annotations

import copy
import re
import sys
import warnings
from collections.abc import Callable, Hashable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from importlib.util import find_spec
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload
from weakref import WeakKeyDictionary

import numpy as np

from tinygrad_dl import config, pytree
from tinygrad_dl.autograd import RECOMPUTE, inside, states_of
from tinygrad_dl.autograd import _packed as packed
from tinygrad_dl.compiler.bytecode import place_of
from tinygrad_dl.compiler.capture import Capture, finish, fixed, overwrite, replace
from tinygrad_dl.compiler.compare import difference
from tinygrad_dl.compiler.lowered import Lowered
from tinygrad_dl.compiler.origins import file_is_users, is_own
from tinygrad_dl.compiler.program import (
    Call,
    Effect,
    NotLowered,
    Program,
    Step,
    Var,
    generators_in,
    named_values,
)
from tinygrad_dl.compiler.replay import replay
from tinygrad_dl.compiler.sizes import Filled
from tinygrad_dl.compiler.snapshot import Reach, Snapshot, disturbed
from tinygrad_dl.compiler.update import Changed, Shared
from tinygrad_dl.convert import describe, wrap
from tinygrad_dl.dispatch import draw_now
from tinygrad_dl.errors import CompileError, DTypeError, GraphError, ValueRangeError, missing_extra
from tinygrad_dl.graph import Node, Value, next_serial
from tinygrad_dl.modes import active, modes
from tinygrad_dl.typing import Array, PathLike, readable

if TYPE_CHECKING:
    from tinygrad_dl.compiler.native import Native
    from tinygrad_dl.nn.module import Module

# What explains a program, prints it for people, or makes one for any number of rows is imported where it is used: that
# takes as long as a small step's capture.
P = ParamSpec("P")
R = TypeVar("R")

KEPT = 16  # programs of one signature that a compiled function keeps; the oldest goes first
SIGNATURES = 64  # kinds of arguments that it keeps programs for
FEW = 3  # sizes that are captured before a program for any number of rows is made
SERVED = 1024  # signatures that programs for any number of rows are known to serve, and more before it is forgotten
FAMILIES = 64  # kinds of signatures whose sizes are remembered
TRIES = 4  # captures of one signature that may differ before it is run eagerly for good
# Calls after which a program is made for a number of rows that is smaller than one in use, as that of a last batch: to
# make it takes as long as a thousand such steps of a small network.
AWAITED = 100
FEW_ELEMENTS = 4096  # of what a program changes before it may raise: they are copied at each run
DISTURBED = 3  # eager calls that tell what is rounding, where a program differs
CHANGING = "shapes that follow from values, or what its programs write to, change too often"
NUMBERS = (int, float, complex, str, bytes, np.generic)
LINE = re.compile(r" \([^()]*:\d+\)$")  # where something is, at the end of what is told
BACKENDS = ("auto", "numpy", "llvm")


@dataclass(eq=False)
class Given:
    """A result that is there anyway: an argument, by number, a Tensor or array, or its `.grad`.

    `shared`: another Tensor of the same array, such as what `detach` gives.
    """

    owner: Any
    gradient: bool = False
    shared: bool = False

    def found(self, leaves: Sequence[Any]) -> Any:
        owner = leaves[self.owner] if type(self.owner) is int else self.owner
        x = owner._grad if self.gradient else owner
        return wrap(_data(x)) if self.shared else x


@dataclass(eq=False)
class Entry:
    """What is known of one signature: its captures so far, and its program once two of them agreed."""

    capture: Capture | None = None
    program: Program | None = None
    template: Any = None  # the nesting of what the function returned
    wraps: tuple[bool, ...] = ()  # which of its leaves are Tensors
    given: list[tuple[int, Given]] = field(default_factory=list)  # leaves that are there anyway
    #: Leaves that are an earlier one: by their numbers, and whether in an array of their own.
    repeated: list[tuple[int, int, bool]] = field(default_factory=list)
    #: Leaves whose graph a backward pass of the step has freed: they require grad, as in eager.
    freed: list[tuple[int, Node]] = field(default_factory=list)
    run: Callable[[Sequence[Any]], list[Any] | None] | None = None
    guard: Callable[[], bool] | None = None
    bound: list[tuple[int, Any]] = field(default_factory=list)  # arguments, by number, that it was made for
    text: str = ""  # the program as it is run
    # The capture that the program was made of, without its arrays once it is in use.
    recorded: Capture | None = None
    lowered: Lowered | None = None  # the program that people read, made when they ask for it
    # The generators (None: the default one) of the random numbers that a result that requires grad depends on.
    draws: tuple[np.random.Generator | None, ...] = ()
    graph: Any = None  # how a result that requires grad gets its node: see `recorded`
    native: Native | None = None
    verified: bool = False
    common: Any = None  # the program for any number of rows, if this is the one of a `Family`
    roots: list[Any] = field(default_factory=list)  # the models that the function uses
    tries: int = 0
    awaited: int = 0  # calls that were run eagerly, although it was captured
    mismatches: int = 0  # runs of the program, unverified so far, that differed from the eager ones
    problems: list[str] = field(default_factory=list)
    #: Leaves whose `.grad` the capture read, and whether that was None: the first of the steps whose gradients are
    #: accumulated is another program than the others.
    begun: list[tuple[Any, bool]] = field(default_factory=list)

    @property
    def given_up(self) -> bool:
        return bool(self.problems)

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether the program is for these arguments, and what it read is as it was."""
        bound = all(leaves[i] is tensor for i, tensor in self.bound)
        return bound and self.guard is not None and self.guard()

    def is_for(self, leaves: Sequence[Any]) -> bool:
        """Whether a call with these arguments is one for which this program is captured, built or compared."""
        if self.run is not None:
            return self.fits(leaves)
        return all((getattr(leaf, "_grad", None) is None) is none for leaf, none in self.begun)


@dataclass
class Family:
    """Signatures that are the same but for sizes of first axes: what was captured, and programs for any of these."""

    samples: dict[tuple[int, ...], Entry] = field(default_factory=dict)
    programs: list[tuple[Entry, tuple[int | None, ...]]] = field(
        default_factory=list
    )  # None: the number of rows
    apart: set[tuple[int, ...]] = field(default_factory=set)  # sizes for which a common program was not right
    tries: int = 0
    problem: str = ""  # why there is no common program


class Compiled(Generic[P, R]):
    """A compiled function: called as the original, it gives the same results and the same side effects.

    `source` is its program as stand-alone NumPy text, `explain()` says what was done, `save(path)` writes it to a file.
    """

    def __init__(
        self,
        function: Callable[P, R],
        fullgraph: bool,
        backend: str,
        worth: Callable[[Lowered], str] | None = None,
        quiet: bool = False,
    ) -> None:
        self._function: Callable[..., R] = function
        self._fullgraph, self._backend = fullgraph, backend
        # For training loops: everything happens at the first call; `worth` says why a program is not worth making.
        self._worth, self._quiet = worth, quiet
        self._reach = Reach()  # what the function may change, as far as it is known
        self._ran = False  # whether a program ran since the last eager call
        self._entries: dict[Any, list[Entry]] = {}
        self._families: dict[Any, Family] = {}
        self._changes: dict[Any, int] = {}  # how often programs of a signature could not run any more
        self._lock = RLock()
        self._reported: set[str] = set()
        self._optimizers: dict[int, Any] = {}
        self._bound: WeakKeyDictionary[Any, Compiled[..., R]] = WeakKeyDictionary()
        update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if active and (modes.watchers or modes.strict or modes.levels):
            return self._eagerly(args, kwargs)
        leaves, key = self._signature(args, kwargs)
        with self._lock:
            entries = self._entries.get(key)
            if entries is not None:
                for entry in entries:
                    if entry.verified and entry.guard() and (not entry.bound or entry.fits(leaves)):  # type: ignore[misc]
                        # What is drawn is drawn again if backward runs the function again.
                        drawn = states_of(entry.draws) if entry.draws else []
                        try:
                            results = entry.run(leaves)  # type: ignore[misc]
                        except Shared:  # the order of reads and writes is eager's alone
                            return self._eagerly(args, kwargs)
                        except Changed:
                            self._drop(entry)
                            self._changes[key] = self._changes.get(key, 0) + 1
                            break
                        if not self._ran:  # to set an attribute takes longer than to read it: see __setattr__
                            self._ran = True
                        if results is None:  # an argument that the eager function refuses
                            return self._eagerly(args, kwargs)
                        if entry.graph is not None:
                            entry.graph(results[0], leaves, self._again(entry), args, kwargs, drawn)
                        return self._nested(entry, results, leaves)
            return self._slowly(key, leaves, args, kwargs)

    @overload
    def __get__(self, owner: None, kind: type | None = None) -> Compiled[P, R]: ...

    @overload
    def __get__(self, owner: object, kind: type | None = None) -> Compiled[..., R]: ...

    def __get__(self, owner: object, kind: type | None = None) -> Compiled[..., R]:
        """A compiled method, bound as the original is."""
        if owner is None:
            return self
        bound = self._bound.get(owner)
        if bound is None:
            bound = type(self)(self._function.__get__(owner, kind), self._fullgraph, self._backend)
            self._bound[owner] = bound
        return bound

    def __getattr__(self, name: str) -> Any:
        # What the original offers, such as a model's parameters and modes.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._function, name)

    def __getitem__(self, key: Any) -> Any:
        return self._function[key]  # type: ignore[index]

    def __setattr__(self, name: str, value: Any) -> None:
        # What is set on a compiled model goes to the model.
        own = name.startswith("_") or not hasattr(type(self._function), "named_parameters")
        object.__setattr__(self if own else self._function, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled[P, R]:
        return type(self)(copy.deepcopy(self._function, memo), self._fullgraph, self._backend)

    def __reduce__(self) -> Any:
        return type(self), (self._function, self._fullgraph, self._backend)

    def __repr__(self) -> str:
        return f"<compiled {self._name}>"

    @property
    def given_up(self) -> bool:
        """Whether there is no signature for which there is a program, or may be one."""
        return bool(self._entries) and all(e.given_up for entries in self._entries.values() for e in entries)

    def _eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The original function, after optimizers have forgotten what they knew of the state before compiled steps."""
        if self._ran:
            for optimizer in self._optimizers.values():
                optimizer.forget_plans()
            self._ran = False
        return self._function(*args, **kwargs)

    def _signature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], Any]:
        """The leaves of the arguments, and what of them a program is made for."""
        parts: list[Any] = [modes.recording, config.default_dtype]
        arrays: list[int] = []
        leaves: Sequence[Any] = args
        nested = bool(kwargs)
        for x in args:  # a loop: any() of a generator takes a tenth of a small call
            nested = nested or isinstance(x, (list, tuple, dict))
        if nested:
            leaves = [leaf for _, leaf in pytree.leaves((args, kwargs))]
            parts.append(pytree.refill((args, kwargs), iter("." * len(leaves))).__repr__())
        for x in leaves:
            if isinstance(x, Value):
                data = x._data
                parts.append((data.shape, data.dtype, x.node is None, type(x)))
                arrays.append(id(data))
            elif isinstance(x, np.ndarray):
                parts.append((x.shape, x.dtype, type(x)))
                arrays.append(id(x))
            elif isinstance(x, NUMBERS):
                # 0.0 is not -0.0, and NaN is not itself: these two as text.
                parts.append((type(x), x if x and x == x else repr(x)))
            else:
                parts.append(id(x))
        if len(arrays) > 1 and len(set(arrays)) < len(arrays):  # one array several times
            parts.append(tuple(map(arrays.index, arrays)))
        return leaves, tuple(parts)

    def _nested(self, entry: Entry, results: list[Any], leaves: Sequence[Any]) -> Any:
        if entry.template is None:
            return None
        for i, source in entry.given:
            results[i] = source.found(leaves)
        for i, first, own in entry.repeated:
            results[i] = results[first].copy() if own else results[first]
        for i, node in entry.freed:
            results[i].node = node if entry.common is None else spent(node.op, results[i])
        if isinstance(entry.template, Value):
            return results[0]
        return pytree.refill(entry.template, iter(results))

    # Capturing

    def _slowly(
        self, key: Hashable, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A call that no verified program serves: capture it, or compare the program that there is with eager."""
        entries = self._entries.get(key, [])
        entry = next((e for e in entries if not e.verified and e.is_for(leaves)), None)
        if entry is not None and entry.given_up:
            return self._eagerly(args, kwargs)
        if entry is not None and entry.run is not None:
            return self._verify(key, entry, leaves, args, kwargs)
        family, sizes = self._family(key)
        for common, pattern in family.programs:
            rows = number_of_rows(pattern, sizes)
            if not rows or sizes in family.apart or not common.fits(leaves):
                continue
            # What reads sizes, or has a single row, may do something else with them than before.
            if common.verified and rows > 1 and not common.capture.guards.sized:  # type: ignore[union-attr]
                self._serve(key, common)
                return self(*args, **kwargs)
            return self._try_common(key, family, sizes, common, leaves, args, kwargs)
        if entry is None:
            if key not in self._entries and not self._make_room():
                return self._eagerly(args, kwargs)
            entry = Entry()
            entries = self._entries.setdefault(key, [])
            entries.append(entry)
            del entries[:-KEPT]
            if self._changes.get(key, 0) >= KEPT:
                self._give_up(entry, [CHANGING])
                return self._eagerly(args, kwargs)
        if self._worth is not None:
            return self._at_once(entry, leaves, args, kwargs)
        return self._capture(key, entry, leaves, args, kwargs)

    def _drop(self, entry: Entry) -> None:
        for key in [key for key, entries in self._entries.items() if entry in entries]:
            self._entries[key].remove(entry)
            if not self._entries[key]:
                del self._entries[key]
        for family in self._families.values():
            family.programs = [(e, pattern) for e, pattern in family.programs if e is not entry]
            family.samples = {sizes: e for sizes, e in family.samples.items() if e is not entry}

    # Programs for any number of rows

    def _family(self, key: Any) -> tuple[Family, tuple[int, ...]]:
        """The signatures that differ from one in the sizes of first axes only, and its sizes."""
        sizes, parts = [], []
        for part in key:
            if type(part) is tuple and type(part[0]) is tuple and part[0]:
                sizes.append(part[0][0])
                part = (part[0][1:], *part[1:])
            parts.append(part)
        if tuple(parts) not in self._families and len(self._families) >= FAMILIES:
            del self._families[next(iter(self._families))]
        return self._families.setdefault(tuple(parts), Family()), tuple(sizes)

    def _serve(self, key: Any, common: Entry) -> None:
        """From now on a program for any number of rows is what runs for this number."""
        if len(self._entries) >= SERVED:
            for known in [
                k for k, entries in self._entries.items() if all(e.common is not None for e in entries)
            ]:
                del self._entries[known]
        self._entries[key] = [*(e for e in self._entries.get(key, ()) if e.verified), common]

    def _try_common(
        self, key: Any, family: Family, sizes: tuple[int, ...], common: Entry, leaves: Sequence[Any],
        args: tuple[Any, ...], kwargs: dict[str, Any],
    ) -> Any:  # fmt: skip
        """Run a program for any number of rows for the first time, or for a number that might be special."""
        result, differs = self._compared(common, leaves, args, kwargs)
        if differs:
            family.apart.add(sizes)
            common.mismatches += 1
            if common.mismatches >= TRIES and not common.verified:
                self._drop(common)
                family.problem = f"the program computes another {differs} than the function does"
        elif differs is not None:
            common.verified = True
            self._serve(key, common)
        return result

    def _generalize(self, key: Any, entry: Entry) -> None:
        """After captures of a few sizes, make a program for any number of rows of them, if they have one in common."""
        family, sizes = self._family(key)
        if family.tries >= TRIES or sizes in family.apart:
            return
        family.samples.pop(sizes, None)
        family.samples[sizes] = entry
        samples = {}
        for own, e in family.samples.items():
            assert e.program is not None
            if e.guard is None and e.capture is not None:
                e.guard = e.capture.guards.build({id(v.source) for v in e.program.states}, e.capture.held)
                e.bound = e.capture.bound
            if e is entry or (e.guard is not None and e.guard()):
                samples[own] = e
        family.samples = samples = dict(list(samples.items())[-FEW:])
        moving = [i for i, column in enumerate(zip(*samples)) if len(set(column)) > 1]
        rows = [own[moving[0]] for own in samples] if moving else []
        if (
            len(set(rows)) < FEW
            or min(rows) < 2
            or any(own[i] != n for own, n in zip(samples, rows) for i in moving)
        ):
            return
        try:
            common = self._common(list(samples.values()), rows)
        except NotLowered as reason:
            family.tries += 1
            family.problem = str(reason)
            return
        for e in samples.values():
            if e.run is None:
                self._drop(e)
        family.samples.clear()
        family.problem = ""
        pattern = tuple(None if i in moving else n for i, n in enumerate(sizes))
        family.programs = [*family.programs[1 - TRIES :], (common, pattern)]

    def _common(self, entries: list[Entry], rows: list[int]) -> Entry:
        """The program for any number of rows that captures of several have in common."""
        from tinygrad_dl.compiler.rows import SAMPLES, merged_lowered, merged_program

        latest = entries[-1]
        assert latest.capture is not None
        made = Entry(
            capture=latest.capture, recorded=latest.capture, program=latest.program, template=latest.template,
            wraps=latest.wraps, given=latest.given,
            repeated=latest.repeated, freed=latest.freed, draws=latest.draws, graph=latest.graph, roots=latest.roots,
            guard=latest.guard, bound=latest.bound, tries=latest.tries,
        )  # fmt: skip
        if latest.graph is not None and any(e.graph is None for e in entries):
            raise NotLowered("results that require grad for some sizes")
        if self._native and all(e.native is not None or (e.capture and e.capture.values) for e in entries):
            from tinygrad_dl.compiler.llvm import supported
            from tinygrad_dl.compiler.native import Native

            lowered = [
                e.native.lowered if e.native is not None else Lowered(e.program, e.capture, supported)  # type: ignore[arg-type]
                for e in entries
            ]
            with suppress(NotLowered):
                other = Native(merged_lowered(lowered, rows, SAMPLES[1]))
                made.common = merged_lowered(lowered, rows, SAMPLES[0])
                made.native = Native(made.common, other.code)
                made.run, made.text = with_arrays(made.native.run, made), made.native.text
                made.run = with_checks(made.run, latest.capture.checks, True)
                return made
        made.common = merged_program([e.program for e in entries], rows, SAMPLES[0])  # type: ignore[misc]
        run, made.text = self._replayed(made, made.common)
        made.run = with_checks(run, latest.capture.checks, False)
        return made

    def _is_rest(self, key: Any) -> bool:
        """Whether there is a program for more rows of what is otherwise the same."""
        family, sizes = self._family(key)
        return any(
            entry.verified and own != sizes and all(n >= m for n, m in zip(own, sizes))
            for own, entry in family.samples.items()
        )

    # Captures

    def _make_room(self) -> bool:
        """Forget the oldest signature; False if hardly any is called again, as when a number changes every time."""
        own = {k: es for k, es in self._entries.items() if any(e.common is None for e in es)}
        if len(own) < SIGNATURES:
            return True
        used = sum(any(e.verified or e.given_up for e in entries) for entries in own.values())
        if used < len(own) // 4:
            self._report(
                "it is called with other numbers, shapes or objects nearly every time: pass numbers that change as "
                "Tensors" + defined(self._function)
            )
            return False
        del self._entries[next(iter(own))]
        return True

    def _capture(
        self, key: Any, entry: Entry, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the function and record it; if that was the second time and both agree, the program is built."""
        first = entry.capture is None
        if not first and entry.awaited < AWAITED and self._is_rest(key):
            entry.awaited += 1
            return self._eagerly(args, kwargs)
        result, captured = self._recorded(entry, leaves, args, kwargs)
        if captured and self._is_repeated(entry, captured, result):
            self._build(entry)
        elif captured and first:
            self._generalize(key, entry)
        return result

    def _recorded(
        self, entry: Entry, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Capture, Program] | None]:
        """What the function returned, and what was recorded; the signature is given up if that is no program."""
        entry.tries += 1
        capture = Capture(is_input, self._function)
        names = _argument_names(self._function, args, kwargs)
        for i, x in enumerate(leaves):
            if isinstance(x, (Value, np.ndarray)):
                capture.add_argument(x, i, names[i] if i < len(names) else f"x{i}")
            elif not isinstance(x, NUMBERS):
                capture.guards.add_argument(x, names[i] if i < len(names) else f"argument {i}")
        capture.guards.add_argument(self._function, self._name)
        result = capture.run(self._eagerly, (args, kwargs), {})
        self._optimizers |= capture.optimizers
        # Whether there are gradients that others are added to, or that are used, is part of what was captured.
        entry.begun = [
            (capture._leaves[i], none)
            for i, none in capture.resets.items()
            if i not in capture.cleared and i not in capture.given
        ]
        entry.begun += capture.given.values()
        for leaf, none in entry.begun:
            capture.guards.add_gradient(leaf, none)
        scalars = [x for x in capture.scalars if all(x is not leaf for leaf in leaves)]
        capture.guards.finish(capture.operands(), scalars, list(capture.raw.values()))
        codes = capture.guards.codes
        problems = [*capture.guards.problems, *capture.problems]
        problems += [
            f"the argument {name} is read from elsewhere, too{place_of(codes, name)}"
            for name in capture.shared()
        ]
        problems += [
            f"it reads {name} before its module has computed it{place_of(codes, name)}"
            for name in capture.too_early()
        ]
        entry.graph, problem = recorded(capture, result, leaves)
        entry.draws = () if entry.graph is None else drawn_from(capture.steps)
        problems += [problem] if problem else []
        problems += [
            f"it writes to the array {name} in Python{place_of(codes, name)}" for name in capture.written()
        ]
        problems += capture.lost(result, {i for i, _ in given_before(capture, result, leaves)})
        problems += [
            f"it changes {path}, which a program cannot repeat{place_of(codes, path, changed=True)}"
            for path in capture.guards.changed()
        ]
        if not problems:
            entry.given = given_before(capture, result, leaves)
            program = finish(capture, result, {i for i, _ in entry.given})
            entry.repeated = repeated(result, program)
            entry.freed = freed(result, {i for i, _ in entry.given})
            return result, (capture, program)
        self._give_up(entry, problems)
        return result, None

    def _is_repeated(self, entry: Entry, captured: tuple[Capture, Program], result: Any) -> bool:
        """Keep what was recorded; whether it is what was recorded before."""
        before = entry.capture
        entry.capture, entry.program = captured
        entry.template = result
        entry.wraps = tuple(isinstance(x, Value) for _, x in pytree.leaves(result))
        entry.roots = entry.capture.roots()
        differs = "it was recorded once" if before is None else difference(before, entry.capture)
        if differs and before is not None and entry.tries >= TRIES:
            self._give_up(entry, [differs])
        return not differs

    def _at_once(
        self, entry: Entry, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """One call, for which the program is captured, built and compared if that is worth it.

        So each run of a training step that is repeated from a checkpoint is computed as in the first run. The function
        is recorded in two calls in a row, the program compared with the second, and then everything is put back. If
        anything is not as it should be, the first call is the one that was made.
        """
        assert self._worth is not None
        if entry.tries >= TRIES:
            self._give_up(entry, ["its first calls were not alike"])
            return self._eagerly(args, kwargs)
        begin = Snapshot(self._reach)
        result, captured = self._recorded(entry, leaves, args, kwargs)
        if captured is None:
            return result
        found = self._reach.add(*captured)
        if found or entry.graph is not None or not begin.can_restore():
            return result
        problem = self._worth(Lowered(captured[1], captured[0]))
        if problem:
            self._give_up(entry, [problem])
            return result
        self._is_repeated(entry, captured, result)
        first = begin.taken(result)
        try:
            agrees = self._agrees(entry, first, leaves, args, kwargs)
        except Exception as error:  # such as a loss of nan, which the next call will have, too
            entry.run, agrees = None, False
            entry.problems = [f"{type(error).__name__}: {error}"] if entry.tries >= TRIES else []
        finally:
            first.restore()
        if agrees:
            begin.restore()
            if entry.fits(leaves):
                with suppress(Changed):
                    results = entry.run(leaves)  # type: ignore[misc]
                    if results is not None:
                        self._ran = True
                        return self._nested(entry, results, leaves)
            first.restore()
        return result

    def _agrees(
        self,
        entry: Entry,
        first: Snapshot,
        leaves: Sequence[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> bool:
        """Record a second call and build the program; whether it does what that call did."""
        result, captured = self._recorded(entry, leaves, args, kwargs)
        if captured is None or not first.can_restore() or not self._is_repeated(entry, captured, result):
            return False
        second = first.taken(result)
        self._build(entry)
        first.restore()
        try:
            results = entry.run(leaves) if entry.fits(leaves) else None  # type: ignore[misc]
        except Changed:
            results = None
        if results is None:
            entry.run = None
            return False
        return not self._differs(
            entry, second.compared_with(first.taken(self._nested(entry, results, leaves)))
        )

    def _differs(self, entry: Entry, what: str) -> bool:
        """Whether a program differs from eager; it is given up if it does again and again."""
        if what:
            entry.mismatches += 1
            # Rounding may put an input of ReLU on the other side of 0; that does not happen at every step.
            if entry.mismatches >= TRIES:
                self._give_up(entry, [f"the program computes another {what} than the function does"])
        return bool(what)

    @property
    def _native(self) -> bool:
        return self._backend != "numpy" and (self._backend == "llvm" or find_spec("llvmlite") is not None)

    def _build(self, entry: Entry) -> None:
        """Make the program of a signature, natively where that is possible."""
        program, capture = entry.program, entry.capture
        assert program is not None and capture is not None
        entry.guard = capture.guards.build({id(var.source) for var in program.states}, capture.held)
        entry.bound = capture.bound
        entry.recorded = capture
        if self._native:
            from tinygrad_dl.compiler.llvm import supported
            from tinygrad_dl.compiler.native import Native

            with suppress(NotLowered):
                entry.native = Native(Lowered(program, capture, supported))
        if entry.native is not None:
            run, entry.text = with_arrays(entry.native.run, entry), entry.native.text
        else:
            run, entry.text = self._replayed(entry, program)
        run = with_eagers_errors(run, program, entry.native)
        entry.run = with_checks(run, capture.checks, entry.native is not None)

    def _replayed(self, entry: Entry, program: Program) -> tuple[Any, str]:
        """A program in NumPy as a function of the flattened arguments, and its text."""
        run, text = replay(program)
        constants = [fixed(var) for var in program.constants if not isinstance(var.source, Filled)]

        def replayed(leaves: Sequence[Any]) -> list[Any]:
            arguments = [_data(leaves[var.source[0]]) for var in program.arguments]
            states = [_state(var.source) for var in program.states]
            for array, state in zip(states, program.states):
                if array.shape != state.shape or array.dtype != state.dtype:
                    raise Changed
            with np.errstate(all="ignore"):
                results, gradients = run(arguments, states, ())
            values = iter(separated(gradients, (*arguments, *states, *constants, *results)))
            for leaf, var in program.gradients:
                leaf._grad = None if var is None else wrap(next(values))
            return [wrap(x) if tensor and x is not None else x for x, tensor in zip(results, entry.wraps)]

        return replayed, text

    def _count_change(self, key: Any, entry: Entry) -> None:
        """A program cannot run any more; a signature for which that happens again and again is run eagerly."""
        self._changes[key] = self._changes.get(key, 0) + 1
        if self._changes[key] >= KEPT:
            self._give_up(entry, [CHANGING])

    def _verify(
        self, key: Any, entry: Entry, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Use a new program from now on if it agrees with the eager function."""
        result, differs = self._compared(entry, leaves, args, kwargs)
        if differs is None:
            entry.run, entry.tries = None, 0
            self._count_change(key, entry)
        elif not self._differs(entry, differs):
            entry.verified, entry.capture = True, None
        return result

    def _compared(
        self, entry: Entry, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, str | None]:
        """Run a program beside the eager function, from the same state; the result, and what differs.

        If something does, eager stands; None says that the program could not run.
        """
        assert entry.capture is not None and entry.program is not None and entry.run is not None
        reach = Reach() if self._worth is None else self._reach
        reach.add(entry.capture, entry.program)
        snapshot = Snapshot(reach)
        drawn = states_of(entry.draws)
        expected = self._eagerly(args, kwargs)
        eager = snapshot.taken(expected)
        snapshot.restore()
        try:
            results = entry.run(leaves)
        except Changed:
            results = None
        if results is None:
            eager.restore()
            return expected, None
        got = self._nested(entry, results, leaves)
        program = snapshot.taken(got)
        differs = eager.compared_with(program)
        if differs:
            moved = [self._disturbed(snapshot, args, kwargs, seed) for seed in range(DISTURBED)]
            differs = eager.compared_with(program, [s for s in moved if s is not None])
            program.restore()
        if differs:
            eager.restore()
            return expected, differs
        self._ran = True
        entry.capture.release()
        if entry.graph is not None:
            entry.graph(results[0], leaves, self._again(entry), args, kwargs, drawn)
        return got, ""

    def _disturbed(
        self, snapshot: Snapshot, args: tuple[Any, ...], kwargs: dict[str, Any], seed: int
    ) -> Snapshot | None:
        """What eager computes from numbers that are off by rounding: no program is closer where terms cancel."""
        snapshot.restore()
        snapshot.disturb(seed)
        arguments = [x for _, x in pytree.leaves((args, kwargs))]
        given = [x if id(x) in snapshot.tensors else disturbed(x, seed) for x in arguments]
        try:
            return snapshot.taken(self._eagerly(*pytree.refill((args, kwargs), iter(given))))
        except Exception:  # such as that of a number outside of a function's domain
            return None

    def _give_up(self, entry: Entry, problems: list[str]) -> None:
        entry.problems = [located(problem, self._function) for problem in problems]
        entry.capture, entry.run, entry.begun = None, None, []
        self._report(entry.problems[0])

    def _report(self, problem: str) -> None:
        """Tell once what runs eagerly and why."""
        text = f"compile: {self._name} runs eagerly: {problem}"
        if self._fullgraph:
            raise CompileError(text)
        if text not in self._reported and not self._quiet:
            self._reported.add(text)
            level, frame = 2, sys._getframe(1)
            while frame.f_back is not None and frame.f_code.co_filename == __file__:
                level, frame = level + 1, frame.f_back
            warnings.warn(text, stacklevel=level)  # at the user's call

    def _again(self, entry: Entry) -> Callable[..., Any]:
        """The function for backward to run again, if what it reads in Python is still what it was."""
        function, guard = self._function, entry.guard

        def again(*args: Any, **kwargs: Any) -> Any:
            if guard is not None and not guard():
                raise GraphError(
                    f"backward: expected what {self._name} reads to be as it was when it was called, got something "
                    "else: backward of its result runs it again. Call backward before the change, or compile the whole "
                    "step."
                )
            return function(*args, **kwargs)

        return again

    # Telling

    def _latest(self) -> Entry:
        """The signature that was used last, with a program."""
        for entries in reversed(self._entries.values()):
            for entry in reversed(entries):
                if entry.program is not None and not entry.given_up:
                    return entry
        for entries in self._entries.values():
            for entry in entries:
                if entry.given_up:
                    raise CompileError(f"compile: {self._name} runs eagerly: {entry.problems[0]}")
        raise CompileError(
            f"compile: expected a captured program of {self._name}, got none yet. Call it first."
        )

    @property
    def _name(self) -> str:
        return getattr(self._function, "__qualname__", type(self._function).__name__)

    def _text(self, entry: Entry, function: str) -> str:
        from tinygrad_dl.compiler.source import readable, source

        if entry.lowered is None:
            capture = entry.capture or entry.recorded
            assert entry.program is not None and capture is not None
            entry.lowered = readable(entry.program, capture)
            if entry.verified:
                capture.values.clear()
        return source(entry.lowered, self._title(entry), function)

    def _title(self, entry: Entry) -> str:
        assert entry.program is not None
        name = self._name if len(entry.roots) != 1 else model_text(entry.roots[0])
        what = f"One training step of {name}" if is_step(entry.program) else f"What {name} computes"
        inputs = ", ".join(f"{v.name or 'x'} {v.shape} {v.dtype}" for v in entry.program.arguments)
        return (
            f"{what}, written out by tinygrad_dl.{f'{chr(10)}{chr(10)}{inputs}{chr(10)}' if inputs else ''}"
        )

    @property
    def source(self) -> str:
        """The program as a stand-alone NumPy function, one formula a line, with the model's names."""
        entry = self._latest()
        assert entry.program is not None
        return self._text(entry, "step" if is_step(entry.program) else "predict")

    def explain(self) -> str:
        """What was captured, fused and planned, and what runs eagerly and why."""
        from tinygrad_dl.compiler.report import explained

        found = {id(e): e for entries in self._entries.values() for e in entries}
        found |= {id(e): e for family in self._families.values() for e, _ in family.programs}
        problems = dict.fromkeys(family.problem for family in self._families.values() if family.problem)
        return explained(self._name, list(found.values()), list(problems))

    def save(self, path: PathLike, preprocess: Any = None) -> None:
        """Write the program to `path` (a .py file that imports NumPy only), with its arrays beside it (.npz).

        With `preprocess`, a fitted data.Table or data.Standardize, all is in one file, for any number of rows: the
        preparation, the model in evaluation mode, and its arrays. Of a table, `python predict.py data.csv` prints
        predictions. Raises CompileError.
        """
        from tinygrad_dl.compiler.report import write_program

        if preprocess is not None:
            if not hasattr(preprocess, "program") or not hasattr(preprocess, "example"):
                raise DTypeError(
                    f"save: preprocess: expected a fitted data.Table or data.Standardize, got {describe(preprocess)}"
                )
            from tinygrad_dl.compiler.shipping import ship

            names = _argument_names(self._function, (0,) * 8, {})
            model = hasattr(self._function, "named_modules")
            what = model_text(self._function) if model else self._name  # type: ignore[arg-type]
            ship(self._function, names, f"What {what} predicts.", preprocess, path)
            return
        entry = self._latest()
        assert entry.program is not None
        function = "step" if is_step(entry.program) else "predict"
        write_program(self._text(entry, "program"), entry.lowered, function, path)


@overload
def compile(
    f: Callable[P, R], *, fullgraph: bool = False, backend: Literal["auto", "numpy", "llvm"] = "auto"
) -> Compiled[P, R]: ...


@overload
def compile(
    f: None = None, *, fullgraph: bool = False, backend: Literal["auto", "numpy", "llvm"] = "auto"
) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...


@readable
def compile(
    f: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    backend: Literal["auto", "numpy", "llvm"] = "auto",
) -> Any:
    """A function that captures `f` at its first calls and then runs it as one planned, fused program.

    `f`: a training step with its side effects, a Module, or a function of Tensors and arrays. What cannot be captured
    runs eagerly and is reported once; with `fullgraph=True` it raises CompileError. `backend`: "llvm" (extra `fast`),
    "numpy", or "auto", which is llvm where it is installed. Also a decorator.
    >>> from tinygrad_dl import Tensor
    >>> square = compile(lambda x: (x * x).sum())
    >>> [square(Tensor([1.0, 2.0])).item() for _ in range(4)]
    [5.0, 5.0, 5.0, 5.0]
    """
    if backend not in BACKENDS:
        raise ValueRangeError(
            f"compile: backend: expected one of {', '.join(map(repr, BACKENDS))}, got {backend!r}"
        )
    if backend == "llvm" and find_spec("llvmlite") is None:
        raise missing_extra("llvmlite", "fast", 'compile(backend="llvm")')
    if f is None:
        return lambda function: compile(function, fullgraph=fullgraph, backend=backend)
    if not callable(f):
        raise DTypeError(f"compile: expected a function or a Module, got {describe(f)}")
    return Compiled(f, fullgraph, backend)


def recorded(capture: Capture, result: object, leaves: Sequence[Any]) -> tuple[Any, str]:
    """How a result that still requires grad gets its graph: backward runs the function again, as a checkpoint does."""
    tensors = [x for _, x in pytree.leaves(result) if isinstance(x, Value)]
    open_ = [t for t in tensors if t.node is not None and t.node.op is not None and t.node.saved is not None]
    if not open_:
        return None, ""
    changes = (isinstance(s, Effect) and s.function is not draw_now for s in capture.steps)
    if len(tensors) != 1 or any(changes) or any(map(changes_averages, capture.steps)):
        return (
            None,
            "it returns Tensors that require grad: call it under no_grad(), or compile the whole step",
        )
    result_node = open_[0].node
    assert result_node is not None
    _, border = inside([result_node], capture.start)
    holders: dict[int, Any] = {}
    for i, x in enumerate(leaves):
        if isinstance(x, Value) and x.node is not None:
            holders.setdefault(x.node.serial, i)
    for var in capture.states:
        if isinstance(var.source, Value) and var.source.node is not None:
            holders.setdefault(var.source.node.serial, var.source)
    if any(serial not in holders for serial in border):
        return None, "its result depends on a graph that was recorded before"
    sources = [holders[serial] for serial in border]

    def attach(
        out: Value,
        leaves: Sequence[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        drawn: Any,
    ) -> None:
        node = Node()
        node.op = RECOMPUTE
        node.parents = tuple((leaves[s] if type(s) is int else s).node for s in sources)
        node.shape, node.dtype = out._data.shape, out._data.dtype
        node.saved = function, packed(args), packed(kwargs), drawn, modes.levels
        node.options = (((node.shape, node.dtype),),)
        node.serial, node.watch, node.scope = next_serial(), None, None
        out.node = node

    return attach, ""


def number_of_rows(pattern: Sequence[int | None], sizes: Sequence[int]) -> int:
    """The number of rows that sizes have in common where the pattern has None; 0 if they do not fit."""
    rows = {n for own, n in zip(pattern, sizes) if own is None}
    others = all(own in (None, n) for own, n in zip(pattern, sizes))
    return rows.pop() if others and len(rows) == 1 else 0


def drawn_from(steps: Sequence[Step]) -> tuple[np.random.Generator | None, ...]:
    """The generators from which steps draw; None is the default one, whichever it is."""
    own = [g for step in steps for g in generators_in(step)]
    draws = [s for s in steps if isinstance(s, Call) and "rng" in s.op.options]
    drawn = [s for s in steps if isinstance(s, Effect) and s.function is draw_now]
    return (None, *{id(g): g for g in own}.values()) if draws or drawn else ()


def changes_averages(step: Any) -> bool:
    """Whether a step updates the running averages of a normalization."""
    return isinstance(step, Call) and dict(zip(step.op.options, step.options)).get("moments") is not None


def is_step(program: Program) -> bool:
    """Whether a program trains: it leaves gradients, or updates parameters by hand."""
    effects = [step for step in program.steps if isinstance(step, Effect)]
    return bool(program.gradients) or any(step.function in (overwrite, replace) for step in effects)


def given_before(capture: Capture, result: Any, leaves: Sequence[Any]) -> list[tuple[int, Given]]:
    """Which parts of a result are there anyway: arguments, parameters, arrays of closures, gradients of leaves."""
    sources: dict[int, Given] = {}
    for leaf in capture.with_gradients():
        sources[id(leaf._grad)] = Given(leaf, gradient=True)
    for t, _ in capture.guards.tensors.values():
        sources[id(t)] = Given(t)
    for i, x in enumerate(leaves):
        if isinstance(x, (Value, np.ndarray)):
            sources[id(x)] = Given(i)
    arrays = {id(_data(g.found(leaves))): Given(g.owner, g.gradient, shared=True) for g in sources.values()}
    found = []
    for i, (_, x) in enumerate(pytree.leaves(result)):
        given = sources.get(id(x))
        if given is None and isinstance(x, Value) and x.node is None:
            given = arrays.get(id(x._data))
        if given is not None:
            found.append((i, given))
    return found


def with_eagers_errors(
    run: Callable[..., Any], program: Program, native: Native | None
) -> Callable[..., Any]:
    """A program that leaves it to eager to raise, with its message and from the state before the run."""
    steps = program.steps if native is None else native.parts
    last = max((i for i, step in enumerate(steps) if isinstance(step, Call)), default=-1)
    before = [
        step for step in steps[: last + 1] if isinstance(step, Effect) and step.function is not draw_now
    ]
    changed = [var.source for step in before for var in step.changes]
    if last < 0 or any(step.gradients or step.objects for step in before):
        return run
    if any(not isinstance(x, Value) or x._data.size > FEW_ELEMENTS for x in changed):
        return run
    moments = [named_values(s).get("moments") for s in program.steps if isinstance(s, Call)]
    statistics = [getattr(m, part, None) for m in moments for part in ("mean", "var", "batches")]
    held = [x for x in statistics if isinstance(x, np.ndarray)]
    generators = drawn_from(program.steps)

    def recovering(leaves: Sequence[Any]) -> Any:
        arrays = [*held, *(x._data for x in changed)]
        copies = [x.copy() for x in arrays]
        states = states_of(generators)
        try:
            return run(leaves)
        except Changed:
            raise
        except Exception:
            for array, copy_ in zip(arrays, copies):
                array[...] = copy_
            for generator, state in states:
                config.default_rng(generator).bit_generator.state = state
            return None

    return recovering


def with_checks(run: Callable[..., Any], checks: Sequence[Any], native: bool) -> Callable[..., Any]:
    """A program that leaves it to eager to refuse values of its arguments, before anything is done."""
    checks = [(check, where, rest) for check, where, rest, own in checks if not (native and own)]
    if not checks:
        return run

    def checked(leaves: Sequence[Any]) -> Any:
        try:
            for check, where, rest in checks:
                check(_data(leaves[where] if type(where) is int else where), *rest)
        except Exception:
            return None
        return run(leaves)

    return checked


def with_arrays(run: Callable[..., Any], entry: Entry) -> Callable[..., Any]:
    """Native code as a function that returns arrays where the captured one did, as operations on arrays do."""
    assert entry.program is not None
    plain = [i for i, var in enumerate(entry.program.results) if isinstance(var, Var) and not entry.wraps[i]]
    if not plain:
        return run

    def unwrapped(leaves: Sequence[Any]) -> list[Any] | None:
        results = run(leaves)
        if results is not None:
            for i in plain:
                results[i] = _data(results[i])
        return results

    return unwrapped


def repeated(result: Any, program: Program) -> list[tuple[int, int, bool]]:
    """The leaves of a result that are an earlier one: the same object, or another array with the same values."""
    found: list[tuple[int, int, bool]] = []
    objects: dict[int, int] = {}
    variables: dict[int, int] = {}
    for i, ((_, x), var) in enumerate(zip(pytree.leaves(result), program.results)):
        if isinstance(var, Var):
            first = objects.setdefault(id(x), i)
            known = variables.setdefault(var.serial, i)
            if known != i:
                found.append((i, first if first != i else known, first == i))
    return found


def freed(result: Any, given: Set[int]) -> list[tuple[int, Node]]:
    """The leaves of a result whose graph was freed, by number, each with a node that tells so to a second backward."""
    found: list[tuple[int, Node]] = []
    for i, (_, x) in enumerate(pytree.leaves(result)):
        node = x.node if isinstance(x, Value) and i not in given else None
        if node is not None and node.op is not None and node.saved is None:
            found.append((i, spent(node.op, x)))
    return found


def spent(op: Any, x: Value) -> Node:
    """The node of a value whose graph was freed."""
    node = Node()
    node.op, node.parents, node.saved, node.options = op, (), None, ()
    node.shape, node.dtype = x._data.shape, x._data.dtype
    node.serial, node.watch, node.scope = next_serial(), None, None
    return node


def separated(arrays: Sequence[np.ndarray], others: Sequence[Any]) -> list[np.ndarray]:
    """The arrays, copied where two of them, or one and something else, are the same or a view."""
    seen = {id(x) for x in others}
    found = []
    for array in arrays:
        if array.base is not None or id(array) in seen:
            array = array.copy()
        seen.add(id(array))
        found.append(array)
    return found


def model_text(model: Module) -> str:
    """A model in a line: its class and those of the modules in it."""
    inside = [type(child).__name__ for child in model.children()]
    return type(model).__name__ + (f"({', '.join(inside)})" if 0 < len(inside) <= 8 else "")


def _data(x: Array) -> np.ndarray:
    return x._data if isinstance(x, Value) else x


def _state(source: Value | tuple[Any, ...]) -> np.ndarray:
    return source[0]._grad._data if isinstance(source, tuple) else source._data


def located(problem: str, function: Any) -> str:
    """The problem with a line: that of the function, if it has none of its own."""
    return problem if LINE.search(problem) else problem + defined(function)


def defined(function: Any) -> str:
    """Where the user's function, or a model's `forward`, is defined: " (file:line)"; "" for this package's own."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "forward", function)
    if not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = type(function).__call__
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None or not file_is_users(code.co_filename):
        return ""
    return f" ({code.co_filename}:{code.co_firstlineno})"


def is_input(x: object) -> bool:
    """Whether an object's parts are inputs of a program and not facts: an optimizer's, a schedule's."""
    return any(is_own(kind, "tinygrad_dl.optim") for kind in type(x).__mro__)


def _argument_names(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Names for the flattened arguments, as the function calls them."""
    target = getattr(function, "forward", function)
    code = getattr(getattr(target, "__func__", target), "__code__", None)
    if code is None:
        return []
    own = list(code.co_varnames[: code.co_argcount])
    if hasattr(target, "__self__"):
        own = own[1:]
    names: list[str] = []
    for x, name in [*zip(args, own), *((v, k) for k, v in kwargs.items())]:
        count = len(list(pytree.leaves(x)))
        names += (
            [name]
            if count == 1 and not isinstance(x, (list, tuple, dict))
            else [f"{name}{i}" for i in range(count)]
        )
    return names
