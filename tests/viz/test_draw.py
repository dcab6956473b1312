"""draw and diff: their arguments."""

from __future__ import annotations

import pytest

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import Tensor, matmul, no_grad, viz
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.viz.graph.labels import SHOWABLE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"show": "grad"}, "draw: show: expected a sequence such as ('grad',), got the string 'grad'"),
        (
            {"show": ("grade",)},
            f"draw: show: expected any of {', '.join(SHOWABLE)}, got 'grade'. Did you mean 'grad'?",
        ),
        ({"color": "red"}, "draw: color: expected one of 'grad', 'gain', 'nan' or None, got 'red'"),
        ({"direction": "up"}, "draw: direction: expected one of TB, BT, LR, RL, got 'up'"),
    ],
)
def test_wrong_arguments_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises((DTypeError, ValueRangeError)) as caught:
        viz.draw(leaf(1.0) * 2, **given)
    assert str(caught.value) == message


def test_what_is_not_a_tensor_is_refused() -> None:
    with pytest.raises(
        DTypeError, match="draw: expected a Tensor, several, an exception or a function, got int"
    ):
        viz.draw(3)
    with pytest.raises(DTypeError, match="draw: expected a Tensor, got a list without one"):
        viz.draw([])


def test_draw_runs_a_model_that_works_and_knows_every_value() -> None:
    model = Tower(2)
    view = viz.draw(model, inputs=(Tensor([1.0, 2.0], name="x"),))
    assert all(node.value for node in view.full.nodes)


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
