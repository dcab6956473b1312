"""EarlyStopping and Schedule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.train.test_trainer import points, trainer, weights
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim import lr_scheduler
from tinygrad_dl.train import Callback, EarlyStopping, Schedule


class Pretend(Callback):
    """Puts given values into the history, and saves the weights of every epoch."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values, self.saved = name, values, []  # type: ignore[var-annotated]

    def on_epoch_end(self, trainer: Any, epoch: dict[str, Any]) -> None:
        epoch[self.name] = self.values[epoch["epoch"] - 1]
        self.saved.append(weights(trainer))


@pytest.mark.parametrize(
    ("name", "values", "stops_after", "best"),
    [
        ("dev_loss", [5.0, 3.0, 4.0, 4.0, 9.0, 1.0], 4, 2),
        ("dev_accuracy", [0.5, 0.8, 0.7, 0.9, 0.9, 0.9], 6, 4),
        ("dev_loss", [float("nan"), 3.0, float("nan"), float("nan"), 1.0], 4, 2),
        ("dev_loss", [3.0, 2.995, 2.99, 1.0], 3, 1),
    ],
)
def test_it_stops_after_patience_epochs_and_restores_the_best_weights(
    name: str, values: list[float], stops_after: int, best: int
) -> None:
    pretend = Pretend(name, values)
    t = trainer(callbacks=[pretend, EarlyStopping(name, patience=2, min_delta=0.05)])
    t.fit(points(), points(seed=1), len(values))
    assert len(t.history) == stops_after
    assert t.history.stopped.startswith(f"{name} has not improved since epoch {best} (")
    np.testing.assert_array_equal(weights(t), pretend.saved[best - 1])


def test_without_restoring_the_last_weights_stay() -> None:
    pretend = Pretend("dev_loss", [1.0, 2.0])
    t = trainer(callbacks=[pretend, EarlyStopping(patience=1, restore=False)])
    t.fit(points(), points(seed=1), 5)
    np.testing.assert_array_equal(weights(t), pretend.saved[-1])


def test_an_unknown_quantity_cannot_be_monitored() -> None:
    with pytest.raises(ValueRangeError, match=r"got 'dev_loss'. Pass a dev part to fit\(\)"):
        trainer(callbacks=[EarlyStopping()]).fit(points(), epochs=1)
    with pytest.raises(ValueRangeError, match="patience of at least 1"):
        EarlyStopping(patience=0)


def test_a_schedule_sets_the_rate_of_each_epoch_or_batch() -> None:
    t = trainer(lr=0.5, callbacks=[Schedule(lambda epoch: 1 / (1 + epoch))])
    assert t.fit(points(), epochs=3)["lr"] == [0.5, 0.25, pytest.approx(0.5 / 3)]
    rates = []

    class Watch(Callback):
        def on_backward(self, trainer: Any) -> None:
            rates.append(trainer.optimizer.param_groups[0]["lr"])

    t = trainer(lr=1.0, callbacks=[Schedule(lambda epoch: 1 - epoch / 2, per="batch"), Watch()])
    t.fit(points(20), epochs=2, batch_size=10)
    assert rates == [1.0, 0.75, 0.5, 0.25]


def test_a_schedule_steps_a_scheduler() -> None:
    class Halving:
        def __init__(self, optimizer: Any) -> None:
            self.optimizer = optimizer

        def step(self) -> None:
            self.optimizer.param_groups[0]["lr"] /= 2

    t = trainer(lr=1.0)
    t.callbacks.append(Schedule(Halving(t.optimizer), per="batch"))
    t.fit(points(20), epochs=1, batch_size=10)
    assert t.optimizer.param_groups[0]["lr"] == 0.25


def test_the_schedulers_of_optim_are_stepped_and_resumed() -> None:
    def make(kind: str, **options: Any) -> Any:
        t = trainer(lr=1.0)
        t.callbacks.append(Schedule(getattr(lr_scheduler, kind)(t.optimizer, **options), monitor="loss"))
        return t

    halving = {"step_size": 1, "gamma": 0.5}
    assert make("StepLR", **halving).fit(points(), epochs=3)["lr"] == [1.0, 0.5, 0.25]
    first, second = make("StepLR", **halving), make("StepLR", **halving)
    first.fit(points(), epochs=2)
    second.load_state_dict(first.state_dict())
    assert second.fit(points(), epochs=2)["lr"] == [1.0, 0.5, 0.25, 0.125]
    waiting = make("ReduceLROnPlateau", patience=0, threshold=1e9)
    assert waiting.fit(points(), epochs=3)["lr"][-1] < 1.0


def test_wrong_schedules_are_refused() -> None:
    with pytest.raises(DTypeError, match="expected a function of the epoch or a scheduler, got float"):
        Schedule(0.1)
    with pytest.raises(ValueRangeError, match='expected "epoch" or "batch"'):
        Schedule(lambda epoch: 1.0, per="step")
