"""Runs that failed, drawn from their exceptions."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.leaves import leaf
from tinygrad_dl import Tensor, concat, detect_anomaly, nn, sqrt, viz
from tinygrad_dl.errors import AnomalyError, DTypeError, ShapeError


def mismatched() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 5)), Tensor(
        np.ones((1, 2), np.float32), name="x"
    )


def test_an_exception_is_drawn_up_to_the_failing_operation_with_its_words() -> None:
    model, x = mismatched()
    with pytest.raises(ShapeError) as caught:
        model(x)
    graph = viz.draw(caught.value, model=model).full
    failed = graph.nodes[-1]
    assert (failed.kind, failed.op, failed.error) == ("failed", "linear", f"ShapeError: {caught.value}")
    assert [node.op for node in graph.nodes if node.kind == "op"] == ["linear", "relu"]
    assert [m.path for m in graph.within(failed.module)] == ["2", ""]
    assert [(e.operand, e.shape) for e in graph.edges if e.target == failed.id] == [
        ("x", (1, 3)),
        ("w", (5, 4)),
        ("b", (5,)),
    ]


def test_draw_runs_a_model_itself_and_draws_what_it_got_to() -> None:
    model, x = mismatched()
    view = viz.draw(model, inputs=(x,))
    assert [node.kind for node in view.full.nodes][-1] == "failed"
    assert "must be in = 4" in " ".join(view.source.replace("\\n", " ").split())


def test_an_operation_that_takes_a_sequence_is_drawn_when_it_fails() -> None:
    a, b = leaf([[1.0]]), leaf([1.0])
    view = viz.draw(lambda: concat([a * 1, b]))
    assert view.full.nodes[-1].op == "concat"
    assert [e.operand for e in view.full.edges][-2:] == ["arrays[0]", "arrays[1]"]


def test_a_check_before_any_operation_is_drawn_with_the_tensors_at_hand() -> None:
    a, b = leaf([1.0, 2.0]), Tensor(np.ones((3,)), name="target")
    view = viz.draw(lambda: nn.MSELoss()(a * 1, b))
    failed = view.full.nodes[-1]
    assert failed.kind == "failed" and "ShapeError" in failed.error
    assert "target" in {node.name or node.label for node in view.full.nodes}


def test_an_error_in_the_users_own_code_is_drawn_with_its_tensors() -> None:
    def run() -> Tensor:
        hidden = leaf([1.0]) * 2
        return hidden + {}["missing"]

    view = viz.draw(run)
    assert view.full.nodes[-1].label == "run" and "KeyError: 'missing'" in view.full.nodes[-1].error


def test_an_exception_without_tensors_cannot_be_drawn_and_that_is_said() -> None:
    with pytest.raises(DTypeError, match="raised by code with Tensors, got a ValueError without any"):
        viz.draw(ValueError("nothing"))


def test_a_failed_backward_is_drawn_at_the_failing_node() -> None:
    x = leaf(2.0)

    def refuse(g: Tensor) -> None:
        raise ArithmeticError("no further")

    y = x * 2
    y.register_hook(refuse)
    with pytest.raises(ArithmeticError) as caught:
        (y * 3).backward()
    graph = viz.draw(caught.value).full
    (failed,) = [node for node in graph.nodes if node.kind == "failed"]
    assert failed.error == "in the backward pass: ArithmeticError: no further"


def bad(view: viz.GraphView) -> dict[str, str]:
    return {node.op or node.name or node.label: node.bad for node in view.full.nodes if node.bad}


def test_an_anomaly_in_forward_is_drawn_from_its_exception() -> None:
    x = leaf([1.0, -1.0])
    with pytest.raises(AnomalyError) as caught, np.errstate(invalid="ignore"), detect_anomaly():
        (x.log() * 2).sum()
    view = viz.draw(caught.value, color="nan")
    assert bad(view) == {"log": "origin"} and "made nan in 1 of 2 elements" in view.full.nodes[-1].error


def test_an_anomaly_in_backward_is_drawn_in_the_whole_graph() -> None:
    x = leaf([1.0, 0.0])
    with pytest.raises(AnomalyError) as caught, np.errstate(all="ignore"), detect_anomaly():
        (sqrt(x * 1) * 2).sum().backward()
    graph = viz.draw(caught.value, color="nan").full
    (failed,) = [node for node in graph.nodes if node.kind == "failed"]
    assert (failed.op, failed.bad) == ("sqrt", "origin") and "the derivative of sqrt" in failed.error
    assert all(re.match(r"test_failure\.py:\d+", node.origin) for node in graph.nodes if node.op)
