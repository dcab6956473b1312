"""LRScheduler, the base class: rates that are Tensors, resuming, warnings, errors."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from tests.optim.schedules import optimizer
from tinygrad_dl import Tensor
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim import lr_scheduler as lrs


def test_a_rate_that_is_a_tensor_is_filled() -> None:
    rate = Tensor(0.5)
    o = optimizer(lr=rate)
    schedule = lrs.ExponentialLR(o, 0.5)
    schedule.step()
    assert o.param_groups[0]["lr"] is rate and rate.item() == 0.25


def test_training_continued_after_an_epoch_starts_from_the_saved_rates() -> None:
    o = optimizer()
    schedule = lrs.ExponentialLR(o, 0.5)
    for _ in range(3):
        schedule.step()
    fresh = optimizer()
    fresh.load_state_dict(o.state_dict())
    again = lrs.ExponentialLR(fresh, 0.5, last_epoch=3)
    again.step()
    assert fresh.param_groups[0]["lr"] == 0.5**5
    with pytest.raises(ValueRangeError, match='group 0 needs its "initial_lr"'):
        lrs.ExponentialLR(optimizer(), 0.5, last_epoch=3)


def test_a_schedule_that_steps_before_the_optimizer_warns_once_and_only_in_training() -> None:
    o = optimizer()
    schedule = lrs.ExponentialLR(o, 0.5)
    schedule.step()  # nothing has a gradient: the rates are only looked at
    o.param_groups[0]["params"][0].grad = Tensor(1.0)
    schedule = lrs.ExponentialLR(o, 0.5)
    with pytest.warns(UserWarning, match="ExponentialLR.step was called before the first optimizer.step"):
        schedule.step()
    schedule.step()
    o.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lrs.ExponentialLR(o, 0.5).step()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lrs.StepLR(3, 1), DTypeError, "StepLR: optimizer: expected an optimizer, got int"),
        (lambda o: lrs.LRScheduler(o), DTypeError, "has to define closed_form\\(base_lr\\) or get_lr\\(\\)"),
    ],
)
def test_wrong_arguments_raise(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())
