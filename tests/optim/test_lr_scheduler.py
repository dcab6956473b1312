"""Schedules: closed forms, states, errors; values of PyTorch's are compared in tests/peer/test_schedules.py."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.optim import lr_scheduler as lrs


def optimizer(**options: Any) -> Any:
    return optim.SGD([Tensor(1.0, requires_grad=True)], **{"lr": 0.5, "momentum": 0.9, **options})


# Schedule -> rate as a function of the epoch, for an initial rate of 0.5.
FORMS: dict[str, tuple[Callable[[Any], Any], Callable[[int], float]]] = {
    "LambdaLR": (lambda o: lrs.LambdaLR(o, math.cos), lambda e: 0.5 * math.cos(e)),
    "MultiplicativeLR": (lambda o: lrs.MultiplicativeLR(o, lambda e: 0.5), lambda e: 0.5**e / 2),
    "StepLR": (lambda o: lrs.StepLR(o, 3, 0.5), lambda e: 0.5 ** (e // 3) / 2),
    "MultiStepLR": (lambda o: lrs.MultiStepLR(o, [9, 2], 0.5), lambda e: 0.5 / 2 ** ((e >= 2) + (e >= 9))),
    "ConstantLR": (lambda o: lrs.ConstantLR(o, 0.5, 4), lambda e: 0.25 if e < 4 else 0.5),
    "LinearLR": (lambda o: lrs.LinearLR(o, 0.5, 1.0, 4), lambda e: 0.25 + 0.25 * min(e, 4) / 4),
    "ExponentialLR": (lambda o: lrs.ExponentialLR(o, 0.9), lambda e: 0.5 * 0.9**e),
    "PolynomialLR": (lambda o: lrs.PolynomialLR(o, 8, 2), lambda e: 0.5 * (1 - min(e, 8) / 8) ** 2),
    "CosineAnnealingLR": (
        lambda o: lrs.CosineAnnealingLR(o, 6, 0.1),
        lambda e: 0.1 + 0.4 * (1 + math.cos(math.pi * e / 6)) / 2,
    ),
    "CosineAnnealingWarmRestarts": (
        lambda o: lrs.CosineAnnealingWarmRestarts(o, 5),
        lambda e: 0.5 * (1 + math.cos(math.pi * (e % 5) / 5)) / 2,
    ),
    "CyclicLR": (lambda o: lrs.CyclicLR(o, 0.1, 0.3, 4), lambda e: 0.1 + 0.2 * (1 - abs(e % 8 - 4) / 4)),
    "OneCycleLR": (
        lambda o: lrs.OneCycleLR(o, 1.0, 21, pct_start=11 / 21, anneal_strategy="linear", div_factor=4),
        lambda e: 0.25 + 0.75 * e / 10 if e <= 10 else 1 + (0.25e-4 - 1) * (e - 10) / 10,
    ),
    "InverseTimeLR": (lambda o: lrs.InverseTimeLR(o, 0.5), lambda e: 0.5 / (1 + 0.5 * e)),
    "StaircaseLR": (lambda o: lrs.StaircaseLR(o, 1.0, 4), lambda e: 0.5 / (1 + e // 4)),
    "InverseSqrtLR": (lambda o: lrs.InverseSqrtLR(o, 0.5), lambda e: 0.25 / math.sqrt(e + 1)),
    "SequentialLR": (
        lambda o: lrs.SequentialLR(o, [lrs.ConstantLR(o, 0.5, 99), lrs.ExponentialLR(o, 0.9)], [4]),
        lambda e: 0.25 if e < 4 else 0.5 * 0.9 ** (e - 4),
    ),
    "ChainedScheduler": (
        lambda o: lrs.ChainedScheduler([lrs.ConstantLR(o, 0.5, 4), lrs.ExponentialLR(o, 0.9)]),
        lambda e: 0.5 * 0.9**e * (0.5 if e < 4 else 1),
    ),
}


def test_every_schedule_is_tested() -> None:
    assert set(FORMS) | {"ReduceLROnPlateau", "LRScheduler"} == set(lrs.__all__)


@pytest.mark.parametrize("name", FORMS)
def test_rates_are_those_of_the_formula(name: str) -> None:
    o = optimizer()
    schedule = FORMS[name][0](o)
    for epoch in range(20):
        assert o.param_groups[0]["lr"] == pytest.approx(FORMS[name][1](epoch), rel=1e-9, abs=1e-15), epoch
        assert schedule.get_last_lr() == [o.param_groups[0]["lr"]]
        schedule.step()


@pytest.mark.parametrize("name", FORMS)
def test_a_schedule_goes_on_from_a_saved_state_to_the_bit(name: str) -> None:
    o = optimizer()
    schedule = FORMS[name][0](o)
    for _ in range(7):
        schedule.step()
    fresh = optimizer()
    second = FORMS[name][0](fresh)
    second.load_state_dict(copy.deepcopy(schedule.state_dict()))
    fresh.load_state_dict(o.state_dict())
    third_optimizer, third = copy.deepcopy((o, schedule))
    for _ in range(7, 18):
        for s in (schedule, second, third):
            s.step()
        assert o.param_groups[0]["lr"] == fresh.param_groups[0]["lr"] == third_optimizer.param_groups[0]["lr"]
        assert o.param_groups[0]["momentum"] == fresh.param_groups[0]["momentum"]


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"MultiplicativeLR"}))
def test_a_schedule_without_lambdas_is_pickled(name: str) -> None:
    o, schedule = (lambda o: (o, FORMS[name][0](o)))(optimizer())
    o, schedule = pickle.loads(pickle.dumps((o, schedule)))
    schedule.step()
    assert o.param_groups[0]["lr"] == pytest.approx(FORMS[name][1](1))


@pytest.mark.parametrize(
    "name", ["StepLR", "LinearLR", "ExponentialLR", "CosineAnnealingLR", "InverseTimeLR"]
)
def test_a_schedule_goes_to_a_given_epoch(name: str) -> None:
    o = optimizer()
    schedule = FORMS[name][0](o)
    schedule.step(5)
    assert o.param_groups[0]["lr"] == pytest.approx(FORMS[name][1](5))


def test_momentum_moves_against_the_rate() -> None:
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


def test_a_rate_that_is_a_tensor_is_filled() -> None:
    rate = Tensor(0.5)
    o = optimizer(lr=rate)
    schedule = lrs.ExponentialLR(o, 0.5)
    schedule.step()
    assert o.param_groups[0]["lr"] is rate and rate.item() == 0.25


def test_training_that_goes_on_after_an_epoch_starts_from_the_saved_rates() -> None:
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
    schedule.step()  # nothing has a gradient: somebody looks at the rates
    o.param_groups[0]["params"][0].grad = Tensor(1.0)
    schedule = lrs.ExponentialLR(o, 0.5)
    with pytest.warns(UserWarning, match="ExponentialLR.step came before the first optimizer.step"):
        schedule.step()
    schedule.step()
    o.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lrs.ExponentialLR(o, 0.5).step()


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
        (lambda o: lrs.StepLR(3, 1), DTypeError, "StepLR: optimizer: an optimizer is needed; int came"),
        (
            lambda o: lrs.StepLR(o, 0),
            ValueRangeError,
            "step_size: a number of epochs above 0 is needed; 0 came",
        ),
        (lambda o: lrs.LambdaLR(o, 3), DTypeError, "lr_lambda: a function of the epoch is needed; int came"),
        (lambda o: lrs.LambdaLR(o, [math.cos] * 2), ShapeError, "lr_lambda: 2 values came for 1 groups"),
        (
            lambda o: lrs.ConstantLR(o, 2),
            ValueRangeError,
            "factor: a number above 0, up to 1, is needed; 2 came",
        ),
        (
            lambda o: lrs.OneCycleLR(o, 1.0),
            ValueRangeError,
            "total_steps is needed, or epochs and steps_per_epoch",
        ),
        (
            lambda o: lrs.CyclicLR(o, 0.1, 0.2, mode="up"),
            ValueRangeError,
            "mode: one of .* is needed; 'up' came",
        ),
        (lambda o: lrs.SequentialLR(o, [], []), ValueRangeError, "schedulers: there are none"),
        (
            lambda o: lrs.SequentialLR(o, [lrs.StepLR(o, 1)], [3]),
            ValueRangeError,
            "1 schedules need 0; 1 came",
        ),
        (
            lambda o: lrs.ChainedScheduler([lrs.ReduceLROnPlateau(o)]),
            ValueRangeError,
            "number 0 is a ReduceLROnPlateau, whose step needs the quantity",
        ),
        (
            lambda o: lrs.ChainedScheduler([lrs.StepLR(o, 1), lrs.StepLR(optimizer(), 1)]),
            ValueRangeError,
            "number 1 belongs to another optimizer",
        ),
        (
            lambda o: lrs.ReduceLROnPlateau(o, factor=1.0),
            ValueRangeError,
            "factor: a number below 1 is needed",
        ),
        (lambda o: lrs.LRScheduler(o), DTypeError, r"has to define at\(base\) or get_lr\(\)"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer())


def test_one_cycle_ends_and_needs_a_momentum_to_cycle() -> None:
    schedule = lrs.OneCycleLR(optimizer(), 0.1, 3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueRangeError, match="call 4 of 3: the cycle is over"):
        schedule.step()
    adagrad = optim.Adagrad([Tensor(1.0, requires_grad=True)])
    with pytest.raises(
        ValueRangeError, match="Adagrad has neither momentum nor betas; say cycle_momentum=False"
    ):
        lrs.OneCycleLR(adagrad, 0.1, 3)
