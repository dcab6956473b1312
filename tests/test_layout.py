"""The house as it was designed: imports go down the floors, files stay small, every package is installed."""

from __future__ import annotations

import ast
import configparser
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import layout
from tests.layout import FLOORS, PACKAGES, ROOT, files
from tinygrad_dl.op import OPS


def python_files() -> list[str]:
    return [path for path in files() if path.endswith(".py")]


@cache
def modules() -> dict[str, Path]:
    """Import name -> file, for every module of the installed packages."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).glob("*.py")):
            found[package if path.stem == "__init__" else f"{package}.{path.stem}"] = path
    return found


def imported_names(tree: ast.AST, at_once: bool = False) -> Iterator[str]:
    """Each module a file imports, wherever the import stands; those under `if TYPE_CHECKING:` excepted.

    `at_once`: only what importing the file imports, not what its functions import when they are called.
    """
    children: Iterable[ast.AST] = ast.iter_child_nodes(tree)
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        children = tree.orelse
    elif at_once and isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        children = ()
    elif isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        for alias in tree.names:
            name = f"{tree.module}.{alias.name}"
            yield name if name in modules() else str(tree.module)
    for child in children:
        yield from imported_names(child, at_once)


def imports_of(path: Path, at_once: bool = False) -> set[str]:
    return set(imported_names(ast.parse(path.read_text(encoding="utf-8")), at_once))


def place(module: str) -> tuple[int, int] | None:
    """Floor and room of a module: those of its longest listed prefix. The roof counts for itself only."""
    name = module
    while name:
        for floor, rooms in enumerate(FLOORS):
            for room, members in enumerate(rooms):
                if name in members and (name != "tinygrad_dl" or module == "tinygrad_dl"):
                    return floor, room
        name = name.rpartition(".")[0]
    return None


def misplaced_imports(module: str, path: Path) -> list[str]:
    here = place(module)
    assert here is not None, f"{module} stands on no floor: add it to FLOORS in tests/layout.py"
    wrong = []
    for name in sorted(imports_of(path)):
        if name.split(".")[0] != "tinygrad_dl":
            continue
        there = place(name)
        assert there is not None, f"{module} imports {name}, which stands on no floor"
        if there[0] > here[0] or (there[0] == here[0] and there[1] != here[1]):
            wrong.append(f"{module} imports {name}")
    return wrong


@pytest.mark.parametrize("module", list(modules()))
def test_imports_go_down_the_floors(module: str) -> None:
    assert misplaced_imports(module, modules()[module]) == []


def test_an_import_that_goes_up_is_found(tmp_path: Path) -> None:
    file = tmp_path / "optimizer.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "from tinygrad_dl.graph import Node\n"
        "if TYPE_CHECKING:\n    from tinygrad_dl.cli import main\n"
        "def late():\n    from tinygrad_dl import nn\n"
    )
    assert misplaced_imports("tinygrad_dl.optim.optimizer", file) == [
        "tinygrad_dl.optim.optimizer imports tinygrad_dl.nn"
    ]
    assert misplaced_imports("tinygrad_dl.graph", file) == ["tinygrad_dl.graph imports tinygrad_dl.nn"]
    assert misplaced_imports("tinygrad_dl.viz.formats.dot", file) == []


def test_the_engine_imports_numpy_and_the_standard_library_only() -> None:
    roof = place("tinygrad_dl")
    assert roof is not None
    for module, path in modules().items():
        floor = place(module)
        if floor is None or floor > roof:
            continue
        outside = {name.split(".")[0] for name in imports_of(path, at_once=True)} - sys.stdlib_module_names
        allowed = layout.HARD_DEPENDENCIES | {"tinygrad_dl"}
        assert outside <= allowed, f"{module} imports {sorted(outside - allowed)}"


def test_only_the_backend_names_cupy() -> None:
    naming = [
        module
        for module, path in modules().items()
        if any(name.split(".")[0] == layout.ONLY_BACKEND_NAMES for name in imports_of(path))
    ]
    assert set(naming) <= {"tinygrad_dl.backend"}


@pytest.mark.parametrize("path", python_files())
def test_imports_are_absolute(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    relative = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert relative == [], f"{path}: relative imports on lines {relative}"


def cycle_among(edges: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, in order; empty if there is none."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(edges[start])))]
        while stack:
            module, rest = stack[-1]
            if len(path) < len(stack):
                path.append(module)
            following = next((name for name in rest if name not in done and name in edges), None)
            if following is None:
                done.add(module)
                stack.pop()
                path.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            else:
                stack.append((following, iter(sorted(edges[following]))))
    return []


def test_no_import_closes_a_cycle() -> None:
    roof = {"tinygrad_dl"}  # a module may read a submodule through the package that gathers it
    edges = {module: imports_of(path, at_once=True) - roof for module, path in modules().items()}
    assert cycle_among({module: names - {module} for module, names in edges.items()}) == []


def test_a_cycle_is_found() -> None:
    assert cycle_among({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert cycle_among({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_every_folder_with_code_is_a_package_of_the_layout() -> None:
    folders = {
        Path(path).parent.as_posix()
        for path in python_files()
        if path.split("/")[0] in {"tinygrad_dl", "nn", "optim", "examples"}
    }
    assert folders == set(PACKAGES.values()), "name the folder in tests/layout.py and in setup.cfg"


def test_setup_cfg_installs_the_packages_of_the_layout() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = setup["options"]["packages"].split()
    mapped = dict(line.split(" = ") for line in setup["options"]["package_dir"].strip().splitlines())
    assert sorted(listed) == sorted(PACKAGES)
    assert {name: mapped.get(name, name.replace(".", "/")) for name in listed} == PACKAGES


def test_names_of_files_say_what_is_inside() -> None:
    vague = [
        path
        for path in python_files()
        for part in (Path(path), *Path(path).parents)
        if part.stem in layout.FORBIDDEN_NAMES and part.as_posix() not in layout.NAME_EXCEPTIONS
    ]
    assert vague == []


@pytest.mark.parametrize("folder", ["tinygrad_dl", "nn", "optim"])
def test_what_a_package_offers_stands_in_its_all(folder: str) -> None:
    """Type checkers and the documentation take a name without it for a private one."""
    tree = ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert imported <= set(listed)


@pytest.mark.parametrize("path", layout.VENDORED)
def test_what_is_vendored_is_described_and_unchanged(path: str) -> None:
    described = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    assert Path(path).name in described
    assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() in described


def test_type_checkers_see_every_operation_that_the_roof_offers() -> None:
    """At run time the registry fills the roof; type checkers read its star imports, a line a family."""
    import tinygrad_dl

    tree = ast.parse((ROOT / "tinygrad_dl" / "__init__.py").read_text(encoding="utf-8"))
    starred = {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    }
    offered = {
        op.forward.__module__
        for name, op in OPS.items()
        if getattr(tinygrad_dl, name, None) is op.function
        and op.forward.__module__.startswith("tinygrad_dl.ops.")
    }
    assert starred == offered, "a line a family under TYPE_CHECKING in tinygrad_dl/__init__.py"


def texts() -> Iterator[tuple[str, int, str]]:
    """Every line of every text file of our own: path, number, text."""
    for path in files():
        if path in layout.VENDORED:
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield path, number, line


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    somewhere = re.compile(r"(?<![\w.}*)])/(?:work|root|home|Users)/\w")
    assert [f"{path}:{number}" for path, number, line in texts() if somewhere.search(line)] == []


def test_no_file_leaves_work_for_later() -> None:
    later = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [f"{path}:{n}" for path, n, line in texts() if path.endswith(".py") and later.search(line)]
    assert found == []
