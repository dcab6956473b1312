"""Mutants of the engine: the package is imported with one mutated file, and the tests that use it run."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.layout import ROOT
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.processes import failing, run_pytest

SLOW = "pytorch or 100_000"  # a second or more each, and they kill no mutant that others do not


FILES = ("graph.py", "backward.py", "convert.py", "dispatch.py", "op.py", "codegen.py")
# First the few that kill most mutants.
FIRST = ("test_traps.py", "test_graph.py", "test_backward.py", "test_custom_op.py")
TESTS = (
    "test_modes.py", "test_autograd.py", "test_hooks.py", "test_errors.py", "test_aliasing.py", "test_dtypes.py",
    "test_anomaly.py", "test_creation.py", "test_func.py", "nn/test_recurrent.py", "ops/test_elementwise.py",
    "ops/test_index.py", "ops/test_shape.py", "ops/test_composed.py", "ops/test_messages.py",
    "viz/graph/test_extract.py", "testing/test_properties.py", "test_dispatch.py", "test_op.py",
)  # fmt: skip
SLOW = "pytorch or 100_000"  # a second or more each, and they kill no mutant that others do not


def mutants(only: str | None) -> Iterator[Mutant]:
    """Yield the mutants of the files whose name contains a part of `only`."""
    for name in FILES:
        if only is None or any(part in name for part in only.split(",")):
            yield from mutants_of(ROOT / "tinygrad_dl" / name)


class MutatedModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from mutated source."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=str(self.path))
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, vars(module))


def prepare() -> None:
    """Import what the tests require except for the package itself, which each child imports."""
    import hypothesis.extra.numpy  # noqa: F401
    import numpy  # noqa: F401
    import pytest  # noqa: F401

    loaded = [name for name in sys.modules if name.partition(".")[0] == "tinygrad_dl"]
    assert not loaded, f"already imported: {loaded}"
    if failing(lambda: run_tests(), 600):
        sys.exit("the tests fail without a mutant: fix them first")
    file = ROOT / "tinygrad_dl" / FILES[0]
    if not failing(lambda: run_tests(file, ast.parse("raise SystemError")), 600):
        sys.exit("the tests pass without a file: they do not import the mutated files")


def is_killed(mutant: Mutant) -> bool:
    """Whether a test fails with the mutant."""
    return failing(lambda: run_tests(mutant.path, mutant.tree()), 120)


def run_tests(path: Path | None = None, tree: ast.Module | None = None) -> bool:
    """Import the package, with one file from other source if given, and run the tests; whether they fail."""
    sys.dont_write_bytecode = True
    if path is not None and tree is not None:
        code = compile(tree, str(path), "exec")
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        sys.meta_path.insert(0, MutatedModule(name, path, code))
    # pytest's own import hook would come first and import the unmutated files.
    return any(run_pytest(names, SLOW, "--assert=plain") for names in (FIRST, TESTS))
