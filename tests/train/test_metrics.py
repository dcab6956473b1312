"""Metrics by name and by function."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.train.test_trainer import points, trainer
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import DTypeError, MissingExtraError, ShapeError, ValueRangeError
from tinygrad_dl.train import Trainer, metrics


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


def scored(batches: int, size: int, classes: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    outputs = [rng.normal(size=(size + i, classes)) for i in range(batches)]
    return outputs, [rng.integers(0, classes, len(o)) for o in outputs]


@pytest.mark.parametrize("many", [0, 50, 10**9])
def test_when_outputs_are_reduced_does_not_show(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, targets = scored(5, 3, 7)
    monkeypatch.setattr(metrics, "MANY", many)
    names: Any = {
        "accuracy": None,
        "top5": None,
        "mine": lambda target, prediction: (target * prediction).sum(),
    }
    found = metrics.Metrics(names, nn.CrossEntropyLoss())(outputs, targets)
    whole, target = np.concatenate(outputs), np.concatenate(targets)
    order = np.argsort(-whole, axis=1)
    assert found == {
        "accuracy": np.mean(order[:, 0] == target),
        "top5": np.mean((order[:, :5] == target[:, None]).any(axis=1)),
        "mine": (order[:, 0] * target).sum(),
    }


def test_an_epoch_keeps_predictions_and_not_outputs() -> None:
    results = metrics.Results(metrics.Metrics("accuracy", nn.CrossEntropyLoss()))
    output, target = np.zeros((64, 10_000), np.float32), np.zeros(64, np.int64)
    kept = 0
    for _ in range(20):
        results.add(output, target)
        kept = max(kept, sum(x.size for x in results._outputs))
    assert kept <= metrics.MANY
    predictions, _, targets = results.columns()
    assert [x.shape for x in predictions if x is not None] == [x.shape for x in targets if x is not None]
    assert results.values() == {"accuracy": 1.0}
    with pytest.raises(ValueRangeError, match="expected at least one batch, got none"):
        metrics.Results(results.metrics).values()


def test_an_evaluation_without_metrics_keeps_no_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.Results, "add", lambda *args: pytest.fail("a batch was kept"))
    assert trainer(metrics=()).evaluate(points())["loss"] > 0


def test_batches_of_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected batches whose shapes differ in the first axis only"):
        metrics.Metrics("r2", nn.MSELoss())([np.zeros((2, 3)), np.zeros((2, 4))], [np.zeros(2)] * 2)
    with pytest.raises(
        ShapeError, match=r"accuracy: expected targets of the predictions' shape \(2,\), got \(3,\)"
    ):
        metrics.Metrics("accuracy", nn.CrossEntropyLoss())([np.zeros((2, 3))], [np.zeros(3, np.int64)])
