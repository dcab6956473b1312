"""Mutants of derivative rules: replaced in this process, checked by finite differences, then by tests."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.processes import failing

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    "kernels", "ops", "nn", "test_registry.py", "test_traps.py", "test_vmap.py", "test_complex.py",
    "test_jvp_registry.py",
)  # fmt: skip


class RuleMutant(NamedTuple):
    """A mutant of a rule and the function whose code it replaces."""

    mutant: Mutant
    module: ModuleType
    function: FunctionType
    number: int

    def code(self) -> CodeType | None:
        """The mutated code of the function, or None if it compiles to the same code."""
        path = self.mutant.path
        code = codes_of(compile(self.mutant.tree(), str(path), "exec"))[self.number]
        return None if code == self.function.__code__ else code


def codes_of(code: CodeType) -> list[CodeType]:
    """Return a code object and all code objects inside it, in source order."""
    return [code] + [c for inner in code.co_consts if isinstance(inner, CodeType) for c in codes_of(inner)]


def position_of(code: CodeType) -> tuple[Any, ...]:
    """Return what identifies a code object in its file."""
    first = next(((p[0], p[2]) for p in code.co_positions() if p[2]), None)
    return (code.co_firstlineno, code.co_name, first, code.co_code)


def rule_functions(module: ModuleType) -> dict[Any, FunctionType]:
    """Return the functions that the derivatives of a module run: the rules and what they call in the module."""
    from tinygrad_dl.op import OPS

    stack = [
        rule for op in OPS.values() for rule in (*op.rules, *(op.fast or ()), *forward_rules(op), op.batch)
    ]
    # Fast rules of operations call the gradients of kernels by their module.
    stack += [value for name, value in vars(module).items() if name.endswith(KERNELS)]
    return called_by(stack, module)


KERNELS = ("gradient", "_moved", "_change")


def forward_rules(op: Any) -> tuple[Any, ...]:
    """The rules of forward mode of an operation that are its own."""
    return tuple(op.jvp) if isinstance(op.jvp, tuple) else ()


def called_by(stack: list[Any], module: ModuleType) -> dict[Any, FunctionType]:
    """The functions of a module among some, and what these call in it."""
    stack = [x for x in stack if isinstance(x, FunctionType) and x.__module__ == module.__name__]
    found: dict[Any, FunctionType] = {}
    while stack:
        function = unwrap(stack.pop())  # what a decorator checks the arguments of
        if position_of(function.__code__) in found:
            continue
        found[position_of(function.__code__)] = function
        for name in function.__code__.co_names:
            called = vars(module).get(name)
            own = isinstance(called, FunctionType) and called.__module__ == module.__name__
            if own and not hasattr(called, "op"):
                stack.append(called)
    return found


def modules() -> Iterator[ModuleType]:
    """The modules whose functions are rules: operations, and kernels for the fast ones."""
    import tinygrad_dl.kernels
    import tinygrad_dl.ops

    for package in (tinygrad_dl.ops, tinygrad_dl.kernels):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(info.name)


def mutants(only: str | None) -> Iterator[RuleMutant]:
    """Yield each mutant of each rule."""
    for module in modules():
        if only is not None and not any(part in module.__name__ for part in only.split(",")):
            continue
        live = rule_functions(module)
        path = Path(str(module.__file__))
        source = path.read_text()
        positions = [position_of(code) for code in codes_of(compile(source, str(path), "exec"))]
        for position, function in live.items():
            number = positions.index(position)
            for mutant in mutants_of(path, {position[0]}):
                code = codes_of(compile(mutant.tree(), str(path), "exec"))[number]
                if code != function.__code__:
                    yield RuleMutant(mutant, module, function, number)


class Recorder:
    """A pytest plugin that records which tests run which rules, and selects the tests to run."""

    def __init__(self) -> None:
        self.users: dict[CodeType, list[str]] = {}
        self.watched: set[CodeType] = set()
        self.only: set[str] | None = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.only is not None:
            items[:] = [item for item in items if item.nodeid in self.only]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.only is not None:
            return
        watched, users = self.watched, self.users

        def profile(frame: Any, event: str, _: Any) -> None:
            code = frame.f_code
            if event == "call" and code in watched:
                names = users.setdefault(code, [])
                if not names or names[-1] != nodeid:
                    names.append(nodeid)

        sys.setprofile(profile)

    def pytest_runtest_logfinish(self) -> None:
        sys.setprofile(None)


RECORDER = Recorder()


def run_tests(files: list[str]) -> bool:
    """Run tests in this process; whether they fail."""
    import pytest

    quiet = [
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
        "--no-header",
        "--rootdir",
        str(ROOT),
    ]
    # Searching the domains of all operations takes a minute, and the fixed cases kill the same mutants.
    quiet += ["-k", "not wherever_the_domain_reaches"]
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # pytest was imported before it was run
    return pytest.main([*quiet, *files], plugins=[RECORDER]) != 0


def record() -> None:
    """Run the tests once without a mutant and record which rules each of them runs."""
    for module in modules():
        RECORDER.watched |= {function.__code__ for function in rule_functions(module).values()}
    if run_tests([str(ROOT / "tests" / name) for name in TESTS]):
        sys.exit("the tests fail without a mutant: fix them first")


def is_killed(mutant: RuleMutant) -> bool:
    """Whether finite differences or a test fail with the mutant."""
    code = mutant.code()
    original = mutant.function.__code__

    def fails() -> bool:
        mutant.function.__code__ = code  # type: ignore[assignment]
        if fails_own_cases(mutant):
            return True
        RECORDER.only = set(RECORDER.users.get(original, ()))
        files = sorted({test.partition("::")[0] for test in RECORDER.only})
        return bool(files) and run_tests([str(ROOT / name) for name in files])

    return failing(fails, 120)


def fails_own_cases(mutant: RuleMutant) -> bool:
    """Whether the sample cases of the registry fail with the mutant: the fastest check, tried first."""
    from tests import test_jvp_registry, test_registry, test_vmap_registry
    from tinygrad_dl.op import OPS

    registry, forward = test_registry, test_jvp_registry
    checks: list[tuple[Callable[..., Any], Callable[..., Any], Any]] = [
        (lambda op: (*op.rules, *(op.fast or ())), check_orders, registry.with_gradient),
        (lambda op: op.rules, forward.test_forward_mode_of_complex_values_is_the_adjoint_too,
         registry.with_complex_gradient),
        (forward_rules, forward.test_forward_mode_is_the_adjoint_of_the_backward_pass, registry.with_gradient),
        (forward_rules, forward.test_forward_over_reverse_is_reverse_over_reverse, registry.with_gradient),
        (lambda op: (op.batch,), test_vmap_registry.test_vmap_is_a_loop_in_values_and_gradients, registry.every_case),
    ]  # fmt: skip
    for functions_of, check, cases in checks:
        users = {
            op.name
            for op in OPS.values()
            if mutant.function
            in called_by([x for x in functions_of(op) if x is not None], mutant.module).values()
        }
        for parameters in cases():
            op, case = parameters.values
            if op.name not in users:
                continue
            try:
                check(op, case)
            except Exception:
                return True
    return False


def check_orders(op: Any, case: Any) -> None:
    """Gradients of both orders against finite differences."""
    from tests import test_registry

    test_registry.check_orders(op, case, test_registry.seed_of(op, case))
