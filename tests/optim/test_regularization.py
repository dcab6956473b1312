"""Penalties on weights, parameter groups by decay."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn, optim
from tinygrad_dl.errors import DTypeError, ValueRangeError


def test_only_weights_are_penalized() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.LayerNorm([2, 4]), nn.PReLU(2), nn.Linear(4, 3))
    assert [p.shape for p in optim.weights(model)] == [(2, 1, 3), (3, 4)]
    assert optim.weights([("bias_k", Tensor(np.ones((1, 1, 2))))]) == []
    for p in model.parameters():
        p.data[...] = -2.0
    assert optim.l1_penalty(model, 0.5).item() == 18.0
    loss = optim.l2_penalty(model, 0.5)
    assert loss.item() == 18.0
    loss.backward()
    weights = optim.weights(model)
    for p in model.parameters():
        if any(p is w for w in weights):
            np.testing.assert_array_equal(p.grad.data, 0.5 * p.data)
        else:
            assert p.grad is None


def test_penalties_say_what_they_need() -> None:
    with pytest.raises(ValueRangeError, match="^l1_penalty: model: expected weights"):
        optim.l1_penalty(nn.LayerNorm(3))
    with pytest.raises(DTypeError, match="expected a module or a list of Tensors, got int"):
        optim.l2_penalty(3)
    with pytest.raises(DTypeError, match="got a list with int"):
        optim.weights([3])


def test_groups_by_decay_hold_each_parameter_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    groups = optim.decay_groups(model, 0.1)
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert len(optim.decay_groups(nn.LayerNorm(2), 0.1)) == 1
