"""Optimizers, schedules and averages: their constructors, what is called on them, and what users write into them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, nn, optim
from tinygrad_dl.optim import lr_scheduler, swa_utils


def parameters() -> list[Tensor]:
    p = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    p.grad = Tensor(np.ones((2, 3), np.float32))
    return [p]


def optimizer(kind: str = "SGD", **options: Any) -> Any:
    return getattr(optim, kind)(parameters(), **{"lr": 0.1, **options})


OPTIMIZERS = (
    "SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "ASGD", "LBFGS",
    "Muon", "Adafactor",
)  # fmt: skip
Schedule = Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]
SCHEDULES: dict[str, Schedule] = {
    "StepLR": lambda: with_arguments(optimizer(), 2),
    "MultiStepLR": lambda: with_arguments(optimizer(), [1, 2]),
    "ExponentialLR": lambda: with_arguments(optimizer(), 0.9),
    "CosineAnnealingLR": lambda: with_arguments(optimizer(), 5),
    "CosineAnnealingWarmRestarts": lambda: with_arguments(optimizer(), 5),
    "LinearLR": lambda: with_arguments(optimizer()),
    "ConstantLR": lambda: with_arguments(optimizer()),
    "PolynomialLR": lambda: with_arguments(optimizer()),
    "OneCycleLR": lambda: with_arguments(optimizer(momentum=0.9), 0.1, total_steps=10),
    "OneCycleLR of epochs": lambda: with_arguments(optimizer("Adam"), 0.1, epochs=5, steps_per_epoch=2),
    "CyclicLR": lambda: with_arguments(optimizer(momentum=0.9), 0.01, 0.1),
    "InverseTimeLR": lambda: with_arguments(optimizer(), 0.1),
    "StaircaseLR": lambda: with_arguments(optimizer(), 0.1, 2),
    "InverseSqrtLR": lambda: with_arguments(optimizer()),
    "LambdaLR": lambda: with_arguments(optimizer(), lambda epoch: 0.5),
    "MultiplicativeLR": lambda: with_arguments(optimizer(), lambda epoch: 0.5),
}


def plateau() -> tuple[tuple[Any, ...], dict[str, Any]]:
    return with_arguments(optimizer())


def swalr() -> tuple[tuple[Any, ...], dict[str, Any]]:
    return with_arguments(optimizer(), 0.1)


def composed(name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    o = optimizer()
    parts = [lr_scheduler.StepLR(o, 2), lr_scheduler.ExponentialLR(o, 0.9)]
    return with_arguments(o, parts, [3]) if name == "SequentialLR" else with_arguments(parts, o)


def and_used(make: Any, use: Callable[[Any], None]) -> Any:
    """A function with the signature of `make` that uses what it made: an option is refused where it is given."""

    @wraps(make, updated=())
    def made(*args: Any, **kwargs: Any) -> None:
        use(make(*args, **kwargs))

    made.__signature__ = inspect.signature(make)  # type: ignore[attr-defined]
    return made


def step_twice(made: Any) -> None:
    o = made.optimizer if isinstance(made, lr_scheduler.LRScheduler) else made
    for group in o.param_groups:
        for p in group["params"]:
            p.grad = Tensor(np.ones(p.shape, p.dtype))

    def closure() -> Any:
        return Tensor(1.0)

    for _ in range(2):
        o.step(closure)
        if made is not o:
            made.step(1.0) if isinstance(made, lr_scheduler.ReduceLROnPlateau) else made.step()


def edited(kind: str) -> Iterator[Call]:
    """A step after a user has written an option, or a value of the state."""
    o = optimizer(kind)
    step_twice(o)
    options = {k: v for k, v in o.param_groups[0].items() if k not in ("params", "foreach", "fused")}

    def set_options(**given: Any) -> None:
        o = optimizer(kind)
        o.param_groups[0].update(given)
        step_twice(o)

    def set_state(**given: Any) -> None:
        o = optimizer(kind)
        step_twice(o)
        o.state[o.param_groups[0]["params"][0]].update(given)
        step_twice(o)

    state = dict(o.state[o.param_groups[0]["params"][0]])
    yield Call(f"{kind} options edited", lambda: (set_options, (), dict(options)))
    yield Call(
        f"{kind} state edited",
        lambda: (set_state, (), {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in state.items()}),
    )


def methods() -> Iterator[Call]:
    for kind in ("SGD", "LBFGS"):
        yield Call(f"{kind}.step", lambda kind=kind: (optimizer(kind).step, (lambda: Tensor(1.0),), {}))
        yield Call(
            f"{kind}.load_state_dict",
            lambda kind=kind: (optimizer(kind).load_state_dict, (optimizer(kind).state_dict(),), {}),
        )

    def loaded(**changes: Any) -> None:
        o = optimizer("Adam")
        step_twice(o)
        saved = o.state_dict()
        where: dict[str, Any] = {
            "exp_avg": saved["state"][0], "step": saved["state"][0], "lr": saved["param_groups"][0],
            "betas": saved["param_groups"][0], "params": saved["param_groups"][0], "state": saved,
            "param_groups": saved,
        }  # fmt: skip
        for name, value in changes.items():
            where[name][name] = value
        o.load_state_dict(saved)

    def changes() -> dict[str, Any]:
        return {"exp_avg": np.ones((2, 3)), "step": 2, "lr": 0.1, "betas": (0.9, 0.99), "params": [0]}

    yield Call("Adam.load_state_dict parts", lambda: (loaded, (), changes()))
    o: Any = optimizer()
    yield Call("SGD.add_param_group", lambda: (optimizer().add_param_group, ({"params": parameters()},), {}))

    def add(**group: Any) -> None:
        optimizer().add_param_group(group)

    yield Call(
        "SGD.add_param_group of", lambda: (add, (), {"params": parameters(), "lr": 0.1, "momentum": 0.5})
    )
    step: Any = lr_scheduler.ReduceLROnPlateau(o).step
    yield Call("ReduceLROnPlateau.step", lambda: (step, (1.0,), {}))

    def step_schedule() -> Any:
        schedule = lr_scheduler.StepLR(optimizer(), 2)
        schedule.optimizer.step()
        return schedule.step

    yield Call("StepLR.step", lambda: (step_schedule(), (1,), {}))
    warm = lr_scheduler.CosineAnnealingWarmRestarts
    yield Call("CosineAnnealingWarmRestarts.step", lambda: (warm(optimizer(), 2).step, (1,), {}))

    def load_schedule(state: Any) -> None:
        lr_scheduler.StepLR(optimizer(), 2).load_state_dict(state)

    yield Call(
        "StepLR.load_state_dict", lambda: (load_schedule, (lr_scheduler.StepLR(o, 2).state_dict(),), {})
    )


def averages() -> Iterator[Call]:
    def model() -> Any:
        return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))

    yield Call("AveragedModel", lambda: (swa_utils.AveragedModel, (model(),), {}))
    yield Call(
        "AveragedModel.update_parameters",
        lambda: (swa_utils.AveragedModel(model()).update_parameters, (model(),), {}),
    )
    yield Call("get_ema_avg_fn", lambda: (swa_utils.get_ema_avg_fn, (0.9,), {}))
    yield Call("get_ema_multi_avg_fn", lambda: (swa_utils.get_ema_multi_avg_fn, (0.9,), {}))
    batches = [np.ones((4, 3), np.float32)]
    yield Call("update_bn", lambda: (swa_utils.update_bn, (batches, model()), {}))
    for name in ("l1_penalty", "l2_penalty", "decay_groups"):
        yield Call(name, lambda name=name: (getattr(optim, name), (model(), 0.1), {}))
    yield Call("weights", lambda: (optim.weights, (model(),), {}))


def calls() -> Iterator[Call]:
    yield from calls_of(optim, {name: lambda: with_arguments(parameters(), lr=0.1) for name in OPTIMIZERS})
    yield from calls_of(lr_scheduler, SCHEDULES)
    made: dict[str, tuple[Any, Schedule]] = {
        name: (getattr(optim, name), lambda: with_arguments(parameters(), lr=0.1)) for name in OPTIMIZERS
    }
    made |= {name: (getattr(lr_scheduler, name.partition(" ")[0]), make) for name, make in SCHEDULES.items()}
    made |= {
        name: (getattr(lr_scheduler, name), lambda name=name: composed(name))
        for name in ("SequentialLR", "ChainedScheduler")
    }  # type: ignore[misc]
    made |= {
        "ReduceLROnPlateau": (lr_scheduler.ReduceLROnPlateau, plateau),
        "SWALR": (swa_utils.SWALR, swalr),
    }
    for name, (make, arguments) in made.items():
        used = and_used(make, step_twice)
        yield Call(f"{name} used", lambda used=used, arguments=arguments: (used, *arguments()))
    for name in OPTIMIZERS:
        yield from edited(name)
    yield from methods()
    yield from averages()
