"""The graph model itself."""

from __future__ import annotations

import json
import math

import pytest

from tinygrad_dl.viz.graph.model import GraphEdge, GraphModel, GraphModule, GraphNode, jsonable


def small() -> GraphModel:
    modules = [GraphModule("m0", "", "Net"), GraphModule("m1", "layer", "Linear", parent="m0")]
    nodes = [
        GraphNode("n0", "leaf", "x", serial=7),
        GraphNode("n1", "op", "linear", module="m1", gain=math.inf),
    ]
    return GraphModel(nodes, [GraphEdge("e0", "n0", "n1")], modules)


def test_the_modules_around_a_module_are_found_innermost_first() -> None:
    graph = small()
    assert [module.id for module in graph.within("m1")] == ["m1", "m0"]
    assert list(graph.within("")) == []


def test_nodes_are_found_by_id() -> None:
    assert small().node("n1").label == "linear" and small().next_node_id() == "n2"
    with pytest.raises(KeyError):
        small().node("n2")


def test_as_data_empty_fields_are_left_out_and_numbers_are_valid_json() -> None:
    data = small().to_dict()
    assert data["nodes"] == [
        {"id": "n0", "kind": "leaf", "label": "x"},
        {"id": "n1", "kind": "op", "label": "linear", "module": "m1", "gain": "inf"},
    ]
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_floats_have_six_digits() -> None:
    assert jsonable({"a": [1 / 3, math.nan], "b": (1, "c")}) == {"a": [0.333333, "nan"], "b": [1, "c"]}


def test_what_was_hidden_in_a_hidden_box_is_in_the_new_box() -> None:
    graph = small()
    graph.hidden = {"n5": "n1"}
    assert graph.hide({"n1": "m1"}) == {"n5": "m1", "n1": "m1"}
