"""Planted faults: derivative rules and the engine's lines, changed one at a time; do the tests notice?

python -m tests.faults [--engine] [--rules] [--only NAME] [--json FILE]   (Python 3.11 or newer; make faults)
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORKERS = os.cpu_count() or 1

BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARE = {
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip

# What the engine's faults are run against: the fast tests of everything that stands on it.
ENGINE_FILES = ("graph.py", "op.py", "calls.py", "codegen.py")
ENGINE_TESTS = (
    "tests/test_traps.py", "tests/test_graph.py", "tests/test_autograd.py", "tests/test_modes.py",
    "tests/test_errors.py", "tests/test_custom_op.py", "tests/test_func.py", "tests/test_anomaly.py",
    "tests/testing/test_laws.py",    "tests/test_registry.py",
)  # fmt: skip
# Left alone: annotations, docstrings and the words of messages change nothing that is computed.
QUIET = (ast.Raise, ast.JoinedStr, ast.ImportFrom, ast.Import, ast.AnnAssign)


class Mutant:
    """One change to one function: where it is, what it is, and the changed source tree."""

    def __init__(self, file: str, line: int, function: int, what: str, tree: ast.Module) -> None:
        self.file, self.line, self.function, self.what, self.tree = file, line, function, what, tree

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def functions_of(tree: ast.Module) -> list[ast.FunctionDef | ast.Lambda]:
    """Every function and lambda, in an order that a change inside one of them keeps."""
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]


def changes_of(node: ast.AST, parameters: list[str]) -> Iterator[tuple[str, Any]]:
    """The ways to get one node wrong: words for it, and a function that changes a copy of the node."""
    if isinstance(node, ast.BinOp):
        if type(node.op) in BINARY:
            new = BINARY[type(node.op)]
            yield f"{type(node.op).__name__} becomes {new.__name__}", lambda n: setattr(n, "op", new())
        if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult, ast.Pow)):

            def swap(n: ast.BinOp) -> None:
                n.left, n.right = n.right, n.left

            yield "operands swapped", swap
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield (
            f"{type(node.op).__name__} dropped",
            lambda n: setattr(n, "op", ast.UAdd() if isinstance(n.op, ast.USub) else ast.Not()),
        )
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        other = COMPARE[type(node.ops[0])]
        yield (
            f"{type(node.ops[0]).__name__} becomes {other.__name__}",
            lambda n: setattr(n, "ops", [other(), *n.ops[1:]]),
        )
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"{node.value} becomes {node.value + 1}", lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield f"{node.value} becomes {not node.value}", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.BoolOp):
        yield (
            "and becomes or" if isinstance(node.op, ast.And) else "or becomes and",
            lambda n: setattr(n, "op", ast.Or() if isinstance(n.op, ast.And) else ast.And()),
        )
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in parameters:
        for name in parameters:
            if name != node.id and "g" not in (name, node.id) and _alike(name, node.id):
                yield f"{node.id} becomes {name}", lambda n, name=name: setattr(n, "id", name)


def _alike(a: str, b: str) -> bool:
    return (
        a.endswith("_shape") == b.endswith("_shape") and a != "axis" and b != "axis" and "dims" not in a + b
    )


def mutants_of(path: Path, chosen: set[int] | None = None) -> Iterator[Mutant]:
    """All mutants of a file, or of the functions with the given numbers."""
    tree = ast.parse(path.read_text())
    for number, function in enumerate(functions_of(tree)):
        if chosen is not None and number not in chosen:
            continue
        parameters = [
            a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
        ]
        body = [function.body] if isinstance(function, ast.Lambda) else function.body
        for place, node in enumerate(_inside(body)):
            for what, change in changes_of(node, parameters):
                yield _changed(path, tree, number, place, what, change)
        if isinstance(function, ast.Lambda):
            for what, wrap in (("sign", ast.USub), ("factor 2", None)):
                mutated = copy.deepcopy(tree)
                inner = functions_of(mutated)[number]
                old: Any = inner.body
                inner.body = ast.UnaryOp(wrap(), old) if wrap else ast.BinOp(ast.Constant(2), ast.Mult(), old)
                yield Mutant(
                    path.name,
                    function.lineno,
                    number,
                    f"{what}: {ast.unparse(function.body)[:60]}",
                    ast.fix_missing_locations(mutated),
                )


def _inside(body: list[Any]) -> list[ast.AST]:
    """The nodes of a function's body, without nested functions and what only makes messages."""
    found, stack = [], list(reversed(body))
    while stack:
        node = stack.pop()
        if isinstance(node, (*QUIET, ast.FunctionDef, ast.Lambda)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            continue
        found.append(node)
        stack += reversed(list(ast.iter_child_nodes(node)))
    return found


def _changed(path: Path, tree: ast.Module, number: int, place: int, what: str, change: Any) -> Mutant:
    mutated = copy.deepcopy(tree)
    function = functions_of(mutated)[number]
    node = _inside([function.body] if isinstance(function, ast.Lambda) else function.body)[place]
    before = ast.unparse(node)[:50]
    change(node)
    return Mutant(
        path.name,
        getattr(node, "lineno", function.lineno),
        number,
        f"{what} in `{before}`",
        ast.fix_missing_locations(mutated),
    )


# Derivative rules: changed in this process, and checked by the registry's own test


def codes_of(code: CodeType) -> list[CodeType]:
    """A code object and all inside it, in source order."""
    return [code] + [c for inner in code.co_consts if isinstance(inner, CodeType) for c in codes_of(inner)]


def place_of(code: CodeType) -> tuple[Any, ...]:
    """Where a code object stands in its file."""
    return (
        code.co_firstlineno,
        code.co_name,
        next(((p[0], p[2]) for p in code.co_positions() if p[2]), None),
        code.co_code,
    )


def rule_functions(module: ModuleType) -> dict[Any, FunctionType]:
    """The functions that a module's derivatives run: the rules and what they call in the module."""
    from tinygrad_dl.op import OPS

    found: dict[Any, FunctionType] = {}
    stack = [
        rule
        for op in OPS.values()
        for rule in (*op.rules, *(op.fast or ()))
        if isinstance(rule, FunctionType) and rule.__module__ == module.__name__
    ]
    while stack:
        function = stack.pop()
        if place_of(function.__code__) in found:
            continue
        found[place_of(function.__code__)] = function
        for name in function.__code__.co_names:
            called = vars(module).get(name)
            if (
                isinstance(called, FunctionType)
                and called.__module__ == module.__name__
                and not hasattr(called, "op")
            ):
                stack.append(called)
    return found


def rule_mutants(only: str | None) -> Iterator[tuple[ModuleType, FunctionType, CodeType, Mutant]]:
    """Each mutant of each rule: the function and its changed code."""
    import tinygrad_dl.ops

    for info in pkgutil.iter_modules(tinygrad_dl.ops.__path__, "tinygrad_dl.ops."):
        if only is not None and only not in info.name:
            continue
        module = importlib.import_module(info.name)
        live = rule_functions(module)
        path = Path(str(module.__file__))
        original = [place_of(c) for c in codes_of(compile(path.read_text(), str(path), "exec"))]
        tree = ast.parse(path.read_text())
        lines = {place[0] for place in live}
        chosen = {n for n, f in enumerate(functions_of(tree)) if f.lineno in lines}
        for mutant in mutants_of(path, chosen):
            codes = codes_of(compile(mutant.tree, str(path), "exec"))
            for place, code in zip(original, codes):
                if (
                    place in live
                    and code != live[place].__code__
                    and code.co_code + bytes(str(code.co_consts), "utf8") != b""
                ):
                    yield module, live[place], code, mutant
                    break


def run_rules(only: str | None) -> list[str]:
    """Plant every fault in the rules; the survivors of the registry's test, then of the tests of edges."""
    survivors, count = [], 0
    probe = importlib.import_module("tinygrad_dl.ops.elementwise")
    untouched = next(iter(rule_functions(probe).values()))
    if _noticed_in_child(probe, untouched, untouched.__code__):
        sys.exit("the tests fail without any fault: mend them first")
    for module, function, code, mutant in rule_mutants(only):
        count += 1
        if not _noticed_in_child(module, function, code):
            survivors.append(mutant)
        if count % 200 == 0:
            print(f"  {count} faults planted in rules, {len(survivors)} not yet noticed", flush=True)
    print(f"rules: {count} faults, {count - len(survivors)} noticed, {len(survivors)} survive", flush=True)
    return [str(m) for m in survivors]


def _noticed_in_child(module: ModuleType, function: FunctionType, code: CodeType) -> bool:
    """Whether the tests fail with the changed code, in a process of its own."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        function.__code__ = code
        os._exit(int(_tests_fail(module, function)))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return True  # it hangs: noticed


def _tests_fail(module: ModuleType, function: FunctionType) -> bool:
    import pytest

    from tests import test_registry
    from tinygrad_dl.op import OPS

    users = [op for op in OPS.values() if function in (*op.rules, *(op.fast or ()))]
    users = users or [op for op in OPS.values() if op.forward.__module__ == module.__name__]
    for op in users:
        for case in test_registry.cases_of(op):
            try:
                test_registry.check_orders(op, case, test_registry.seed_of(op, case))
            except Exception:
                return True
    edges = [str(ROOT / "tests" / name) for name in ("ops", "nn", "test_traps.py")]
    quiet = ["-q", "-x", "-p", "no:cacheprovider", "-k", "not optimizers"]
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # pytest was imported before it was run
    return pytest.main([*quiet, *edges]) != 0


# The engine: each fault in a copy of the package, checked by the tests that stand on it


def run_engine(only: str | None) -> list[str]:
    """Plant every fault in the engine's files; which of them the tests do not notice."""
    mutants = [
        m
        for name in ENGINE_FILES
        if only is None or only in name
        for m in mutants_of(ROOT / "tinygrad_dl" / name)
    ]
    with ThreadPoolExecutor(WORKERS) as pool:
        noticed = []
        for i, result in enumerate(pool.map(_noticed_in_copy, mutants)):
            noticed.append(result)
            if i % 50 == 49:
                print(
                    f"  {i + 1} of {len(mutants)} in the engine, {noticed.count(False)} survive", flush=True
                )
    survivors = [str(m) for m, seen in zip(mutants, noticed) if not seen]
    print(f"engine: {len(mutants)} faults, {len(mutants) - len(survivors)} noticed, {len(survivors)} survive")
    return survivors


def _noticed_in_copy(mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder)
        for name in ("tinygrad_dl", "nn", "optim", "tests"):
            shutil.copytree(ROOT / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, copied / name)
        (copied / "tinygrad_dl" / mutant.file).write_text(ast.unparse(mutant.tree))
        tests = [t for t in ENGINE_TESTS if (copied / t).is_file()]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {
            "PYTHONPATH": folder, "HYPOTHESIS_PROFILE": "dev", "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        try:
            run = subprocess.run(
                command, cwd=copied, env=environment, capture_output=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired:
            return True
        return run.returncode != 0


def main() -> None:
    """Plant the faults that were asked for and print which survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", action="store_true", help="the derivative rules only")
    parser.add_argument("--engine", action="store_true", help="the engine's files only")
    parser.add_argument("--only", help="files whose name holds this")
    parser.add_argument("--json", type=Path, help="write the survivors to this file")
    chosen = parser.parse_args()
    both = not (chosen.rules or chosen.engine)
    survivors: list[str] = []
    if chosen.rules or both:
        survivors += run_rules(chosen.only)
    if chosen.engine or both:
        survivors += run_engine(chosen.only)
    for line in survivors:
        print("survives:", line)
    if chosen.json:
        chosen.json.write_text(json.dumps(survivors, indent=1) + "\n")


if __name__ == "__main__":
    main()
