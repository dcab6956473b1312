"""What the registry knows of an operation: rules and costs."""

from __future__ import annotations

import numpy as np

from tests.leaves import leaf
from tinygrad_dl import Tensor, nn, ones, op, vecdot, viz
from tinygrad_dl.op import OPS
from tinygrad_dl.viz.graph.rules import MULTIPLY_ADDS, rule_texts


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


def test_an_option_that_is_an_object_of_its_own_is_not_shown() -> None:
    model = nn.BatchNorm1d(2)
    (node,) = [n for n in viz.draw(model(ones((3, 2)))).graph.nodes if n.op == "standardize"]
    assert "moments" not in node.options and not any(
        "RunningStatistics" in text for text in node.options.values()
    )
