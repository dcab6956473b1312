"""Diagnosis of a run in words: problems are found, healthy runs have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.train.test_trainer import points
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train import History, Monitor, Trainer, diagnose


def history(loss: Any, dev_loss: Any = None, **others: Any) -> History:
    epochs: list[dict[str, Any]] = [{"epoch": i, "loss": float(v), "lr": 0.1} for i, v in enumerate(loss, 1)]
    for name, values in {"dev_loss": dev_loss, **others}.items():
        for epoch, value in zip(epochs, values if values is not None else []):
            epoch[name] = float(value)
    return History(epochs)


def names(*arguments: Any, **options: Any) -> list[str]:
    return [finding.name for finding in diagnose(*arguments, **options)]


t = np.arange(30)
FALLING = np.exp(-t / 5) + 0.05


def test_a_healthy_run_has_no_findings() -> None:
    assert (
        diagnose(history(FALLING, FALLING + 0.02, accuracy=1 - FALLING / 2, dev_accuracy=0.98 - FALLING / 2))
        == []
    )


def test_a_dev_loss_that_rises_again_is_high_variance() -> None:
    (finding,) = diagnose(history(FALLING, FALLING + 0.05 + 0.02 * np.maximum(t - 10, 0)))
    assert finding.name == "high variance (overfitting)"
    assert "the dev loss was best in epoch 1" in finding.evidence and "early stopping" in finding.advice
    assert str(finding).startswith("high variance (overfitting): the dev loss was best")


def test_a_gap_between_the_parts_is_high_variance() -> None:
    assert names(history(FALLING, FALLING + 0.1, accuracy=t / 29, dev_accuracy=t / 40)) == [
        "high variance (overfitting)"
    ]
    assert names(history(FALLING, 3 * FALLING)) == ["high variance (overfitting)"]


def test_a_training_part_below_its_target_is_high_bias() -> None:
    run = history(FALLING, FALLING, accuracy=[0.8] * 30, dev_accuracy=[0.8] * 30)
    assert names(run, target=0.95) == ["high bias (underfitting)"] and names(run, target=0.75) == []


def test_a_loss_that_jumps_rises_or_becomes_nan_is_a_rate_too_high() -> None:
    for loss in (1 + 0.5 * (-1.0) ** t, np.exp(t / 10), np.r_[FALLING[:5], np.nan]):
        (finding,) = diagnose(history(loss))
        assert finding.name == "learning rate too high" and "learning rate (0.1)" in finding.advice


def test_a_loss_that_still_falls_steadily_is_a_rate_too_low() -> None:
    assert names(history(1 - 0.01 * t)) == ["learning rate too low, or training too short"]


def test_short_and_empty_runs_are_not_judged() -> None:
    assert diagnose(history([1.0, 2.0, 1.0])) == []
    with pytest.raises(ValueRangeError, match="got an empty one"):
        diagnose(History())


def run(model: Any, lr: float = 0.05, epochs: int = 6) -> tuple[Trainer, Monitor]:
    monitor = Monitor(every=2)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[monitor], progress="off")
    trainer.fit(points(), points(seed=1), epochs, batch_size=10, rng=0)
    return trainer, monitor


def deep(activation: Any, layers: int = 10) -> Any:
    tg.manual_seed(0)
    parts: list[Any] = [nn.Linear(2, 8), activation()]
    for _ in range(layers):
        parts += [nn.Linear(8, 8), activation()]
    return nn.Sequential(*parts, nn.Linear(8, 2))


def test_sigmoids_in_a_deep_network_are_found_to_make_gradients_vanish() -> None:
    trainer, monitor = run(deep(nn.Sigmoid))
    findings = {finding.name: finding for finding in diagnose(trainer, monitor)}
    assert "vanishing gradients" in findings and "0.weight" in findings["vanishing gradients"].evidence


def test_dead_units_are_found() -> None:
    model = deep(nn.ReLU, 1)
    model[2].bias.data[:6] = -100.0
    trainer, monitor = run(model)
    dead = [finding for finding in diagnose(trainer, monitor) if finding.name == "dead units"]
    assert len(dead) == 1 and "% of the units of 3 were 0 for the whole batch" in dead[0].evidence


def test_updates_of_the_wrong_size_are_found() -> None:
    assert "updates too small" in names(*run(deep(nn.ReLU, 1), lr=1e-7))
    assert "updates too large" in names(*run(deep(nn.Tanh, 1), lr=50.0))


def test_large_weights_are_found_to_make_gradients_explode() -> None:
    model = deep(nn.Identity, 6)
    for p in model.parameters():
        if p.ndim == 2:
            p.data *= 12
    assert "exploding gradients" in names(*run(model, lr=1e-12))
