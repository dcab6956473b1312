"""Ranges of hyperparameters: grids, sampling, narrowing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train import search
from tinygrad_dl.train.space import narrowed


class FakeTrial:
    """Gives the low end of everything."""

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        return low


def test_ranges_give_grids_and_hyperparameters() -> None:
    assert search.Uniform(0, 1, points=3).grid() == [0.0, 0.5, 1.0]
    assert search.LogUniform(0.01, 1, points=3).grid() == pytest.approx([0.01, 0.1, 1.0])
    assert search.LogUniform(0.01, 1, points=1).grid() == [0.01]
    assert search.Whole(1, 100, log=True, points=3).grid() == [1, 10, 100]
    assert search.Whole(1, 2, points=5).grid() == [1, 2]
    assert search.Choice("a", None).grid() == ["a", None]
    assert search.OneMinus(0.001, 0.1).suggest(FakeTrial(), "beta") == 0.999


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: search.LogUniform(0, 1), "LogUniform: expected 0 < low <= high, both finite, got 0, 1"),
        (lambda: search.Uniform(2, 1), "Uniform: expected low <= high, both finite, got 2, 1"),
        (lambda: search.Uniform(0, math.nan), "Uniform: expected low <= high, both finite, got 0, nan"),
        (lambda: search.OneMinus(0.9, 1.0), "expected bounds of 1 - beta between 0 and 1"),
        (lambda: search.Whole(0.5, 2), r"Whole: expected integers, got 0\.5, 2"),  # type: ignore[arg-type]
        (lambda: search.Choice(), "Choice: expected at least one value"),
        (lambda: search.Choice([1]), r"which a storage can hold, got \[1\]"),
    ],
)
def test_impossible_ranges_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueRangeError, match=message):
        make()


def test_ranges_narrow_around_good_values() -> None:
    narrow = narrowed(search.LogUniform(1e-6, 1.0), [0.001, 0.1])
    assert (narrow.low, narrow.high) == pytest.approx((10**-3.5, 10**-0.5))  # type: ignore[attr-defined]
    assert narrowed(search.Uniform(0, 8), [4.0]) == search.Uniform(3, 5)
    assert narrowed(search.Whole(1, 9), [8, 9]) == search.Whole(7, 9)
    assert narrowed(search.Choice("a", "b", "c"), ["c", "a", "c"]) == search.Choice("a", "c")
