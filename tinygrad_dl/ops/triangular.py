"""Decompositions with a triangular factor: Cholesky and QR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import checked
from tinygrad_dl.convert import conjugated
from tinygrad_dl.errors import MatrixError, ValueRangeError
from tinygrad_dl.kernels.triangular import cholesky_change
from tinygrad_dl.op import Case, Domain, Joint, op
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.linalg import check_matrix, check_square, solve_triangular
from tinygrad_dl.ops.matmul import operand
from tinygrad_dl.ops.packing import adjoint, check_free_basis, hermitian, pack, symmetric, unpack, well_shaped
from tinygrad_dl.ops.shape import tril
from tinygrad_dl.typing import ArrayLike, NDArray, Shape


class QRResult(NamedTuple):
    """Orthonormal columns Q and the upper triangle R."""

    Q: Any
    R: Any


def _halved(x: NDArray) -> NDArray:
    """The lower triangle with half its diagonal."""
    return (tril(x) + tril(x, k=-1)) / 2


# Cholesky


def _derivative_of_cholesky(g: NDArray, out: NDArray, upper: bool) -> NDArray:
    factor, g = (adjoint(out), g.mT) if upper else (out, conjugated(g))
    inner = _halved(adjoint(factor) @ g)
    half = solve_triangular(adjoint(factor), inner, lower=False)
    middle = solve_triangular(adjoint(factor), adjoint(half), lower=False)
    return conjugated(middle + adjoint(middle)) / 2


def _moved_cholesky(ts: Sequence[Any], out: NDArray, upper: bool) -> NDArray:
    """L times the lower half of inv(L) @ t @ adjoint(inv(L))."""
    (t,), factor = ts, adjoint(out) if upper else out
    half = solve_triangular(factor, (t + adjoint(t)) / 2, lower=True)
    moved = factor @ _halved(solve_triangular(factor, adjoint(half), lower=True))
    return adjoint(moved) if upper else moved


def _fast_moved_cholesky(ts: Sequence[Any], out: NDArray, upper: bool) -> NDArray:
    moved = cholesky_change((ts[0] + adjoint(ts[0])) / 2, adjoint(out) if upper else out)
    return adjoint(moved) if upper else moved


@op(
    _derivative_of_cholesky,
    jvp=Joint(_moved_cholesky, _fast_moved_cholesky),
    domain=Domain(make=symmetric),
    cases=(Case((3, 3)), Case((3, 1, 2, 2), upper=True), Case((0, 2, 2)), Case((1, 1))),
    batch=batching.leading,
    math=(r"x = L L^\top", r"\frac{1}{2} L^{-\top} (P + P^\top) L^{-1}, \quad P = \Phi(L^\top g)"),
)
def cholesky(x: NDArray, /, *, upper: bool = False) -> Any:
    """The triangular factor of a symmetric positive definite matrix; of x, the part (x + x^H) / 2 counts.

    x = out @ out^H, lower; with `upper` x = out^H @ out.   x (..., N, N) -> (..., N, N).
    The gradient is symmetric, of complex x Hermitian. Raises MatrixError if x is not square or not positive definite.
    >>> cholesky(np.array([[4.0, 2.0], [2.0, 5.0]]))
    array([[2., 0.],
           [1., 2.]])
    """
    check_square("cholesky", x)
    try:
        return np.linalg.cholesky(hermitian(x), upper=upper)
    except np.linalg.LinAlgError:
        raise MatrixError(
            f"cholesky: the matrix{' or one of the stack' * (np.ndim(x) > 2)} is not positive definite. "
            "Add a small multiple of the identity?"
        ) from None


# QR


def _qr_shapes(shape: Sequence[int], mode: str) -> tuple[tuple[int, int], tuple[int, int]]:
    m, n = shape[-2:]
    k = m if mode == "complete" else min(m, n)
    return (m, k), (k, n)


def _over(x: Any, triangle: Any, lower: bool) -> Any:
    """x @ inverse(triangle)."""
    try:
        return solve_triangular(triangle.mT, x.mT, not lower).mT
    except MatrixError:
        raise MatrixError("qr: no derivative, for the matrix does not have full rank") from None


def _derivative_of_qr(g: NDArray, out: NDArray, x: NDArray, x_shape: Shape, mode: str) -> NDArray:
    shapes = _qr_shapes(x_shape, mode)
    (q, r), (gq, gr) = unpack(out, shapes), unpack(conjugated(g), shapes)
    # x = [a, b] = [q u, q v], a tall; of b, which is empty unless x is wide, only v = q^T b depends on it
    k = min(x_shape[-2:])
    b, gv = x[..., k:], gr[..., k:]
    of_a = _derivative_of_tall_qr(q, r[..., :k], gq + b @ adjoint(gv), gr[..., :k], k)
    return conjugated(concat((of_a, q @ gv), axis=-1))


def _derivative_of_tall_qr(q: NDArray, r: NDArray, gq: NDArray, gr: NDArray, n: int) -> NDArray:
    rest, grest = q[..., n:], gq[..., n:]
    q, gq, r, gr = q[..., :n], gq[..., :n], r[..., :n, :], gr[..., :n, :]
    inner = r @ adjoint(gr) - adjoint(gq) @ q
    lower = _halved(inner)
    whole = gq + q @ (lower + adjoint(lower))
    check_free_basis("qr", adjoint(rest) @ grest)
    whole = whole - rest @ (adjoint(grest) @ q)
    return _over(whole, adjoint(r), lower=True)


def _moved_qr(t: Any, out: Any, x: Any, x_shape: Shape, mode: str) -> Any:
    # inv(r) turns the change of x = q r into c = (change of q) + q (change of r) inv(r); with q^H q = 1 the part of
    # q^H c that is skew belongs to q, and the upper triangle left of it to r
    q, r = unpack(out, _qr_shapes(x_shape, mode))
    k = min(x_shape[-2:])
    q, rest, r, below = q[..., :k], q[..., k:], r[..., :k, :], r[..., k:, :]
    c = _over(t[..., :k], r[..., :k], lower=False)
    inner = adjoint(q) @ c
    lower = _halved(inner)
    upper = inner - lower + adjoint(lower)
    of_q = c - q @ upper
    of_r = concat((upper @ r[..., :k], adjoint(of_q) @ x[..., k:] + adjoint(q) @ t[..., k:]), axis=-1)
    of_rest = -q @ (adjoint(of_q) @ rest)
    return pack((concat((of_q, of_rest), axis=-1), 2), (concat((of_r, below * 0), axis=-2), 2))


@op(
    _derivative_of_qr,
    jvp=(_moved_qr,),
    domain=Domain(make=well_shaped),
    cases=(
        Case((3, 3), "reduced"), Case((3, 1, 4, 2), "reduced"), Case((3, 1, 2, 4), "reduced"),
        Case((2, 3), "complete"),
        Case((3, 2), "complete"), Case((0, 3, 2), "reduced"),
    ), name="qr",
    batch=batching.leading,
    math=("x = Q R", r"(g_Q + Q M) R^{-\top}, \quad M = \operatorname{sym}(R g_R^\top - g_Q^\top Q)"),
)  # fmt: skip
def qr_parts(x: NDArray, /, mode: Any) -> Any:
    """The parts Q and R of qr, flattened, one after the other.

    x (..., M, N) -> (..., M K + K N), K the number of columns of Q.
    >>> abs(qr_parts(np.array([[2.0]]), "reduced"))  # which of the two signs is up to LAPACK
    array([1., 2.])
    """
    check_matrix("qr", x)
    q, r = np.linalg.qr(x, mode)
    return pack((q, 2), (r, 2))


@checked
def qr(x: ArrayLike, /, *, mode: str = "reduced") -> QRResult:
    """The decomposition into orthonormal columns and an upper triangle.

    x = Q @ R.   x (..., M, N) -> Q (..., M, K), R (..., K, N), K = min(M, N), or M with mode="complete".
    The derivative needs the first min(M, N) columns of x to be independent, and what is computed from the
    columns that "complete" adds not to depend on how they are rotated. Raises MatrixError, ValueRangeError.
    >>> abs(qr(np.array([[2.0]])).R)  # the sign is up to LAPACK
    array([[2.]])
    """
    if mode not in ("reduced", "complete"):
        raise ValueRangeError(f'qr: expected mode "reduced" or "complete", got {mode!r}')
    x = operand("qr", x)
    check_matrix("qr", x)
    return QRResult(*unpack(qr_parts(x, mode), _qr_shapes(x.shape, mode)))
