"""The further experiments: each runs at a small size, gives finite results and saves its figure."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.courses.test_published import data
from tinygrad_dl.course import FURTHER

pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
pytest.importorskip("matplotlib", reason="each experiment saves a figure")

SMALL: dict[str, dict[str, Any]] = {
    "few_digits": {"epochs": 1, "seeds": 1},
    "random_and_grid_search": {"epochs": 1, "side": 2},
    "mnist_cnn": {"epochs": 1, "train_on": 256},
    "batch_norm_graph": {},
    "im2col": {},
}


def measured(name: str, out: Path, **options: Any) -> dict[str, float]:
    script = import_module(f"tinygrad_dl.course.{name}")
    if hasattr(script, "REQUIRED_FILES"):
        options["data"] = data(name)
    return script.run(out=out, **options)


@pytest.mark.parametrize("name", FURTHER)
def test_the_experiment_runs_and_saves_its_figure(name: str, tmp_path: Path) -> None:
    results = measured(name, tmp_path / "made", **SMALL.get(name, {"epochs": 1}))
    assert results and all(math.isfinite(value) for value in results.values())
    assert all(0 <= value <= 100 for what, value in results.items() if what.endswith("%"))
    assert [path.stem for path in (tmp_path / "made").iterdir()] == [name]


def test_batch_norm_step_by_step_has_the_gradients_of_formula_and_fused_operation(tmp_path: Path) -> None:
    results = measured("batch_norm_graph", tmp_path)
    assert len(results) == 3 and max(results.values()) < 1e-8


def test_a_convolution_is_the_product_with_the_columns(tmp_path: Path) -> None:
    results = measured("im2col", tmp_path)
    assert results["largest difference of product and convolution"] < 1e-12
    assert results["columns: windows"] == 4 and results["rows of the columns: numbers in a window"] == 9


def test_the_gradient_of_softmax_regression_is_its_formula(tmp_path: Path) -> None:
    results = measured("softmax_regression", tmp_path, epochs=5)
    assert results["largest difference of the gradient from its formula"] < 1e-6
    assert results["dev accuracy, %"] > 90


def test_early_stopping_keeps_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    results = measured("early_stopping", tmp_path, epochs=120)
    assert results["epochs until it stops"] < 120
    assert results["dev loss of the weights kept"] < results["dev loss after 120 epochs"]
