"""Every schedule against PyTorch: the same rates and momentum over 100 steps; states are exchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, optim
from tinygrad_dl.optim import lr_scheduler

torch = pytest.importorskip("torch", reason="PyTorch, which schedules are compared with, is not installed")

Make = Callable[[Any, Any], Any]  # a module of schedules and an optimizer -> a schedule


def sequence(m: Any, o: Any) -> Any:
    parts = [m.LinearLR(o, 0.1, total_iters=10), m.CosineAnnealingLR(o, 20), m.ExponentialLR(o, 0.9)]
    return m.SequentialLR(o, parts, [10, 40])


def sequence_of_many(m: Any, o: Any) -> Any:
    parts = [
        m.ConstantLR(o, 0.5, 4),
        m.CosineAnnealingWarmRestarts(o, 5, 2),
        m.StepLR(o, 3, 0.5),
        m.MultiStepLR(o, [2, 5], 0.3),
        m.PolynomialLR(o, 12, 2.0),
        m.LambdaLR(o, lambda e: 1 / (1 + e)),
    ]
    return m.SequentialLR(o, parts, [7, 30, 44, 60, 80])


def chain(m: Any, o: Any) -> Any:
    return m.ChainedScheduler([m.ConstantLR(o, 0.1, 5), m.ExponentialLR(o, 0.9), m.StepLR(o, 30, 0.5)])


MADE: dict[str, Make] = {
    "LambdaLR": lambda m, o: m.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)]),
    "MultiplicativeLR": lambda m, o: m.MultiplicativeLR(o, lambda e: 0.9 + 0.001 * e),
    "StepLR": lambda m, o: m.StepLR(o, 7, 0.5),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [80, 30, 30, 5], 0.3),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.25, 9),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.2, 0.7, 40),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.97),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, 60, 1.7),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 23, 0.001),
    "CosineAnnealingWarmRestarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 7, 2, 0.01),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, [0.5, 1.0], total_steps=101),
    "OneCycleLR, linear": lambda m, o: m.OneCycleLR(
        o, 0.5, epochs=11, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.4
    ),
    "OneCycleLR, three phases": lambda m, o: m.OneCycleLR(o, 0.5, total_steps=120, three_phase=True),
    "CyclicLR": lambda m, o: m.CyclicLR(o, 0.01, [0.1, 0.2], 7, 12),
    "CyclicLR, triangular2": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 9, mode="triangular2"),
    "CyclicLR, exp_range": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 9, mode="exp_range", gamma=0.99),
    "CyclicLR, own scale": lambda m, o: m.CyclicLR(
        o, 0.01, 0.1, 9, scale_fn=lambda x: 1 / x, cycle_momentum=False
    ),
    "SequentialLR": sequence,
    "SequentialLR of many": sequence_of_many,
    "ChainedScheduler": chain,
}
OPTIMIZERS = {"SGD": {"lr": 0.1, "momentum": 0.9}, "AdamW": {"lr": 0.1}}


def ours(name: str = "SGD") -> Any:
    params = [Tensor(np.ones(2), requires_grad=True) for _ in range(2)]
    return getattr(optim, name)(
        [{"params": [params[0]]}, {"params": params[1:], "lr": 0.02}], **OPTIMIZERS[name]
    )


def theirs(name: str = "SGD") -> Any:
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": [params[0]]}, {"params": params[1:], "lr": 0.02}]
    optimizer = getattr(torch.optim, name)(groups, **OPTIMIZERS[name])
    optimizer.step()  # their schedules warn otherwise
    return optimizer


def settings(optimizer: Any) -> list[float]:
    """All rates and momenta that are set."""
    groups = optimizer.param_groups
    return [x for g in groups for x in (float(g["lr"]), g.get("momentum", g.get("betas", (0,))[0]))]


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", MADE)
def test_a_schedule_sets_the_same_as_pytorch_over_100_steps(name: str, kind: str) -> None:
    a, b = ours(kind), theirs(kind)
    schedule, reference = MADE[name](lr_scheduler, a), MADE[name](torch.optim.lr_scheduler, b)
    for step in range(100):
        assert settings(a) == pytest.approx(settings(b), rel=1e-9, abs=1e-15), step
        assert schedule.get_last_lr() == pytest.approx(reference.get_last_lr(), rel=1e-9, abs=1e-15)
        schedule.step()
        reference.step()


@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("name", MADE)
def test_a_state_of_pytorch_is_taken_over_in_the_middle(name: str) -> None:
    a, b = ours(), theirs()
    schedule, reference = MADE[name](lr_scheduler, a), MADE[name](torch.optim.lr_scheduler, b)
    for _ in range(37):
        reference.step()
    schedule.load_state_dict(reference.state_dict())
    for group, saved in zip(a.param_groups, b.state_dict()["param_groups"]):
        group.update({key: saved[key] for key in ("lr", "momentum")})
    for _ in range(37, 100):
        schedule.step()
        reference.step()
        assert settings(a) == pytest.approx(settings(b), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 2, "cooldown": 3, "factor": 0.5},
        {"mode": "max", "patience": 1, "min_lr": [0.01, 0.001]},
        {"threshold_mode": "abs", "threshold": 0.05, "patience": 3},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "patience": 3, "eps": 1e-3},
        {"mode": "max", "threshold": 0.2, "patience": 0},
    ],
)
def test_reduce_on_plateau_follows_a_quantity_like_pytorch(options: dict[str, Any]) -> None:
    a, b = ours(), theirs()
    schedule = lr_scheduler.ReduceLROnPlateau(a, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options)
    rng = np.random.default_rng(0)
    for step in range(100):
        quantity = math.exp(-step / 20) + 0.05 * rng.normal()
        quantity = float("nan") if step == 50 else quantity
        schedule.step(quantity)
        reference.step(quantity)
        assert settings(a) == pytest.approx(settings(b), rel=1e-12)
        assert schedule.num_bad_epochs == reference.num_bad_epochs
        if step == 60:
            fresh = lr_scheduler.ReduceLROnPlateau(a, **options)
            fresh.load_state_dict(reference.state_dict())
            schedule = fresh


@pytest.mark.parametrize("epoch", [0, 3, 6.5, 7, 20.25, 21, 48.9, 49, 100])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_warm_restarts_go_to_any_epoch_like_pytorch(epoch: float, factor: int) -> None:
    a, b = ours(), theirs()
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(a, 7, factor)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(b, 7, factor)
    for move in (epoch, None, None):
        schedule.step(move)
        reference.step(move)
        assert settings(a) == pytest.approx(settings(b), rel=1e-9)


@pytest.mark.filterwarnings("ignore:Detected call of")
def test_swalr_is_that_of_pytorch() -> None:
    from tinygrad_dl.optim.swa_utils import SWALR

    for strategy in ("cos", "linear"):
        a, b = ours(), theirs()
        schedule = SWALR(a, 0.005, 10, strategy)
        reference = torch.optim.swa_utils.SWALR(b, 0.005, 10, strategy)
        for _ in range(15):
            assert settings(a) == pytest.approx(settings(b), rel=1e-9)
            schedule.step()
            reference.step()


@pytest.mark.parametrize("kind", ["ema", "ema of many", "mean"])
def test_averaged_weights_are_those_of_pytorch(kind: str) -> None:
    from tinygrad_dl import nn
    from tinygrad_dl.optim import swa_utils

    def options(m: Any) -> dict[str, Any]:
        if kind == "mean":
            return {}
        return (
            {"avg_fn": m.get_ema_avg_fn(0.9)}
            if kind == "ema"
            else {"multi_avg_fn": m.get_ema_multi_avg_fn(0.9)}
        )

    a, b = nn.Linear(3, 2).double(), torch.nn.Linear(3, 2).double()
    schedule = swa_utils.AveragedModel(a, **options(swa_utils))
    reference = torch.optim.swa_utils.AveragedModel(b, **options(torch.optim.swa_utils))
    rng = np.random.default_rng(0)
    for _ in range(5):
        for p, q in zip(a.parameters(), b.parameters()):
            p.data[...] = rng.normal(size=p.shape)
            q.data = torch.tensor(p.data)
        schedule.update_parameters(a)
        reference.update_parameters(b)
    for key, value in reference.state_dict().items():
        np.testing.assert_allclose(np.asarray(schedule.state_dict()[key]), value.numpy(), rtol=1e-12)


ADDED: dict[str, Make] = {
    "StepLR": lambda m, o: m.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [4, 6], 0.5),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.5, 6),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.5, 1.0, 6),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, 12, 2.0),
    "ReduceLROnPlateau": lambda m, o: m.ReduceLROnPlateau(o, patience=1),
    "ChainedScheduler": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.5, 6), m.ExponentialLR(o, 0.9)]),
}


@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("name", ADDED)
def test_a_group_that_is_added_later_is_scheduled_as_in_pytorch(name: str) -> None:
    a, b = ours(), theirs()
    schedule, reference = ADDED[name](lr_scheduler, a), ADDED[name](torch.optim.lr_scheduler, b)
    for step in range(10):
        if step == 3:
            a.add_param_group({"params": [Tensor(np.ones(2), requires_grad=True)], "lr": 0.3})
            b.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.3})
        for one in (schedule, reference):
            one.step(1.0) if name == "ReduceLROnPlateau" else one.step()
        assert settings(a) == pytest.approx(settings(b), rel=1e-9, abs=1e-15), step
