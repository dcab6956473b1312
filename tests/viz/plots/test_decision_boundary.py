"""Decision boundaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.viz.plots.figures import axes, drawn
from tinygrad_dl import nn, viz
from tinygrad_dl.errors import ShapeError, ValueRangeError

pytest.importorskip("matplotlib", reason="plots are matplotlib's")


X = np.random.default_rng(0).normal(size=(30, 2))


Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: (x[:, 0] > 0).astype(int),
        lambda x: x[:, 0],  # logits
        lambda x: 1 / (1 + np.exp(-x[:, :1])),  # probabilities
        lambda x: np.stack((-x[:, 0], x[:, 0]), axis=1),
        lambda x: tg.asarray(x)[:, 0],
    ],
)
def test_the_boundary_is_that_of_classes_logits_and_probabilities(model: Any) -> None:
    ax = viz.plot_decision_boundary(model, X, Y, resolution=21)
    regions = ax.collections[0].get_array().reshape(21, 21)
    places = np.linspace(*ax.get_xlim(), 21)
    np.testing.assert_array_equal(regions, np.broadcast_to(places > 0, (21, 21)))


def test_the_boundary_of_a_module_leaves_its_mode_and_takes_one_hot_classes(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    before = model.state_dict()
    ax = viz.plot_decision_boundary(model, X, np.eye(3)[Y], resolution=30, classes=["a", "b"], ax=axes())
    assert model.training and [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    drawn(ax.figure, tmp_path)


def test_points_of_the_course_the_wrong_way_round_are_recognized() -> None:
    with pytest.raises(
        ShapeError, match=r"It looks like \(features, examples\), as in the course: pass X\.T"
    ):
        viz.plot_decision_boundary(lambda x: x, X.T, Y[None])
    with pytest.raises(ShapeError, match=r"expected points in the plane, X of shape \(N, 2\), got \(30, 3\)"):
        viz.plot_decision_boundary(lambda x: x, np.zeros((30, 3)), Y)
    with pytest.raises(ShapeError, match=r"expected one class per point, y of shape \(30,\)"):
        viz.plot_decision_boundary(lambda x: x, X, Y[:4])
    with pytest.raises(ValueRangeError, match="Is this a regression"):
        viz.plot_decision_boundary(lambda x: x, X, Y + 0.5)
    with pytest.raises(ShapeError, match=r"points, got \(\)"):
        viz.plot_decision_boundary(lambda x: 3.0, X, Y)
