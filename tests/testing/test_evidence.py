"""The interval that differences give for a derivative contains it, and is narrow where it can be."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.testing.evidence import Evidence, examine, nearby, steps


def look(f, x):
    return examine(lambda h: np.array([f(x + h)], np.float64), x)


STAIR = 0.25 * 4.0**-4 / 1.75


@pytest.mark.parametrize(
    ("f", "x", "derivative", "width"),
    [
        (np.sin, 0.3, np.cos(0.3), 1e-11),
        (np.exp, 5.0, np.exp(5.0), 1e-8),
        (np.log, 1e-6, 1e6, 1e-3),
        (np.log, 1e-12, 1e12, 1e6),
        (np.sin, 1e8, np.cos(1e8), 1e-4),
        (np.square, 1e8, 2e8, 1e-4),
        (lambda x: np.sin(1e6 * x), 0.3, 1e6 * np.cos(3e5), 1e-4),
        (lambda x: 0.5 + 1e-12 * np.tanh(x), 0.3, 1e-12 * (1 - np.tanh(0.3) ** 2), 1e-13),
        (lambda x: (1e8 + x) - 1e8, 0.3, 1.0, 1e-5),
        (lambda x: 1e6 + np.sin(x), 0.3, np.cos(0.3), 1e-6),
        (lambda x: np.float32(np.sin(x)), 0.3, np.cos(0.3), 1e-3),
        (lambda x: np.float16(x), 0.3, 1.0, 0.1),
        (lambda x: max(x, 0.0), 1e-7, 1.0, 1e-10),
        (lambda x: 1 + max(x, 0.0), -0.1, 0.0, 1e-10),
        (lambda x: max(x, 0.0) ** 2, 1e-3, 2e-3, 1e-12),
        (lambda x: x * abs(x), 0.0, 0.0, 1e-8),
        (lambda x: float(x >= 0.1), 0.3, 0.0, 1e-10),
        (lambda x: 3.0, 0.3, 0.0, 1e-10),
        # A point in the middle of a stair, where two begin between two steps; and one that is near an end.
        (lambda x: 5 + np.round((x - 0.3) / STAIR) * STAIR, 0.3, 1.0, 0.02),
        (lambda x: 500 + 100 * np.round((x - 0.3) / STAIR) * STAIR, 0.3, 100.0, 2.0),
        (np.log, 1e-25, 1e25, 1e20),
        (lambda x: 0.0, 0.3, 0.0, 1e-300),
        # Differences that grow as the step shrinks, until they are constant or lost in the rounding.
        (lambda x: 1 + np.round(min(x, 6e-4) / 2e-7) * 2e-7, 0.0, 1.0, 0.1),
        (lambda x: 5 + np.round(x / STAIR + 0.2) * STAIR, 0.3, 1.0, 0.02),
    ],
)
def test_the_interval_contains_the_derivative_and_is_narrow(f, x, derivative, width):
    evidence = look(f, x)
    low, high, error = evidence.interval(0)
    assert evidence.reason == [""] and not evidence.is_kink(0)
    assert low - error <= derivative <= high + error
    assert error < width


def test_extrapolation_is_exact_for_polynomials():
    evidence = look(lambda x: 1 + 3 * x - x**2 + 2 * x**3, 0.0)
    for side, error in ((evidence.right, evidence.right_error), (evidence.left, evidence.left_error)):
        assert abs(side[0] - 3) <= error[0] < 2e-12
    central = look(lambda x: 1 + 3 * x - x**2 + 2 * x**3 + x**5, 0.0)
    assert abs(central.central[0] - 3) <= central.central_error[0] < 1e-12


def test_at_a_kink_the_interval_is_that_of_both_sides():
    for f, sides in (
        (lambda x: max(x, 0.0), (0.0, 1.0)),
        (abs, (-1.0, 1.0)),
        (lambda x: abs(x) + x * x + np.exp(x), (0.0, 2.0)),
    ):
        evidence = look(f, 0.0)
        assert evidence.is_kink(0)
        assert evidence.interval(0)[:2] == pytest.approx(sides, abs=1e-9)


def test_a_function_without_a_derivative_is_told_so_with_the_side():
    assert look(lambda x: float(x >= 0), 0.0).reason == ["the function jumps below"]
    assert look(lambda x: float(x > 0), 0.0).reason == ["the function jumps above"]
    assert look(np.sqrt, 0.0).reason == ["the function is not finite below"]
    assert look(lambda x: np.nan, 0.0).reason == ["the function is not finite at"]
    assert "grow without bound" in look(np.cbrt, 0.0).reason[0]
    for f, x in (
        (lambda x: np.sqrt(abs(x)), 0.0),
        (lambda x: 1 + np.cbrt(x), 0.0),
        (lambda x: np.cbrt(x - 1e8), 1e8),
        (lambda x: 0.1 + np.round(np.sqrt(abs(x)) / 4.5e-5) * 4.5e-5, 0.0),
    ):
        assert "grow without bound" in look(f, x).reason[0]
    assert look(np.sqrt, 0.0).noise[0] < 1e-3
    # What is seen of a function that rounds coarsely may be smooth at steps that its rounding hides.
    assert look(lambda x: 0.05 + np.round(np.cbrt(x + 1e-4) / 1e-3) * 1e-3, 0.0).reason == [""]


def test_points_nearby_differ_around_kinks_only():
    def two_kinks(arrays):
        a, b = arrays
        return np.where(b > a, 2 * a, 3 * a)

    low, high = nearby(two_kinks, [np.zeros(1), np.zeros(1)], 0, 0)
    assert low[0] <= 2 and high[0] >= 3 and low[0] > 1.9 and high[0] < 3.1
    for smooth in (
        lambda arrays: arrays[0] ** 2,
        lambda arrays: np.log(arrays[0]),
        lambda arrays: (1e8 + arrays[0]) - 1e8,
    ):
        low, high = nearby(smooth, [np.full(1, 1e-5)], 0, 0)
        assert low[0] == np.inf and high[0] == -np.inf


def test_points_nearby_move_with_the_scale_of_the_inputs():
    beside = lambda arrays: 100 + np.abs(arrays[0] - 1e4)  # noqa: E731
    low, high = nearby(beside, [np.full(1, 1e4)], 0, 0)
    assert -1.1 < low[0] <= -1 and 1 <= high[0] < 1.1
    switch = lambda arrays: np.where(arrays[1] > 1e8, arrays[0], 2 * arrays[0])  # noqa: E731
    low, high = nearby(switch, [np.zeros(1), np.full(1, 1e8)], 0, 0)
    assert 0.9 < low[0] <= 1 and 2 <= high[0] < 2.1
    # Closer, as much is due to rounding as farther to curvature.
    for seed in range(20):
        x = np.random.default_rng(seed).uniform(-1, 1, 1)
        for scale in (1.0, 1e4):
            f = lambda arrays: 1 + 0.1 * (arrays[0] / scale) ** 2  # noqa: E731, B023
            assert nearby(f, [x * scale], 0, 0)[0][0] == np.inf


def test_points_nearby_without_a_value_do_not_count():
    def partly(arrays):
        a, b = arrays
        return np.where(b > 0, np.nan, np.abs(a))

    low, high = nearby(partly, [np.zeros(1), np.zeros(1)], 0, 0)
    assert low[0] == pytest.approx(-1, abs=0.05) and high[0] == pytest.approx(1, abs=0.05)


def test_each_output_is_judged_by_itself():
    evidence = examine(lambda h: np.array([np.sin(0.3 + h), abs(h), float(h >= 0), 1e-9 * h]), 0.0)
    assert [evidence.is_kink(o) for o in (0, 1, 3)] == [False, True, False]
    assert [bool(reason) for reason in evidence.reason] == [False, False, True, False]
    assert evidence.central[[0, 3]] == pytest.approx([np.cos(0.3), 1e-9], rel=1e-9)


def test_the_element_of_the_array_that_is_asked_for_is_moved():
    def f(arrays):
        a, b = arrays
        return np.array([np.abs(b[2]) + 5 * b[1] + 7 * b[0] + 11 * a.sum(), np.maximum(a[1], 0) + b.sum()])

    arrays = [np.zeros(2), np.zeros(3)]
    low, high = nearby(f, arrays, 1, 2)
    assert low[0] == pytest.approx(-1, abs=0.05) and high[0] == pytest.approx(1, abs=0.05)
    assert low[1] == np.inf and high[1] == -np.inf
    low, high = nearby(f, arrays, 0, 1)
    assert low[1] == pytest.approx(0, abs=0.05) and high[1] == pytest.approx(1, abs=0.05) and low[0] == np.inf
    assert not arrays[0].any() and not arrays[1].any()


def test_the_noise_is_of_the_size_of_the_rounding():
    assert 1e-17 < look(np.sin, 0.3).noise[0] < 1e-15
    assert 1e-9 < look(lambda x: np.float32(np.sin(x)), 0.3).noise[0] < 1e-6
    assert 1e-5 < look(lambda x: np.float16(np.sin(x)), 0.3).noise[0] < 1e-2
    assert 1e-10 < look(lambda x: (1e8 + x) - 1e8, 0.3).noise[0] < 1e-7
    for beside in (lambda x: x > 0.3015, lambda x: x < 0.2985):  # a jump on one side
        assert look(lambda x: 3 * np.sin(x) + 0.01 * beside(x), 0.3).noise[0] >= 0.009  # noqa: B023
    assert look(lambda x: 1 + 1e-3 * (x > 0.3 + 3e-11), 0.3).noise[0] >= 9e-4


def test_the_noise_of_values_is_that_of_their_distribution_times_the_factor_of_safety():
    drawn = lambda x: 2e-15 * np.random.default_rng(np.float64(x).view(np.uint64)).standard_normal()  # noqa: E731

    def mean(f, scale=1.0):
        return np.mean([look(f, x).noise[0] for x in scale * np.linspace(0, 1, 20)])

    # A few values are a sample: the mean is that of the distribution, times the factor of safety.
    assert mean(lambda x: np.sin(x) + drawn(x)) == pytest.approx(4 * 2e-15, rel=0.4, abs=0)
    assert mean(lambda x: np.sin(x / 1e8) + drawn(x), 1e8) == pytest.approx(4 * 2e-15, rel=0.4, abs=0)
    points = np.linspace(0.1, 0.9, 20)
    for side in (-1.0, 1.0):
        one_sided = [look(lambda x: drawn(x) * (side * (x - p) > 0) + np.sin(x), p).noise[0] for p in points]  # noqa: B023
        assert np.mean(one_sided) > 2e-15


@pytest.mark.parametrize("x", [0.0, 0.3, -3.7, 1e8, -1e-9, 1.0005 * 2.0**-28, 1e-200, 5e-324])
def test_steps_go_from_a_quarter_of_the_scale_to_the_rounding_and_to_the_distance_from_0(x):
    h, scale = steps(x), max(abs(x), 1.0)
    smallest = min(1e-11 * scale, max(abs(x) / 1024, 1e-300) if x else np.inf)
    assert h[0] == pytest.approx(0.25 * scale) and np.array_equal((x + h) - x, h)
    assert smallest * (1 - 1e-4) <= h[-1] < 4 * smallest * (1 + 1e-4)
    assert h[:-1] / h[1:] == pytest.approx(4, rel=1e-3)


def test_a_closer_look_takes_few_evaluations():
    def evaluations(f, x):
        calls = []
        examine(lambda h: calls.append(h) or np.array([f(x + h)]), x)
        return len(calls)

    # One here, two for each step, and nine for each spacing on both sides.
    assert (
        evaluations(np.sin, 0.3)
        == evaluations(np.square, 1e8)
        == evaluations(np.exp, 0.0)
        == 1 + 2 * 18 + 2 * 3 * 9
    )
    assert evaluations(np.exp, 1e-7) == 1 + 2 * len(steps(1e-7)) + 2 * 3 * 9
    assert evaluations(np.exp, 9e-8) == 1 + 2 * len(steps(9e-8)) + 2 * 4 * 9
    assert evaluations(lambda x: max(x, 0.1), 0.3) == 1 + 2 * 18 + 2 * 3 * 9 + 26  # where the slope changes


def evidence_of(**given):
    zero = np.zeros(1)
    return Evidence(**{**dict.fromkeys(Evidence._fields, zero), "reason": [""], **given})


def test_both_sides_differ_where_the_gap_is_above_twice_the_errors():
    errors = {
        "right_error": np.array([0.2]),
        "left_error": np.array([0.1]),
        "central_error": np.array([0.01]),
    }
    apart = evidence_of(right=np.array([1.0]), left=np.array([1.61]), central=np.array([1.3]), **errors)
    assert apart.is_kink(0) and apart.interval(0) == (1.0, 1.61, 0.2)
    close = evidence_of(right=np.array([1.0]), left=np.array([1.59]), central=np.array([1.3]), **errors)
    assert not close.is_kink(0) and close.interval(0) == (1.3, 1.3, 0.01)
