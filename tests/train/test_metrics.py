"""Metrics by name and by function."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.train.test_trainer import points, trainer
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import DTypeError, MissingExtraError, ValueRangeError
from tinygrad_dl.train import Trainer


def test_binary_and_regression_outputs_are_decided_by_their_loss() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    yes = (x[:, :1] > 0).astype(np.float32)
    model = nn.Linear(2, 1)
    t = Trainer(
        model,
        nn.BCEWithLogitsLoss(),
        optim.Adam(model.parameters(), lr=0.1),
        metrics="accuracy",
        progress="off",
    )
    assert t.fit((x, yes), epochs=20, rng=0)["accuracy"][-1] > 0.9
    pytest.importorskip("sklearn", reason="R² is scikit-learn's")
    model = nn.Linear(2, 1)
    t = Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.1), metrics=["r2"], progress="off")
    assert t.fit((x, x[:, :1] * 2), epochs=60, rng=0)["r2"][-1] > 0.9


def test_metrics_are_scikit_learns_or_functions() -> None:
    pytest.importorskip("sklearn", reason="these metrics are scikit-learn's")
    names = ["accuracy", "precision", "recall", "f1", "balanced_accuracy", "top5"]
    figures = trainer(metrics=names).evaluate(points())
    assert list(figures) == ["loss", *names] and figures["top5"] == 1.0
    figures = trainer(metrics={"ones": lambda target, decision: decision.sum()}).evaluate(points())
    assert figures["ones"] == int(figures["ones"])


def test_a_metric_of_scikit_learn_without_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingExtraError, match=r"the metric f1 needs .*\[data\]"):
        trainer(metrics=["f1"])


def binary_task(loss: Any, **options: Any) -> Trainer:
    tg.manual_seed(0)
    model = nn.Linear(2, 1)
    options = {"metrics": ["accuracy"], "progress": "off", **options}
    return Trainer(model, loss, optim.Adam(model.parameters(), lr=0.1), **options)


def yes_no() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    return x, (x[:, :1] > 0).astype(np.float32)


def test_a_loss_of_your_own_has_to_say_what_its_outputs_mean() -> None:
    def my_loss(output: Any, target: Any) -> Any:
        return nn.functional.binary_cross_entropy_with_logits(output, target)

    t = binary_task(my_loss)
    before = t.model.state_dict()
    with pytest.raises(
        ValueRangeError,
        match=r"accuracy: expected outputs whose classes are known, got float32 outputs \(60, 1\) of the loss my_loss. "
        "Pass decide= to the Trainer",
    ):
        t.fit(yes_no(), epochs=1)
    np.testing.assert_array_equal(before["weight"], t.model.state_dict()["weight"])
    decided = binary_task(my_loss, decide=lambda output: output > 0).fit(yes_no(), epochs=20, rng=0)
    built_in = binary_task(nn.BCEWithLogitsLoss()).fit(yes_no(), epochs=20, rng=0)
    assert decided["accuracy"] == built_in["accuracy"] and decided["accuracy"][-1] > 0.9


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1", "balanced_accuracy"])
def test_numbers_are_not_counted_as_classes(name: str) -> None:
    if name != "accuracy":
        pytest.importorskip("sklearn", reason="this metric is scikit-learn's")
    with pytest.raises(ValueRangeError, match=f"{name}: expected outputs whose classes are known"):
        binary_task(nn.MSELoss(), metrics=[name]).evaluate(yes_no())


def test_a_subclass_of_a_loss_has_its_outputs() -> None:
    class Mine(nn.BCEWithLogitsLoss):
        pass

    assert binary_task(Mine()).fit(yes_no(), epochs=20, rng=0)["accuracy"][-1] > 0.9
    partial = functools.partial(nn.functional.binary_cross_entropy_with_logits, reduction="mean")
    assert binary_task(partial).fit(yes_no(), epochs=20, rng=0)["accuracy"][-1] > 0.9


def test_scores_of_classes_are_recognized_by_their_targets() -> None:
    t = trainer()
    t.loss = t.metrics.loss = lambda output, target: nn.functional.cross_entropy(output, target)
    assert t.fit(points(), epochs=20, rng=0)["accuracy"][-1] > 0.9


def test_regression_metrics_take_the_outputs_of_any_loss() -> None:
    pytest.importorskip("sklearn", reason="R² is scikit-learn's")
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    model = nn.Linear(2, 2)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    t = Trainer(model, lambda a, b: ((a - b) ** 2).mean(), optimizer, metrics=["r2"], progress="off")
    assert t.fit((x, x * 2), epochs=60, rng=0)["r2"][-1] > 0.9


@pytest.mark.parametrize("name", ["loss", "epoch", "lr", "seconds", "dev_loss", "dev_mine"])
def test_names_that_the_history_uses_are_refused(name: str) -> None:
    with pytest.raises(ValueRangeError, match=f"metrics: expected a name other than .*, got '{name}'"):
        trainer(metrics={name: lambda target, prediction: 0.0})


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (None, "metrics: expected names such as .*got None"),
        ([3], "metrics: expected names such as 'accuracy', got 3"),
        ({"mine": 3}, r"metrics: mine: expected a function\(target, prediction\), got 3"),
        ({3: max}, "metrics: expected names that are strings, got 3"),
    ],
)
def test_metrics_of_other_types_are_refused(metrics: Any, message: str) -> None:
    with pytest.raises(DTypeError, match=message):
        trainer(metrics=metrics)


def test_a_direction_is_max_or_min_and_a_value_is_a_number() -> None:
    with pytest.raises(ValueRangeError, match="metrics: mine: expected .*got mode 'up'"):
        trainer(metrics={"mine": (lambda target, prediction: 0.0, "up")})
    with pytest.raises(DTypeError, match="metrics: mine: expected a function that returns a number, got 'x'"):
        trainer(metrics={"mine": lambda target, prediction: "x"}).evaluate(points())
