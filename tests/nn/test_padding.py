"""Padding: what each mode takes from where, and negative widths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.nn import functional


def gradient(function: Any, x: Any) -> np.ndarray:
    leaf = Tensor(np.asarray(x, float), requires_grad=True)
    function(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.data


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("reflect", [3, 2, 1, 2, 3, 2]), ("replicate", [1, 1, 1, 2, 3, 3]), ("circular", [2, 3, 1, 2, 3, 1])],
)
def test_padding_takes_elements_from_where_its_mode_says(mode: str, expected: list[float]) -> None:
    x = np.array([[1.0, 2.0, 3.0]])
    assert functional.pad(x, (2, 1), mode).tolist() == [expected]
    counts = [expected.count(v) for v in (1, 2, 3)]
    assert gradient(lambda t: functional.pad(t, (2, 1), mode), x).tolist() == [counts]


def test_a_negative_width_cuts_and_gives_no_gradient_there() -> None:
    assert functional.pad(np.array([1, 2, 3]), (-1, 1)).tolist() == [2, 3, 0]
    assert gradient(lambda t: functional.pad(t, (-1, 1), value=5.0), [1.0, 2.0, 3.0]).tolist() == [0, 1, 1]


def test_more_mirror_image_than_there_is_is_refused() -> None:
    with pytest.raises(ShapeError, match="at most the size minus 1 can be added"):
        nn.ReflectionPad1d(3)(Tensor(np.zeros((1, 1, 3))))
