"""Reductions where all elements are equal, zero, nan, tied, or absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tests.ops.slopes import second
from tinygrad_dl import Tensor, func

NAN = float("nan")


def slope(f: Any, value: Any) -> Any:
    x = Tensor(np.array(value, np.float64), requires_grad=True)
    f(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("x", "expected"),
    [([0, 2, 3], [6, 0, 0]), ([0, 0, 3], [0, 0, 0]), ([2, 3, 4], [12, 8, 6]), ([5], [1]), ([], [])],
)
def test_the_gradient_of_a_product_is_the_product_of_the_others(
    x: list[float], expected: list[float]
) -> None:
    assert slope(td.prod, x) == expected


def test_a_product_with_a_zero_has_all_higher_derivatives() -> None:
    x = Tensor(np.array([0.0, 2.0, 3.0]), requires_grad=True)
    (g,) = td.autograd.grad(td.prod(x), x, create_graph=True)
    (second,) = td.autograd.grad(g[0], x, create_graph=True)
    assert second.tolist() == [0, 3, 2]
    (third,) = td.autograd.grad(second[1], x)
    assert third.tolist() == [0, 0, 1]


def test_a_product_that_underflows_has_the_gradient_of_its_factors() -> None:
    x = Tensor(np.array([1e-200, 1e-200, 1e100]), requires_grad=True)
    td.prod(x).backward()
    np.testing.assert_allclose(x.grad.data, [1e-100, 1e-100, 0], atol=1e-300)


def test_a_product_that_overflows_has_the_gradient_of_its_factors() -> None:
    x = Tensor(np.array([1e200, 1e120]), requires_grad=True)
    with np.errstate(over="ignore"):
        td.prod(x).backward()
    assert x.grad.tolist() == [1e120, 1e200]


@pytest.mark.parametrize("f", [td.prod, lambda x: td.cumulative_prod(x)[-1]])
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_forward_mode_of_a_product_that_leaves_the_range_of_numbers(f: Any, size: float) -> None:
    with np.errstate(over="ignore"):
        _, change = func.jvp(f, (np.array([size, size]),), (np.array([1.0, 0.0]),))
    assert float(change) == size


@pytest.mark.parametrize("f", [td.max, td.min])
def test_forward_mode_of_ties_is_their_mean(f: Any) -> None:
    assert float(func.jvp(f, (np.array([2.0, 2.0]),), (np.array([1.0, 3.0]),))[1]) == 2
    rows = np.array([[NAN, 1.0], [2.0, 2.0]])
    change = func.jvp(lambda x: f(x, axis=1), (rows,), (np.array([[5.0, 6.0], [1.0, 3.0]]),))[1]
    assert change.tolist() == [5, 2]


def test_forward_mode_of_the_deviation() -> None:
    rows = np.array([[1.0, 1.0], [1.0, 3.0]])
    change = func.jvp(lambda x: td.std(x, axis=1), (rows,), (np.array([[1.0, 0.0], [1.0, 0.0]]),))[1]
    np.testing.assert_allclose(change, [0, -0.5])


@pytest.mark.parametrize("correction", [0, 1])
def test_the_deviation_of_a_constant_has_gradient_zero(correction: float) -> None:
    assert slope(lambda x: td.std(x, correction=correction), [1, 1]) == [0, 0]
    assert slope(lambda x: td.std(x, axis=1, correction=correction), [[2, 2], [1, 3]])[0] == [0, 0]


def test_the_deviation_of_a_constant_has_second_derivatives_zero() -> None:
    assert second(td.std, [3.0, 3.0]).tolist() == [[0, 0], [0, 0]]
    both = second(lambda x: td.std(x, axis=1), [[3.0, 3.0], [0.0, 2.0]])
    assert both.tolist() == [[0, 0, 0, 0]] * 4


def test_variance_divides_by_the_number_less_the_correction() -> None:
    x = [1, 2, 4]
    np.testing.assert_allclose(slope(lambda t: td.var(t, correction=1), x), [-4 / 3, -1 / 3, 5 / 3])
    np.testing.assert_allclose(slope(td.var, x), [-8 / 9, -2 / 9, 10 / 9])
    assert td.var(np.array([1.0, 3.0]), correction=1) == 2


@pytest.mark.parametrize("f", [td.max, td.min])
def test_ties_share_the_gradient_evenly(f: Any) -> None:
    sign = 1 if f is td.max else -1
    assert slope(f, [sign * 1, sign * 3, sign * 3]) == [0, 0.5, 0.5]
    assert slope(lambda x: f(x, axis=1), [[1, 1], [2, 2]]) == [[0.5, 0.5], [0.5, 0.5]]
    assert slope(lambda x: f(x, axis=(0, 1), keepdims=True), [[7, 7], [7, 7]]) == [[0.25, 0.25], [0.25, 0.25]]


def test_a_nan_is_the_extreme_and_has_the_gradient() -> None:
    assert np.isnan(td.max(np.array([1, NAN, 3])))
    assert slope(td.max, [1, NAN, 3]) == [0, 1, 0]


def test_infinities_can_be_extremes() -> None:
    assert slope(td.max, [1, np.inf]) == [0, 1]


def test_reductions_of_nothing() -> None:
    empty = Tensor(np.zeros((0, 2)), requires_grad=True)
    assert td.sum(empty).item() == 0 and td.prod(empty).item() == 1
    assert td.all(empty).item() is True and td.any(empty).item() is False
    assert td.sum(empty, axis=0).tolist() == [0, 0]
    td.sum(empty).backward()
    assert empty.grad.shape == (0, 2)


@pytest.mark.parametrize("axis", [(), (0,), (-1, 0), None, 1])
@pytest.mark.parametrize("f", [td.sum, td.mean, td.max, td.prod, td.std, td.var, td.logsumexp])
def test_axes_may_be_negative_several_or_none_at_all(f: Any, axis: Any) -> None:
    x = Tensor(np.random.default_rng(0).normal(size=(2, 3, 4)), requires_grad=True)
    y = f(x, axis=axis, keepdims=True)
    assert y.shape == f(x.data, axis=axis, keepdims=True).shape
    y.sum().backward()
    assert x.grad.shape == x.shape


def test_the_sum_of_integers_and_booleans_is_an_integer() -> None:
    assert td.sum(Tensor([True, True])).dtype == np.int64
    assert td.sum(Tensor(np.array([1, 2], np.int8))).dtype == np.int64
    assert td.mean(Tensor([1, 2])).dtype == np.float64


def test_sum_in_another_dtype_gives_the_gradient_back_in_the_first() -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = td.sum(x, dtype="float64")
    assert y.dtype == np.float64
    y.backward()
    assert x.grad.dtype == np.float32


def test_counting_has_no_gradient() -> None:
    x = Tensor([1.0, 0.0], requires_grad=True)
    assert td.count_nonzero(x).item() == 1 and not td.count_nonzero(x).requires_grad


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("f", [td.var, td.std])
def test_a_variance_without_degrees_of_freedom_has_no_slope(f: Any) -> None:
    x = Tensor(np.array([1.0, 4.0]), requires_grad=True)
    f(x, correction=2).backward()
    assert np.isnan(x.grad.data).all()
