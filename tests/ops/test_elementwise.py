"""Kinks, infinities and dtypes of operations on each element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tests.ops.slopes import second
from tinygrad_dl import Tensor
from tinygrad_dl.autograd import grad

NAN, INF = float("nan"), float("inf")


def slopes(f: Any, *values: Any) -> list[list[float]]:
    """The gradient of the sum of f, for each argument, as lists; the rules that record must give the same."""
    inputs = [Tensor(np.array(v, np.float64), requires_grad=True) for v in values]
    out = f(*inputs)
    out.backward(td.ones_like(out), retain_graph=True)
    recorded = grad(out, inputs, td.ones_like(out), create_graph=True)
    for x, again in zip(inputs, recorded):
        np.testing.assert_allclose(again.data, x.grad.data, rtol=1e-12)
    return [x.grad.tolist() for x in inputs]


def test_relu_and_abs_have_slope_zero_at_zero() -> None:
    assert slopes(td.relu, [-1, 0, 2]) == [[0, 0, 1]]
    assert slopes(td.abs, [-1, 0, 2]) == [[-1, 0, 1]]


def test_relu_passes_the_gradient_where_nan_came_so_that_it_stays_visible() -> None:
    assert np.isnan(td.relu(np.array([NAN]))).all()
    assert slopes(td.relu, [NAN, 1]) == [[1, 1]]


def test_maximum_and_minimum_split_ties_evenly() -> None:
    assert slopes(td.maximum, [1, 2, 3], [2, 2, 2]) == [[0, 0.5, 1], [1, 0.5, 0]]
    assert slopes(td.minimum, [1, 2, 3], [2, 2, 2]) == [[1, 0.5, 0], [0, 0.5, 1]]


def test_clip_has_slope_one_at_its_bounds() -> None:
    assert slopes(lambda x: td.clip(x, -1, 1), [-2, -1, 0, 1, 2]) == [[0, 1, 1, 1, 0]]
    assert slopes(lambda x: td.clip(x, None, 1), [0, 1, 2]) == [[1, 1, 0]]
    assert slopes(lambda x: td.clip(x, -1, None), [-2, -1, 0]) == [[0, 1, 1]]


def test_the_bounds_of_clip_receive_the_gradient_of_what_they_cut() -> None:
    assert slopes(td.clip, [-2, -1, 0, 1, 2], [-1] * 5, [1] * 5) == [
        [0, 1, 1, 1, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
    ]


def test_a_bound_without_its_counterpart_receives_the_gradient_of_what_it_cuts() -> None:
    assert slopes(lambda x, low: td.clip(x, low, None), [-2, -1, 0], [-1] * 3) == [[0, 1, 1], [1, 0, 0]]
    assert slopes(lambda x, high: td.clip(x, None, high), [0, 1, 2], [1] * 3) == [[1, 1, 0], [0, 0, 1]]


def test_of_equal_bounds_the_one_that_cuts_receives_the_gradient() -> None:
    assert slopes(td.clip, [0, 1, 2], [1] * 3, [1] * 3) == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_where_the_lower_bound_is_above_the_upper_one_the_upper_wins() -> None:
    assert td.clip(np.array([0.0]), np.array([2.0]), np.array([1.0])).tolist() == [1]
    assert slopes(td.clip, [0], [2], [1]) == [[0], [0], [1]]


def test_clip_without_bounds_is_a_copy() -> None:
    x = np.array([1.0, 2.0])
    assert td.clip(x) is not x
    assert slopes(td.clip, [1, 2]) == [[1, 1]]


@pytest.mark.parametrize("f", [td.floor, td.ceil, td.trunc, td.round, td.sign])
def test_steps_have_slope_zero_everywhere(f: Any) -> None:
    assert slopes(f, [-1.5, 0, 0.5, 1, 2.5]) == [[0] * 5]


def test_powers_at_zero() -> None:
    assert slopes(lambda x: x**0, [0, 1, -2]) == [[0, 0, 0]]
    assert slopes(lambda x: x**1, [0, 1]) == [[1, 1]]
    assert slopes(lambda x: x**2, [0, 3]) == [[0, 6]]
    base, exponent = slopes(td.power, [0, 0, -2], [2, 0, 2])
    assert base == [0, 0, -4]
    assert exponent[:2] == [0, 0] and np.isnan(exponent[2])
    base, exponent = slopes(td.power, [0, 3, 2], [1, 1, 0])
    assert base == [1, 1, 0]
    with np.errstate(divide="ignore"):
        assert slopes(td.power, [0], [-1]) == [[-INF], [-INF]]


def test_a_power_of_0_has_slope_0_at_infinity_too() -> None:
    assert slopes(lambda x: x**0, [INF, -INF]) == [[0, 0]]
    assert slopes(td.power, [INF, 2], [0, 0])[0] == [0, 0]


def test_hypot_at_the_origin_has_slope_zero_and_does_not_overflow() -> None:
    assert slopes(td.hypot, [0, 3], [0, 4]) == [[0, 0.6], [0, 0.8]]
    assert td.hypot(np.array([1e300]), 1e300)[0] == pytest.approx(2**0.5 * 1e300)


def test_the_second_derivative_of_hypot_is_zero_at_the_origin_and_right_on_the_axes() -> None:
    assert second(lambda x: td.hypot(x[0], x[1]), [0.0, 0.0]).tolist() == [[0, 0], [0, 0]]
    assert second(lambda x: td.hypot(x[0], x[1]), [0.0, 2.0]).tolist() == [[0.5, 0], [0, 0]]
    assert second(lambda x: td.hypot(x[0], x[1]), [-4.0, 0.0]).tolist() == [[0, 0], [0, 0.25]]


def test_copysign_reads_the_sign_of_a_zero() -> None:
    assert td.copysign(np.array([1.0, -1.0]), np.array([-0.0, 0.0])).tolist() == [-1, 1]
    assert slopes(td.copysign, [2, -2, 0], [-1, -1, 1]) == [[-1, 1, 0], [0, 0, 0]]


def test_logaddexp_of_infinities() -> None:
    x, y = [-INF, INF, INF, 1000], [-INF, 1, INF, -1000]
    assert td.logaddexp(np.array(x), np.array(y)).tolist() == [-INF, INF, INF, 1000]
    assert slopes(td.logaddexp, x, y) == [[0, 1, 0.5, 1], [0, 0, 0.5, 0]]


@pytest.mark.filterwarnings("error")
def test_sigmoid_and_tanh_saturate_in_silence() -> None:
    x = np.array([-800.0, 0.0, 800.0])
    assert td.sigmoid(x).tolist() == [0, 0.5, 1]
    assert slopes(td.sigmoid, x) == [[0, 0.25, 0]]
    assert slopes(td.tanh, x) == [[0, 1, 0]]


def test_where_lets_a_nan_of_the_branch_not_taken_through_and_where_safe_does_not() -> None:
    (through,) = slopes(lambda x: td.where(x > 0, td.sqrt(x), 0), [0, 4])
    assert np.isnan(through[0]) and through[1] == 0.25
    assert slopes(lambda x: td.where_safe(x > 0, td.sqrt, x, 0.0), [0, 4]) == [[0, 0.25]]


def test_where_safe_never_calls_the_function_where_the_condition_fails() -> None:
    seen: list[np.ndarray] = []

    def f(x: Any) -> Any:
        seen.append(np.asarray(x))
        return td.log(x)

    assert td.where_safe(np.array([True, False]), f, np.array([1.0, -5.0]), 7.0).tolist() == [0, 7]
    assert seen[0].tolist() == [1, 1]
    assert td.where_safe(np.array([False, False]), f, np.array([-1.0, -5.0]), 7.0).tolist() == [7, 7]
    assert len(seen) == 1


def test_where_safe_has_second_derivatives() -> None:
    x = Tensor(np.array([-1.0, 4.0]), requires_grad=True)
    y = td.where_safe(x > 0, td.sqrt, x, 0.0).sum()
    (g,) = td.autograd.grad(y, x, create_graph=True)
    (second,) = td.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(second.data, [0, -1 / 32])


def test_python_numbers_and_numpy_scalars_keep_float32() -> None:
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    for y in (
        x * 2.0,
        x + 1,
        np.float64(2) * x,
        x ** np.float64(2),
        td.maximum(x, 0.5),
        td.clip(x, 0.1, 0.9),
    ):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad.dtype == np.float32


@pytest.mark.parametrize("name", ["real", "conj"])
def test_parts_of_a_real_value_pass_the_gradient(name: str) -> None:
    assert slopes(getattr(td, name), [1, 2]) == [[1, 1]]


def test_complex_values_compute() -> None:
    z = Tensor([1 + 2j])
    assert z.dtype == np.complex64
    assert (z.real.tolist(), z.imag.tolist(), td.conj(z).tolist()) == ([1], [2], [1 - 2j])


def test_comparisons_give_booleans_without_a_graph() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for y in (
        x > 1,
        x == 2,
        td.isnan(x),
        td.isfinite(x),
        td.signbit(x),
        td.isclose(x, 1.0),
        td.logical_not(x),
    ):
        assert y.dtype == np.bool_ and not y.requires_grad


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_empty_and_zero_dimensional_tensors_pass_through(shape: tuple[int, ...]) -> None:
    x = Tensor(np.full(shape, 0.5), requires_grad=True)
    td.sum(td.asin(x) + td.atan2(x, 1.0) + td.erf(x)).backward()
    assert x.grad.shape == shape


def test_softplus_at_its_threshold_has_still_the_slope_of_the_curve() -> None:
    ((slope,),) = slopes(lambda x: td.softplus(x, 2.0, 1.0), [0.5])
    assert slope == pytest.approx(1 / (1 + np.exp(-1)))


def test_a_negative_alpha_makes_elu_positive_below_0() -> None:
    ((slope,),) = slopes(lambda x: td.elu(x, -2.0), [-1])
    assert slope == pytest.approx(-2 / np.e)
