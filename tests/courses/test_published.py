"""The courses' published results: the first ones of each training are reproduced in every printed digit."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.layout import ROOT
from tinygrad_dl.course import EXPERIMENTS
from tinygrad_dl.course.record import Row, compare

pytest.importorskip("sklearn", reason="the figures in the plane are scikit-learn's")

FOLDERS = [Path(os.environ.get("TINYGRAD_DL_COURSE_DATA", "")), ROOT.parent / "shared" / "data"]


def data(name: str) -> Path:
    """Return the folder with the files that the experiment requires, or skip the test."""
    files = import_module(f"tinygrad_dl.course.{name}").REQUIRED_FILES
    for folder in FOLDERS:
        if all((folder / file).is_file() for file in files):
            return folder
    pytest.skip(f"{', '.join(files)} of the course are not available: set TINYGRAD_DL_COURSE_DATA")


def rows(name: str, **options: Any) -> dict[str, Row]:
    script = import_module(f"tinygrad_dl.course.{name}")
    made = compare(script.PUBLISHED, script.run(**options), getattr(script, "CHAOTIC", None))
    return {row.name: row for row in made}


def agreeing(found: dict[str, Row], *wanted: str) -> bool:
    """Whether these results, and all others, are the published ones in every digit."""
    assert set(wanted) <= set(found)
    assert [row for row in found.values() if row.verdict == "DIFFERS"] == []
    return all(found[what].published and found[what].verdict == "same" for what in wanted)


def test_the_planar_flower_costs_what_the_notebook_prints() -> None:
    found = rows("planar_flower", iterations=2001, sizes=())
    assert agreeing(found, *(f"cost, iteration {i}" for i in (0, 1000, 2000)))


def test_circles_with_three_initializations_cost_what_the_notebook_prints() -> None:
    found = rows("initialization", iterations=2001)
    assert agreeing(found, *(f"He: cost, iteration {i}" for i in (0, 1000, 2000)), "zeros: cost, iteration 0")


def test_moons_by_three_optimizers_cost_what_the_notebook_prints() -> None:
    found = rows("optimizers", epochs=1001)
    names = ("gradient descent", "momentum", "Adam")
    assert agreeing(found, *(f"{name}: cost, epoch {epoch}" for name in names for epoch in (0, 1000)))


def test_a_correct_backward_differs_by_1e_9_and_injected_mistakes_are_found() -> None:
    found = rows("gradient_checking")
    assert agreeing(found, *list(found)[:3])
    assert found["difference, autograd"].measured < 2e-9


def test_regularization_costs_what_the_notebook_prints() -> None:
    found = rows("regularization", data=data("regularization"), iterations=1)
    assert agreeing(found, *(f"{way}: cost, iteration 0" for way in ("none", "L2", "dropout")))


@pytest.mark.parametrize("name", ["cats_logistic", "cats_two_layer", "cats_deep"])
def test_the_cats_cost_what_the_notebook_prints(name: str) -> None:
    pytest.importorskip("h5py", reason="the cats are HDF5 files")
    found = rows(name, data=data(name), iterations=101)
    assert agreeing(found, "cost, iteration 0", "cost, iteration 100")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_a_script_with_a_title_and_a_run(name: str) -> None:
    script = import_module(f"tinygrad_dl.course.{name}")
    assert script.TITLE and script.__doc__ and callable(script.run)
    text = Path(script.__file__ or "").read_text(encoding="utf-8")
    assert text.endswith('if __name__ == "__main__":\n    show(globals())\n')
    assert set(getattr(script, "CHAOTIC", {})) <= set(getattr(script, "PUBLISHED", {}))


def test_every_script_in_the_folder_is_an_experiment_or_belongs_to_all() -> None:
    found = {path.stem for path in (ROOT / "examples" / "course").glob("*.py")}
    assert found - set(EXPERIMENTS) == {"__init__", "digits", "network", "record", "runner"}
