"""Repeated blocks are drawn once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.leaves import leaf
from tests.viz.examples import Tower, consistent
from tinygrad_dl import Tensor, nn, viz
from tinygrad_dl.viz.graph.repeats import runs


def tower(count: int, **how: object) -> viz.GraphView:
    model = Tower(count)
    return viz.draw(model(Tensor([1.0], name="x")).sum(), model=model, **how)


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


@given(st.lists(st.sampled_from("ab"), max_size=30))
def test_runs_are_repetitions_that_do_not_overlap(keys: list[str]) -> None:
    end = 0
    for start, period, copies in runs(keys, 3):
        assert start >= end and copies >= 3
        end = start + period * copies
        block = keys[start : start + period]
        assert keys[start:end] == block * copies
