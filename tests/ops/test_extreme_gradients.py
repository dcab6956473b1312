"""Gradients at infinity, at the origin and where squares underflow; flattening axes; repeated differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor
from tinygrad_dl.errors import AxisError, DTypeError, ValueRangeError
from tinygrad_dl.nn import functional as F
from tinygrad_dl.testing import gradgradcheck

AT_INFINITY: list[tuple[Callable[..., Any], list[float]]] = [
    (F.elu, [1, 0]),
    (lambda x: F.elu(x, 0.5), [1, 0]),
    (lambda x: F.celu(x, 2.0), [1, 0]),
    (F.selu, [1.0507009873554805, 0]),
    (F.hardswish, [1, 0]),
    (F.hardsigmoid, [0, 0]),
    (F.relu, [1, 0]),
    (F.softplus, [1, 0]),
    (F.leaky_relu, [1, 0.01]),
]


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(len(AT_INFINITY)))
def test_an_activation_has_its_limiting_gradient_at_infinity(number: int, dtype: str, recorded: bool) -> None:
    function, expected = AT_INFINITY[number]
    x = Tensor(np.array([np.inf, -np.inf], dtype), requires_grad=True)
    with np.errstate(invalid="ignore"):
        function(x).backward(np.ones(2, dtype), create_graph=recorded)
    np.testing.assert_allclose(x.grad.data, expected, rtol=1e-6)


def test_elu_of_a_negative_alpha_beside_infinity() -> None:
    x = Tensor(np.array([np.inf, 0.5, 0.0, -1.0]), requires_grad=True)
    F.elu(x, -0.5).backward(np.ones(4))
    np.testing.assert_allclose(x.grad.data, [1, 1, -0.5, -0.5 / np.e])


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-160, 1.0, 1e160, 1e200])
def test_the_gradient_of_atan2_is_right_where_squares_underflow_or_overflow(size: float) -> None:
    y, x = (Tensor(np.array(v * size), requires_grad=True) for v in (3.0, -4.0))
    tg.atan2(y, x).backward()
    np.testing.assert_allclose([y.grad.item() * size, x.grad.item() * size], [-4 / 25, -3 / 25], rtol=1e-12)


def test_the_gradients_of_atan2_are_0_at_the_origin() -> None:
    y, x = (Tensor(np.zeros(2), requires_grad=True) for _ in "yx")
    first = tg.autograd.grad(tg.atan2(y, x).sum(), [y, x], create_graph=True)
    second = tg.autograd.grad(first[0].sum() + first[1].sum(), [y, x])
    for g in (*first, *second):
        assert g.tolist() == [0, 0]


def test_sort_without_an_axis_sorts_the_flattened_elements_and_puts_gradients_back() -> None:
    x = Tensor([[3.0, 1.0], [2.0, 5.0]], requires_grad=True)
    for descending, expected in ((False, [[3, 1], [2, 4]]), (True, [[2, 4], [3, 1]])):
        x.grad = None
        out = tg.sort(x, axis=None, descending=descending)
        np.testing.assert_array_equal(out.data, np.sort(x.data, axis=None)[:: -1 if descending else 1])
        out.backward(np.array([1, 2, 3, 4], "float32"))
        assert x.grad.tolist() == expected
        order = tg.argsort(x, axis=None, descending=descending)
        np.testing.assert_array_equal(x.data.reshape(-1)[order.data], out.data)


def test_sorting_and_taking_without_an_axis_have_second_derivatives() -> None:
    x = np.array([[3.0, 1.0], [2.0, 5.0]])
    gradgradcheck(lambda x: tg.sort(x, axis=None) ** 3, x)
    gradgradcheck(lambda x: tg.take_along_axis(x, np.array([0, 3, 3]), axis=None) ** 3, x)


def test_take_along_axis_without_an_axis_counts_in_the_flattened_elements() -> None:
    x = Tensor([[3.0, 1.0], [2.0, 5.0]], requires_grad=True)
    out = tg.take_along_axis(x, np.array([3, 0, 3]), axis=None)
    assert out.tolist() == [5, 3, 5]
    out.backward(np.array([1, 2, 4], "float32"))
    assert x.grad.tolist() == [[2, 0], [0, 5]]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 9, 2**40])
def test_diff_takes_differences_n_times_and_is_empty_when_none_are_left(n: int) -> None:
    x = np.array([[1.0, 4.0, 9.0], [2.0, 2.0, 5.0]])
    np.testing.assert_array_equal(tg.diff(x, n=n), np.diff(x, n=min(n, 9)))


def test_diff_puts_numbers_and_arrays_at_the_ends() -> None:
    x = np.array([[1.0, 4.0, 9.0], [2.0, 2.0, 5.0]])
    for axis in (0, 1):
        expected = np.diff(x, axis=axis, prepend=0, append=x)
        np.testing.assert_array_equal(tg.diff(Tensor(x), axis=axis, prepend=0, append=x).data, expected)
    gradgradcheck(lambda x, p: tg.diff(x, prepend=p, n=2) ** 3, (x, np.array(2.0)))


def test_diff_refuses_a_number_of_times_that_cannot_be() -> None:
    for n, kind, message in (
        (-1, ValueRangeError, "diff: n: expected an int of at least 0, got int -1"),
        (1.5, DTypeError, "diff: n: expected an int of at least 0, got float 1.5"),
    ):
        with pytest.raises(kind) as error:
            tg.diff(np.arange(4.0), n=n)  # type: ignore[arg-type]
        assert str(error.value) == message
    with pytest.raises(AxisError) as error:
        tg.diff(np.array(4.0))
    assert str(error.value) == "diff: expected at least one axis, got shape ()"


def test_pad_refuses_values_that_its_mode_does_not_use() -> None:
    for pad in (tg.pad, np.pad):
        with pytest.raises(ValueRangeError) as error:
            pad(Tensor([1.0, 2.0]), 1, mode="edge", constant_values=3.0)
        assert str(error.value) == (
            "pad: constant_values: expected with the mode \"constant\" only, got mode 'edge'"
        )
