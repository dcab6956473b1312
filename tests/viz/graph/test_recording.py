"""Recording: the numbers of the backward pass itself, and nothing without a recording."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from tests.leaves import leaf
from tests.viz.graph.random_graphs import graphs
from tinygrad_dl import Tensor, autograd, no_grad, op, viz
from tinygrad_dl.modes import active, modes
from tinygrad_dl.viz.graph.recording import rehearse


@given(graphs())
def test_a_rehearsal_gives_what_backward_gives_and_leaves_no_trace(
    given_: tuple[list[Tensor], Tensor],
) -> None:
    leaves, total = given_
    rehearsed = rehearse(total)
    assert all(x.grad is None for x in leaves)
    with viz.record() as recording:
        total.backward()
    assert rehearsed is not None and rehearsed.gradients == recording.gradients


def test_the_gain_is_what_goes_on_over_what_came() -> None:
    x = leaf([3.0, 4.0])
    graph = viz.draw(((x * 1) * 10).sum()).full
    gains = {node.op: node.gain for node in graph.nodes if node.op}
    assert gains["sum"] == pytest.approx(math.sqrt(2)) and gains["multiply"] == pytest.approx(10)


def test_the_gain_of_a_square_adds_its_two_parts_first() -> None:
    x = leaf(3.0)
    (node,) = (node for node in viz.draw(x * x).full.nodes if node.op)
    assert node.gain == 6


def test_the_gain_counts_what_goes_on_to_earlier_operations_not_to_parameters() -> None:
    w, x = leaf(100.0), leaf(1.0)
    h = x * 1
    gains = [node.gain for node in viz.draw(w * h).full.nodes if node.op]
    assert gains == [1.0, 100.0]


def test_recorded_values_are_shown_where_the_graph_keeps_none() -> None:
    x = leaf(2.0)
    with viz.record() as recording:
        y = (x + 1) + 2
    values = [node.value for node in viz.draw(y + 3, record=recording).full.nodes if node.op]
    assert [v and v["whole"] for v in values] == [3.0, 5.0, 8.0]


def test_a_recording_knows_the_line_of_the_users_code() -> None:
    x = leaf(2.0)
    with viz.record() as recording:
        y = x * 2  # here
    (origin,) = [node.origin for node in viz.draw(y, record=recording).full.nodes if node.op]
    assert origin.startswith("test_recording.py:") and origin.endswith(": y = x * 2  # here")


def test_a_recording_holds_numbers_only() -> None:
    x = leaf(np.ones(1000))
    with viz.record() as recording:
        (x * 2).sum().backward()
    kept = [*recording.results.values(), *recording.gradients.values()]
    assert all(isinstance(v, (int, float, str, list)) for found in kept for v in found.values())
    assert "whole" not in recording.gradients[x.node.serial]


def test_the_modes_are_restored_after_an_exception() -> None:
    before = modes.watchers
    with pytest.raises(ZeroDivisionError), viz.record():
        raise ZeroDivisionError
    assert modes.watchers == before and active == []


def test_recordings_nest() -> None:
    x = leaf(2.0)
    with viz.record() as outer:
        a = x * 2
        with viz.record() as inner:
            b = a * 3
    assert len(outer.results) > len(inner.results) > 0
    assert b.node.serial in inner.results and a.node.serial not in inner.results


def test_the_second_of_two_backward_passes_counts() -> None:
    x = leaf(2.0)
    y = x * x
    with viz.record() as recording:
        y.backward(retain_graph=True)
        y.backward(gradient=10.0)
    assert [step.g["whole"] for step in recording.backward_steps.values()] == [10.0]


def test_a_recorded_gradient_graph_has_its_numbers() -> None:
    x = leaf(2.0)
    y = x * x * x
    with viz.record() as recording:
        (derivative,) = autograd.grad(y, x, create_graph=True)
        derivative.backward()
    assert recording.gradients[x.node.serial]["whole"] == pytest.approx(12.0)
    assert viz.draw(derivative, record=recording).source


def test_nothing_is_recorded_without_a_graph() -> None:
    with viz.record() as recording, no_grad():
        leaf(2.0) * 2
    assert recording.results == {}


def test_backward_knows_of_no_recording_when_none_is_on() -> None:
    x = leaf(2.0)
    with viz.record() as recording:
        pass
    (x * x).backward()
    assert recording.backward_steps == {} and modes.watchers == () and active == []


def test_a_rule_that_raises_does_not_keep_its_graph_from_being_drawn() -> None:
    def broken(g: Tensor) -> Tensor:
        raise ArithmeticError("not today")

    @op(broken)
    def unlucky(x: np.ndarray) -> np.ndarray:
        return x * 2

    x = leaf(1.0)
    view = viz.draw(unlucky(x) * 3)
    assert view.graph.notes == ["the gradient could not be computed: ArithmeticError: not today"]
    assert [node.op for node in view.full.nodes if node.op] == [
        "unlucky",
        "multiply",
    ] and modes.watchers == ()


def test_a_freed_graph_or_a_vector_is_drawn_without_gradients() -> None:
    x = leaf([1.0, 2.0])
    assert all(node.gain is None for node in viz.draw(x * x).full.nodes)
    y = (x * x).sum()
    y.backward()
    view = viz.draw(y)
    assert [node.grad is not None for node in view.full.nodes] == [True, False, False]
