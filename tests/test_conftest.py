"""The watch over shared state finds what a test leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layout import ROOT

GUILTY = {
    "default dtype": ("set_default_dtype('float64')", "the default dtype"),
    "mode": ("no_grad().__enter__()", "the modes of this thread, the modes entered"),
    "NumPy's errors": ("np.seterr(all='raise')", "np.seterr"),
    "NumPy's generator": ("np.random.seed(1)", "the state of np.random"),
    "directory": ("os.chdir('/')", "the working directory"),
}
HEAD = """
import os
import hypothesis, hypothesis.strategies as st
import numpy as np
from tinygrad_dl.config import default_rng, manual_seed, set_default_dtype
from tinygrad_dl.modes import active, is_grad_enabled, no_grad
from tinygrad_dl.op import OPS, op
drawn = []
"""
INNOCENT = """
def test_innocent():
    assert is_grad_enabled() and not active and "mine" not in OPS
"""


def outcome(folder: Path, program: str) -> str:
    """What pytest says of a test file under this repository's conftest."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(HEAD + program)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--tb=short",
        ".",
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    ).stdout


def test_a_test_that_leaks_fails_and_the_next_one_does_not(tmp_path: Path) -> None:
    guilty = [f"def test_{i}():\n    {line}\n" for i, (line, _) in enumerate(GUILTY.values())]
    said = outcome(
        tmp_path, "\n".join(test + INNOCENT.replace("nt()", f"nt_{i}()") for i, test in enumerate(guilty))
    )
    leaks = [line.split("restore: ")[1] for line in said.splitlines() if line.startswith("the test changed")]
    assert leaks == [name for _, name in GUILTY.values()], said
    assert f"{2 * len(GUILTY)} passed" in said and f"{len(GUILTY)} errors" in said


def test_an_operation_defined_in_a_test_is_gone_in_the_next(tmp_path: Path) -> None:
    define = "def test_define():\n    @op(lambda g: g)\n    def mine(x, /):\n        return x\n"
    assert "2 passed" in outcome(tmp_path, define + INNOCENT)


@pytest.mark.parametrize("decorated", ["", "@hypothesis.given(st.integers(0, 3))\n"])
def test_every_test_and_every_example_starts_from_the_same_seed(decorated: str, tmp_path: Path) -> None:
    argument = "_" if decorated else ""
    tests = "".join(
        f"{decorated}def test_{i}({argument}):\n    drawn.append(default_rng().integers(2**62))\n"
        for i in range(2)
    )
    assert "3 passed" in outcome(tmp_path, tests + "def test_same():\n    assert len(set(drawn)) == 1\n")
