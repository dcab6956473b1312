"""The pytest plugin in a user's own test files."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.layout import ROOT


def outcome(folder, program, *options):
    (folder / "test_it.py").write_text(
        "import numpy as np\nimport pytest\nimport tinygrad_dl as tg\n" + program
    )
    plugin = [] if _registered() else ["-p", "tinygrad_dl.testing.plugin"]
    command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-q", "-s", *options, "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("CI", None)  # there Hypothesis draws the same in every run, whatever the seed
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    return run.stdout + run.stderr


def _registered():
    from importlib.metadata import entry_points

    return any(point.value == "tinygrad_dl.testing.plugin" for point in entry_points(group="pytest11"))


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        ("tg.set_default_dtype('float64')", "the default dtype"),
        ("tg.no_grad().__enter__()", "the modes of this thread, the modes entered"),
        ("np.random.seed(1)", "the state of np.random"),
    ],
)
def test_the_fixture_fails_a_test_that_leaks(tmp_path, leak, named):
    said = outcome(
        tmp_path, f"def test_leaks(no_leaks):\n    {leak}\n\ndef test_after(no_leaks):\n    pass\n"
    )
    assert f"the test changed and did not restore: {named}" in said
    assert "2 passed, 1 error" in said  # the leak shows when the test is over


def test_the_seed_is_in_the_header_and_repeats_the_numbers(tmp_path):
    program = "def test_draws(gradcheck_rng):\n    print('drew', gradcheck_rng.random())\n"
    first = outcome(tmp_path, program, "-v", "--gradcheck-seed=7")
    assert "repeat with --gradcheck-seed=7" in first
    again = outcome(tmp_path, program, "--gradcheck-seed=7")
    other = outcome(tmp_path, program, "--gradcheck-seed=8")

    def drawn(said):
        return (
            next(line for line in said.splitlines() if "drew" in line).split("drew")[1].split()[0].rstrip(".")
        )

    assert drawn(first) == drawn(again) != drawn(other)


def test_thorough_runs_a_thousand_examples(tmp_path):
    program = (
        "from hypothesis import given, strategies as st\n"
        "seen = []\n"
        "@given(st.integers())\n"
        "def test_counts(n):\n    seen.append(n)\n"
        "def test_many():\n    print('examples', len(seen))\n    assert len(seen) >= 1000\n"
    )
    assert "2 passed" in outcome(tmp_path, program, "--gradcheck-thorough")


def test_the_workers_of_xdist_draw_from_the_seed_of_the_run(tmp_path):
    pytest.importorskip("xdist")
    program = (
        "@pytest.mark.parametrize('k', range(4))\n"
        "def test_draws(gradcheck_rng, k):\n"
        "    with open(f'drew{k}', 'w') as file:\n        file.write(str(gradcheck_rng.random()))\n"
    )

    def drawn(*options):
        said = outcome(tmp_path, program, "-v", *options)
        assert "4 passed" in said, said
        return said, [(tmp_path / f"drew{k}").read_text() for k in range(4)]

    said, first = drawn("-n", "2")
    seed = said.split("--gradcheck-seed=")[1].split()[0]
    assert len(set(first)) == 4
    assert drawn("-n", "2", f"--gradcheck-seed={seed}")[1] == first
    assert drawn(f"--gradcheck-seed={seed}")[1] == first  # and in one process


@pytest.mark.parametrize("seed", ["-1", "one", "1.5"])
def test_a_seed_that_is_none_is_refused_once(tmp_path, seed):
    said = outcome(tmp_path, "def test_nothing():\n    pass\n", f"--gradcheck-seed={seed}")
    assert f"argument --gradcheck-seed: expected an integer of at least 0, got '{seed}'" in said
    assert "passed" not in said and "Traceback" not in said


CHECKED = """
import unittest
import random
from tinygrad_dl.testing import check_backward, gradcheck, GradcheckError

def cube(x):
    return x**3

@pytest.mark.gradcheck
def test_right():
    gradcheck(tg.exp, np.random.standard_normal(3))
    check_backward(cube, lambda g, x: 3 * g * x**2, np.ones(2))

def test_expects_a_failure():
    with pytest.raises(GradcheckError):
        gradcheck(cube, np.ones(2), backward=lambda g, x: g)

def test_wrong():
    gradcheck(cube, np.ones(2), backward=lambda g, x: 2 * g * x**2)

def test_without_checks():
    pass

@pytest.mark.gradcheck
class TestCase(unittest.TestCase):
    def test_unit(self):
        gradcheck(tg.exp, self.gradcheck_rng.standard_normal(3))
        with open(f"drew{random.random()}_{np.random.random()}_{tg.rand(1).item()}", "w"):
            pass
        assert False
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_a_summary_counts_the_checks_and_names_the_failures_of_failing_tests(tmp_path, workers):
    if workers:
        pytest.importorskip("xdist")
    said = outcome(tmp_path, CHECKED, "--gradcheck-seed=5", *workers)
    assert "3 passed, 2 failed" in said or "2 failed, 3 passed" in said
    assert "gradient checks ====" in said
    assert "5 checks in 4 tests: 3 correct, 2 wrong (check_backward 1, gradcheck 4)" in said
    failures = [line for line in said.splitlines() if line.startswith("wrong: ")]
    assert len(failures) == 1 and "test_it.py::test_wrong: gradcheck of cube: input 0" in failures[0]
    assert "repeat with --gradcheck-seed=5" in said


def test_a_marked_test_draws_the_same_for_the_same_seed_in_a_testcase_too(tmp_path):
    def drawn(*options):
        outcome(tmp_path, CHECKED, *options, "-k", "unit")
        files = list(tmp_path.glob("drew*"))
        for file in files:
            file.unlink()
        return [file.name for file in files]

    assert drawn("--gradcheck-seed=5") == drawn("--gradcheck-seed=5") != drawn("--gradcheck-seed=6")


def test_a_run_without_checks_has_no_summary(tmp_path):
    assert "gradient checks ====" not in outcome(tmp_path, "def test_nothing():\n    pass\n")


def test_the_seed_of_the_run_repeats_property_tests(tmp_path):
    program = (
        "from hypothesis import given, strategies as st\n"
        "seen = []\n"
        "@given(st.integers(0, 10**9))\n"
        "def test_draws(n):\n    seen.append(n)\n"
        "def test_shows():\n    print('drew', sum(seen), 'end')\n"
    )

    def drawn(*options):
        return outcome(tmp_path, program, *options).split("drew ")[1].split(" end")[0]

    assert drawn("--gradcheck-seed=5") == drawn("--gradcheck-seed=5") != drawn("--gradcheck-seed=6")


def test_the_checks_are_assertions_of_unittest(tmp_path):
    (tmp_path / "cases.py").write_text(
        "import unittest\nimport numpy as np\nimport tinygrad_dl as tg\n"
        "from tinygrad_dl.testing import check_op, gradcheck\n"
        "class Cases(unittest.TestCase):\n"
        "    def test_right(self):\n        check_op(tg.tanh, examples=5)\n"
        "    def test_wrong(self):\n        gradcheck(np.sin, np.ones(2), backward=lambda g, x: g)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("CI", None)  # there Hypothesis draws the same in every run, whatever the seed
    run = subprocess.run(
        [sys.executable, "-m", "unittest", "cases"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert "Ran 2 tests" in run.stderr and "FAILED (failures=1)" in run.stderr, run.stderr
