"""ReduceLROnPlateau: patience, cooldown, errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.optim.schedules import optimizer
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import lr_scheduler as lrs


def test_the_rate_falls_on_a_plateau_after_patience_and_rests_in_the_cooldown() -> None:
    o = optimizer()
    schedule = lrs.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=1, min_lr=0.1)
    found = []
    for quantity in [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]:
        schedule.step(Tensor(quantity))
        found.append(o.param_groups[0]["lr"])
    assert found == [0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda o: lrs.ReduceLROnPlateau(o, factor=1.0),
            ValueRangeError,
            "factor: expected a number below 1, got 1.0",
        ),
    ],
)
def test_wrong_arguments_raise(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())
