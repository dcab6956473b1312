"""The difference of two graphs."""

from __future__ import annotations

import numpy as np

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import Tensor, viz


def test_equal_graphs_have_no_differences() -> None:
    x = leaf([1.0, 2.0])
    y = (x * 2).sum()
    view = viz.diff(viz.draw(y), viz.draw(y))
    assert view.graph.notes == ["no differences"]
    assert all(not node.status for node in view.graph.nodes)


def test_added_and_removed_operations_are_marked_where_they_stand() -> None:
    x = leaf([1.0, 2.0])
    view = viz.diff(viz.draw((x * 2).exp().sum()), viz.draw((x * 2).tanh().sum()))
    status = {node.op: node.status for node in view.graph.nodes if node.op}
    assert (status["exp"], status["tanh"]) == ("removed", "added")
    assert sorted(edge.status for edge in view.graph.edges) == [
        "",
        "",
        "added",
        "added",
        "removed",
        "removed",
    ]


def test_values_differ_only_beyond_the_tolerance() -> None:
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0 + 1e-7])
    one, two = (viz.draw(v * 2, names={"v": v}) for v in (x, y))
    assert not [n for n in viz.diff(one, two).graph.nodes if n.status]
    assert [n.status for n in viz.diff(one, two, rtol=1e-9).graph.nodes if n.name == "v"] == ["changed"]


def test_a_changed_shape_is_told() -> None:
    view = viz.diff(viz.draw(leaf(np.ones(3)).sum()), viz.draw(leaf(np.ones(4)).sum()))
    assert "shape (3,) -> (4,)" in view.graph.nodes[0].change


def test_modules_that_are_gone_keep_their_boxes() -> None:
    x = Tensor([1.0], name="x")
    one, two = Tower(2), Tower(1)
    view = viz.diff(viz.draw(one(x).sum(), one), viz.draw(two(x).sum(), two))
    removed = [node for node in view.graph.nodes if node.status == "removed"]
    assert {m.path for node in removed for m in view.graph.within(node.module)} >= {
        "blocks.1",
        "blocks.1.inner",
    }


def test_operands_that_changed_places_are_a_difference() -> None:
    a, b = leaf(1.0), leaf(2.0)
    names = {"a": a, "b": b}
    view = viz.diff(
        viz.draw([a + 0, b + 0, a - b], names=names), viz.draw([a + 0, b + 0, b - a], names=names)
    )
    assert any(edge.status for edge in view.graph.edges)
