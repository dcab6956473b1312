"""Triangular systems by halves beside NumPy's general solver, and the change of a Cholesky factor."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.errors import MatrixError, ShapeError
from tinygrad_dl.kernels.triangular import SMALL, cholesky_change
from tinygrad_dl.ops.linalg import solve_triangular


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("n", [0, 1, SMALL, SMALL + 1, 3 * SMALL])
def test_triangular_systems_have_the_general_solution(n: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    a = (rng.standard_normal((2, n, n)) / 10 + 3 * np.eye(n)).astype(dtype)
    b = rng.standard_normal((2, n, 3)).astype(dtype)
    if dtype == "complex128":
        a, b = a + 0.05j * a.mT, b * 1j
    for lower, triangle in ((True, np.tril(a)), (False, np.triu(a))):
        found = solve_triangular(a, b, lower)  # the other triangle is not read
        assert found.dtype == dtype
        tolerance = 1e-4 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(found, np.linalg.solve(triangle, b), rtol=tolerance, atol=tolerance)


def test_triangular_systems_without_a_solution_are_explained() -> None:
    a = np.ones((2 * SMALL, 2 * SMALL))
    a[SMALL + 3, SMALL + 3] = 0
    with pytest.raises(MatrixError, match="singular: it has a 0 on its diagonal"):
        solve_triangular(a, np.ones((2 * SMALL, 1)), lower=True)
    with pytest.raises(
        MatrixError, match=r"expected a square matrix, or a stack of them, got shape \(2, 3\)"
    ):
        solve_triangular(np.ones((2, 3)), np.ones((3, 1)), lower=True)
    with pytest.raises(ShapeError, match=r"expected a matrix of 2 rows, got shape \(3, 1\)"):
        solve_triangular(np.ones((2, 2)), np.ones((3, 1)), lower=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("n", [0, 2, SMALL + 1, 3 * SMALL])
def test_the_change_of_a_factor_makes_that_of_its_matrix(n: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    square = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if dtype[0] == "c" else 0)
    factor = np.linalg.cholesky(square @ np.conj(square).T / max(n, 1) + np.eye(n)).astype(dtype)
    t = (square + np.conj(square).T).astype(dtype)
    change = cholesky_change(t, factor)
    assert change.dtype == dtype
    np.testing.assert_array_equal(np.triu(change, 1), 0)
    product = change @ np.conj(factor).T
    tolerance = 1e-12 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(product + np.conj(product).T, t, rtol=tolerance, atol=tolerance)
