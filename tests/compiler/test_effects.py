"""Side effects of the package within compiled steps: they happen, in their order, and nothing else changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS, X, Y, assert_same, network
from tinygrad_dl import nn, optim
from tinygrad_dl.nn.utils import parametrizations
from tinygrad_dl.optim import lr_scheduler, swa_utils

INDICES = np.random.default_rng(1).integers(0, 9, (16, 5))


def normed(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    tg.manual_seed(1)
    return nn.Sequential(wrap(nn.Linear(4, 8)), nn.Tanh(), wrap(nn.Linear(8, 3)))


def embedded(**options: Any) -> nn.Module:
    tg.manual_seed(1)
    return nn.Sequential(nn.Embedding(9, 4, **options), nn.Flatten(), nn.Linear(20, 3))


MODELS: dict[str, tuple[Callable[[], nn.Module], np.ndarray]] = {
    "spectral norm": (lambda: normed(parametrizations.spectral_norm), X),
    "several iterations": (
        lambda: normed(lambda m: parametrizations.spectral_norm(m, n_power_iterations=3)),
        X,
    ),
    "weight norm": (lambda: normed(parametrizations.weight_norm), X),
    "max_norm": (lambda: embedded(max_norm=0.8), INDICES),
    "max_norm and padding": (lambda: embedded(max_norm=0.8, padding_idx=2), INDICES),
}


def both(
    make: Callable[[], nn.Module],
    x: np.ndarray,
    backend: str,
    after: Callable[[Any, Any], Callable[..., Any]],
) -> list[Any]:
    """What an eager and a compiled run leave: the model, and what `after` made to be called after each update."""
    found = []
    for compiled in (False, True):
        model = make()
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        further = after(model, optimizer)

        def step(
            x: Any,
            y: Any,
            model: Any = model,
            optimizer: Any = optimizer,
            further: Any = further,
        ) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            further(loss)
            return loss

        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        tg.manual_seed(3)
        losses = [run(tg.asarray(x), tg.asarray(Y)).item() for _ in range(9)]
        if compiled:
            assert any(e.verified for es in run._entries.values() for e in es)
        found.append((model, losses, optimizer, further))
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=2e-4)
    assert_same(found[0][0], found[1][0])
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_weights_that_a_forward_changes_or_computes(name: str, backend: str) -> None:
    both(*MODELS[name], backend, lambda model, optimizer: lambda loss: None)


AVERAGES: dict[str, dict[str, Any]] = {
    "mean": {},
    "moving": {"avg_fn": swa_utils.get_ema_avg_fn(0.7)},
    "lists": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.7), "use_buffers": True},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", AVERAGES)
def test_averages_of_weights_include_the_update_of_the_step(name: str, backend: str) -> None:
    averaged = []

    def after(model: Any, optimizer: Any) -> Callable[..., Any]:
        average = swa_utils.AveragedModel(model, **AVERAGES[name])
        averaged.append(average)
        return lambda loss: average.update_parameters(model)

    def make() -> nn.Module:
        tg.manual_seed(1)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))

    both(make, X, backend, after)
    assert int(averaged[0].n_averaged) == int(averaged[1].n_averaged) == 9
    for a, b in zip(averaged[0].state_dict().values(), averaged[1].state_dict().values(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)


class Halving(lr_scheduler.LRScheduler):
    def step(self, epoch: Any = None) -> None:
        self.last_epoch += 1
        self.set_lrs([group["lr"] / 2 for group in self.optimizer.param_groups])


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "steps": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "sequence": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.3, 2), lr_scheduler.ExponentialLR(o, 0.8)], [4]
    ),
    "chain": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.3, 2), lr_scheduler.ExponentialLR(o, 0.8)]
    ),
    "own": Halving,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_stepped_within_the_step(name: str, backend: str) -> None:
    schedules = []

    def after(model: Any, optimizer: Any) -> Callable[..., Any]:
        schedule = SCHEDULES[name](optimizer)
        schedules.append(schedule)
        return lambda loss: schedule.step()

    found = both(network, X, backend, after)
    assert found[0][2].param_groups[0]["lr"] == found[1][2].param_groups[0]["lr"]
    assert str(schedules[0].state_dict()) == str(schedules[1].state_dict())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_schedule_follows_the_loss_of_the_step(backend: str) -> None:
    def after(model: Any, optimizer: Any) -> Callable[..., Any]:
        schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.03, factor=0.5)
        return lambda loss: schedule.step(loss.detach())

    found = both(network, X, backend, after)
    rates = [o.param_groups[0]["lr"] for _, _, o, _ in found]
    assert rates[0] == rates[1] < 0.05


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_scaled_by_a_norm_of_the_step(backend: str) -> None:
    models = []
    for compiled in (False, True):
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.05)

        def step(x: Any, model: Any = model, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
            nn.utils.clip_grads_with_norm_(model.parameters(), 0.1, norm)
            optimizer.step()

        run = tg.compile(step, backend=backend) if compiled else step
        for _ in range(6):
            run(tg.asarray(X))
        models.append(model)
    assert_same(*models)


class Averaging(optim.Optimizer):
    """An optimizer of a user's, with NumPy in it."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def init_state(self, p: np.ndarray, group: Any) -> Any:
        return {"v": np.zeros_like(p)}

    def update(self, p: np.ndarray, g: np.ndarray, state: Any, group: Any, workspace: Any) -> None:
        state["v"] += 0.1 * np.sign(g)
        p -= group["lr"] * state["v"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_optimizer_of_a_user_is_part_of_the_step(backend: str) -> None:
    models = []
    for compiled in (False, True):
        model = network()
        optimizer = Averaging(model.parameters(), lr=0.05)

        def step(x: Any, model: Any = model, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()

        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        for _ in range(6):
            run(tg.asarray(X))
        models.append(model)
    assert_same(*models)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_that_is_not_used_has_changed_nothing(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that effects declare is put back: running statistics, counts, averages, schedules, tables."""
    from tinygrad_dl.compiler.snapshot import Snapshot

    monkeypatch.setattr(Snapshot, "compared_with", lambda self, other, moved=(): "result")
    found = []
    for compiled in (False, True):
        tg.manual_seed(1)
        model = nn.Sequential(
            nn.Embedding(9, 4, max_norm=0.8), nn.Flatten(), parametrizations.spectral_norm(nn.Linear(20, 6)),
            nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 3),
        )  # fmt: skip
        optimizer = optim.NAdam(model.parameters(), lr=0.05)
        schedule = lr_scheduler.StepLR(optimizer, 2, 0.5)
        average = swa_utils.AveragedModel(model, use_buffers=True)

        def step(
            x: Any,
            y: Any,
            model: Any = model,
            optimizer: Any = optimizer,
            schedule: Any = schedule,
            average: Any = average,
        ) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            return loss

        run = tg.compile(step, backend=backend) if compiled else step
        tg.manual_seed(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(6):
                run(tg.asarray(INDICES), tg.asarray(Y))
        found.append(
            (model.state_dict(), average.state_dict(), schedule.state_dict(), optimizer.state_dict())
        )
    eager, compiled_ = found
    for one, other in zip(eager[:2], compiled_[:2]):
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key], err_msg=key)
    assert str(eager[2]) == str(compiled_[2])
    for i, state in eager[3]["state"].items():
        for key, value in state.items():
            np.testing.assert_array_equal(value, compiled_[3]["state"][i][key])
