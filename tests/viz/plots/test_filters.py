"""Filters as images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.viz.plots.figures import drawn
from tinygrad_dl import nn, viz
from tinygrad_dl.errors import ShapeError

pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib")


def test_filters_and_rows_of_a_linear_layer_are_drawn(tmp_path: Path) -> None:
    assert len(viz.plot_filters(np.zeros((5, 1, 3, 3)), columns=2).axes) == 5
    assert len(viz.plot_filters(nn.Linear(9, 4).weight.data.reshape(-1, 3, 3)).axes) == 4
    drawn(viz.plot_filters(np.random.default_rng(0).normal(size=(2, 3, 5, 5))), tmp_path)
    with pytest.raises(ShapeError, match=r"weight\.data\.reshape"):
        viz.plot_filters(np.zeros((4, 9)))
