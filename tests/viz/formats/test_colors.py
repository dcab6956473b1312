"""The colors of nodes: kinds, scales and marks."""

from __future__ import annotations

import math

import pytest

from tinygrad_dl.viz.formats.colors import BAD, DIVERGING, KINDS, SEQUENTIAL, STATUS, Coloring, dark
from tinygrad_dl.viz.graph.model import GraphModel, GraphNode


def nodes_with_gradients(*norms: float) -> GraphModel:
    return GraphModel([GraphNode(f"n{i}", "op", "*", grad={"norm": norm}) for i, norm in enumerate(norms)])


def test_gradient_norms_are_colored_on_a_logarithmic_scale() -> None:
    graph = nodes_with_gradients(1e-3, 1.0, 1e3, 0.0, math.inf)
    coloring = Coloring(graph, "grad")
    fills = [coloring.fill(node) for node in graph.nodes]
    assert fills == [SEQUENTIAL[0], SEQUENTIAL[3], SEQUENTIAL[-1], SEQUENTIAL[0], SEQUENTIAL[-1]]
    assert coloring.legend() == [(SEQUENTIAL[0], "gradient norm 0.001"), (SEQUENTIAL[-1], "1e+03")]


def test_norms_that_hardly_differ_do_not_use_the_whole_scale() -> None:
    graph = nodes_with_gradients(1.0, 1.1)
    assert {Coloring(graph, "grad").fill(node) for node in graph.nodes} == {SEQUENTIAL[0]}


@pytest.mark.parametrize(("gain", "fill"), [(1e-9, DIVERGING[0]), (1.0, DIVERGING[3]), (1e9, DIVERGING[-1])])
def test_gains_are_colored_around_1(gain: float, fill: str) -> None:
    node = GraphNode("n0", "op", "*", gain=gain)
    assert Coloring(GraphModel([node]), "gain").fill(node) == fill


def test_marks_go_before_scales_and_kinds() -> None:
    node = GraphNode("n0", "op", "*", grad={"norm": 1.0}, bad="origin")
    graph = GraphModel([node])
    assert Coloring(graph, None).fill(node) == KINDS["op"][0]
    assert (Coloring(graph, "nan").fill(node), Coloring(graph, "nan").border(node)) == BAD["origin"]
    node.status = "added"
    assert (Coloring(graph, "grad").fill(node), Coloring(graph, "grad").border(node)) == STATUS["added"]


def test_text_is_white_on_dark_colors_only() -> None:
    assert [dark(color) for color in ("#08306b", "#f7fbff", "none")] == [True, False, False]
