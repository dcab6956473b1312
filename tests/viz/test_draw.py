"""draw and diff: their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import Tensor, matmul, nn, no_grad, viz
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.viz.graph.labels import SHOWABLE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"show": "grad"},
            "draw: show: expected a sequence of strings, got str 'grad'. Such as show=('shape', 'grad')",
        ),
        (
            {"show": ("grade",)},
            f"draw: show: expected any of {', '.join(SHOWABLE)}, got 'grade'. Did you mean 'grad'?",
        ),
        ({"color": "red"}, "draw: color: expected one of 'grad', 'gain', 'nan' or None, got str 'red'"),
        ({"direction": "up"}, "draw: direction: expected one of 'TB', 'BT', 'LR', 'RL', got str 'up'"),
        ({"engine": "neato"}, "draw: engine: expected 'dot' or 'pygraphviz' or a path to dot, got 'neato'"),
        ({"names": "abc"}, "draw: names: expected a Mapping or None, got str 'abc'"),
        ({"model": "abc"}, "draw: model: expected a Module or None, got str 'abc'"),
        ({"max_nodes": 0}, "draw: max_nodes: expected an int of at least 1, got int 0"),
        ({"forward": 3}, "draw: forward: expected a Tensor, several, an exception or a function, got int"),
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
    with pytest.raises(DTypeError, match="diff: after: expected a GraphView, got an array of shape"):
        viz.diff(view, leaf(1.0))
    with pytest.raises(ValueRangeError, match="diff: rtol: expected a number of at least 0, got int -1"):
        viz.diff(view, view, rtol=-1)


def test_arrays_alone_and_no_grad_leave_nothing_but_the_result() -> None:
    with no_grad():
        view = viz.draw(lambda: matmul(leaf([[1.0]]), leaf([[2.0]])))
    assert [node.kind for node in view.full.nodes] == ["constant"]


def test_a_list_that_holds_itself_is_drawn_once() -> None:
    several: list[object] = [leaf(1.0) * 2]
    several.append(several)
    assert len(viz.draw(several).full.nodes) == 3


def test_a_function_on_numpy_arrays_is_recorded_with_its_own_numpy_methods() -> None:
    x, w = np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)

    def f(a: Any, b: Any) -> Any:
        return (a @ b).sum()

    assert viz.draw(f, inputs=[x, w], show=("grad",)).text().splitlines()[::3] == [
        "n0 x; leaf; grad [[2, 2, 2], [2, 2, 2]]",
        "n3 sum(n2); grad 1; output",
    ]
    assert viz.draw(nn.Linear(3, 2), inputs=x).text().startswith("n0 x; constant")
