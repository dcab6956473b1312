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
    with pytest.raises(
        ValueRangeError, match="EarlyStopping: patience: expected an int of at least 1, got int 0"
    ):
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
    with pytest.raises(
        ValueRangeError, match="Schedule: per: expected one of 'epoch', 'batch', got str 'step'"
    ):
        Schedule(lambda epoch: 1.0, per="step")


def test_the_best_weights_by_balanced_accuracy_are_those_with_the_largest() -> None:
    pretend = Pretend("dev_balanced_accuracy", [0.685, 0.774, 0.825, 0.805, 0.8, 0.9])
    t = trainer(callbacks=[pretend, EarlyStopping("dev_balanced_accuracy", patience=2)])
    t.fit(points(), points(seed=1), 6)
    assert t.history.stopped == "dev_balanced_accuracy has not improved since epoch 3 (0.825)"
    np.testing.assert_array_equal(weights(t), pretend.saved[2])


def test_the_direction_of_an_own_metric_is_asked_for_before_training() -> None:
    t = trainer(callbacks=[EarlyStopping("dev_iou", patience=1)])
    before = weights(t)
    with pytest.raises(
        ValueRangeError,
        match="EarlyStopping: monitor: expected a metric of which it is known whether larger or smaller is better, "
        """got 'dev_iou'. Pass mode="max" or mode="min".""",
    ):
        t.fit(points(), points(seed=1), 2)
    np.testing.assert_array_equal(weights(t), before)
    assert len(t.history) == 0


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 3)])
def test_mode_says_the_direction_of_an_own_metric(mode: Any, best: int) -> None:
    values = [0.2, 0.9, 0.1, 0.5]
    pretend = Pretend("dev_iou", values)
    t = trainer(callbacks=[pretend, EarlyStopping("dev_iou", patience=9, mode=mode)])
    t.fit(points(), points(seed=1), 4)
    np.testing.assert_array_equal(weights(t), pretend.saved[best - 1])
    assert t.history.best("dev_iou", mode)["epoch"] == best


@pytest.mark.parametrize(("mode", "best"), [("max", max), ("min", min)])
def test_a_metric_brings_its_direction(mode: Any, best: Any) -> None:
    def mine(target: Any, prediction: Any) -> float:
        return float((target == prediction).mean())

    t = trainer(metrics={"mine": (mine, mode)}, callbacks=[EarlyStopping("dev_mine", patience=9)])
    t.fit(points(), points(seed=1), 6)
    assert t.history.best("dev_mine")["dev_mine"] == best(t.history["dev_mine"])


def test_one_early_stopping_serves_several_trainers() -> None:
    stopping = EarlyStopping(patience=2)
    runs = []
    for seed in (0, 1):
        pretend = Pretend("dev_loss", [3.0 + seed, 1.0, 2.0, 2.0, 0.5])
        t = trainer(seed=seed, callbacks=[pretend, stopping])
        t.fit(points(seed=seed), points(seed=9), 5)
        assert len(t.history) == 4
        np.testing.assert_array_equal(weights(t), pretend.saved[1])
        runs.append(weights(t))
    assert not np.array_equal(*runs)


def test_a_fit_after_an_early_stop_trains_on() -> None:
    pretend = Pretend("dev_loss", [1.0, 2.0, 2.0, 9.0, 8.0, 7.0, 7.5, 8.0])
    t = trainer(callbacks=[pretend, EarlyStopping(patience=2)])
    t.fit(points(), points(seed=1), 8)
    assert len(t.history) == 3
    t.fit(points(), points(seed=1), 5)
    assert len(t.history) == 8 and t.history.stopped == "dev_loss has not improved since epoch 6 (7)"
    np.testing.assert_array_equal(weights(t), pretend.saved[5])


def test_a_schedule_takes_the_rates_of_each_trainer() -> None:
    schedule = Schedule(lambda epoch: 0.5**epoch)
    assert trainer(lr=1.0, callbacks=[schedule]).fit(points(), epochs=2)["lr"] == [1.0, 0.5]
    second = trainer(lr=0.1, callbacks=[schedule])
    assert second.fit(points(), epochs=2)["lr"] == pytest.approx([0.1, 0.05])
    assert second.fit(points(), epochs=1)["lr"][-1] == pytest.approx(0.025)


def test_a_scheduler_has_to_fit_the_trainer() -> None:
    other = trainer()
    with pytest.raises(
        ValueRangeError, match="expected a scheduler of this Trainer's optimizer, got one of another"
    ):
        trainer(callbacks=[Schedule(lr_scheduler.StepLR(other.optimizer, 1))]).fit(points(), epochs=1)
    plateau = lr_scheduler.ReduceLROnPlateau(other.optimizer)
    with pytest.raises(ValueRangeError, match='expected "epoch" for ReduceLROnPlateau'):
        Schedule(plateau, per="batch")
    other.callbacks.append(Schedule(plateau))
    with pytest.raises(
        ValueRangeError, match=r"Schedule: monitor: .*got 'dev_loss'. Pass a dev part to fit\(\)"
    ):
        other.fit(points(), epochs=1)
    other.callbacks[-1] = Schedule(plateau, monitor="dev_accuracy")
    with pytest.raises(ValueRangeError, match=r'expected ReduceLROnPlateau\(mode="max"\) for dev_accuracy'):
        other.fit(points(), points(seed=1), 1)
    with pytest.raises(DTypeError, match="expected a function that returns a number, got None for epoch 0"):
        trainer(callbacks=[Schedule(lambda epoch: None)]).fit(points(), epochs=1)  # type: ignore[arg-type, return-value]
