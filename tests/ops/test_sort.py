"""Order: sorting, searching, distinct values, quantiles, interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_dl as td
from tinygrad_dl import Tensor, func
from tinygrad_dl.errors import AxisError

NAN, INF = float("nan"), float("inf")
VALUES = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=1, max_dims=2), elements=st.integers(-3, 3).map(float)
)


@given(VALUES, st.booleans())
def test_sorting_carries_each_gradient_back_to_its_element(x: np.ndarray, descending: bool) -> None:
    t = Tensor(x, requires_grad=True)
    y = td.sort(t, descending=descending)
    np.testing.assert_array_equal(y.data, np.sort(x)[..., ::-1] if descending else np.sort(x))
    weights = np.arange(y.size, dtype=float).reshape(y.shape)
    (y * weights).sum().backward()
    order = td.argsort(x, descending=descending)
    np.testing.assert_array_equal(np.take_along_axis(t.grad.data, order, -1), weights)


def test_equal_elements_keep_their_order_in_both_directions() -> None:
    x = np.array([1, 0, 1, 0])
    assert td.argsort(x).tolist() == [1, 3, 0, 2]
    assert td.argsort(x, descending=True).tolist() == [0, 2, 1, 3]


def test_nan_sorts_last() -> None:
    assert np.isnan(td.sort(np.array([NAN, 1.0, -INF]))[-1])


def test_the_first_of_equal_extremes_is_found_and_has_no_gradient() -> None:
    x = Tensor([3.0, 1.0, 3.0], requires_grad=True)
    assert td.argmax(x).item() == 0 and td.argmin(x).item() == 1
    assert not td.argmax(x).requires_grad and not td.argsort(x).requires_grad


def test_searching_a_sorted_array() -> None:
    x = Tensor([1.0, 3.0, 3.0])
    assert td.searchsorted(x, 3.0).item() == 1
    assert td.searchsorted(x, Tensor([0.0, 3.0, 9.0]), side="right").tolist() == [0, 3, 3]


def test_distinct_values_are_differentiable_and_each_nan_is_one() -> None:
    x = Tensor(np.array([2.0, 1.0, 2.0, NAN, NAN]), requires_grad=True)
    every = td.unique_all(x)
    assert every.counts.tolist() == [1, 2, 1, 1]
    assert every.indices.tolist() == [1, 0, 3, 4]
    np.testing.assert_array_equal(every.values.data[every.inverse_indices.data], x.data)
    every.values[:2].sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0, 0]
    assert type(td.unique_counts(x)).__name__ == "UniqueCounts"
    assert td.unique_inverse([[1, 2]]).inverse_indices.shape == (1, 2)


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1), ()])
def test_quantiles_are_numpys(method: Any, axis: Any) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5))
    for q in (0, 0.1, 0.5, 0.77, 1, [0.2, 0.9], [[0.5]]):
        expected = np.quantile(x, q, axis=axis, method=method)
        np.testing.assert_allclose(td.quantile(x, q, axis, method=method), expected, rtol=1e-14)
    kept = td.quantile(x, 0.5, axis, keepdims=True)
    assert kept.shape == np.quantile(x, 0.5, axis=axis, keepdims=True).shape


def test_a_median_between_two_elements_shares_the_gradient() -> None:
    x = Tensor([4.0, 1.0, 3.0, 2.0], requires_grad=True)
    td.median(x).backward()
    assert x.grad.tolist() == [0, 0, 0.5, 0.5]
    assert td.median(x).dtype == np.float32


def test_a_quantile_is_differentiable_in_the_fraction() -> None:
    q = Tensor(np.array(0.3), requires_grad=True)
    td.quantile(np.array([0.0, 1.0, 5.0]), q).backward()
    assert q.grad.item() == 2


def test_forward_mode_of_a_quantile_in_the_fraction() -> None:
    x = np.array([0.0, 1.0, 5.0])
    assert func.jvp(lambda q: td.quantile(x, q), (np.array(0.7),), (np.array(1.0),))[1].item() == 8


@pytest.mark.parametrize("q", [0.3, np.array([0.0, 0.3])])
def test_quantiles_of_float32_are_float32(q: Any) -> None:
    assert td.quantile(np.arange(4, dtype=np.float32), q).dtype == np.float32


def test_no_quantiles_at_all() -> None:
    assert td.quantile(np.ones(3), np.zeros(0)).shape == (0,)
    assert td.quantile(np.ones((2, 3)), np.zeros((0, 4)), axis=1).shape == (0, 4, 2)


@pytest.mark.parametrize("name", ["quantile", "median"])
def test_an_axis_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(AxisError, match=f"{name}: axis 5 "):
        (td.quantile(np.ones(3), 0.5, axis=5) if name == "quantile" else td.median(np.ones(3), axis=5))


def test_quantiles_of_nan_and_of_infinities() -> None:
    assert td.quantile(np.array([-INF, 5.0]), 0.5, method="higher") == 5
    assert np.isnan(td.median(np.array([1.0, NAN, 2.0])))
    assert td.quantile(np.array([1.0, INF]), 0) == 1
    assert td.quantile(np.array([INF, INF, INF]), 0.25) == INF


def test_interpolation_is_numpys_inside_and_outside() -> None:
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([5.0, 7.0, -1.0])
    x = np.array([[-1.0, 0.0, 0.5], [1.0, 3.0, 99.0], [NAN, INF, -INF]])
    np.testing.assert_array_equal(td.interp(x, xp, fp), np.interp(x, xp, fp))
    np.testing.assert_array_equal(td.interp(x, xp, fp, -8.0, 8.0), np.interp(x, xp, fp, -8.0, 8.0))
    np.testing.assert_array_equal(td.interp(x[:2], xp[:1], fp[:1]), np.interp(x[:2], xp[:1], fp[:1]))
    assert np.isnan(td.interp(NAN, xp[:1], fp[:1]).item()), "a nan stays visible, which NumPy hides here"


def test_interpolation_with_one_end_given_or_through_one_point() -> None:
    xp, fp, x = np.array([0.0, 1.0]), np.array([5.0, 7.0]), np.array([-1.0, 0.5, 2.0])
    assert td.interp(x, xp, fp, -8.0).tolist() == [-8, 6, 7]
    assert td.interp(x, xp, fp, right=9.0).tolist() == [5, 6, 9]
    assert td.interp(x, np.array([0.5]), np.array([INF])).tolist() == [INF, INF, INF]


@pytest.mark.parametrize(
    ("axis", "shape"),
    [(None, None), (1, None), (0, (2,)), (-1, (3,)), (1, (2, 3)), (None, (2, 3)), ((0, 1), (2, 3))],
)
def test_averages_are_numpys(axis: Any, shape: Any) -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((2, 3)), None if shape is None else rng.uniform(1, 2, shape)
    expected = np.average(x, axis=axis, weights=weights)
    np.testing.assert_allclose(td.average(x, axis, weights), expected, rtol=1e-12)


def test_interpolation_has_the_slope_of_the_piece_and_none_outside() -> None:
    x = Tensor(np.array([-1.0, 0.5, 2.0, INF]), requires_grad=True)
    fp = Tensor(np.array([5.0, 7.0, -1.0]), requires_grad=True)
    y = td.interp(x, np.array([0.0, 1.0, 3.0]), fp)
    y.backward(td.ones_like(y))
    assert x.grad.tolist() == [0, 2, -4, 0]
    assert fp.grad.tolist() == [1.5, 1, 1.5]


def test_a_weighted_average_divides_by_the_weights() -> None:
    x = Tensor(np.array([[1.0, 3.0], [5.0, 7.0]]), requires_grad=True)
    w = Tensor(np.array([3.0, 1.0]), requires_grad=True)
    y = td.average(x, axis=1, weights=w)
    assert y.tolist() == [1.5, 5.5]
    y.sum().backward()
    assert x.grad.tolist() == [[0.75, 0.25], [0.75, 0.25]]
    assert w.grad.tolist() == [-0.25, 0.75]
