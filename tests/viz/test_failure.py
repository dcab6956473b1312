"""Failed runs, values that are not finite, gradients of gradients, and comparisons."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import Tensor, autograd, concat, detect_anomaly, matmul, nn, no_grad, sqrt, viz
from tinygrad_dl.errors import AnomalyError, DTypeError, ShapeError, ValueRangeError


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


def test_draw_runs_a_model_that_works_and_knows_every_value() -> None:
    model = Tower(2)
    view = viz.draw(model, inputs=(Tensor([1.0, 2.0], name="x"),))
    assert all(node.value for node in view.full.nodes)


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


def test_the_first_nan_is_the_origin_and_what_it_reached_the_path() -> None:
    x = leaf([1.0, -1.0])
    with np.errstate(invalid="ignore"):
        view = viz.draw(lambda: (x.log() * 2).sum() + x.sum(), color="nan")
    assert bad(view) == {"log": "origin", "multiply": "path", "sum": "path", "add": "path"}


def test_the_origin_is_found_without_a_recording_from_what_the_graph_keeps() -> None:
    x = leaf([1.0, -1.0])
    with np.errstate(invalid="ignore"):
        y = (sqrt(x) * 2).exp().sum()
    assert bad(viz.draw(y, color="nan"))["sqrt"] == "origin"


def test_a_nan_that_was_put_in_is_its_own_origin() -> None:
    x = leaf([1.0, np.nan])
    assert bad(viz.draw(lambda: (x * 2).sum(), names={"x": x}, color="nan"))["x"] == "origin"


def test_an_infinite_gradient_of_finite_values_has_its_origin_too() -> None:
    x = leaf([1.0, 0.0])
    with np.errstate(all="ignore"):
        view = viz.draw(lambda: (sqrt(x * 1) * 2).sum(), color="nan")
    assert bad(view)["sqrt"] == "origin"
    assert view.full.notes == ["the values are finite; the gradient is not"]


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


def test_a_healthy_graph_has_nothing_marked() -> None:
    assert bad(viz.draw(lambda: leaf([1.0, 2.0]).sum() * 2, color="nan")) == {}


def test_the_graph_of_a_gradient_shows_its_forward_graph_beside_it() -> None:
    x = leaf(2.0)
    y = x.exp() * x
    (slope,) = autograd.grad(y, x, create_graph=True)
    graph = viz.draw(slope, forward=y).full
    parts = {node.id: node.part for node in graph.nodes}
    assert set(parts.values()) == {"forward", "gradient"}
    crossing = [e for e in graph.edges if parts[e.source] == "forward" and parts[e.target] == "gradient"]
    assert crossing, "the rules use values of the forward pass"
    assert not [e for e in graph.edges if parts[e.source] == "gradient" and parts[e.target] == "forward"]
    assert [module.id for module in graph.modules] == ["forward", "gradient"]


def test_modules_stand_inside_the_forward_part() -> None:
    model, x = Tower(1), leaf([1.0], np.float32)
    y = (model(x) ** 2).sum()
    (slope,) = autograd.grad(y, x, create_graph=True)
    graph = viz.draw(slope, model=model, forward=y).full
    assert {module.parent for module in graph.modules if module.path == ""} == {"forward"}


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


def test_diff_takes_views_and_tolerances_that_make_sense() -> None:
    view = viz.draw(leaf(1.0) * 2)
    with pytest.raises(DTypeError, match="diff: expected two views made by draw\\(\\), got Tensor"):
        viz.diff(view, leaf(1.0))
    with pytest.raises(ValueRangeError, match="expected rtol and atol of 0 or more, got -1 and 1e-08"):
        viz.diff(view, view, rtol=-1)


def test_arrays_alone_and_no_grad_leave_nothing_but_the_result() -> None:
    with no_grad():
        view = viz.draw(lambda: matmul(leaf([[1.0]]), leaf([[2.0]])))
    assert [node.kind for node in view.full.nodes] == ["constant"]
