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
