"""Mutants of functions whose code is replaced in this process, and the tests that call them, the fastest first."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.processes import failing, run_pytest


class FunctionMutant(NamedTuple):
    """A mutant of a function, or of one inside it, and the function whose code it replaces."""

    mutant: Mutant
    module: ModuleType
    function: FunctionType
    number: int

    def code(self) -> CodeType:
        """The mutated code of the function."""
        path = self.mutant.path
        return codes_of(compile(self.mutant.tree(), str(path), "exec"))[self.number]


class Group(NamedTuple):
    """Modules, those of their functions that are mutated, and the files of their tests.

    `without`: the tests that are not run, as an expression of pytest's -k. `fails_first`: a check that comes before the
    tests.
    """

    title: str
    tests: tuple[str, ...]
    without: str
    modules: Callable[[], Iterable[ModuleType]]
    functions: Callable[[ModuleType], Iterable[FunctionType]]
    fails_first: Callable[[FunctionMutant], bool] = lambda mutant: False

    def mutants(self, only: str | None) -> Iterator[FunctionMutant]:
        """Yield each mutant of each function in the modules whose name contains a part of `only`."""
        for module in self.modules():
            if only is not None and not any(part in module.__name__ for part in only.split(",")):
                continue
            path = Path(str(module.__file__))
            positions = [position_of(code) for code in codes_of(compile(path.read_text(), str(path), "exec"))]
            for function in self.functions(module):
                position = position_of(function.__code__)
                number = positions.index(position)
                for mutant in mutants_of(path, {position[0]}):
                    found = FunctionMutant(mutant, module, function, number)
                    if found.code() != function.__code__:
                        yield found


def codes_of(code: CodeType) -> list[CodeType]:
    """Return a code object and all code objects inside it, in source order."""
    return [code] + [c for inner in code.co_consts if isinstance(inner, CodeType) for c in codes_of(inner)]


def position_of(code: CodeType) -> tuple[Any, ...]:
    """Return what identifies a code object in its file."""
    first = next(((p[0], p[2]) for p in code.co_positions() if p[2]), None)
    return (code.co_firstlineno, code.co_name, first, code.co_code)


def functions_and_methods(module: ModuleType) -> Iterator[FunctionType]:
    """Yield the functions of a module, and the methods and properties of its classes."""
    for owner in (module, *vars(module).values()):
        if owner is not module and not (isinstance(owner, type) and owner.__module__ == module.__name__):
            continue
        for value in vars(owner).values():
            value = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if isinstance(value, FunctionType) and value.__code__.co_filename == module.__file__:
                yield unwrap(value)


class Recorded:
    """A pytest plugin that records which tests call which functions and how long each test takes.

    pytest has collected the tests once; `work` then runs them as often as it likes.
    """

    def __init__(self, group: Group, work: Callable[[Recorded], None]) -> None:
        self.group, self.work = group, work
        self.users: dict[CodeType, list[pytest.Item]] = {}
        self.seconds: dict[str, float] = {}
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.failed
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            sys.exit("the tests could not be collected")
        functions = [f for module in self.group.modules() for f in self.group.functions(module)]
        watched = {id(f.__code__): f.__code__ for f in functions}  # by identity, as hashing code takes long
        items = session.items
        for item, following in zip(items, [*items[1:], None]):
            self._record(item, following, watched)
        if self.failed or failing(lambda: self._fails(items), 600):
            sys.exit("the tests fail without a mutant: fix them first")
        self.work(self)
        return True

    def _record(self, item: pytest.Item, following: pytest.Item | None, watched: dict[int, CodeType]) -> None:
        called: set[int] = set()

        def profile(frame: Any, event: str, _: Any) -> None:
            if event == "call" and id(frame.f_code) in watched:
                called.add(id(frame.f_code))

        sys.setprofile(profile)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        sys.setprofile(None)
        for code in called:
            self.users.setdefault(watched[code], []).append(item)

    def _fails(self, items: list[pytest.Item]) -> bool:
        """Whether a test fails; the others are not run then."""
        items = sorted(items, key=lambda item: self.seconds[item.nodeid])
        for item, following in zip(items, [*items[1:], None]):
            # What takes so much longer than without a mutant hangs: the signal ends this process.
            signal.setitimer(signal.ITIMER_PROF, 20 * self.seconds[item.nodeid] + 5)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return True
        return False

    def is_killed(self, mutant: FunctionMutant) -> bool:
        """Whether a test of the function fails with the mutant."""
        items = self.users.get(mutant.function.__code__, [])

        def fails() -> bool:
            signal.setitimer(signal.ITIMER_PROF, 60)
            mutant.function.__code__ = mutant.code()  # type: ignore[misc]
            return self.group.fails_first(mutant) or self._fails(items)

        return failing(fails, 600)


def with_recorded_tests(group: Group, work: Callable[[Recorded], None]) -> None:
    """Collect the tests of a group, record them and call `work`, inside pytest."""
    # Not captured, as `work` prints; pytest was imported before it was run.
    quiet = ("-s", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    if run_pytest(group.tests, group.without, *quiet, plugins=[Recorded(group, work)]):
        sys.exit("pytest did not run the tests")
