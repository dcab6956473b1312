"""Schedules given by one formula: errors; the formulas are tested in test_lr_scheduler.py."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.optim.schedules import optimizer
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.optim import lr_scheduler as lrs


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda o: lrs.StepLR(o, 0),
            ValueRangeError,
            "step_size: expected a number of epochs above 0, got 0",
        ),
        (lambda o: lrs.LambdaLR(o, 3), DTypeError, "lr_lambda: expected a function of the epoch, got int"),
        (
            lambda o: lrs.LambdaLR(o, [math.cos] * 2),
            ShapeError,
            "lr_lambda: expected one value per group, 1, got 2",
        ),
        (
            lambda o: lrs.ConstantLR(o, 2),
            ValueRangeError,
            "factor: expected a number above 0 and at most 1, got 2",
        ),
    ],
)
def test_wrong_arguments_raise(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())
