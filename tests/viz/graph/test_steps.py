"""What a recording adds to the graph model: gradients, contributions, the steps of the player."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from tests.leaves import leaf
from tests.viz.graph.random_graphs import graphs, whole
from tinygrad_dl import Tensor, viz
from tinygrad_dl.viz.graph.model import GraphModel


def test_a_gradient_that_accumulates_is_written_out_as_a_sum() -> None:
    a, b = leaf(2.0), leaf(-3.0)
    c = a * b
    text = viz.draw(c * c + a, names={"a": a, "b": b, "c": c}, show=("grad", "rule")).text()
    assert "n0 a; leaf; grad 37; = 1 + 36" in text
    assert "c = *(n0, n1); grad -12; = -6 + -6" in text
    assert "n1 b; leaf; grad -24\n" in text
    total = a
    for _ in range(40):
        total = total + a
    assert "= the sum of 41 parts" in viz.draw(total, show=("grad", "rule")).text()


@given(graphs())
def test_contributions_add_up_to_the_gradient_that_backward_gives(
    given_: tuple[list[Tensor], Tensor],
) -> None:
    leaves, total = given_
    with viz.record() as recording:
        total.backward()
    graph = viz.draw(total, record=recording).full
    by_serial = {node.serial: node for node in graph.nodes}
    for x in leaves:
        drawn = by_serial[x.node.serial]
        np.testing.assert_allclose(whole(drawn.grad), x.grad.numpy(), rtol=1e-12, atol=1e-12)
    for node in graph.nodes:
        parts = [whole(edge.flow) for edge in graph.edges if edge.source == node.id and edge.flow]
        if parts and not node.output:
            np.testing.assert_allclose(sum(parts), whole(node.grad), rtol=1e-12, atol=1e-12)


@given(graphs())
def test_the_last_sum_of_a_node_is_its_gradient(given_: tuple[list[Tensor], Tensor]) -> None:
    _, total = given_
    with viz.record() as recording:
        total.backward()
    graph = viz.draw(total, record=recording).full
    last: dict[str, object] = {}
    for event in graph.events:
        for part in event.get("parts", ()):
            last[part["to"]] = part["sum"]
    for node in graph.nodes:
        if node.id in last:
            np.testing.assert_allclose(whole(last[node.id]), whole(node.grad), rtol=1e-12)


def backward_steps(graph: GraphModel) -> list[dict[str, object]]:
    return [event for event in graph.events if event["pass"] == "backward"]


def test_the_steps_of_the_chain_rule_by_hand() -> None:
    a, b = leaf(2.0), leaf(-3.0)
    c = a * b
    graph = viz.draw(c * c + a, names={"a": a, "b": b, "c": c}).full
    add, square, product = backward_steps(graph)
    assert [part["part"]["whole"] for part in add["parts"]] == [1.0, 1.0]
    assert [(part["part"]["whole"], part["sum"]["whole"], part["nth"]) for part in square["parts"]] == [
        (-6.0, -6.0, 1),
        (-6.0, -12.0, 2),
    ]
    # a has a part from the sum already: 1 + -12 * -3
    assert [(part["part"]["whole"], part["sum"]["whole"], part["nth"]) for part in product["parts"]] == [
        (36.0, 37.0, 2),
        (-24.0, -24.0, 1),
    ]
    edges = {edge.id: edge for edge in graph.edges}
    assert [edges[part["edge"]].local for part in product["parts"]] == [-3.0, 2.0]


def test_forward_steps_come_first_and_in_order() -> None:
    x = leaf(1.0)
    graph = viz.draw((x * 2).exp()).full
    assert [(event["pass"], event["node"]) for event in graph.events] == [
        ("forward", "n2"),
        ("forward", "n3"),
        ("backward", "n3"),
        ("backward", "n2"),
    ]
