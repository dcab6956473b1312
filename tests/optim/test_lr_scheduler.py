"""Properties of every schedule: closed forms, states. tests/peer/test_schedules.py compares them with PyTorch's."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tests.optim.schedules import optimizer
from tinygrad_dl.optim import lr_scheduler as lrs

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
def test_a_schedule_resumes_from_a_saved_state_to_the_bit(name: str) -> None:
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
def test_a_schedule_steps_to_a_given_epoch(name: str) -> None:
    o = optimizer()
    schedule = FORMS[name][0](o)
    schedule.step(5)
    assert o.param_groups[0]["lr"] == pytest.approx(FORMS[name][1](5))
