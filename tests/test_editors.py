"""Editors and type checkers find the whole package after the documented installs, in any directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layout import ROOT, files
from tests.test_packaging import build, look, names_in, new_environment, pip

# A user's program. reveal_type makes a checker print a type: one that is not found prints Unknown or Any.
PROGRAM = """
import numpy as np
import tinygrad_dl as tg
import tinygrad_dl.nn.utils
from tinygrad_dl import data, nn, optim, train, viz
from tinygrad_dl.nn.functional import relu
from tinygrad_dl.optim import lr_scheduler

model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
loss_of, optimizer = nn.MSELoss(), optim.Adam(model.parameters(), lr=0.05)
schedule = lr_scheduler.ExponentialLR(optimizer, 0.99)
x, y = tg.asarray(np.zeros((4, 2))), tg.asarray([[0.0], [1.0], [1.0], [0.0]])
for step in range(10):
    optimizer.zero_grad()
    loss_of(model(x), y).backward()
    optimizer.step()
reveal_type(x)
reveal_type(model)
reveal_type(optimizer)
"""
TYPES = ("Tensor", "Sequential", "Adam")


def copy_repository(folder: Path) -> Path:
    for path in files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, as a clone has it, in which the package was installed with `pip install -e`."""
    return copy_repository(tmp_path_factory.mktemp("editable") / "repository")


@pytest.fixture(scope="module")
def python(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with NumPy and the editable install. Nothing is downloaded."""
    folder = tmp_path_factory.mktemp("environment")
    interpreter = new_environment(folder / "venv")
    wheel = build("editable", checkout, folder / "wheel")
    pip("--python", interpreter, "install", "--quiet", "--no-index", wheel, cwd=folder)
    return interpreter


@pytest.fixture(params=["elsewhere", "in the checkout"])
def program(request: pytest.FixtureRequest, checkout: Path, tmp_path: Path) -> Path:
    """The user's program. In the checkout the local folder tinygrad_dl/ comes before what is installed."""
    folder = checkout if request.param == "in the checkout" else tmp_path
    path = folder / "user_program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def check(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pyright_resolves_every_import_of_a_users_program(program: Path, python: Path) -> None:
    pytest.importorskip("pyright", reason="a type checker (extra dev)")
    output = check("pyright", "--pythonpath", python, program, cwd=program.parent)
    for name in TYPES:
        assert f'is "{name}"' in output, output


def test_mypy_resolves_every_import_of_a_users_program(program: Path, python: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="a type checker (extra dev)")
    options = ["--python-executable", python, "--cache-dir", tmp_path / "cache"]
    if program.parent == tmp_path:
        options += ["--strict", "--disallow-any-unimported"]
    output = check("mypy", *options, program, cwd=program.parent)
    for name in TYPES:
        assert f".{name}" in output, output


def test_completion_finds_the_names_of_the_parts(checkout: Path, python: Path, tmp_path: Path) -> None:
    jedi = pytest.importorskip("jedi", reason="the completion engine of IPython and Jupyter (extra docs)")
    code = "from tinygrad_dl import nn, optim\nnn.functional.rel\noptim.AdamW"
    for folder in (tmp_path, checkout):
        project = jedi.Project(folder, environment_path=python.parent.parent)
        script = jedi.Script(code, path=folder / "typed.py", project=project)
        assert "relu" in {name.name for name in script.complete(2, len("nn.functional.rel"))}
        assert "AdamW" in {name.name for name in script.complete(3, len("optim.AdamW"))}


def test_new_files_are_found_without_another_install(checkout: Path, python: Path, tmp_path: Path) -> None:
    for folder in ("tinygrad_dl", "nn", "optim"):
        path = checkout / folder / "added_later.py"
        path.write_text("answer = 42\n", encoding="utf-8")
        package = "tinygrad_dl" if folder == "tinygrad_dl" else f"tinygrad_dl.{folder}"
        code = f"from {package}.added_later import answer; print(answer)"
        done = subprocess.run(
            [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        path.unlink()
        assert done.stdout.strip() == "42", done.stderr


def test_an_editable_install_adds_no_top_level_name_but_the_package(python: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.util import find_spec\n"
        "names = 'nn', 'optim', 'tests', 'docs', 'examples', 'benchmarks', 'setup'\n"
        "print([name for name in names if find_spec(name)])"
    )
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_links_are_not_part_of_a_wheel_built_later(checkout: Path, python: Path, tmp_path: Path) -> None:
    assert (checkout / "tinygrad_dl" / "nn").samefile(checkout / "nn")
    names = names_in(build("wheel", checkout, tmp_path / "linked"))
    clean = copy_repository(tmp_path / "clean")
    assert names == names_in(build("wheel", clean, tmp_path / "wheel"))


@pytest.mark.skipif(os.name == "nt", reason="a junction cannot be broken in this way")
def test_a_second_install_repairs_links_and_leaves_folders(checkout: Path, tmp_path: Path) -> None:
    other = shutil.copytree(checkout, tmp_path / "other", symlinks=True)
    (other / "tinygrad_dl" / "nn").unlink()
    (other / "tinygrad_dl" / "nn").symlink_to("../missing")
    build("editable", other, tmp_path / "wheel")
    assert (other / "tinygrad_dl" / "nn").samefile(other / "nn")
    # A folder where the link would be: it stays, and setuptools' import hook serves instead.
    (other / "tinygrad_dl" / "nn").unlink()
    (other / "tinygrad_dl" / "nn").mkdir()
    wheel = build("editable", other, tmp_path / "wheel")
    interpreter = new_environment(tmp_path / "venv")
    pip("--python", interpreter, "install", "--quiet", "--no-index", wheel, cwd=tmp_path)
    assert look(interpreter, tmp_path)[2] == (other / "nn" / "__init__.py").resolve()
