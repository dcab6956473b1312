"""Folding: modules by depth, repeated blocks, and graphs that are too long; nothing is lost without a word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaves import leaf
from tests.viz.examples import Scale, Tower
from tinygrad_dl import Tensor, nn, viz
from tinygrad_dl.viz.graph.model import GraphModel
from tinygrad_dl.viz.graph.repeats import runs


def tower(count: int, **how: object) -> viz.GraphView:
    model = Tower(count)
    return viz.draw(model(Tensor([1.0], name="x")).sum(), model=model, **how)


def consistent(graph: GraphModel) -> None:
    """Edges join nodes that are there, and go forward; ids are unique; boxes exist."""
    order = {node.id: i for i, node in enumerate(graph.nodes)}
    assert len(order) == len(graph.nodes)
    assert len({edge.id for edge in graph.edges}) == len(graph.edges)
    modules = {module.id for module in graph.modules}
    assert all(node.module in modules | {""} for node in graph.nodes)
    assert all(module.parent in modules | {""} for module in graph.modules)
    for edge in graph.edges:
        assert order[edge.source] < order[edge.target], edge
    for event in graph.events:
        assert event["node"] in order
        for part in event.get("parts", ()):
            assert part["to"] in order
    for box in graph.hidden.values():
        assert box in order


@pytest.mark.parametrize(("depth", "boxes"), [(0, 1), (1, 3), (2, 2), (9, 0)])
def test_modules_are_folded_below_the_depth(depth: int, boxes: int) -> None:
    graph = tower(2, depth=depth).graph
    consistent(graph)
    folded = [node.label for node in graph.nodes if node.kind == "module"]
    assert len(folded) == boxes, folded


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


def test_repeated_blocks_are_drawn_once_with_their_number() -> None:
    view = tower(5)
    consistent(view.graph)
    repeats = {module.path: module.repeat for module in view.graph.modules}
    assert repeats["blocks.0"] == 5 and "blocks.1" not in repeats
    assert "blocks.0: Residual  \u00d75" in view.source


def test_two_equal_blocks_are_no_repetition() -> None:
    assert all(module.repeat == 1 for module in tower(2).graph.modules)


def test_repeats_can_be_switched_off() -> None:
    view = tower(5, repeats=False)
    assert [m.path for m in view.graph.modules if m.kind == "Residual"] == [f"blocks.{i}" for i in range(5)]


def test_blocks_of_other_sizes_are_not_taken_for_repeats() -> None:
    sizes = [3, 4, 5, 6, 7]
    model = nn.Sequential(*[nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])])
    view = viz.draw(model(Tensor(np.ones((1, 3), np.float32))).sum(), model=model)
    assert all(module.repeat == 1 for module in view.graph.modules)


def test_layers_that_alternate_repeat_as_a_pair() -> None:
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(3, 3), nn.ReLU())])
    view = viz.draw(model(Tensor(np.ones((1, 3), np.float32), name="x")).sum(), model=model)
    consistent(view.graph)
    assert [(m.kind, m.repeat) for m in view.graph.modules] == [
        ("Sequential", 1),
        ("Linear", 4),
        ("ReLU", 4),
    ]


def test_a_cell_that_is_called_in_a_loop_is_drawn_once() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            self.cell = Tower(1).last

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(7):
                x = self.cell(x)
            return x

    model = Loop()
    view = viz.draw(model(Tensor([1.0])).sum(), model=model)
    consistent(view.graph)
    assert [(m.path, m.repeat) for m in view.graph.modules] == [("", 1), ("cell", 7)]


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


def test_a_long_graph_without_repeats_loses_its_middle_only() -> None:
    y = leaf(1.0)
    for i in range(600):
        y = y * (1 + i / 1000)
    view = viz.draw(y, max_nodes=101)
    consistent(view.graph)
    assert len(view.graph.nodes) <= 101
    (box,) = [node for node in view.graph.nodes if node.kind == "elided"]
    assert box.count == 1201 - 100 and box.label.endswith("*")
    assert view.graph.nodes[0].kind == "leaf" and view.graph.nodes[-1].output


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


@given(st.lists(st.sampled_from("ab"), max_size=30))
def test_runs_are_repetitions_that_do_not_overlap(keys: list[str]) -> None:
    end = 0
    for start, period, copies in runs(keys, 3):
        assert start >= end and copies >= 3
        end = start + period * copies
        block = keys[start : start + period]
        assert keys[start:end] == block * copies
