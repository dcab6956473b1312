"""Mutants of the engine and of the numerical checks: the package is imported with one mutated file, and the tests that
use it run."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.processes import failing

ROOT = Path(__file__).resolve().parents[2]


class Group(NamedTuple):
    """Files of the package, and their tests: first the few that kill most mutants."""

    files: tuple[str, ...]
    first: tuple[str, ...]
    tests: tuple[str, ...]

    def mutants(self, only: str | None) -> Iterator[Mutant]:
        """Yield the mutants of the files whose name contains a part of `only`."""
        for name in self.files:
            if only is None or any(part in name for part in only.split(",")):
                yield from mutants_of(ROOT / "tinygrad_dl" / name)


ENGINE = Group(
    ("graph.py", "backward.py", "convert.py", "dispatch.py", "op.py", "codegen.py"),
    ("test_traps.py", "test_graph.py", "test_backward.py", "test_custom_op.py"),
    (
        "test_modes.py", "test_autograd.py", "test_hooks.py", "test_errors.py", "test_aliasing.py", "test_dtypes.py",
        "test_anomaly.py", "test_creation.py", "test_func.py", "nn/test_recurrent.py", "ops/test_elementwise.py",
        "ops/test_index.py", "ops/test_shape.py", "ops/test_composed.py", "ops/test_messages.py",
        "viz/graph/test_extract.py", "testing/test_properties.py", "test_dispatch.py", "test_op.py",
    ),
)  # fmt: skip
CHECKS = Group(
    (
        "testing/evidence.py", "testing/numeric_gradient.py", "testing/finite_differences.py", "testing/rounding.py",
        "testing/disagreement.py", "testing/laws.py",
    ),
    ("testing/test_evidence.py", "testing/test_gradcheck.py"),
    ("testing/test_check_op.py", "testing/test_doctor.py", "testing/test_generated.py"),
)  # fmt: skip


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


def prepare(group: Group) -> None:
    """Import what the tests require except for the package itself, which each child imports."""
    import hypothesis.extra.numpy  # noqa: F401
    import numpy  # noqa: F401
    import pytest  # noqa: F401

    loaded = [name for name in sys.modules if name.partition(".")[0] == "tinygrad_dl"]
    assert not loaded, f"already imported: {loaded}"
    if failing(lambda: run_tests(group), 600):
        sys.exit("the tests fail without a mutant: fix them first")
    file = ROOT / "tinygrad_dl" / group.files[0]
    if not failing(lambda: run_tests(group, file, ast.parse("raise SystemError")), 600):
        sys.exit("the tests pass without a file: they do not import the mutated files")


def is_killed(tested: tuple[Group, Mutant]) -> bool:
    """Whether a test of the group fails with the mutant."""
    group, mutant = tested
    return failing(lambda: run_tests(group, mutant.path, mutant.tree()), 120)


def run_tests(group: Group, path: Path | None = None, tree: ast.Module | None = None) -> bool:
    """Import the package, with one file from other source if given, and run the tests; whether they fail."""
    import pytest

    sys.dont_write_bytecode = True
    if path is not None and tree is not None:
        code = compile(tree, str(path), "exec")
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        sys.meta_path.insert(0, MutatedModule(name, path, code))
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
    quiet += [
        "-k",
        "not pytorch and not 100_000",
    ]  # a second or more each, and they kill no mutant that others do not
    quiet += ["--assert=plain"]  # pytest's own import hook would come first and import the unmutated files
    return any(
        pytest.main([*quiet, *(str(ROOT / "tests" / name) for name in names)]) != 0
        for names in (group.first, group.tests)
    )
