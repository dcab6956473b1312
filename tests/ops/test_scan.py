"""Cumulative sums and products, recurrences and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tinygrad_dl import Tensor, func


def slope(f: Any, value: Any) -> Any:
    x = Tensor(np.array(value, np.float64), requires_grad=True)
    f(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([0, 2, 3], [9, 0, 0]),
        ([2, 0, 3], [1, 8, 0]),
        ([0, 0, 3], [1, 0, 0]),
        ([1, 2, 3], [9, 4, 2]),
        ([], []),
    ],
)
def test_the_gradient_of_cumulative_products_is_exact_with_zeros(
    x: list[float], expected: list[float]
) -> None:
    assert slope(td.cumulative_prod, x) == expected


def test_an_initial_value_shifts_the_results() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert td.cumulative_sum(x, axis=1, include_initial=True).tolist() == [[0, 1, 3], [0, 3, 7]]
    assert td.cumulative_prod(x, axis=0, include_initial=True).tolist() == [[1, 1], [1, 2], [3, 8]]
    assert slope(lambda t: td.cumulative_sum(t, axis=1, include_initial=True), x) == [[2, 1], [2, 1]]


def test_a_recurrence_is_the_loop_it_stands_for() -> None:
    rng = np.random.default_rng(0)
    x, a = rng.normal(size=(2, 5)), rng.normal(size=5)
    y, expected = np.zeros(2), []
    for k in range(5):
        y = x[:, k] + a[k] * y
        expected.append(y)
    np.testing.assert_allclose(td.linear_recurrence(x, a), np.stack(expected, -1))


def test_the_first_step_of_a_recurrence_multiplies_nothing() -> None:
    x, a = (Tensor(np.array(v), requires_grad=True) for v in ([3.0, 1.0], [np.inf, 0.5]))
    out = td.linear_recurrence(x, a)
    assert out.tolist() == [3, 2.5]
    out.backward(np.ones(2))
    assert x.grad.tolist() == [1.5, 1] and a.grad.tolist() == [0, 3]
    x = Tensor(np.array([np.inf, 1.0]), requires_grad=True)
    a.grad = None
    td.linear_recurrence(x, a).backward(np.ones(2))
    assert a.grad.tolist() == [0, np.inf]


def test_differences_of_booleans_are_changes() -> None:
    assert td.diff(np.array([True, True, False])).tolist() == [False, True]


def test_differences_may_be_repeated_and_extended() -> None:
    x = Tensor([1.0, 4.0, 9.0, 16.0])
    assert td.diff(x, n=2).tolist() == [2, 2]
    assert td.diff(x, prepend=Tensor([0.0]), append=Tensor([25.0])).tolist() == [1, 3, 5, 7, 9]
    assert td.diff(x, n=0) is x


def test_the_axis_may_be_left_out_for_one_axis_only() -> None:
    with pytest.raises(ValueError) as error:
        td.cumulative_sum(td.ones((2, 3)))
    assert str(error.value) == "cumulative_sum: which axis? An array with 2 axes needs axis="


def test_a_product_that_underflows_has_the_slope_of_the_factors_that_do_not() -> None:
    x = Tensor(np.array([1e-200, 1e-200]), requires_grad=True)
    td.cumulative_prod(x).backward(np.array([0.0, 1.0]))
    assert x.grad.tolist() == [1e-200, 1e-200]


def test_a_product_that_overflows_has_the_slope_of_the_factors_that_do_not() -> None:
    x = Tensor(np.array([1e200, 1e120]), requires_grad=True)
    with np.errstate(over="ignore"):
        td.cumulative_prod(x).backward(np.array([0.0, 1.0]))
    assert x.grad.tolist() == [1e120, 1e200]


def test_the_initial_product_does_not_change() -> None:
    def products(x: Any) -> Any:
        return td.cumulative_prod(x, include_initial=True)

    change = func.jvp(products, (np.array([np.inf, 2.0]),), (np.array([0.0, 1.0]),))[1]
    assert change.tolist() == [0, 0, np.inf]
    assert func.jvp(products, (np.zeros(0),), (np.zeros(0),))[1].tolist() == [0]
