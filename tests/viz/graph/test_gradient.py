"""The graph of a gradient."""

from __future__ import annotations

import numpy as np

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import autograd, viz


def test_the_graph_of_a_gradient_shows_its_forward_graph_beside_it() -> None:
    x = leaf(2.0)
    y = x.exp() * x
    (derivative,) = autograd.grad(y, x, create_graph=True)
    graph = viz.draw(derivative, forward=y).full
    parts = {node.id: node.part for node in graph.nodes}
    assert set(parts.values()) == {"forward", "gradient"}
    crossing = [e for e in graph.edges if parts[e.source] == "forward" and parts[e.target] == "gradient"]
    assert crossing, "the rules use values of the forward pass"
    assert not [e for e in graph.edges if parts[e.source] == "gradient" and parts[e.target] == "forward"]
    assert [module.id for module in graph.modules] == ["forward", "gradient"]


def test_modules_stand_inside_the_forward_part() -> None:
    model, x = Tower(1), leaf([1.0], np.float32)
    y = (model(x) ** 2).sum()
    (derivative,) = autograd.grad(y, x, create_graph=True)
    graph = viz.draw(derivative, model=model, forward=y).full
    assert {module.parent for module in graph.modules if module.path == ""} == {"forward"}
