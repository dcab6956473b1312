"""Constants and numbers: each drawn once."""

from __future__ import annotations

import numpy as np

from tests.leaves import leaf
from tinygrad_dl import Tensor, viz


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
