"""Statistics of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.viz.graph.array_statistics import norm, number, statistics


def test_norms_survive_the_ends_of_the_range() -> None:
    assert norm(np.array([3e200, 4e200])) == pytest.approx(5e200)
    assert norm(np.array([3e-200, 4e-200])) == pytest.approx(5e-200)
    assert norm(np.array([])) == 0 and norm(np.array([0.0, 0.0])) == 0
    assert np.isnan(norm(np.array([np.nan, 1.0]))) and norm(np.array([np.inf, 1.0])) == np.inf


def test_statistics_count_what_is_not_finite_and_describe_the_rest() -> None:
    found = statistics(np.array([1.0, np.nan, np.inf, 3.0] * 5), detail=True)
    assert (found["nan"], found["inf"], found["min"], found["max"], found["mean"]) == (5, 5, 1.0, 3.0, 2.0)
    assert sum(found["histogram"]) == 10


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (complex(-4.4e-16, 18), "0+18j"),
        (complex(-12, 3.6e-15), "-12+0j"),
        (complex(1e-20, 2e-20), "1e-20+2e-20j"),
        (complex(1.23456, -0.001), "1.235-0.001j"),
        (0j, "0+0j"),
        (complex(np.nan, 1), "nan+1j"),
        (complex(np.inf, 1), "inf+1j"),
    ],
)
def test_rounding_beside_the_other_part_of_a_complex_number_shows_as_0(value: complex, text: str) -> None:
    assert number(value) == text
