"""Boxes have the names that the user gave to arrays."""

from __future__ import annotations

import gc
import weakref

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import Tensor, nn, viz
from tinygrad_dl.viz.graph.variables import Variables


def titles(view: viz.GraphView, *kinds: str) -> set[str]:
    """The labels of the boxes of some kinds."""
    return {node.label for node in view.full.nodes if node.kind in (kinds or ("constant", "leaf"))}


def test_arrays_are_called_as_the_variables_of_the_function_that_draws() -> None:
    x, y = np.ones((4, 2)), np.zeros(4)
    w = Tensor(np.zeros(2), requires_grad=True)
    a = tg.sigmoid(x @ w)
    loss = -tg.mean(y * tg.log(a))
    assert titles(viz.draw(loss)) == {"x", "y", "w"}


def test_a_name_of_the_tensor_or_of_the_call_goes_before_that_of_the_variable() -> None:
    variable = Tensor([1.0, 2.0], name="own")
    other = np.array([3.0, 4.0])
    w = Tensor([1.0, 2.0], requires_grad=True, name="weight")
    loss = (w * variable * other).sum()
    assert titles(viz.draw(loss, names={"given": other})) == {"own", "given", "weight"}


def test_arguments_have_the_names_of_parameters_where_no_variable_has_them() -> None:
    w = Tensor(np.ones(2), requires_grad=True)

    def loss_of(features: object, targets: object) -> Tensor:
        return ((features * w) * targets).sum()  # type: ignore[operator, no-any-return]

    view = viz.draw(loss_of, inputs=(np.ones((3, 2)), np.full((3, 2), 2.0)))
    assert titles(view) == {"features", "targets", "w"}
    x = np.ones((3, 2))
    assert titles(viz.draw(loss_of, inputs=(x, np.full((3, 2), 2.0)))) == {"x", "targets", "w"}


def test_names_survive_views() -> None:
    cell = nn.GRUCell(3, 4)
    x0 = Tensor(np.ones((1, 3), "float32"), name="start")
    rows = np.arange(12.0, dtype="float32").reshape(4, 3)
    h = cell(x0, tg.zeros((1, 4)))
    h = cell(rows.reshape(2, 2, 3)[0], tg.zeros((2, 4)) + h)
    found = titles(viz.draw(h.sum(), cell))
    assert {"start", "rows[...]"} <= found and "constant" not in found


def test_the_input_of_a_model_and_the_target_of_a_loss_are_never_called_constant() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    loss = nn.MSELoss()(model(np.ones((4, 2), "float32")), np.zeros((4, 1), "float32"))
    assert titles(viz.draw(loss, model), "constant") == {"input", "target"}


def test_a_loss_that_is_made_in_the_call_is_drawn_by_its_class() -> None:
    model = nn.Linear(2, 3)
    loss = nn.CrossEntropyLoss()(model(np.ones((4, 2), "float32")), np.zeros(4, "int64"))
    gc.collect()
    assert [module.kind for module in viz.draw(loss, model).full.modules] == ["Linear", "CrossEntropyLoss"]


def test_arrays_of_other_memory_have_no_name() -> None:
    a = np.arange(6.0)
    known = Variables({"a": a, "_hidden": np.ones(3), "number": 3.0, "half": a[:3]})
    assert known.name_of(a) == "a" and known.name_of(a.reshape(2, 3)) == "a" and known.name_of(a[::-1]) == "a"
    assert known.name_of(a[:3]) == "half" and known.name_of(a[1:2]) == "a[...]"
    assert known.name_of(a.copy()) == "" == known.name_of(np.ones(0)) == known.name_of(None)
    assert known.name_of(a.view(np.int64)) == "", "numbers of another kind"


def test_drawing_keeps_no_variable_of_the_caller_alive() -> None:
    x = np.ones(1000)
    w = Tensor(2.0, requires_grad=True)
    view = viz.draw((w * x).sum())
    assert "x" in titles(view)
    kept = weakref.ref(x)
    del x, w
    assert kept() is None


def test_the_dict_of_a_caller_that_has_it_is_left_as_it_is() -> None:
    w = Tensor(2.0, requires_grad=True)
    mine = locals()
    viz.draw(w * w)
    assert mine.get("w") is w
