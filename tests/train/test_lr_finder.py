"""The learning-rate range test."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.test_trainer import points, trainer, weights
from tinygrad_dl.data import DataLoader
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train import find_rate


def test_the_suggestion_is_where_the_loss_falls_and_nothing_is_changed() -> None:
    t = trainer(lr=0.123)
    loader = DataLoader(points(200), 20, shuffle=True, rng=0)
    before = weights(t)
    found = find_rate(t, loader, steps=120)
    assert 1e-4 < found.suggestion < 1.0
    assert len(found.rates) == len(found.losses) == len(found.smooth) <= 120
    assert np.all(np.diff(found.rates) > 0) and found.rates[0] == pytest.approx(1e-6)
    np.testing.assert_array_equal(before, weights(t))
    assert t.optimizer.param_groups[0]["lr"] == 0.123 and len(t.history) == 0 and loader.epoch == 0


def test_it_ends_when_the_loss_explodes() -> None:
    t = trainer()
    found = find_rate(t, points(), high=1e30, steps=50)
    assert len(found.rates) < 50 and np.isfinite(found.suggestion)


def test_impossible_ranges_are_refused() -> None:
    with pytest.raises(
        ValueRangeError, match="expected 0 < low < high and at least 10 steps, got low=1, high=0.1, steps=100"
    ):
        find_rate(trainer(), points(), low=1, high=0.1)
    with pytest.raises(ValueRangeError, match="expected at least one batch"):
        find_rate(trainer(), DataLoader(points(2), 3, drop_last=True))
