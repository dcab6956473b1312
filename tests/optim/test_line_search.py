"""The line search: the strong Wolfe conditions hold at what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.optim.line_search import Point, cubic_minimum, strong_wolfe
from tinygrad_dl.typing import NDArray


@pytest.mark.parametrize("t", [1e-3, 0.1, 1.0, 30.0])
def test_the_point_found_decreases_the_loss_enough_and_is_flat_enough(t: float) -> None:
    calls = []

    def evaluate(t: float) -> tuple[float, NDArray]:
        calls.append(t)
        return (t - 2.0) ** 4, np.array([4.0 * (t - 2.0) ** 3])

    loss, g = evaluate(0.0)
    d = np.ones(1)
    point, count = strong_wolfe(evaluate, d, t, Point(0.0, loss, g, float(g @ d)), max_calls=25)
    assert count == len(calls) - 1
    assert point.loss <= loss + 1e-4 * point.t * float(g @ d)
    assert abs(point.slope) <= 0.9 * abs(float(g @ d))


def test_the_minimum_of_a_cubic_is_found_within_the_bounds() -> None:
    def point(t: float) -> Point:
        return Point(t, t**3 - 3 * t, np.zeros(1), 3 * t**2 - 3)

    assert cubic_minimum(point(0.5), point(2.0)) == pytest.approx(1.0)
    assert cubic_minimum(point(0.5), point(2.0), bounds=(1.5, 2.0)) == 1.5
