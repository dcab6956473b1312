"""The origin of values that are not finite."""

from __future__ import annotations

import numpy as np

from tests.leaves import leaf
from tinygrad_dl import sqrt, viz


def bad(view: viz.GraphView) -> dict[str, str]:
    return {node.op or node.name or node.label: node.bad for node in view.full.nodes if node.bad}


def test_the_first_nan_is_the_origin_and_what_it_reached_the_path() -> None:
    x = leaf([1.0, -1.0])
    with np.errstate(invalid="ignore"):
        view = viz.draw(lambda: (x.log() * 2).sum() + x.sum(), color="nan")
    assert bad(view) == {"log": "origin", "multiply": "path", "sum": "path", "add": "path"}


def test_the_origin_is_found_without_a_recording_from_what_the_graph_keeps() -> None:
    x = leaf([1.0, -1.0])
    with np.errstate(invalid="ignore"):
        y = (sqrt(x) * 2).exp().sum()
    assert bad(viz.draw(y, color="nan"))["sqrt"] == "origin"


def test_a_nan_that_was_put_in_is_its_own_origin() -> None:
    x = leaf([1.0, np.nan])
    assert bad(viz.draw(lambda: (x * 2).sum(), names={"x": x}, color="nan"))["x"] == "origin"


def test_an_infinite_gradient_of_finite_values_has_its_origin_too() -> None:
    x = leaf([1.0, 0.0])
    with np.errstate(all="ignore"):
        view = viz.draw(lambda: (sqrt(x * 1) * 2).sum(), color="nan")
    assert bad(view)["sqrt"] == "origin"
    assert view.full.notes == ["the values are finite; the gradient is not"]


def test_a_healthy_graph_has_nothing_marked() -> None:
    assert bad(viz.draw(lambda: leaf([1.0, 2.0]).sum() * 2, color="nan")) == {}
