"""Norms at 0 and at ties; pseudo-inverse, least squares, rank and condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as td
from tests.leaves import leaf
from tests.ops.slopes import drawn, second, slope
from tinygrad_dl import Tensor, linalg
from tinygrad_dl.autograd import grad

SEEDS = st.integers(0, 2**31)


# Norms


@pytest.mark.parametrize("ord", [1, 2, 3, 1.5, 0.5, 0, -1, np.inf, -np.inf])
def test_a_vector_norm_at_zero_has_gradient_zero_of_both_orders(ord: float) -> None:
    with np.errstate(divide="ignore"):  # a negative power of 0
        assert slope(lambda x: linalg.vector_norm(x, ord=ord), np.zeros(3)).tolist() == [0.0] * 3
        assert second(lambda x: linalg.vector_norm(x, ord=ord), np.zeros(2)).tolist() == [[0.0, 0.0]] * 2
        part = slope(lambda x: linalg.vector_norm(x, ord=ord, axis=1), [[0.0, 0.0], [3.0, -4.0]])
    assert part[0].tolist() == [0.0, 0.0] and np.isfinite(part).all()


@pytest.mark.parametrize("ord", [1, 2, 3, 1.5, 0.5, -1, np.inf, -np.inf])
def test_the_gradient_at_zero_does_not_change_with_a_factor_in_front(ord: float) -> None:
    with np.errstate(divide="ignore"):
        x, factor = leaf(np.zeros(2)), leaf(3.0)
        (g,) = grad(factor * linalg.vector_norm(x, ord=ord), [x], create_graph=True)
        assert [d.tolist() for d in grad(g.sum(), [x, factor], retain_graph=True)] == [[0.0, 0.0], 0.0]


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_a_matrix_norm_at_zero_has_gradient_zero(ord: Any) -> None:
    assert slope(lambda x: linalg.matrix_norm(x, ord=ord), np.zeros((2, 3))).tolist() == [[0.0] * 3] * 2
    x = drawn(10, 4, 2, 3)
    np.testing.assert_allclose(linalg.matrix_norm(x, ord=ord), np.linalg.matrix_norm(x, ord=ord))
    assert linalg.matrix_norm(x, ord=ord, keepdims=True).shape == (4, 1, 1)


@pytest.mark.parametrize(
    ("ord", "expected"),
    [(1, [0, 1]), (2, [0, 1]), (3, [0, 1]), (1.5, [0, 1]), (0.5, [0, 1]), (-1, [0, 0]), (0, [0, 0])],
)
def test_an_element_that_is_zero_has_no_slope(ord: float, expected: list[float]) -> None:
    with np.errstate(divide="ignore"):
        found = slope(lambda x: linalg.vector_norm(x, ord=ord), [0.0, 2.0])
    # A power and its inverse cancel to a few ulp; no distance in ulp lets 0 pass for something else.
    np.testing.assert_array_max_ulp(found, np.array(expected, float), maxulp=4)
    rows = slope(lambda x: linalg.vector_norm(x, ord=3, axis=1), [[0.0, 0.0], [3.0, 0.0]])
    np.testing.assert_allclose(rows, [[0, 0], [1, 0]])


def test_a_sum_of_absolute_values_is_straight_at_infinity_too() -> None:
    x = [-np.inf, 2.0, 0.0]
    assert slope(lambda x: linalg.vector_norm(x, ord=1), x).tolist() == [-1, 1, 0]
    assert not second(lambda x: linalg.vector_norm(x, ord=1), x).any()


def test_the_gradient_of_a_norm_is_the_direction() -> None:
    np.testing.assert_allclose(slope(linalg.vector_norm, [3.0, -4.0]), [0.6, -0.8])
    np.testing.assert_allclose(second(linalg.vector_norm, [3.0, 0.0]), [[0, 0], [0, 1 / 3]], atol=1e-16)


def test_ties_share_the_gradient_of_the_largest_and_the_smallest() -> None:
    assert slope(lambda x: linalg.vector_norm(x, ord=np.inf), [2.0, -2.0, 1.0]).tolist() == [0.5, -0.5, 0.0]
    assert slope(lambda x: linalg.vector_norm(x, ord=-np.inf), [2.0, -1.0, 1.0]).tolist() == [0.0, -0.5, 0.5]
    assert slope(lambda x: linalg.matrix_norm(x, ord=1), np.ones((2, 2))).tolist() == [[0.5, 0.5]] * 2


@given(SEEDS, st.sampled_from([1, 2, 3, 1.5, 0.5, -1, np.inf]), st.floats(0.1, 10))
def test_a_norm_grows_with_its_vector(seed: int, ord: float, factor: float) -> None:
    x = drawn(seed, 4) + np.sign(drawn(seed, 4)) * 0.1
    np.testing.assert_allclose(
        linalg.vector_norm(factor * x, ord=ord), factor * linalg.vector_norm(x, ord=ord)
    )
    # Euler: the gradient of a homogeneous function, along x, is the function
    np.testing.assert_allclose(
        slope(lambda x: linalg.vector_norm(x, ord=ord), x) @ x, linalg.vector_norm(x, ord=ord)
    )


def test_norm_takes_numpys_arguments() -> None:
    x = drawn(11, 2, 3, 4)
    for arguments in (
        {},
        {"axis": 1},
        {"axis": (0, 2)},
        {"axis": (2, 0), "ord": 1},
        {"axis": (-1, 1), "ord": "nuc"},
    ):
        for keepdims in (False, True):
            expected = np.linalg.norm(x, keepdims=keepdims, **arguments)
            out = linalg.norm(Tensor(x), keepdims=keepdims, **arguments)
            assert out.shape == expected.shape
            np.testing.assert_allclose(out.numpy(), expected)
    assert td.norm is linalg.norm


# Rank, condition, pseudo-inverse, least squares


def test_the_gradient_of_a_pseudo_inverse_holds_along_matrices_of_the_same_rank() -> None:
    a, b, w = drawn(12, 4, 2), drawn(13, 2, 3), drawn(14, 3, 4)
    da = drawn(15, 4, 2)
    x = leaf(a)
    (g,) = grad((linalg.pinv(x @ b, rtol=1e-10) * w).sum(), [x])

    def value(t: float) -> float:
        return float((np.linalg.pinv((a + t * da) @ b, rtol=1e-10) * w).sum())

    assert (g.numpy() * da).sum() == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-6)
    square = drawn(16, 3, 3) + 2 * np.eye(3)
    np.testing.assert_allclose(slope(linalg.pinv, square), slope(linalg.inv, square), atol=1e-10)


def test_least_squares_are_numpys_and_differentiable() -> None:
    a, b = drawn(17, 5, 2), drawn(18, 5, 3)
    for right in (b, b[:, 0]):
        expected = np.linalg.lstsq(a, right)
        out = linalg.lstsq(a, right)
        for e, o in zip(expected, out):
            assert np.shape(o) == np.shape(e)
            np.testing.assert_allclose(o, e, atol=1e-12)
    assert linalg.lstsq(a[:2], b[:2]).residuals.shape == (0,)

    def normal_equations(a: Tensor) -> Any:
        return linalg.solve(a.mT @ a, a.mT @ b)

    np.testing.assert_allclose(
        slope(lambda a: linalg.lstsq(a, b).solution, a), slope(normal_equations, a), atol=1e-10
    )


def test_condition_and_rank_are_numpys() -> None:
    x = drawn(19, 2, 3, 3)
    for p in (None, 2, -2, 1, -1, np.inf, "fro", "nuc"):
        np.testing.assert_allclose(linalg.cond(x, p), np.linalg.cond(x, p), err_msg=str(p))
    assert linalg.matrix_rank(Tensor(np.ones((2, 2)))).item() == 1
    assert linalg.matrix_rank(leaf(np.eye(2))).requires_grad is False
    assert linalg.matrix_rank(np.diag([1.0, 0.01]), rtol=0.1) == 1
