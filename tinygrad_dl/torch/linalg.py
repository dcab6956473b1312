"""torch.linalg: the core's functions with PyTorch's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import linalg as core
from tinygrad_dl.linalg import LinAlgError as LinAlgError
from tinygrad_dl.ops.linalg import solve_triangular as triangular
from tinygrad_dl.ops.norms import LstsqResult
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import products as _products  # noqa: F401  it enters its functions
from tinygrad_dl.torch import shaping as _shaping  # noqa: F401
from tinygrad_dl.torch.boundary import function, lift, wrapped
from tinygrad_dl.torch.elementwise import astype
from tinygrad_dl.torch.factorizations import householder_product as householder_product
from tinygrad_dl.torch.factorizations import lu as lu
from tinygrad_dl.torch.factorizations import lu_factor as lu_factor
from tinygrad_dl.torch.factorizations import lu_factor_ex as lu_factor_ex
from tinygrad_dl.torch.factorizations import lu_solve as lu_solve
from tinygrad_dl.torch.products import vander as powers_of
from tinygrad_dl.torch.reductions import axes
from tinygrad_dl.torch.registry import TORCH

for _name in ("det", "slogdet", "inv", "matmul", "matrix_power", "matrix_exp", "cross", "diagonal"):
    globals()[_name] = TORCH[_name]
for _name in ("eigvals", "cond", "multi_dot", "eig"):
    globals()[_name] = function(getattr(core, _name))


@function
def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """The cross product along an axis."""
    a, b = tg.broadcast_arrays(input, other)
    return tg.cross(a, b, axis=dim % a.ndim - a.ndim)


@function(view=True)
def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonal of two axes."""
    return core.diagonal(tg.moveaxis(A, (dim1, dim2), (-2, -1)), offset=offset)


@function
def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of vectors."""
    x = x if dtype is None else astype(x, dtype)
    return core.vector_norm(x, axis=axes(dim, x), keepdims=keepdim, ord=ord)


@function
def matrix_norm(
    A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The norm of matrices."""
    x = A if dtype is None else astype(A, dtype)
    a, b = (d % x.ndim for d in dim)
    out = core.matrix_norm(tg.moveaxis(x, (a, b), (-2, -1)), ord=ord)
    for d in sorted((a, b)) if keepdim else ():
        out = tg.expand_dims(out, axis=d)
    return out


@function
def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of a vector, of a matrix, or of all elements."""
    x = A if dtype is None else astype(A, dtype)
    if ord is None:
        return core.vector_norm(x, axis=axes(dim, x), keepdims=keepdim)
    pair = (isinstance(dim, (tuple, list)) and len(dim) == 2) or (dim is None and x.ndim == 2)
    if pair:
        return matrix_norm.core(x, ord, (-2, -1) if dim is None else tuple(dim), keepdim)
    return core.vector_norm(x, axis=axes(dim, x), keepdims=keepdim, ord=ord)


@function
def cholesky(A: Any, *, upper: bool = False) -> Any:
    """The Cholesky factor."""
    return core.cholesky(A, upper=upper)


@function
def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    """(factor, 0)."""
    return core.cholesky(A, upper=upper), wrapped(np.zeros(A.shape[:-2], np.int32))


@function
def inv_ex(A: Any, *, check_errors: bool = False) -> Any:
    """(inverse, 0)."""
    return core.inv(A), wrapped(np.zeros(A.shape[:-2], np.int32))


@function
def qr(A: Any, mode: str = "reduced") -> Any:
    """(Q, R)."""
    return core.qr(A, mode=mode)


@function
def svd(A: Any, full_matrices: bool = True, *, driver: Any = None) -> Any:
    """(U, S, Vh)."""
    return core.svd(A, full_matrices=full_matrices)


@function
def eigh(A: Any, UPLO: str = "L") -> Any:
    """(eigenvalues, eigenvectors) of a Hermitian matrix."""
    return core.eigh(_hermitian(A, UPLO))


@function
def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X with A @ X = B, or X @ A = B."""
    if not left:
        return tg.swapaxes(core.solve(tg.swapaxes(A, -1, -2), tg.swapaxes(B, -1, -2)), -1, -2)
    if B.ndim == A.ndim - 1 and B.ndim > 1 and B.shape == A.shape[:-1]:
        return tg.squeeze(core.solve(A, tg.expand_dims(B, axis=-1)), axis=-1)
    return core.solve(A, B)


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(X, 0)."""
    found = solve(A, B, left=left, out=out)
    return found, lift(wrapped(np.zeros(A.shape[:-2], np.int32)))


@function
def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """X with A @ X = B, or X @ A = B, for a triangular A."""
    if unitriangular:
        A = (tg.triu(A, k=1) if upper else tg.tril(A, k=-1)) + tg.eye(A.shape[-1], dtype=A.dtype)
    if left:
        return triangular(A, B, lower=not upper)
    return triangular(A.mT, B.mT, lower=upper).mT


def _hermitian(A: Any, UPLO: str = "L") -> Any:
    """The Hermitian matrix of which one triangle is given; a Hermitian one as it is, as is its gradient."""
    turned = np.swapaxes(A._data, -1, -2).conj()
    if np.allclose(A._data, turned, 1e-4, 1e-6):
        return A
    half = tg.tril(A) if UPLO == "L" else tg.triu(A)
    other = tg.tril(A, k=-1) if UPLO == "L" else tg.triu(A, k=1)
    other = tg.swapaxes(other, -1, -2)
    return half + (other.conj() if other.dtype.kind == "c" else other)


@function
def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of a Hermitian matrix."""
    return core.eigvalsh(_hermitian(A, UPLO))


@function
def svdvals(A: Any, *, driver: Any = None) -> Any:
    """The singular values."""
    return core.svdvals(A)


@function
def matrix_rank(
    A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Any:
    """The number of singular values above a tolerance."""
    s = np.abs(np.linalg.eigvalsh(A._data)) if hermitian else np.linalg.svd(A._data, compute_uv=False)
    numbers = [x._data if isinstance(x, Value) else x for x in (atol if tol is None else tol, rtol)]
    least = 0.0 if numbers[0] is None else np.asarray(numbers[0])[..., None]
    relative = numbers[1]
    if relative is None:
        given = numbers[0] is not None and np.all(np.asarray(numbers[0]) > 0)
        relative = 0.0 if given else max(A.shape[-2:]) * np.finfo(A.dtype).eps
    bound = np.maximum(least, np.asarray(relative)[..., None] * s.max(-1, keepdims=True, initial=0))
    return wrapped((s > bound).sum(-1))


@function
def pinv(A: Any, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Any:
    """The pseudoinverse."""
    rtol = rcond if rtol is None else rtol
    x = _hermitian(A) if hermitian else A
    return core.pinv(x) if rtol is None else core.pinv(x, rtol=rtol)


@function
def lstsq(A: Any, B: Any, rcond: Any = None, *, driver: Any = None) -> Any:
    """(solution, residuals, rank, singular values) of the least squares problem.

    As in LAPACK, the driver says what comes beside the solution: "gels" the residuals, "gelsy" (the default) the rank,
    "gelsd" and "gelss" all. Residuals are those of more equations than unknowns and full rank.
    """
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    vectors = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    right = tg.expand_dims(B, axis=-1) if vectors else B
    m, n = A.shape[-2:]
    values = np.linalg.svd(A._data, compute_uv=False)
    limit = np.finfo(A.dtype).eps * max(m, n) if rcond is None else rcond
    rank = np.asarray((values > limit * values.max(-1, initial=0, keepdims=True)).sum(-1), np.int64)
    full = bool((rank == min(m, n)).all())
    if A.ndim == 2 and right.ndim == 2 and full:
        solution = core.lstsq(A, right)[0]
    else:
        solution = core.pinv(A, rtol=limit) @ right
    empty = wrapped(np.zeros(0, values.dtype))
    residuals, ranks = empty, wrapped(np.zeros(0, np.int64) if driver == "gels" else rank)
    if m > n and full and driver in ("gels", "gelsd", "gelss"):
        residuals = tg.sum(tg.abs(A @ solution - right) ** 2, -2)
    found = tg.squeeze(solution, axis=-1) if vectors else solution
    kept = wrapped(values) if driver in ("gelsd", "gelss") else empty
    return LstsqResult(found, residuals, ranks, kept)


@function
def vander(x: Any, *, N: Any = None) -> Any:
    """The powers of each element, from 0 on."""
    return powers_of.core(x, N, increasing=True)


@function
def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """The sums of products along an axis."""
    a, b = tg.broadcast_arrays(x, y)
    return tg.vecdot(a, b, axis=dim % a.ndim - a.ndim)


@function
def tensorinv(A: Any, ind: int = 2) -> Any:
    """The inverse of a Tensor as a map."""
    front, back = A.shape[:ind], A.shape[ind:]
    n = int(np.prod(back))
    return tg.reshape(core.inv(tg.reshape(A, (n, n))), (*back, *front))


@function
def tensorsolve(A: Any, B: Any, dims: Any = None) -> Any:
    """X with tensordot(A, X) = B."""
    n = B.size
    if dims is not None:
        others = [d for d in range(A.ndim) if d not in [d % A.ndim for d in dims]]
        A = tg.permute_dims(A, (*others, *[d % A.ndim for d in dims]))
    return tg.reshape(core.solve(tg.reshape(A, (n, n)), tg.reshape(B, (n,))), A.shape[B.ndim :])


def __getattr__(name: str) -> Any:
    from tinygrad_dl.torch.left_out import missing

    raise missing("torch.linalg", name, globals())
