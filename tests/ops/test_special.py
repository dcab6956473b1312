"""Logarithms and exponentials where rounding and overflow would spoil them, and erf to its last digits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as td
from tinygrad_dl import Tensor

INF = float("inf")


@given(st.floats(allow_nan=False))
def test_erf_is_that_of_the_standard_library(x: float) -> None:
    assert float(td.erf(np.array(x))) == pytest.approx(math.erf(x), rel=5e-16, abs=0)


@given(st.floats(width=32, allow_nan=False))
def test_erf_of_float32_is_right_to_float32(x: float) -> None:
    y = td.erf(np.array(x, np.float32))
    assert y.dtype == np.float32
    assert float(y) == pytest.approx(math.erf(x), rel=3e-7, abs=1e-38)


def test_erf_at_the_ends() -> None:
    y = td.erf(np.array([-INF, -0.0, 0.0, INF, np.nan]))
    assert y[:4].tolist() == [-1, 0, 0, 1] and np.signbit(y[1]) and np.isnan(y[4])
    assert td.erf(np.array([1, 2])).dtype == np.float64


@pytest.mark.filterwarnings("error")
def test_softmax_and_its_logarithm_of_large_values_are_exact_and_silent() -> None:
    x = np.array([[1000.0, 0.0], [-1000.0, -1000.0]])
    assert td.softmax(x, axis=1).tolist() == [[1, 0], [0.5, 0.5]]
    assert td.log_softmax(x, axis=1)[0].tolist() == [0, -1000]
    assert td.logsumexp(x, axis=1).tolist() == [1000, -1000 + math.log(2)]


def test_the_gradient_of_log_softmax_far_out_is_exact() -> None:
    x = Tensor(np.array([1000.0, 0.0]), requires_grad=True)
    (-td.log_softmax(x)[1]).backward()
    assert x.grad.tolist() == [1, -1]


@pytest.mark.filterwarnings("error")
def test_a_masked_place_has_weight_and_gradient_zero() -> None:
    x = Tensor(np.array([-INF, 1.0, 1.0]), requires_grad=True)
    y = td.softmax(x)
    assert y.tolist() == [0, 0.5, 0.5]
    (y * np.array([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [0, -0.25, 0.25]


@pytest.mark.filterwarnings("error")
def test_logsumexp_of_nothing_is_minus_infinity_with_gradient_zero() -> None:
    x = Tensor(np.array([-INF, -INF]), requires_grad=True)
    y = td.logsumexp(x)
    assert y.item() == -INF
    y.backward()
    assert x.grad.tolist() == [0, 0]
    assert td.logsumexp(np.zeros((2, 0)), axis=1).tolist() == [-INF, -INF]
    assert td.logsumexp(np.array([INF, 1.0])) == INF


def test_softmax_takes_all_axes_unless_told_as_in_scipy() -> None:
    assert td.softmax(np.zeros((2, 2))).sum() == 1
    assert td.softmax(np.zeros((2, 2)), axis=-1).sum(axis=-1).tolist() == [1, 1]


def test_small_values_keep_their_digits() -> None:
    x = np.array([1e-20])
    np.testing.assert_array_max_ulp(td.log1p(x), x, maxulp=4)
    np.testing.assert_array_max_ulp(td.expm1(x), x, maxulp=4)


def test_nan_stays_visible() -> None:
    x = np.array([np.nan, 1.0])
    for f in (td.softmax, td.log_softmax, td.logsumexp, td.erf, td.log1p, td.cbrt):
        assert np.isnan(f(x)).any(), f.__name__


def test_softmax_and_logsumexp_of_integers_and_booleans_are_those_of_their_float64() -> None:
    for x in (np.array([1, 2, 3]), np.array([True, False]), np.array([255, 0], np.uint8)):
        for f in (td.softmax, td.log_softmax, td.logsumexp):
            y = f(x)
            assert y.dtype == np.float64
            np.testing.assert_array_equal(y, f(x.astype(float)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("recording", [False, True])
@pytest.mark.parametrize(
    ("x", "y", "shares"),
    [
        (INF, 0, (1, 0)), (INF, -5, (1, 0)), (INF, -INF, (1, 0)), (INF, INF, (0.5, 0.5)),
        (-3, -INF, (1, 0)), (3, -INF, (1, 0)), (-INF, -INF, (0, 0)),
    ],
)  # fmt: skip
def test_of_two_infinities_the_larger_has_the_whole_slope_of_logaddexp(
    x: float, y: float, shares: tuple[float, float], recording: bool
) -> None:
    for a, b, expected in ((x, y, shares), (y, x, shares[::-1])):
        leaves = [
            Tensor(np.array([a, 0.0]), requires_grad=True),
            Tensor(np.array([b, 0.0]), requires_grad=True),
        ]
        slopes = td.autograd.grad(td.logaddexp(*leaves).sum(), leaves, create_graph=recording)
        for g, share in zip(slopes, expected):
            infinite, finite = g.tolist()
            assert infinite == share
            np.testing.assert_allclose(finite, 0.5, rtol=1e-15)  # exp(0 - log(2)), to a few ulp


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3, None, (0, 2)])
@pytest.mark.parametrize("f", [td.softmax, td.log_softmax])
def test_softmax_and_its_logarithm_are_their_formulas_along_any_axis(f: Any, axis: Any) -> None:
    x, g = np.random.default_rng(1).standard_normal((2, 2, 3, 4))
    p = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    t = Tensor(x, requires_grad=True)
    y = f(t, axis=axis)
    y.backward(g)
    if f is td.softmax:
        expected, slope = p, p * (g - (g * p).sum(axis=axis, keepdims=True))
    else:
        expected, slope = np.log(p), g - p * g.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12)
    assert t.grad is not None
    np.testing.assert_allclose(t.grad.data, slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("axis", [0, -1, None])
def test_softmax_of_one_number_is_one(axis: Any) -> None:
    x = Tensor(np.array(3.0), requires_grad=True)
    y = td.softmax(x, axis=axis)
    y.backward()
    assert y.item() == 1 and x.grad is not None and x.grad.item() == 0
