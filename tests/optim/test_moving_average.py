"""Moving averages in place: the formulas in their docstrings."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.optim.moving_average import update_average, update_square_average


def test_averages_are_those_of_the_formulas_and_x_is_unchanged() -> None:
    rng = np.random.default_rng(0)
    start, x, workspace = rng.normal(size=(3, 5))
    before = x.copy()
    for update, value in ((update_average, x), (update_square_average, x**2)):
        average = start.copy()
        update(average, x, 0.75, workspace)
        np.testing.assert_allclose(average, 0.75 * start + 0.25 * value, rtol=1e-12)
        np.testing.assert_array_equal(x, before)
