"""The graph model: which nodes, edges and modules a computation graph has, and their labels."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import Tensor, concat, nn, viz
from tinygrad_dl.autograd import checkpoint
from tinygrad_dl.viz.graph.extract import broadcast_text


def test_a_product_with_itself_has_two_edges_with_their_positions() -> None:
    x = leaf(3.0)
    graph = viz.draw(x * x).full
    assert [(e.source, e.target, e.position, e.operand) for e in graph.edges] == [
        ("n0", "n1", 0, "x"),
        ("n0", "n1", 1, "y"),
    ]


def test_operands_keep_their_order() -> None:
    a, b = leaf(1.0), leaf(2.0)
    graph = viz.draw(b - a, names={"a": a, "b": b}).full
    names = {node.id: node.name for node in graph.nodes}
    assert [(names[e.source], e.position) for e in graph.edges] == [("b", 0), ("a", 1)]


def test_nodes_come_in_topological_order_and_have_running_ids() -> None:
    x = leaf(np.ones((2, 2)))
    y = (x @ x).exp() * 3 + x.sum()
    graph = viz.draw(y.sum()).full
    order = {node.id: i for i, node in enumerate(graph.nodes)}
    assert list(order) == [f"n{i}" for i in range(len(order))]
    assert [edge.id for edge in graph.edges] == [f"e{i}" for i in range(len(graph.edges))]
    assert all(order[edge.source] < order[edge.target] for edge in graph.edges)


def test_the_same_program_gives_the_same_text() -> None:
    def text() -> str:
        model, x = Tower(3), Tensor([1.0, 2.0], name="x")
        return viz.draw(model(x).sum(), model=model).json()

    assert text() == text()


def test_kinds_are_told_apart() -> None:
    model = nn.Linear(2, 1)
    x, y = leaf(np.ones((1, 2)), np.float32), Tensor(np.ones((1, 1), np.float32), name="y")
    view = viz.draw(((model(x) - y) ** 2).sum(), model=model, names={"x": x})
    kinds = {node.name or node.label: node.kind for node in view.full.nodes}
    assert kinds["weight"] == kinds["bias"] == "parameter"
    assert (kinds["x"], kinds["y"], kinds["2"]) == ("leaf", "constant", "number")
    assert [node.op for node in view.full.nodes if node.output] == ["sum"]


def test_a_drawing_keeps_no_tensor_and_no_array_alive() -> None:
    x = leaf(np.ones(1000))
    view = viz.draw((x * 2).sum())
    kept = weakref.ref(x)
    del x
    gc.disable()
    try:
        assert kept() is None
    finally:
        gc.enable()
    assert "1000" in view.source


def test_drawing_leaves_gradients_and_the_graph_as_they_were() -> None:
    x = leaf([1.0, 2.0])
    calls = []
    x.register_hook(lambda g: calls.append(g))
    y = (x * x).sum()
    viz.draw(y, show=("grad", "gain"))
    assert x.grad is None and calls == []
    y.backward()
    assert len(calls) == 1
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_after_backward_the_gradients_of_leaves_are_shown() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    assert viz.draw(y).full.nodes[0].grad["whole"] == [2.0, 4.0]


def test_a_broadcast_is_told_with_what_undoes_it() -> None:
    assert broadcast_text((4,), (3, 4)) == "(4,) broadcast to (3, 4); its gradient is summed over axis 0"
    assert broadcast_text((1, 4), (2, 3, 4)).endswith("summed over axes 0, 1")
    assert broadcast_text((3, 4), (3, 4)) == ""
    assert broadcast_text((1,), (1, 1)).endswith("summed over axis 0")


def test_a_concat_has_an_edge_for_each_array() -> None:
    a, b = leaf([1.0]), leaf([2.0])
    graph = viz.draw(concat([a, b, a]).sum()).full
    assert [e.operand for e in graph.edges][:3] == ["arrays[0]", "arrays[1]", "arrays[2]"]


def test_several_outputs_are_marked() -> None:
    x = leaf(2.0)
    graph = viz.draw([x * 2, x + 1]).full
    assert [node.op for node in graph.nodes if node.output] == ["multiply", "add"]


def test_an_output_without_a_graph_is_drawn_as_a_constant() -> None:
    (node,) = viz.draw(Tensor([1.0, 2.0])).full.nodes
    assert (node.kind, node.output, node.shape) == ("constant", True, (2,))


def test_empty_arrays_and_scalars_are_drawn() -> None:
    x = leaf(np.ones((0, 3)))
    text = viz.draw((x * 2).sum(), show=("shape", "value", "grad")).text()
    assert "(0, 3)" in text and "empty (0, 3)" in text


def calls_of(function: Callable[[], object]) -> int:
    """How many calls, of Python's functions and of built-in ones, a call of the function makes."""
    count = 0

    def tick(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(tick)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    ("length", "step"), [(2500, lambda y: y + 1), (32, lambda y: y + y)], ids=["chain", "doubled"]
)
def test_drawing_calls_grow_with_the_nodes_of_long_chains_and_of_doubled_values(
    length: int, step: Callable[[Tensor], Tensor]
) -> None:
    counts = []
    for nodes in (length, 2 * length, 4 * length):
        y = leaf(1.0)
        for _ in range(nodes):
            y = step(y)
        counts.append(calls_of(lambda y=y: viz.draw(y).source))
    # Twice the nodes, twice the calls more; doubled values have 2**nodes paths, which must not be taken one by one.
    assert counts[2] - counts[1] < 2.2 * (counts[1] - counts[0]), counts


def test_a_checkpoint_is_an_operation_of_its_inputs() -> None:
    x, y = leaf(3.0), leaf(4.0)
    graph = viz.draw(checkpoint(lambda a, b: (a * b).tanh(), x, y).sum(), names={"x": x, "y": y}).full
    labels = {node.id: node.label for node in graph.nodes}
    assert sorted(labels.values()) == ["checkpoint", "sum", "x", "y"]
    assert {labels[e.source] for e in graph.edges if labels[e.target] == "checkpoint"} == {"x", "y"}
