"""Triangular systems, and the change of a Cholesky factor, by halves: nearly all of the work is in matrix products.

NumPy has no solver for triangles: its general one factorizes them again, and takes x3.3 as long for 300 equations with
as many right-hand sides; forward mode of cholesky by it takes x4 as long (`python -m benchmarks.forward --only chol`).
"""

from __future__ import annotations

import numpy as np

from tinygrad_dl.errors import MatrixError, ShapeError
from tinygrad_dl.typing import NDArray

SMALL = 32  # rows from which on a triangle is halved


def check_triangle(a: NDArray, b: NDArray) -> None:
    """Raise MatrixError unless a is square, without a 0 on its diagonal, ShapeError unless b has as many rows."""
    if np.ndim(a) < 2 or a.shape[-1] != a.shape[-2]:
        raise MatrixError(
            f"solve_triangular: expected a square matrix, or a stack of them, got shape {np.shape(a)}"
        )
    if np.ndim(b) < 2 or b.shape[-2] != a.shape[-1]:
        raise ShapeError(
            f"solve_triangular: expected a matrix of {a.shape[-1]} rows, got shape {np.shape(b)}"
        )
    if not np.diagonal(a, 0, -2, -1).all():
        raise MatrixError("solve_triangular: the matrix is singular: it has a 0 on its diagonal")


def solve_triangular(a: NDArray, b: NDArray, lower: bool) -> NDArray:
    """inverse(a) @ b for triangles a (..., N, N) and b (..., N, K); see ops/linalg."""
    check_triangle(a, b)
    return _by_halves(a, b, lower)


def _by_halves(a: NDArray, b: NDArray, lower: bool) -> NDArray:
    n = a.shape[-1]
    if n <= SMALL:
        return np.asarray(np.linalg.inv(np.tril(a) if lower else np.triu(a)) @ b)
    k = n // 2
    first, second = (slice(k), slice(k, n)) if lower else (slice(k, n), slice(k))
    known = _by_halves(a[..., first, first], b[..., first, :], lower)
    rest = b[..., second, :] - a[..., second, first] @ known
    other = _by_halves(a[..., second, second], rest, lower)
    return np.concatenate((known, other) if lower else (other, known), axis=-2)


def cholesky_change(t: NDArray, factor: NDArray) -> NDArray:
    """The change of the lower factor of a matrix that changes by t, which equals its conjugate transpose.

    The product rule on [[A, B^H], [B, C]] = L L^H, whose factor is [[L_A, 0], [M, L_C]] with M L_A^H = B and
    L_C L_C^H = C - M M^H: Smith, "Differentiation of the Cholesky algorithm", 1995.
    """
    n = factor.shape[-1]
    if n <= SMALL:
        inverse = np.linalg.inv(factor)
        inner = inverse @ t @ _adjoint(inverse)
        return np.asarray(factor @ ((np.tril(inner) + np.tril(inner, -1)) / 2))
    k = n // 2
    head, middle, tail = factor[..., :k, :k], factor[..., k:, :k], factor[..., k:, k:]
    change = np.zeros_like(t)
    of_head = change[..., :k, :k] = cholesky_change(t[..., :k, :k], head)
    rest = t[..., k:, :k] - middle @ _adjoint(of_head)
    of_middle = change[..., k:, :k] = _adjoint(_by_halves(head, _adjoint(rest), lower=True))
    product = of_middle @ _adjoint(middle)
    change[..., k:, k:] = cholesky_change(t[..., k:, k:] - product - _adjoint(product), tail)
    return change


def _adjoint(x: NDArray) -> NDArray:
    return np.conj(x.mT) if x.dtype.kind == "c" else x.mT
