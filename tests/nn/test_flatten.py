"""Flatten and Unflatten."""

from __future__ import annotations

import pytest

from tinygrad_dl import Tensor, nn


def test_flatten_and_unflatten_undo_each_other() -> None:
    x = Tensor([[[1.0, 2.0], [3.0, 4.0]]])
    flat = nn.Flatten()(x)
    assert flat.shape == (1, 4) and nn.Unflatten(1, (2, -1))(flat).tolist() == x.tolist()
    assert nn.Flatten(0, 1)(x).shape == (2, 2)
    assert nn.Flatten()(Tensor([[[]]])).shape == (1, 0)
    with pytest.raises(
        ValueError, match="Flatten: expected start_dim and end_dim to be axes of the shape .*, got 1 and -1"
    ):
        nn.Flatten()(Tensor([1.0]))
