"""Schedules composed of others: what they may be composed of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.optim.schedules import optimizer
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim import lr_scheduler as lrs


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda o: lrs.SequentialLR(o, [], []),
            ValueRangeError,
            "schedulers: expected at least one schedule, got none",
        ),
        (
            lambda o: lrs.SequentialLR(o, [lrs.StepLR(o, 1)], [3]),
            ValueRangeError,
            "milestones: expected 0 for 1 schedules, got 1",
        ),
        (
            lambda o: lrs.ChainedScheduler([lrs.ReduceLROnPlateau(o)]),
            ValueRangeError,
            "number 0 is a ReduceLROnPlateau, whose step needs a quantity",
        ),
        (
            lambda o: lrs.ChainedScheduler([lrs.StepLR(o, 1), lrs.StepLR(optimizer(), 1)]),
            ValueRangeError,
            "number 1 belongs to another optimizer",
        ),
        (
            lambda o: lrs.ChainedScheduler([lrs.StepLR(o, 1), 3]),
            DTypeError,
            "expected schedules, got int as number 1",
        ),
    ],
)
def test_wrong_arguments_raise(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())
