"""Monitor: statistics of every layer during training."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.test_diagnosis import deep, run
from tests.train.test_trainer import points
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train import Monitor, Trainer


def test_the_monitor_measures_every_layer_and_does_not_change_training() -> None:
    model = deep(nn.ReLU, 1)
    trainer, monitor = run(model)
    assert monitor.steps == list(range(1, 25, 2))
    assert list(monitor.activations) == ["0", "1", "2", "3", "4"] and len(monitor.activations["1"]) == 12
    figures = monitor.gradients["0.weight"][0]
    assert figures["norm"] > 0 and figures["ratio"] == pytest.approx(
        0.05 * figures["norm"] / figures["weight"], rel=1e-3
    )
    counts, edges = figures["histogram"]
    assert counts.sum() == 16 and len(edges) == len(counts) + 1
    assert 0 <= monitor.activations["1"][0]["dead"] <= 1 and np.isnan(monitor.activations["0"][0]["dead"])
    twin = deep(nn.ReLU, 1)
    Trainer(twin, nn.CrossEntropyLoss(), optim.SGD(twin.parameters(), lr=0.05), progress="off").fit(
        points(), epochs=6, batch_size=10, rng=0
    )
    for p, q in zip(model.parameters(), twin.parameters()):
        np.testing.assert_array_equal(p.data, q.data)
    before = len(monitor.activations["0"])
    trainer.evaluate(points())
    assert len(monitor.activations["0"]) == before


def test_an_impossible_interval_is_refused() -> None:
    with pytest.raises(ValueRangeError, match="Monitor: every: expected an int of at least 1, got int 0"):
        Monitor(0)
