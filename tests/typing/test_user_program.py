"""Types as a user's type checker sees them: a Tensor in is a Tensor out, an array in is an array out."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it is installed, nn and optim inside."""
    folder = tmp_path_factory.mktemp("installed")
    package = folder / "tinygrad_dl"
    compiled = shutil.ignore_patterns("__pycache__")
    # An editable install has linked nn and optim into the package already.
    linked = shutil.ignore_patterns("__pycache__", "nn", "optim", "course")
    shutil.copytree(ROOT / "tinygrad_dl", package, ignore=linked)
    for name in ("nn", "optim"):
        shutil.copytree(ROOT / name, package / name, ignore=compiled)
    for name in ("program.py", "mistakes.py"):
        shutil.copy(HERE / name, folder)
    return folder


def checked(checker: str, folder: Path, program: str) -> str:
    """What a type checker says of a program, or skip where the checker is not installed."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    # What is inside the package is held by `make types`; here only the user's lines count.
    options = ["--follow-imports=silent", "--no-incremental"] if checker == "mypy" else []
    command = [sys.executable, "-m", checker, *options, program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_users_program_has_the_types_that_it_says(checker: str, installed: Path) -> None:
    text = checked(checker, installed, "program.py")
    assert "error" not in re.sub(r"\b0 errors", "", text), text


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_users_mistakes_are_found(checker: str, installed: Path) -> None:
    text = checked(checker, installed, "mistakes.py")
    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+)(?::\d+)?(?::| -) error", text)}
    lines = (HERE / "mistakes.py").read_text(encoding="utf-8").splitlines()
    assert found == {number for number, line in enumerate(lines, 1) if "  # wrong" in line}, text
