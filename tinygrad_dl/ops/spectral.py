"""Eigenvalues and singular values, with their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import checked
from tinygrad_dl.convert import conjugated, describe
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.op import Case, Domain, Joint, op
from tinygrad_dl.ops.diagonals import diagonal, from_diagonal
from tinygrad_dl.ops.elementwise import abs, conj, is_complex
from tinygrad_dl.ops.linalg import check_matrix, check_square, inv, solve
from tinygrad_dl.ops.matmul import operand
from tinygrad_dl.ops.packing import (
    adjoint,
    check_free_basis,
    check_free_phase,
    hermitian,
    pack,
    symmetric,
    unpack,
    well_shaped,
)
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.shape import tril, triu
from tinygrad_dl.typing import Array, ArrayLike, NDArray, Shape


class EigResult(NamedTuple):
    """Eigenvalues (..., N) and eigenvectors, the columns of (..., N, N)."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Eigenvalues (..., N), ascending, and orthonormal eigenvectors, the columns of (..., N, N)."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """Left singular vectors, columns of U; singular values S, descending; right ones, rows of Vh."""

    U: Any
    S: Any
    Vh: Any


# Eigenvalues


@op(
    lambda g, y: g / y,
    lambda g, out, y: -g * out / y,
    None,
    domain=(Domain(), Domain(0.5, 2), Domain()),
    cases=(Case((2, 2), (2, 2), np.zeros((2, 2), bool)),),
    elementwise=True,
    math=(r"\frac{x}{y}", r"\frac{g}{y}", r"-g \cdot \frac{x}{y^2}", ""),
)
def settled_quotient(x: NDArray, y: NDArray, settled: NDArray, /) -> Any:
    """A quotient that is 0 where it is settled to be so.

    out = 0 if settled else x / y. The derivatives are those of x / y everywhere: where y is 0 they are not
    finite, so that a second derivative which does not exist is seen.   Shapes broadcast together.
    >>> settled_quotient(np.array([0.0, 1.0]), np.array([0.0, 2.0]), np.array([True, False]))
    array([0. , 0.5])
    """
    return np.where(settled, 0, x / np.where(settled, 1, y))


def _unused(*gradients: NDArray) -> NDArray:
    """Which columns have a gradient of nothing but zeros."""
    still = sum(abs(gradients[0]), axis=-2) == 0
    for g in gradients[1:]:
        still = still & (sum(abs(g), axis=-2) == 0)
    return still


def _both(still: NDArray) -> NDArray:
    return still[..., :, None] & still[..., None, :]


def _on_diagonal(x: Array) -> Any:
    n = x.shape[-1]
    return from_diagonal(x, (*x.shape[:-1], n, n), 0, -2, -1)


def _real(x: Any) -> NDArray:
    return x.real if is_complex(x) else x


def _derivative_of_eigh(g: NDArray, out: NDArray, x_shape: Shape) -> NDArray:
    n = x_shape[-1]
    (w, v), (gw, gv) = unpack(out, ((n,), (n, n))), unpack(conjugated(g), ((n,), (n, n)))
    gaps = w[..., None, :] - w[..., :, None] + np.eye(n, dtype=w.dtype)
    rotated = adjoint(v) @ gv
    check_free_phase("eigh", diagonal(rotated, 0, -2, -1))
    # Between equal eigenvalues the quotient has no value, unless neither vector is used
    skew = (rotated - adjoint(rotated)) / 2 * (1 - np.eye(n, dtype=w.dtype))
    mixed = settled_quotient(skew, gaps, (gaps == 0) & _both(_unused(gv)))
    # w is real, also where it is packed with complex vectors
    return conjugated(v @ (_on_diagonal(_real(gw)) + mixed) @ adjoint(v))


@op(
    _derivative_of_eigh,
    domain=Domain(make=symmetric),
    cases=(Case((3, 3)), Case((3, 1, 2, 2)), Case((0, 2, 2)), Case((1, 1))),
    name="eigh",
    batch=batching.leading,
    math=(
        r"x = V \operatorname{diag}(\lambda) V^\top",
        r"V (\operatorname{diag}(g_\lambda) + K \odot V^\top g_V) V^\top, \quad K_{ij} = "
        r"\frac{[i \ne j]}{\lambda_j - \lambda_i}",
    ),
)
def eigh_parts(x: NDArray, /) -> Any:
    """The parts of eigh, flattened: eigenvalues, then eigenvectors.

    x (..., N, N) -> (..., N + N N).
    >>> abs(eigh_parts(np.array([[2.0]])))  # the vector's sign is up to LAPACK
    array([2., 1.])
    """
    check_square("eigh", x)
    w, v = np.linalg.eigh(hermitian(x))
    return pack((w, 1), (v, 2))


def mirrored(what: str, x: Array, UPLO: str) -> Array:
    """The symmetric matrix of which the lower ("L") or the upper ("U") triangle is given; the other is not read."""
    if UPLO not in ("L", "U", "l", "u"):
        raise ValueRangeError(f'{what}: UPLO: expected "L" or "U", got {describe(UPLO)}')
    triangle, strict = (tril(x), tril(x, k=-1)) if UPLO in ("L", "l") else (triu(x), triu(x, k=1))
    return triangle + conj(strict).mT


@checked
def eigh(x: ArrayLike, /, *, UPLO: str | None = None) -> EighResult:
    """The eigenvalues, ascending, and orthonormal eigenvectors of a symmetric matrix; (x + x^H) / 2 counts.

    x = V @ diag(w) @ V^H.   x (..., N, N) -> w (..., N), V (..., N, N), the vectors in columns.
    With UPLO "L" or "U" only the lower or the upper triangle of x counts.
    Where eigenvalues are equal, their vectors have no derivative: what uses them gets nan or inf, what uses
    other vectors does not; what needs the values alone should call eigvalsh. Raises MatrixError.
    >>> eigh(np.array([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    array([1., 2.])
    """
    x = operand("eigh", x)
    check_square("eigh", x)
    x = x if UPLO is None else mirrored("eigh", x, UPLO)
    n = x.shape[-1]
    w, v = unpack(eigh_parts(x), ((n,), (n, n)))
    return EighResult(w if x.dtype.kind != "c" else w.real, v)


def _derivative_of_eigvalsh(g: NDArray, x: NDArray) -> NDArray:
    v = eigh(x).eigenvectors
    return (conjugated(v) * g[..., None, :]) @ v.mT


def _along(left: Any, t: Any, right: Any) -> Any:
    """The diagonal of left @ t @ right."""
    return sum(left.mT * (t @ right), axis=-2)


def _moved_eigvalsh(ts: Sequence[Any], x: Any) -> Any:
    v = eigh(x).eigenvectors
    return _real(_along(adjoint(v), ts[0], v))


def _eigvalsh_and_change(x: NDArray, ts: Sequence[NDArray]) -> tuple[Any, Any]:
    check_square("eigvalsh", x)
    w, v = np.linalg.eigh(hermitian(x))
    return w, _real(_along(adjoint(v), ts[0], v))


@op(
    _derivative_of_eigvalsh,
    jvp=Joint(_moved_eigvalsh, _moved_eigvalsh, _eigvalsh_and_change),
    domain=Domain(make=symmetric),
    cases=(Case((3, 3)), Case((3, 1, 2, 2)), Case((0, 2, 2)), Case((1, 1))),
    kinks="equal eigenvalues: the derivative that functions symmetric in them have",
    batch=batching.leading,
    math=(r"\lambda, \quad x = V \operatorname{diag}(\lambda) V^\top", r"V \operatorname{diag}(g) V^\top"),
)
def eigvalsh(x: NDArray, /) -> Any:
    """The eigenvalues, ascending, of a symmetric matrix; of x, the part (x + x^H) / 2 counts.

    x (..., N, N) -> (..., N). Raises MatrixError if x is not square.
    >>> eigvalsh(np.array([[2.0, 0.0], [0.0, 1.0]]))
    array([1., 2.])
    """
    check_square("eigvalsh", x)
    return np.linalg.eigvalsh(hermitian(x))


def _complex(x: np.ndarray) -> np.ndarray:
    # NumPy before 2.5 gives real arrays where all eigenvalues happen to be real
    return x.astype(np.result_type(x, np.complex64), copy=False)


def _derivative_of_eig(g: NDArray, out: NDArray, x_shape: Shape) -> NDArray:
    n = x_shape[-1]
    (w, v), (gw, gv) = unpack(out, ((n,), (n, n))), unpack(conjugated(g), ((n,), (n, n)))
    rotated = adjoint(v) @ gv
    lengths = diagonal(rotated, 0, -2, -1)
    check_free_phase("eig", lengths)
    unit = np.eye(n, dtype=w.dtype)
    gaps = conjugated(w[..., None, :] - w[..., :, None]) + unit
    # The vectors have length 1: what would make one longer does not count
    inner = (rotated - adjoint(v) @ v * lengths.real[..., None, :]) * (1 - unit)
    mixed = settled_quotient(inner, gaps, (gaps == 0) & (inner == 0))
    return conjugated(solve(adjoint(v), (_on_diagonal(gw) + mixed) @ adjoint(v)))


@op(
    _derivative_of_eig,
    domain=Domain(make=well_shaped),
    cases=(Case((3, 3)), Case((2, 2, 2)), Case((0, 2, 2)), Case((1, 1))),
    name="eig",
    batch=batching.leading,
    math=(
        r"x = V \operatorname{diag}(\lambda) V^{-1}",
        r"V^{-\top} (\operatorname{diag}(g_\lambda) + K \odot V^\top g_V) V^\top, \quad "
        r"K_{ij} = \frac{[i \ne j]}{\lambda_j - \lambda_i}",
    ),
)
def eig_parts(x: NDArray, /) -> Any:
    """The parts of eig, flattened: eigenvalues, then eigenvectors.

    x (..., N, N) -> (..., N + N N).
    >>> abs(eig_parts(np.array([[2.0]])))  # the vector's sign is up to LAPACK
    array([2., 1.])
    """
    check_square("eig", x)
    w, v = np.linalg.eig(x)
    return pack((_complex(w), 1), (_complex(v), 2))


@checked
def eig(x: ArrayLike, /) -> EigResult:
    """The eigenvalues, in no order, and eigenvectors of a square matrix, both complex.

    x @ V = V @ diag(w), each vector of length 1.   x (..., N, N) -> w (..., N), V (..., N, N).
    The phase of a vector is arbitrary: GraphError where what is differentiated depends on it. Where eigenvalues are
    equal, their vectors have no derivative (nan or inf); if they are not independent, the eigenvalues have none.
    >>> eig(np.array([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    array([2.+0.j, 1.+0.j])
    """
    x = operand("eig", x)
    check_square("eig", x)
    n = x.shape[-1]
    return EigResult(*unpack(eig_parts(x), ((n,), (n, n))))


def _derivative_of_eigvals(g: NDArray, x: NDArray) -> NDArray:
    v = eig(x).eigenvectors
    return solve(v.mT, g[..., :, None] * v.mT)


def _moved_eigvals(ts: Sequence[Any], x: Any) -> Any:
    v = eig(x).eigenvectors
    return _along(inv(v), ts[0], v)


def _eigvals_and_change(x: NDArray, ts: Sequence[NDArray]) -> tuple[Any, Any]:
    check_square("eigvals", x)
    w, v = map(_complex, np.linalg.eig(x))
    return w, _along(inv(v), ts[0], v)


@op(
    _derivative_of_eigvals,
    jvp=Joint(_moved_eigvals, _moved_eigvals, _eigvals_and_change),
    domain=Domain(make=well_shaped),
    cases=(Case((3, 3)), Case((2, 2, 2)), Case((0, 2, 2)), Case((1, 1))),
    kinks="equal eigenvalues with independent vectors: the derivative that functions symmetric in them have",
    batch=batching.leading,
    math=(
        r"\lambda, \quad x = V \operatorname{diag}(\lambda) V^{-1}",
        r"V^{-\top} \operatorname{diag}(g) V^\top",
    ),
)
def eigvals(x: NDArray, /) -> Any:
    """The eigenvalues of a square matrix, in no order, complex.

    x (..., N, N) -> (..., N). Raises MatrixError if x is not square.
    >>> eigvals(np.array([[2.0, 0.0], [0.0, 1.0]]))
    array([2.+0.j, 1.+0.j])
    """
    check_square("eigvals", x)
    return _complex(np.linalg.eigvals(x))


# Singular values


def _svd_shapes(shape: Sequence[int], full: bool) -> tuple[tuple[int, ...], ...]:
    m, n = shape[-2:]
    k = min(m, n)
    return ((m, m if full else k), (k,), (n if full else k, n))


def _derivative_of_svd(g: NDArray, out: NDArray, x_shape: Shape, full_matrices: bool) -> NDArray:
    shapes = _svd_shapes(x_shape, full_matrices)
    (u, s, vh), (gu, gs, gvh) = unpack(out, shapes), unpack(conjugated(g), shapes)
    k = shapes[1][0]
    v, gv = adjoint(vh), adjoint(gvh)
    rests = (u[..., k:], gu[..., k:]), (v[..., k:], gv[..., k:])
    u, gu, v, gv = u[..., :k], gu[..., :k], v[..., :k], gv[..., :k]
    row, column = s[..., None, :], s[..., :, None]
    gaps = (row - column) * (row + column) + np.eye(k, dtype=s.dtype)
    settled = (gaps == 0) & _both(_unused(gu, gv))
    left, right = adjoint(u) @ gu, adjoint(v) @ gv
    turned = diagonal(left, 0, -2, -1)
    check_free_phase("svd", turned + diagonal(right, 0, -2, -1))
    between = 1 - np.eye(k, dtype=s.dtype)
    middle = settled_quotient((left - adjoint(left)) * between, gaps, settled) * row + _on_diagonal(_real(gs))
    middle = middle + column * settled_quotient((right - adjoint(right)) * between, gaps, settled)
    if is_complex(g):  # a phase that u and v do not share
        middle = middle + _on_diagonal(1j * settled_quotient(turned.imag, s.real, turned.imag == 0))
    gx = u @ middle @ vh[..., :k, :]
    # The space beside the singular vectors: they turn into it, and the basis of it turns with them
    for first, other, gradient, inner, (rest, grest), flipped in (
        (u, v, gu, left, rests[0], False),
        (v, u, gv, right, rests[1], True),
    ):
        if first.shape[-2] > k:
            outside = gradient - first @ inner
            check_free_basis("svd", adjoint(rest) @ grest)
            outside = outside - rest @ (adjoint(grest) @ first)
            unused = (row == 0) & (sum(abs(outside), axis=-2, keepdims=True) == 0)
            part = settled_quotient(outside, row, unused) @ adjoint(other)
            gx = gx + (adjoint(part) if flipped else part)
    return conjugated(gx)


@op(
    _derivative_of_svd,
    domain=Domain(make=well_shaped),
    cases=(
        Case((3, 3), False), Case((3, 1, 4, 2), False), Case((3, 1, 2, 4), False), Case((3, 2), True),
        Case((2, 3), True),
        Case((0, 3, 2), False),
    ), name="svd",
    batch=batching.leading,
    math=(
        r"x = U \operatorname{diag}(s) V^\top",
        r"U (\operatorname{diag}(g_s) + \text{the parts of } g_U \text{ and } g_V) V^\top",
    ),
)  # fmt: skip
def svd_parts(x: NDArray, /, full_matrices: bool) -> Any:
    """The parts of svd, flattened: U, singular values, Vh.

    x (..., M, N) -> (..., P), P the number of elements of the three for one matrix.
    >>> abs(svd_parts(np.array([[2.0]]), False))  # the vectors' sign is up to LAPACK
    array([1., 2., 1.])
    """
    check_matrix("svd", x)
    u, s, vh = np.linalg.svd(x, full_matrices)
    return pack((u, 2), (s, 1), (vh, 2))


@overload
def svd(x: ArrayLike, /, *, full_matrices: bool = True, compute_uv: Literal[True] = True) -> SVDResult: ...
@overload
def svd(x: ArrayLike, /, *, full_matrices: bool = True, compute_uv: bool) -> Any: ...
@checked
def svd(x: ArrayLike, /, *, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition, singular values descending; with compute_uv=False they alone.

    x = U[:, :K] @ diag(S) @ Vh[:K], K = min(M, N).   x (..., M, N) -> U (..., M, M), S (..., K),
    Vh (..., N, N); with full_matrices=False U (..., M, K), Vh (..., K, N). Where singular values are equal or
    0, their vectors have no derivative: what uses them gets nan or inf; what needs the values alone should
    call svdvals. Raises MatrixError.
    >>> svd(np.array([[2.0]])).S
    array([2.])
    """
    x = operand("svd", x)
    check_matrix("svd", x)
    if not compute_uv:
        return svdvals(x)
    u, s, vh = unpack(svd_parts(x, full_matrices), _svd_shapes(x.shape, full_matrices))
    return SVDResult(u, s if x.dtype.kind != "c" else s.real, vh)


def _derivative_of_svdvals(g: NDArray, x: NDArray) -> NDArray:
    u, _, vh = svd(x, full_matrices=False)
    return (conjugated(u) * g[..., None, :]) @ conjugated(vh)


def _moved_svdvals(ts: Sequence[Any], x: Any) -> Any:
    u, _, vh = svd(x, full_matrices=False)
    return _real(_along(adjoint(u), ts[0], adjoint(vh)))


def _svdvals_and_change(x: NDArray, ts: Sequence[NDArray]) -> tuple[Any, Any]:
    check_matrix("svdvals", x)
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return s, _real(_along(adjoint(u), ts[0], adjoint(vh)))


@op(
    _derivative_of_svdvals,
    jvp=Joint(_moved_svdvals, _moved_svdvals, _svdvals_and_change),
    domain=Domain(make=well_shaped),
    cases=(Case((3, 3)), Case((3, 1, 4, 2)), Case((3, 1, 2, 4)), Case((0, 3, 2))),
    kinks="equal singular values: the derivative that functions symmetric in them have; at 0 a subgradient",
    batch=batching.leading,
    math=(r"s, \quad x = U \operatorname{diag}(s) V^\top", r"U \operatorname{diag}(g) V^\top"),
)
def svdvals(x: NDArray, /) -> Any:
    """The singular values, descending.

    x (..., M, N) -> (..., min(M, N)). Raises MatrixError if x has fewer than two axes.
    >>> svdvals(np.array([[3.0, 0.0], [0.0, 4.0]]))
    array([4., 3.])
    """
    check_matrix("svdvals", x)
    return np.linalg.svdvals(x)
