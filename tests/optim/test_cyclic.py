"""Cyclic schedules: momentum, the end of a cycle, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.optim.schedules import optimizer
from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import lr_scheduler as lrs


def test_momentum_falls_while_the_rate_rises() -> None:
    o = optimizer()
    schedule = lrs.CyclicLR(o, 0.1, 0.3, 4, base_momentum=0.5, max_momentum=0.9)
    found = []
    for _ in range(9):
        found.append(o.param_groups[0]["momentum"])
        schedule.step()
    np.testing.assert_allclose(found, [0.9, 0.8, 0.7, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9])
    adam = optim.Adam([Tensor(1.0, requires_grad=True)])
    lrs.OneCycleLR(adam, 0.1, 10)
    assert adam.param_groups[0]["betas"] == (0.95, 0.999)


def test_one_cycle_ends_and_needs_a_momentum_to_cycle() -> None:
    schedule = lrs.OneCycleLR(optimizer(), 0.1, 3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueRangeError, match="expected at most 3 calls, got call 4: the cycle is over"):
        schedule.step()
    adagrad = optim.Adagrad([Tensor(1.0, requires_grad=True)])
    with pytest.raises(
        ValueRangeError,
        match="expected an optimizer with momentum or betas, got Adagrad. Pass cycle_momentum=False",
    ):
        lrs.OneCycleLR(adagrad, 0.1, 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda o: lrs.OneCycleLR(o, 1.0),
            ValueRangeError,
            "expected total_steps, or epochs and steps_per_epoch, got neither",
        ),
        (
            lambda o: lrs.CyclicLR(o, 0.1, 0.2, mode="up"),
            ValueRangeError,
            "mode: expected one of .*, got 'up'",
        ),
    ],
)
def test_wrong_arguments_raise(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())
