"""Metrics by name and by function."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.test_trainer import points, trainer
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import MissingExtraError
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
