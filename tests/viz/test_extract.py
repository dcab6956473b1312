"""The neutral form: which nodes, edges and modules a graph has, and what stands on them."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import Tensor, concat, nn, op, vecdot, viz
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.op import OPS
from tinygrad_dl.viz.extract import broadcast_text
from tinygrad_dl.viz.picture import norm, statistics
from tinygrad_dl.viz.rules import MULTIPLY_ADDS, rule_texts


def test_a_product_with_itself_has_two_edges_with_their_positions() -> None:
    x = leaf(3.0)
    picture = viz.draw(x * x).full
    assert [(e.source, e.target, e.position, e.operand) for e in picture.edges] == [
        ("n0", "n1", 0, "x"),
        ("n0", "n1", 1, "y"),
    ]


def test_operands_keep_their_order() -> None:
    a, b = leaf(1.0), leaf(2.0)
    picture = viz.draw(b - a, names={"a": a, "b": b}).full
    names = {node.id: node.name for node in picture.nodes}
    assert [(names[e.source], e.position) for e in picture.edges] == [("b", 0), ("a", 1)]


def test_nodes_come_in_topological_order_and_have_running_ids() -> None:
    x = leaf(np.ones((2, 2)))
    y = (x @ x).exp() * 3 + x.sum()
    picture = viz.draw(y.sum()).full
    order = {node.id: i for i, node in enumerate(picture.nodes)}
    assert list(order) == [f"n{i}" for i in range(len(order))]
    assert [edge.id for edge in picture.edges] == [f"e{i}" for i in range(len(picture.edges))]
    assert all(order[edge.source] < order[edge.target] for edge in picture.edges)


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


def test_a_named_input_that_is_used_twice_is_drawn_once() -> None:
    x, w = Tensor([1.0, 2.0], name="x"), leaf([1.0, 2.0], np.float32)
    view = viz.draw((x * w + x).sum())
    assert [node.name for node in view.full.nodes if node.kind == "constant"] == ["x"]


def test_inputs_of_the_same_name_with_other_values_are_drawn_apart() -> None:
    w = leaf([1.0, 2.0], np.float32)
    one, two = Tensor([1.0, 2.0], name="x"), Tensor([5.0, 6.0], name="x")
    view = viz.draw((one * w * two).sum())
    assert [node.value["whole"] for node in view.full.nodes if node.kind == "constant" and node.value] == [
        [1.0, 2.0],
        [5.0, 6.0],
    ]


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


def test_modules_are_boxes_with_their_attribute_names() -> None:
    model = Tower(2)
    picture = viz.draw(model(Tensor([1.0])).sum(), model=model).full
    assert [(m.path, m.kind, m.parent) for m in picture.modules] == [
        ("", "Tower", ""),
        ("blocks.0", "Residual", "m0"),
        ("blocks.0.inner", "Scale", "m1"),
        ("blocks.1", "Residual", "m0"),
        ("blocks.1.inner", "Scale", "m3"),
        ("last", "Scale", "m0"),
    ]
    factor = next(node for node in picture.nodes if node.name == "blocks.1.inner.factor")
    assert factor.module == "m4" and factor.label == "factor"


def test_parameters_have_their_names_without_the_model_too() -> None:
    model = Tower(1)
    assert "blocks.0.inner.factor" in viz.draw(model(Tensor([1.0])).sum()).json()


def test_a_module_that_is_called_twice_has_two_boxes_and_its_parameter_stands_around_them() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.step = Tower(1).last

        def forward(self, x: Tensor) -> Tensor:
            return self.step(self.step(x))

    model = Twice()
    picture = viz.draw(model(Tensor([1.0])).sum(), model=model).full
    assert [m.path for m in picture.modules] == ["", "step", "step"]
    assert next(n for n in picture.nodes if n.name == "step.factor").module == "m0"


def test_rules_are_the_text_of_the_registry() -> None:
    assert rule_texts(OPS["multiply"])[0][0] == "g * y"
    assert rule_texts(OPS["exp"]) == [("g * out", "lambda g, out: g * out")]


def test_every_operation_has_texts_for_its_rules() -> None:
    for one in OPS.values():
        texts = rule_texts(one)
        assert len(texts) == len(one.inputs)
        for i, (short, source) in enumerate(texts):
            rule = one.rules[0 if one.joint else i]
            assert bool(short or source) == (rule is not None), one.name
            assert "0x" not in short, one.name


def test_an_operation_without_source_has_a_rule_all_the_same() -> None:
    namespace: dict[str, object] = {"op": op, "__name__": __name__}
    exec("@op(lambda g: g * 7)\ndef seven_times(x):\n    return x * 7\n", namespace)
    assert rule_texts(OPS["seven_times"])[0][0]
    assert viz.draw(OPS["seven_times"].function(leaf(1.0)), show=("rule",)).source


def test_costs_are_counted_by_hand() -> None:
    x, w = leaf(np.ones((4, 3))), leaf(np.ones((3, 5)))
    node = viz.draw((x @ w).sum()).full.nodes[2]
    assert node.cost == {"elements": 20, "bytes": 160, "multiply_adds": 60, "saved_bytes": 96 + 120}
    assert "60 multiply-adds, 160B" in viz.draw((x @ w).sum(), show=("cost",)).source


def multiply_adds(tensor: Tensor) -> dict[str, int]:
    nodes = viz.draw(tensor).full.nodes
    return {node.op: node.cost["multiply_adds"] for node in nodes if "multiply_adds" in node.cost}


def test_costs_of_layers_are_counted_by_hand() -> None:
    image = leaf(np.ones((2, 3, 5, 5)), np.float32)
    # 2 images of 4 channels and 4 x 4 places, each a sum over 3 channels and 2 x 2 places
    assert multiply_adds(nn.Conv2d(3, 4, 2)(image).sum()) == {"conv": 2 * 4 * 4 * 4 * 3 * 2 * 2}
    assert multiply_adds(nn.Conv2d(3, 3, 2, groups=3)(image).sum()) == {"conv": 2 * 3 * 4 * 4 * 2 * 2}
    assert multiply_adds(nn.ConvTranspose2d(3, 4, 2)(image).sum()) == {
        "conv_transpose": 2 * 3 * 5 * 5 * 4 * 2 * 2
    }
    # 6 steps of 2 sequences, four gates of 8, each from 3 inputs and 8 states
    sequence = leaf(np.ones((6, 2, 3)), np.float32)
    assert multiply_adds(nn.LSTM(3, 8)(sequence)[0].sum()) == {"lstm": 6 * 2 * 4 * 8 * (3 + 8)}
    assert multiply_adds(nn.GRU(3, 8)(sequence)[0].sum()) == {"gru": 6 * 2 * 3 * 8 * (3 + 8)}
    assert multiply_adds(vecdot(leaf(np.ones((4, 3))), leaf(np.ones(3))).sum()) == {"vecdot": 12}
    assert set(MULTIPLY_ADDS) <= set(OPS)


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


def test_a_broadcast_is_told_with_what_undoes_it() -> None:
    assert broadcast_text((4,), (3, 4)) == "(4,) broadcast to (3, 4); its gradient is summed over axis 0"
    assert broadcast_text((1, 4), (2, 3, 4)).endswith("summed over axes 0, 1")
    assert broadcast_text((3, 4), (3, 4)) == ""
    assert broadcast_text((1,), (1, 1)).endswith("summed over axis 0")


def test_a_concat_has_an_edge_for_each_array() -> None:
    a, b = leaf([1.0]), leaf([2.0])
    picture = viz.draw(concat([a, b, a]).sum()).full
    assert [e.operand for e in picture.edges][:3] == ["arrays[0]", "arrays[1]", "arrays[2]"]


def test_several_outputs_are_marked() -> None:
    x = leaf(2.0)
    picture = viz.draw([x * 2, x + 1]).full
    assert [node.op for node in picture.nodes if node.output] == ["multiply", "add"]


def test_an_output_without_a_graph_is_drawn_as_a_constant() -> None:
    (node,) = viz.draw(Tensor([1.0, 2.0])).full.nodes
    assert (node.kind, node.output, node.shape) == ("constant", True, (2,))


def test_empty_arrays_and_scalars_are_drawn() -> None:
    x = leaf(np.ones((0, 3)))
    text = viz.draw((x * 2).sum(), show=("shape", "value", "grad")).text()
    assert "(0, 3)" in text and "empty (0, 3)" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"show": "grad"}, "draw: show: a sequence such as ('grad',) is needed; the string 'grad' came"),
        ({"show": ("grade",)}, "draw: show holds 'grade', which is not known; did you mean 'grad'?"),
        ({"color": "red"}, "draw: color: one of 'grad', 'gain', 'nan' or None is needed; 'red' came"),
        ({"direction": "up"}, "draw: direction: one of TB, BT, LR, RL is needed; 'up' came"),
    ],
)
def test_wrong_arguments_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises((DTypeError, ValueRangeError)) as caught:
        viz.draw(leaf(1.0) * 2, **given)
    assert str(caught.value) == message


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(
        DTypeError, match="draw: a Tensor, several, an exception or a function is needed; int came"
    ):
        viz.draw(3)
    with pytest.raises(DTypeError, match="draw: a Tensor is needed; list without one came"):
        viz.draw([])


def test_norms_survive_the_ends_of_the_range() -> None:
    assert norm(np.array([3e200, 4e200])) == pytest.approx(5e200)
    assert norm(np.array([3e-200, 4e-200])) == pytest.approx(5e-200)
    assert norm(np.array([])) == 0 and norm(np.array([0.0, 0.0])) == 0
    assert np.isnan(norm(np.array([np.nan, 1.0]))) and norm(np.array([np.inf, 1.0])) == np.inf


def test_statistics_count_what_is_not_finite_and_describe_the_rest() -> None:
    found = statistics(np.array([1.0, np.nan, np.inf, 3.0] * 5), detail=True)
    assert (found["nan"], found["inf"], found["min"], found["max"], found["mean"]) == (5, 5, 1.0, 3.0, 2.0)
    assert sum(found["histogram"]) == 10


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
