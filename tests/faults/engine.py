"""Faults in the engine: a changed file is put in place of its own in a fresh import, and the tests above it run."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.faults.children import failing
from tests.faults.mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
FILES = ("graph.py", "backward.py", "convert.py", "dispatch.py", "op.py", "codegen.py")
# The fast tests of everything that stands on these files; few files first, which notice most at once.
FIRST = ("test_traps.py", "test_graph.py", "test_backward.py", "test_custom_op.py")
TESTS = (
    "test_modes.py", "test_autograd.py", "test_hooks.py", "test_errors.py", "test_aliasing.py", "test_dtypes.py",
    "test_anomaly.py", "test_creation.py", "test_func.py", "nn/test_recurrent.py", "ops/test_elementwise.py",
    "ops/test_index.py", "ops/test_shape.py", "ops/test_composed.py", "ops/test_messages.py",
    "viz/test_extract.py", "testing/test_laws.py", "test_dispatch.py", "test_op.py",
)  # fmt: skip


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed source."""

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


def mutants(only: str | None) -> Iterator[Mutant]:
    """Faults of the engine's files."""
    for name in FILES:
        if only is None or any(part in name for part in only.split(",")):
            yield from mutants_of(ROOT / "tinygrad_dl" / name)


def get_ready() -> None:
    """Import what the tests need, but nothing of the package: that each child imports anew."""
    import hypothesis.extra.numpy  # noqa: F401
    import numpy  # noqa: F401
    import pytest  # noqa: F401

    loaded = [name for name in sys.modules if name.partition(".")[0] == "tinygrad_dl"]
    assert not loaded, f"already imported: {loaded}"
    if failing(lambda: run_tests(), 600):
        sys.exit("the tests fail without any fault: mend them first")
    if not failing(lambda: run_tests(ROOT / "tinygrad_dl" / FILES[0], ast.parse("raise SystemError")), 600):
        sys.exit("the tests pass without an engine: the faults are not what they import")


def noticed(mutant: Mutant) -> bool:
    """Whether a test shows the fault."""
    return failing(lambda: run_tests(mutant.path, mutant.tree()), 120)


def run_tests(path: Path | None = None, tree: ast.Module | None = None) -> bool:
    """Import the package, one of its files perhaps from other source, and run the tests; whether they fail."""
    import pytest

    sys.dont_write_bytecode = True
    if path is not None and tree is not None:
        code = compile(tree, str(path), "exec")
        sys.meta_path.insert(0, Changed(f"tinygrad_dl.{path.stem}", path, code))
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
    ]  # a second or more each, and nothing that others do not see
    quiet += ["--assert=plain"]  # pytest's own import hook would come first, and take the files as they are
    return any(
        pytest.main([*quiet, *(str(ROOT / "tests" / name) for name in names)]) != 0
        for names in (FIRST, TESTS)
    )
