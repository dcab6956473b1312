"""Triangular systems by halves beside NumPy's general solver."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.kernels.triangular import SMALL, cholesky_change, solve_triangular


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("n", [0, 1, SMALL, SMALL + 1, 3 * SMALL])
def test_triangular_systems_have_the_general_solution(n: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    a = (rng.standard_normal((2, n, n)) / 10 + 3 * np.eye(n)).astype(dtype)
    b = rng.standard_normal((2, n, 3)).astype(dtype)
    if dtype == "complex128":
        a, b = a + 0.05j * a.mT, b * 1j
    for lower, triangle in ((True, np.tril(a)), (False, np.triu(a))):
        found = solve_triangular(triangle, b, lower)
        assert found.dtype == dtype
        tolerance = 1e-4 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(found, np.linalg.solve(triangle, b), rtol=tolerance, atol=tolerance)


def test_a_triangle_with_a_zero_on_its_diagonal_has_no_solution() -> None:
    a = np.tril(np.ones((2 * SMALL, 2 * SMALL)))
    a[SMALL + 3, SMALL + 3] = 0
    with pytest.raises(np.linalg.LinAlgError):
        solve_triangular(a, np.ones((2 * SMALL, 1)), lower=True)


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
