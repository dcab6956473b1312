"""Loss surfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tinygrad_dl as tg
from tests.viz.plots.figures import drawn
from tinygrad_dl import viz
from tinygrad_dl.errors import ShapeError

pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib")


def bowl(x: Any, y: Any) -> Any:
    return x**2 + y**2


def scalar(x: float, y: float) -> float:
    return x**2 if x > y else y**2


@pytest.mark.parametrize("f", [bowl, scalar, lambda x, y: bowl(tg.asarray(x), tg.asarray(y))])
def test_functions_of_arrays_numbers_and_tensors_are_drawn_with_paths(f: Any, tmp_path: Path) -> None:
    ax = viz.plot_loss_surface(f, {"SGD": [(1, 1), (0.5, 0.2)]}, resolution=20, log=True)
    assert ax.get_legend().get_texts()[0].get_text() == "SGD"
    drawn(ax.figure, tmp_path)


def test_a_path_is_a_list_of_points() -> None:
    with pytest.raises(
        ShapeError, match=r"paths: expected 'a' as \(steps, 2\) with at least 1 step, got \(3,\)"
    ):
        viz.plot_loss_surface(bowl, {"a": [1, 2, 3]}, resolution=5)
