"""Collapsing: modules by depth and graphs that are too long; whatever is collapsed is in the notes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaves import leaf
from tests.viz.examples import Scale, Tower, consistent
from tinygrad_dl import Tensor, nn, viz


def tower(count: int, **how: object) -> viz.GraphView:
    model = Tower(count)
    return viz.draw(model(Tensor([1.0], name="x")).sum(), model=model, **how)


@pytest.mark.parametrize(("depth", "boxes"), [(0, 1), (1, 3), (2, 2), (9, 0)])
def test_modules_are_folded_below_the_depth(depth: int, boxes: int) -> None:
    graph = tower(2, depth=depth).graph
    consistent(graph)
    collapsed = [node.label for node in graph.nodes if node.kind == "module"]
    assert len(collapsed) == boxes, collapsed


def test_a_folded_module_sums_up_what_it_holds() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    out = model(Tensor(np.ones((4, 3), np.float32), name="x"))
    (box,) = [n for n in viz.draw(out.sum(), model=model, depth=0).graph.nodes if n.kind == "module"]
    assert (box.label, box.shape, box.count) == ("Sequential", (4, 2), 3)
    assert box.options == {"parameters": "32"}
    assert box.cost["multiply_adds"] == 4 * 3 * 5 + 4 * 5 * 2


def test_the_gain_of_a_folded_module_is_that_of_its_whole_inside() -> None:
    model = Scale(3.0)
    x = leaf([1.0, 2.0])
    (box,) = [n for n in viz.draw(model(x * 1).sum(), depth=0).graph.nodes if n.kind == "module"]
    assert box.gain == pytest.approx(3.0)


def test_a_long_loop_without_modules_folds_by_itself_and_says_so() -> None:
    x = y = leaf(1.0)
    for _ in range(1000):
        y = (y * 2).tanh()
    view = viz.draw(y)
    consistent(view.graph)
    assert len(view.graph.nodes) < 20
    assert any(node.repeat > 900 for node in view.graph.nodes)
    (note,) = view.graph.notes
    assert note.startswith("collapsed from 3001 boxes to") and note.endswith("max_nodes=3001 shows all.")
    assert note in view.source and note in view.text()
    assert len(viz.draw(y, max_nodes=3001).graph.nodes) == 3001
    assert x is not None


def test_many_modules_are_folded_until_they_fit() -> None:
    model = nn.Sequential(*[nn.Linear(i + 1, i + 2) for i in range(40)])
    view = viz.draw(model(Tensor(np.ones((1, 1), np.float32))).sum(), model=model, max_nodes=60)
    consistent(view.graph)
    assert len(view.graph.nodes) <= 60 and "modules below depth 1" in view.graph.notes[0]


def test_an_error_and_a_nan_show_through_a_folded_box() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 5))
    view = viz.draw(model, inputs=(Tensor(np.ones((1, 2), np.float32)),), depth=0)
    (box,) = [node for node in view.graph.nodes if node.kind == "module"]
    assert "ShapeError" in box.error and "ShapeError" in view.source


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 4), st.integers(2, 60), st.booleans())
def test_every_fold_is_a_consistent_graph(a: int, b: int, depth: int, most: int, repeats: bool) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            self.one, self.two = Tower(a), Tower(b)

        def forward(self, x: Tensor) -> Tensor:
            h = self.one(x)
            return self.two(h) + h * x

    model = Both()
    out = model(Tensor([1.0, 2.0], name="x")).sum()
    for level in (depth, None):
        consistent(viz.draw(out, model=model, depth=level, max_nodes=most, repeats=repeats).graph)
