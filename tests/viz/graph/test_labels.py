"""The labels of nodes and edges."""

from __future__ import annotations

from tests.leaves import leaf
from tinygrad_dl import viz
from tinygrad_dl.viz.graph.labels import cut, edge_lines


def test_long_lines_are_cut_in_the_middle() -> None:
    assert cut("abc" * 100, 20) == "abcabcab...bcabcabc"
    assert len(cut("y" * 10_000)) <= 60


def test_operands_stand_on_edges_only_where_there_are_several() -> None:
    x = leaf(2.0)
    view = viz.draw((x - 1).exp(), show=("shape",))
    assert [edge_lines(edge, view.show_lines) for edge in view.graph.edges] == [["x ()"], ["y"], ["()"]]
