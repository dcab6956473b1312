"""LRScheduler, the base class: rates that are Tensors, resuming, warnings, errors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.optim.schedules import optimizer
from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.optim import lr_scheduler as lrs
from tinygrad_dl.optim import swa_utils


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


# Their class in PyTorch fails at a group that is added later; here its rate is then its initial one.
ADDED: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lrs.LambdaLR(o, lambda epoch: 0.9**epoch),
    "CosineAnnealingWarmRestarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 4, 2),
    "InverseTimeLR": lambda o: lrs.InverseTimeLR(o, 0.5),
    "StaircaseLR": lambda o: lrs.StaircaseLR(o, 0.5, 2),
    "InverseSqrtLR": lambda o: lrs.InverseSqrtLR(o),
    "SequentialLR": lambda o: lrs.SequentialLR(
        o, [lrs.LambdaLR(o, lambda e: 0.5), lrs.CosineAnnealingLR(o, 5)], [4]
    ),
    "CosineAnnealingLR": lambda o: lrs.SequentialLR(
        o, [lrs.ConstantLR(o, 1.0), lrs.CosineAnnealingLR(o, 5)], [3]
    ),
}


def group() -> dict[str, Any]:
    return {"params": [Tensor(1.0, requires_grad=True)], "lr": 0.2}


@pytest.mark.parametrize("name", ADDED)
def test_a_group_that_is_added_later_has_the_rates_of_one_that_was_there(name: str) -> None:
    late, early = (optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.1) for _ in "ab")
    early.add_param_group(group())
    schedules = [ADDED[name](o) for o in (late, early)]
    for step in range(10):
        if step == 2:
            late.add_param_group(group())
        for schedule in schedules:
            schedule.step()
        if step >= 3:
            assert schedules[0].get_last_lr() == pytest.approx(schedules[1].get_last_lr())


def test_a_group_that_is_added_later_takes_part_in_cycles() -> None:
    for make in (
        lambda o: lrs.OneCycleLR(o, 0.5, total_steps=10),
        lambda o: lrs.CyclicLR(o, 0.01, 0.1, 3),
        lambda o: swa_utils.SWALR(o, 0.05, 4),
        lambda o: lrs.MultiplicativeLR(o, lambda e: 0.5),
    ):
        o = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.1, momentum=0.9)
        schedule = make(o)
        schedule.step()
        o.add_param_group({**group(), "lr": o.param_groups[0]["lr"]})
        for _ in range(5):
            schedule.step()
            first, second = o.param_groups
            assert second["lr"] == pytest.approx(first["lr"])
            assert second["momentum"] == pytest.approx(first["momentum"])


def test_a_group_without_a_value_of_its_own_asks_for_it() -> None:
    for make, option in (
        (lambda o: lrs.LambdaLR(o, [lambda e: 1.0, lambda e: 0.5]), "lr_lambda"),
        (lambda o: lrs.OneCycleLR(o, [0.1, 0.2], 10, cycle_momentum=False), "max_lr"),
        (lambda o: lrs.CyclicLR(o, 0.1, [0.2, 0.3], cycle_momentum=False), "max_lr"),
        (lambda o: swa_utils.SWALR(o, [0.1, 0.2]), "swa_lr"),
        (lambda o: lrs.ReduceLROnPlateau(o, min_lr=[0.1, 0.2]), "min_lr"),
    ):
        o = optim.SGD([group(), group()], lr=0.1)
        schedule = make(o)
        o.add_param_group(group())
        rates = [g["lr"] for g in o.param_groups]
        arguments = (1.0,) if option == "min_lr" else ()
        with pytest.raises(
            ShapeError, match=rf"LR.*\.step: {option}: expected one value per group, 3, got 2: a group"
        ):
            schedule.step(*arguments)
        assert [g["lr"] for g in o.param_groups] == rates and schedule.last_epoch == 0


@pytest.mark.parametrize("epoch", [0, 2, 4, 5, 9])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_sequence_continues_with_the_schedule_that_is_due(epoch: int, resumed: bool) -> None:
    def sequence(o: Any, last_epoch: int = -1) -> Any:
        at = min(last_epoch, 4) if resumed else -1
        later = max(last_epoch - 5, -1) if resumed else -1
        parts = [lrs.LinearLR(o, 0.1, 1.0, 4, last_epoch=at), lrs.ExponentialLR(o, 0.9, last_epoch=later)]
        return lrs.SequentialLR(o, parts, [5], last_epoch=last_epoch)

    o = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.1)
    schedule = sequence(o)
    for _ in range(epoch + 1):
        schedule.step()
    other = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.1)
    other.load_state_dict(o.state_dict())
    again = sequence(other, last_epoch=epoch)
    for _ in range(6):
        assert again.last_epoch == schedule.last_epoch
        assert again.get_last_lr() == pytest.approx(schedule.get_last_lr())
        schedule.step()
        again.step()


def test_warm_restarts_continue_after_several_periods() -> None:
    o = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.1)
    schedule = lrs.CosineAnnealingWarmRestarts(o, 2, 2)
    for _ in range(10):
        schedule.step()
    other = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.1)
    other.load_state_dict(o.state_dict())
    again = lrs.CosineAnnealingWarmRestarts(other, 2, 2, last_epoch=9)
    for _ in range(8):
        assert again.get_last_lr() == pytest.approx(schedule.get_last_lr())
        schedule.step()
        again.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: lrs.StepLR(o, "10"), "StepLR: step_size: expected an int, got str '10'"),
        (lambda o: lrs.ConstantLR(o, total_iters="abc"), "ConstantLR: total_iters: expected an int, got str 'abc'"),
        (lambda o: lrs.PolynomialLR(o, power=-1), "PolynomialLR: power: expected a number of at least 0, got"),
        (lambda o: lrs.OneCycleLR(o, 0.1, 10, div_factor=0), "OneCycleLR: div_factor: expected a number above 0, got"),
        (lambda o: lrs.OneCycleLR(o, -1, 10), "OneCycleLR: max_lr: expected a number of at least 0"),
        (lambda o: lrs.CyclicLR(o, 0.1, 0.2, scale_mode="abc"), "CyclicLR: scale_mode: expected \"cycle\" or"),
        (lambda o: lrs.ReduceLROnPlateau(o, factor=-1), "ReduceLROnPlateau: factor: expected a number of at least 0"),
        (lambda o: lrs.ReduceLROnPlateau(o).step("0.5"), "ReduceLROnPlateau.step: metrics: expected a number, such"),
        (lambda o: lrs.LambdaLR(o, lambda e: None), "LambdaLR: lr_lambda: expected a function that returns a number"),
        (lambda o: lrs.StepLR(o, 1).step("1"), "StepLR.step: epoch: expected a number of at least 0, got str '1'"),
        (lambda o: lrs.StepLR(o, 1).load_state_dict(3), "StepLR.load_state_dict: state_dict: expected a dict, got int"),
        (lambda o: lrs.StepLR(o, 1, last_epoch=-2), "StepLR: last_epoch: expected an int of at least -1, got"),
        (lambda o: lrs.MultiStepLR(o, ["a"]), "MultiStepLR: milestones: expected epochs, such as 30, got str 'a'"),
    ],
)  # fmt: skip
def test_what_a_schedule_cannot_use_is_refused_with_its_name(make: Any, message: str) -> None:
    o = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.1, momentum=0.9)
    with pytest.raises((DTypeError, ValueRangeError), match=f"^{re.escape(message)}"):
        make(o)
    assert o.param_groups[0]["lr"] == 0.1
