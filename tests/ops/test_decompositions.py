"""Decompositions: products of the parts, equal values, arbitrary bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaves import leaf
from tests.ops.slopes import drawn, second, slope
from tinygrad_dl import Tensor, linalg, real
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import GraphError, MatrixError

SEEDS = st.integers(0, 2**31)


@given(SEEDS)
def test_the_parts_multiply_to_the_matrix_and_their_gradients_to_ones(seed: int) -> None:
    x = drawn(seed, 3, 3) + np.diag([3.0, 5.0, 8.0])
    products: dict[str, Callable[[Tensor], Any]] = {
        "qr": lambda x: (lambda r: r.Q @ r.R)(linalg.qr(x)),
        "svd": lambda x: (lambda r: (r.U * r.S) @ r.Vh)(linalg.svd(x)),
        "cholesky": lambda x: (lambda r: r @ r.mT)(linalg.cholesky((x + x.mT) / 2)),
        "eigh": lambda x: (lambda r: (r[1] * r[0]) @ r[1].mT)(linalg.eigh((x + x.mT) / 2)),
    }
    for name, f in products.items():
        whole = x if name in ("qr", "svd") else (x + x.T) / 2
        np.testing.assert_allclose(f(Tensor(x)).numpy(), whole, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(slope(f, x), np.ones((3, 3)), atol=1e-8, err_msg=name)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4)])
def test_rectangular_parts_multiply_to_the_matrix_and_their_gradients_to_ones(shape: tuple[int, int]) -> None:
    x = drawn(3, *shape)
    for f in (
        lambda x: (lambda r: r.Q @ r.R)(linalg.qr(x)),
        lambda x: (lambda r: r.Q @ r.R)(linalg.qr(x, mode="complete")),
        lambda x: (lambda r: (r.U * r.S) @ r.Vh)(linalg.svd(x, full_matrices=False)),
        lambda x: (lambda r: (r.U[:, :2] * r.S) @ r.Vh[:2])(linalg.svd(x)),
    ):
        np.testing.assert_allclose(f(Tensor(x)).numpy(), x, atol=1e-12)
        np.testing.assert_allclose(slope(f, x), np.ones(shape), atol=1e-10)


def test_the_space_beside_the_columns_has_a_gradient_where_its_basis_does_not_matter() -> None:
    x, w = drawn(4, 5, 2), drawn(5, 5, 5)

    def exact(x: Tensor) -> Any:
        return (np.eye(5) - x @ linalg.pinv(x)) * w

    def by_svd(x: Tensor) -> Any:
        rest = linalg.svd(x).U[:, 2:]
        return (rest @ rest.mT) * w

    def by_qr(x: Tensor) -> Any:
        rest = linalg.qr(x, mode="complete").Q[:, 2:]
        return (rest @ rest.mT) * w

    def by_wide_svd(x: Tensor) -> Any:
        rest = linalg.svd(x.mT).Vh[2:]
        return (rest.mT @ rest) * w

    for f in (by_svd, by_qr, by_wide_svd):
        np.testing.assert_allclose(slope(f, x), slope(exact, x), atol=1e-12)
        np.testing.assert_allclose(second(f, x), second(exact, x), atol=1e-9)


def test_what_depends_on_an_arbitrary_basis_is_refused() -> None:
    x = leaf(drawn(6, 5, 2))
    for name, part in (("svd", linalg.svd(x).U), ("qr", linalg.qr(x, mode="complete").Q)):
        with pytest.raises(GraphError) as caught:
            grad((part * drawn(7, 5, 5)).sum(), [x])
        assert str(caught.value) == (
            f"{name}: what was computed depends on how the basis of the remaining space is rotated, which is "
            "arbitrary, so it has no derivative. Use the reduced form."
        )


def test_a_missing_rank_is_named_in_the_derivative_of_qr() -> None:
    x = leaf(np.zeros((2, 2)))
    with pytest.raises(MatrixError) as caught:
        grad(linalg.qr(x).R.sum(), [x])
    assert str(caught.value) == "qr: no derivative, for the matrix does not have full rank"


def test_the_gradient_of_cholesky_is_symmetric_and_only_the_symmetric_part_counts() -> None:
    x = drawn(8, 3, 3) + 4 * np.eye(3)
    g = slope(lambda x: linalg.cholesky(x) * drawn(9, 3, 3), x)
    np.testing.assert_allclose(g, g.T)
    np.testing.assert_allclose(linalg.cholesky(x), np.linalg.cholesky((x + x.T) / 2))
    np.testing.assert_allclose(linalg.cholesky(x, upper=True), linalg.cholesky(x).T)


def test_the_gradient_of_an_eigenvalue_is_the_product_of_its_vector_with_itself() -> None:
    x = np.array([[2.0, 1.0], [1.0, 5.0]])
    v = np.linalg.eigh(x)[1]
    for f in (lambda x: linalg.eigvalsh(x)[1], lambda x: linalg.eigh(x).eigenvalues[1]):
        np.testing.assert_allclose(slope(f, x), np.outer(v[:, 1], v[:, 1]), atol=1e-14)


def test_symmetric_functions_of_equal_eigenvalues_have_their_gradient() -> None:
    np.testing.assert_allclose(slope(lambda x: linalg.eigvalsh(x) ** 2, 3 * np.eye(3)), 6 * np.eye(3))
    np.testing.assert_allclose(slope(lambda x: linalg.svdvals(x) ** 2, 3 * np.eye(3)), 6 * np.eye(3))


def test_equal_eigenvalues_harm_only_what_uses_their_vectors() -> None:
    x = np.diag([1.0, 1.0, 4.0])
    w = np.arange(1.0, 4.0)
    g = slope(lambda x: (linalg.eigh(x).eigenvectors[:, 2] * linalg.eigh(x).eigenvectors[0, 2]) @ w, x)
    # the projection on the third axis turns by 1 / (4 - 1) for each unit in that direction
    np.testing.assert_allclose(g, [[0, 0, 0.5], [0, 0, 0], [0.5, 0, 0]], atol=1e-12)
    with np.errstate(all="ignore"):
        assert not np.isfinite(slope(lambda x: linalg.eigh(x).eigenvectors[:, 0] ** 2 @ w, x)).all()
        hessian = second(lambda x: linalg.eigvalsh(x) ** 2, np.eye(2))
    assert np.isnan(hessian).any()  # 2 on the diagonal in truth: seen, not silently wrong


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3)])
@pytest.mark.parametrize("rest", [(1.0, 1.0), (0.0, 0.0), (2.0, 0.0)])
def test_equal_and_vanishing_singular_values_harm_only_what_uses_their_vectors(
    shape: tuple[int, int], rest: tuple[float, float]
) -> None:
    x = np.zeros(shape)  # diagonal: rounding would break ties
    x[range(3), range(3)] = [4.0, *rest]
    w = drawn(22, *shape)

    def largest(x: Any) -> Any:
        left, _, right = linalg.svd(x, full_matrices=False)
        return (left[:, :1] @ right[:1]) * w

    def left_only(x: Any) -> Any:
        left = linalg.svd(x, full_matrices=False).U[:, :1]
        return (left @ left.mT) * (w @ w.T)

    step = drawn(23, *shape)
    for f in (largest, left_only):
        numeric = (f(x + 1e-6 * step).sum() - f(x - 1e-6 * step).sum()) / 2e-6
        assert (slope(f, x) * step).sum() == pytest.approx(numeric, rel=1e-6)


def test_equal_eigenvalues_of_a_general_matrix_harm_only_what_uses_their_vectors() -> None:
    x = Tensor(np.diag([1.0, 1.0, 2.0]), requires_grad=True)
    real(linalg.eig(x).eigenvalues.sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.eye(3), rtol=1e-12, atol=1e-12)


def test_a_vanishing_singular_value_of_a_complex_matrix_has_a_finite_gradient() -> None:
    x = Tensor(np.diag([2.0, 0.0]).astype(complex), requires_grad=True)
    linalg.svd(x).S.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.eye(2), rtol=1e-12, atol=1e-12)  # U @ Vh


@pytest.mark.parametrize("part", [0, 2])
def test_vectors_of_equal_singular_values_have_no_finite_gradient(part: int) -> None:
    x = np.diag([4.0, 1.0, 1.0])

    def f(x: Any) -> Any:
        vectors = linalg.svd(x)[part]
        return (vectors if part else vectors.mT)[1] ** 2 * np.arange(3.0)

    with np.errstate(all="ignore"):
        assert not np.isfinite(slope(f, x)).all()


def test_vectors_of_a_vanishing_singular_value_have_no_finite_gradient() -> None:
    x = np.array([[4.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    with np.errstate(all="ignore"):
        g = slope(lambda x: linalg.svd(x, full_matrices=False).U[:, 1] * np.array([1.0, 2.0, 3.0]), x)
    assert not np.isfinite(g).all()


@pytest.mark.parametrize("part", [0, 2])
def test_vectors_beside_one_vanishing_singular_value_keep_their_lengths(part: int) -> None:
    turned, _ = np.linalg.qr(drawn(3, 3, 3))
    other, _ = np.linalg.qr(drawn(4, 3, 3))
    x = turned @ np.diag([3.0, 2.0, 0.0]) @ other.T
    np.testing.assert_allclose(slope(lambda x: linalg.svd(x)[part] ** 2, x), 0, atol=1e-12)
