"""The learning-rate range test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.train.test_trainer import points, trainer, weights
from tinygrad_dl.data import DataLoader
from tinygrad_dl.errors import DTypeError, ValueRangeError
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
    with pytest.raises(ValueRangeError, match="find_rate: expected low below high, got low=1, high=0.1"):
        find_rate(trainer(), points(), low=1, high=0.1)
    with pytest.raises(ValueRangeError, match="expected at least one batch"):
        find_rate(trainer(), DataLoader(points(2), 3, drop_last=True))


def test_data_with_nan_and_wrong_arguments_are_refused() -> None:
    bad = points(40)
    bad.x[:] = np.nan
    with pytest.raises(
        ValueRangeError, match="find_rate: expected finite losses at low rates, got nan at 1e-06 in"
    ):
        find_rate(trainer(), bad)
    with pytest.raises(DTypeError, match="find_rate: train: expected a data set.*got generator"):
        find_rate(trainer(), (batch for batch in ()))
    with pytest.raises(DTypeError, match="find_rate: trainer: expected a Trainer, got NoneType None"):
        find_rate(None, points())  # type: ignore[arg-type]
    with pytest.raises(ValueRangeError, match="find_rate: steps: expected an int of at least 10, got int 3"):
        find_rate(trainer(), points(), steps=3)


def test_a_loader_of_ones_own_is_taken() -> None:
    class Loader:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Any:
            return iter(DataLoader(points(), 20))

    assert len(find_rate(trainer(), Loader(), steps=20).rates) <= 20
