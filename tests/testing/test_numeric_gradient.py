"""The numeric gradient of one input: its values by formula, and which gradients agree with it."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.testing.numeric_gradient import NumericGradient

EPS = np.finfo(np.float64).eps
ONE = np.ones(1)


def of(f, *arrays, k=0, g=ONE):
    """The numeric gradient of a function of arrays, whose results may have any shape."""
    return NumericGradient(
        lambda given: np.reshape(f(*given), -1), [np.asarray(a, float) for a in arrays], k, g
    )


def test_the_jacobian_and_the_gradient_are_those_of_the_formula():
    a, x, g = np.array([2.0, -3.0]), np.array([[0.5, -40.0], [1.5, 2.0]]), np.array([0.7, -1.1, 2.0])
    numeric = of(lambda a, x: [(x**2).sum(), a[0] * x[0, 1] ** 3, 5 + a[1] * np.sin(x[1, 0])], a, x, k=1, g=g)
    jacobian = np.zeros((4, 3))
    jacobian[:, 0], jacobian[1, 1], jacobian[2, 2] = 2 * x.reshape(-1), 3 * 2 * 40.0**2, -3 * np.cos(1.5)
    np.testing.assert_allclose(numeric.jacobian, jacobian, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(numeric.central, (jacobian @ g).reshape(2, 2), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(numeric.right, numeric.central, rtol=1e-3)
    np.testing.assert_allclose(numeric.left, numeric.central, rtol=1e-3)
    steps = EPS ** (1 / 3) * np.maximum(np.abs(x), 1)
    size = 0.7 * (x**2).sum() + 1.1 * 2 * 40.0**3 + 2 * abs(5 - 3 * np.sin(1.5))
    np.testing.assert_allclose(numeric.steps, steps, rtol=1e-6)
    np.testing.assert_allclose(numeric.noise, 8 * EPS * size / steps, rtol=1e-6)
    assert a.tolist() == [2.0, -3.0] and x.tolist() == [[0.5, -40.0], [1.5, 2.0]]


def test_both_sides_of_a_kink_and_a_function_that_is_0():
    numeric = of(lambda x: np.abs(x).sum() + x[1], [0.0, 0.0])
    np.testing.assert_allclose(numeric.right, [1, 2])
    np.testing.assert_allclose(numeric.left, [-1, 0])
    np.testing.assert_allclose(numeric.central, [0, 1], atol=1e-12)
    nothing = of(lambda x: 0 * x.sum(), [3.0, 0.0])
    assert nothing.scale == pytest.approx(8 * EPS * 1e-12, rel=1e-6, abs=0) and not nothing.central.any()
    assert of(lambda x: x, np.empty((0, 2)), g=np.empty(0)).jacobian.shape == (0, 0)


def test_an_element_is_settled_where_another_gradient_agrees_and_both_sides_do():
    numeric = of(lambda x: (x[:3] ** 2).sum() + abs(x[3]) + 1e-9 * x[4], [1.0, 2.0, -3.0, 0.0, 1.0])
    assert not numeric.settled.any()
    numeric.trust(np.array([2.0, 4.0 * (1 + 1e-5), -6.0 * (1 - 5e-7), 0.0, 1e-9]))
    # The second is wrong, the fourth at a kink, the last one lost in the noise.
    assert numeric.settled.tolist() == [True, False, True, False, False]

    large = of(lambda x: 1e4 + x[0] ** 2, [1.0])  # whose noise is above a millionth of its derivative
    large.trust(np.array([2 + 2e-6 + large.noise[0] / 2]))
    assert large.settled[0]


def test_both_sides_of_a_smooth_function_agree_to_the_noise_and_the_curvature():
    numeric = of(lambda x: max(x[0], 0) + abs(x[1]) + x[2] ** 2 + 1e-12 * x[3], [0.0, 0.0, 1.0, 1.0])
    assert numeric.smooth.tolist() == [False, False, True, True]


def test_elements_that_are_settled_and_wrong_count():
    f, given = lambda x: (x**2).sum(), np.array([5.0, 4.0, 3.0, 2.5])
    for right, looked_at in (
        ([1, 1, 0, 0], set()),
        ([1, 0, 1, 0], {1}),
        ([0, 1, 0, 1], {0}),
        ([0, 0, 1, 1], {0, 1}),
    ):
        numeric = of(f, np.ones(4))
        numeric.trust(np.where(right, 2.0, 9.0))
        np.testing.assert_array_equal(numeric.settled, np.array(right, bool))
        numeric.nearest(given)
        assert set(numeric.examined) == looked_at


def test_the_nearest_correct_gradient_is_within_the_interval_of_both_sides():
    numeric = of(lambda x: np.abs(x).sum() + x[2] ** 2, [0.0, 0.0, 1.0, 2.0])
    given = np.array([0.3, 1.7, 3.0, 1.5])
    np.testing.assert_allclose(numeric.nearest(given), [0.3, 1.0, 3.0, 1.0], rtol=1e-6)
    assert numeric.kinks == {0, 1} and not numeric.unclear and set(numeric.examined) == {0, 1, 3}
    np.testing.assert_allclose(numeric.nearest(-given), [-0.3, -1.0, 3.0, 1.0], rtol=1e-6)
    assert numeric.nearest(None) is numeric.central and numeric.nearest(np.ones(3)) is numeric.central
    np.testing.assert_allclose(numeric.nearest(np.full(4, np.nan)), [1, 1, 3, 1], rtol=1e-6)


def test_where_enough_is_wrong_smooth_elements_are_not_looked_at_and_kinks_are():
    x = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    numeric = of(lambda x: (x[:4] ** 2).sum() + abs(x[4]), x)
    found = numeric.nearest(np.array([2.1, 5.0, 2.2, 4.0, 0.05]))
    np.testing.assert_allclose(found, [2, 2, 2, 2, 0.05], rtol=1e-6)
    assert set(numeric.examined) == {1, 3, 4}  # those that are most wrong, and the kink
    settled = of(lambda x: (x[:4] ** 2).sum() + abs(x[4]), x)
    settled.trust(np.array([2.0, 2.0, 2.0, 2.0, 0.0]))
    np.testing.assert_allclose(settled.nearest(np.array([2.1, 5.0, 2.2, 4.0, 0.05])), found, rtol=1e-6)
    assert set(settled.examined) == {4}


def test_what_a_closer_look_finds_correct_is_taken_as_it_is_and_remembered():
    calls = []
    # The curvature makes the plain differences wrong by more than a millionth; the kinks are beside the others.
    kinks = np.array([-3e-8, -1e-8, 2e-8, 5e-8])

    def f(x):
        calls.append(0)
        return np.sin(1000 * x[0]) + np.abs(x[1] - kinks).sum() + np.where(x[3] > 0, x[2], 2 * x[2])

    numeric = of(f, [0.3, 0.0, 0.0, 0.0])
    right = 1000 * np.cos(300.0) * (1 + 5e-7)
    given = np.array([right, 1.5, 1.5, 0.0])
    assert numeric.nearest(given).tolist() == given.tolist()
    assert {1, 2} <= numeric.kinks and not numeric.unclear
    before = len(calls)
    assert numeric.nearest(given).tolist() == given.tolist() and len(calls) == before
    assert numeric.nearest(np.array([right, 7.0, 2.5, 0.0]))[:2].tolist() == [right, 7.0]
    assert numeric.unclear[1] == "there are many kinks next to"


def test_one_number_has_a_gradient_of_no_axes():
    numeric = of(lambda x: x**2, 3.0)
    assert (
        numeric.agrees(None) is False
        and numeric.error(None) == np.inf
        and numeric.nearest(None) is numeric.central
    )
    assert numeric.agrees(np.array(6.0)) is True and numeric.agrees(np.array(6.1)) is False


def test_the_error_is_that_of_the_courses_against_the_nearest_correct_gradient():
    numeric = of(lambda x: (x**2).sum() + abs(x[0]), [0.0, 1.0, 2.0])
    assert numeric.error(None) == numeric.error(np.ones(2)) == numeric.error(np.full(3, np.nan)) == np.inf
    a, correct = np.array([3.0, 2.5, 4.0]), np.array([1.0, 2.0, 4.0])
    expected = np.linalg.norm(a - correct) / (np.linalg.norm(a) + np.linalg.norm(correct))
    assert numeric.error(a) == pytest.approx(expected, rel=1e-6)
    assert numeric.error(np.array([0.9, 2.0, 4.0])) < 1e-9
    # 0 and the noise of the differences have no relative error; a gradient above both has.
    constant = of(lambda x: 7 + 0 * x.sum(), [1.0, 2.0])
    assert constant.error(np.zeros(2)) == constant.error(np.full(2, 5e-15)) == 0
    assert constant.error(np.full(2, 1e-13)) == 1


def test_a_gradient_agrees_or_not_or_is_lost_in_the_noise():
    square = of(lambda x: (x**2).sum(), [1.0, 2.0])
    assert square.agrees(np.array([2.0, 4.0])) is True and square.agrees(np.array([2.0, 4.0 + 1e-4])) is False
    assert square.agrees(np.array([[2.0, 4.0]])) is False
    assert square.agrees(None) is False and square.agrees(np.array([2.0])) is False
    assert square.agrees(np.zeros(2)) is False and square.agrees(np.array([np.inf, 4.0])) is False
    flat = of(lambda x: 7 + 0 * x.sum(), [1.0, 2.0])
    assert flat.agrees(np.zeros(2)) is True
    hidden = of(lambda x: 7 + 1e-22 * x.sum(), [1.0, 2.0])
    assert hidden.agrees(np.full(2, 1e-22)) is None and hidden.agrees(np.full(2, 3e-22)) is None
    assert hidden.agrees(np.full(2, 1e-3)) is False
    assert of(lambda x: 7 + 2e-13 * x.sum(), [1.0]).agrees(np.full(1, 2e-13)) is None
    assert of(lambda x: 7 + 5e-12 * x.sum(), [1.0]).agrees(np.full(1, 5e-12)) is True


def test_what_is_lost_in_the_noise_of_its_elements_is_judged_by_sums():
    x = np.linspace(1, 2, 4000)
    for weights in (np.full(4000, 1e-14), np.where(np.arange(4000) % 2, 2e-16 * x, 0)):
        total = of(lambda x: 1 + weights @ x, x)  # noqa: B023
        assert total.agrees(weights) is True
        assert total.agrees(1.3 * weights) is False and total.agrees(-weights) is False
    # The noise is a third of the derivative here: the differences themselves, which have it, are no right gradient.
    rough = of(lambda x: 1 + 1e-9 * x.sum(), x[:1000])
    assert rough.agrees(np.full(1000, 1e-9)) is True
    assert rough.agrees(rough.central) is False and rough.agrees(np.full(1000, 1.001e-9)) is False


def test_a_verdict_is_remembered():
    calls = []
    numeric = of(lambda x: calls.append(0) or np.abs(x).sum(), [0.0, 0.0])
    assert numeric.agrees(np.array([0.5, -0.5])) is True
    before = len(calls)
    assert numeric.agrees(np.array([0.5, -0.5])) is True and len(calls) == before
    assert numeric.agrees(np.array([0.5, -0.4])) is True and numeric.agrees(np.array([0.5, -1.4])) is False
    assert len(numeric.judged) == 3


def test_an_element_without_a_derivative_is_unclear_with_the_reason():
    root = lambda x: np.sqrt(x) if x >= 0 else np.nan  # noqa: E731
    numeric = of(lambda x: [root(x[0]), np.floor(x[1]), x[2] ** 2], [0.0, 0.0, 1.0], g=np.ones(3))
    found = numeric.nearest(np.array([5.0, 1.0, 2.0]))
    assert found.tolist()[:2] == [5.0, 1.0]
    assert numeric.unclear == {0: "the function is not finite below", 1: "the function jumps below"}


def test_an_element_of_a_function_that_rounds_coarsely_is_unclear_where_its_size_counts():
    for other, slope, unclear in ((1e-5, 1e-6, True), (3.0, 1e-6, False), (1e-5, 1e-5, False)):
        numeric = of(lambda x: other * x[0] + np.float32(0.3 + slope * x[1]), [0.3, 0.4])  # noqa: B023
        numeric.nearest(np.array([other, slope]))
        reasons = {1: "the output is rounded to about 3e-08 around"}
        assert numeric.unclear == (reasons if unclear else {})
