"""Mutants of the numerical core of the checks: differences, their evidence, the verdicts, the laws of operations."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

from tests.mutation.in_process import Group, functions_and_methods

FILES = ("evidence", "numeric_gradient", "finite_differences", "rounding", "disagreement", "laws")
TESTS = (
    "test_evidence", "test_numeric_gradient", "test_finite_differences", "test_rounding", "test_disagreement",
    "test_laws", "test_gradcheck", "test_check_op", "test_doctor", "test_generated",
)  # fmt: skip


def modules() -> Iterator[ModuleType]:
    """The modules of the numerical core."""
    for name in FILES:
        yield importlib.import_module(f"tinygrad_dl.testing.{name}")


# JAX has threads, which a forked child lacks.
CHECKS = Group("Checks", tuple(f"testing/{name}.py" for name in TESTS), "jax", modules, functions_and_methods)
