"""Mutants of derivative rules: checked by finite differences, then by tests."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from inspect import unwrap
from types import FunctionType, ModuleType
from typing import Any

from tests.mutation.in_process import FunctionMutant, Group, position_of

TESTS = (
    "kernels", "ops", "nn", "test_registry.py", "test_traps.py", "test_vmap.py", "test_complex.py",
    "test_jvp_registry.py",
    "compiler/test_integer_arguments.py::test_a_single_index_that_is_a_tensor_is_read_at_every_run",
)  # fmt: skip


def rule_functions(module: ModuleType) -> Iterable[FunctionType]:
    """Return the functions that the derivatives of a module run: the rules and what they call in the module."""
    from tinygrad_dl.op import OPS

    stack = [
        rule for op in OPS.values() for rule in (*op.rules, *(op.fast or ()), *forward_rules(op), op.batch)
    ]
    # Fast rules of operations call the gradients of kernels by their module.
    stack += [value for name, value in vars(module).items() if name.endswith(KERNELS)]
    return called_by(stack, module).values()


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


def fails_own_cases(mutant: FunctionMutant) -> bool:
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
        (lambda op: (op.batch,), test_vmap_registry.test_what_has_a_rule_runs_once_for_all_examples,
         test_vmap_registry.cases_of_batch_rules),
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


# Searching the domains of all operations takes a minute, and the fixed cases kill the same mutants.
RULES = Group("Rules", TESTS, "wherever_the_domain_reaches", modules, rule_functions, fails_own_cases)
