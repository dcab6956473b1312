"""LU factorizations and products of Householder reflections, with PyTorch's packed results and gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.torch import creation
from tinygrad_dl.torch.boundary import by_example, computed, made
from tinygrad_dl.torch.custom import Function
from tinygrad_dl.torch.registry import METHODS, TORCH


class lu_result(NamedTuple):
    P: Any
    L: Any
    U: Any


class lu_factor_result(NamedTuple):
    LU: Any
    pivots: Any


class lu_factor_ex_result(NamedTuple):
    LU: Any
    pivots: Any
    info: Any


class geqrf_result(NamedTuple):
    a: Any
    tau: Any


def _pivots(a: np.ndarray, pivot: bool) -> np.ndarray:
    """The row that elimination exchanges with row k, for every k: that of the largest element, from 1 as in LAPACK."""
    n = min(a.shape[-2:])
    found = np.broadcast_to(np.arange(1, n + 1, dtype=np.int32), (*a.shape[:-2], n)).copy()
    if not pivot:
        return found
    for place in np.ndindex(a.shape[:-2]):
        x, out = a[place].copy(), found[place]
        for k in range(n):
            column = x[k:, k]  # LAPACK's size of a complex number is |re| + |im|
            best = k + int(np.argmax(np.abs(column.real) + np.abs(column.imag)))
            out[k] = best + 1
            x[[k, best]] = x[[best, k]]
            if x[k, k] != 0:
                x[k + 1 :, k] /= x[k, k]
                x[k + 1 :, k + 1 :] -= np.outer(x[k + 1 :, k], x[k, k + 1 :])
    return found


def _order(pivots: np.ndarray, rows: int) -> np.ndarray:
    """The order of rows after all exchanges."""
    order = np.broadcast_to(np.arange(rows), (*pivots.shape[:-1], rows)).copy()
    for place in np.ndindex(pivots.shape[:-1]):
        one = order[place]
        for k, other in enumerate(pivots[place].tolist()):
            one[[k, other - 1]] = one[[other - 1, k]]
    return order


def _reordered(x: Any, order: np.ndarray) -> Any:
    """The rows of matrices in another order."""
    batch = np.broadcast_shapes(order.shape[:-1], x.shape[:-2])
    places = np.broadcast_to(order[..., None], (*batch, order.shape[-1], x.shape[-1]))
    return x.expand(*batch, *x.shape[-2:]).gather(-2, made(np.ascontiguousarray(places, np.int64)))


class _LU(Function):
    """L and U of square matrices whose rows are in order."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        x = a._data.copy()
        with np.errstate(all="ignore"):
            for k in range(x.shape[-1] - 1):
                top = x[..., k : k + 1, k]
                x[..., k + 1 :, k] /= np.where(top == 0, 1, top)
                x[..., k + 1 :, k + 1 :] -= x[..., k + 1 :, k, None] * x[..., k, None, k + 1 :]
        lower, upper = made(np.tril(x, -1) + np.eye(x.shape[-1], dtype=x.dtype)), made(np.triu(x))
        ctx.save_for_backward(lower, upper)
        return lower, upper

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        lower, upper = ctx.saved_tensors
        inner = (lower.mH @ grads[0]).tril(-1) + (grads[1] @ upper.mH).triu()
        right = _triangular(upper.mH, inner, upper=False, left=False)
        return _triangular(lower.mH, right, upper=True, unitriangular=True)


def _triangular(a: Any, b: Any, **how: Any) -> Any:
    from tinygrad_dl.torch import linalg

    return linalg.solve_triangular(a, b, **how)


def _parts(A: Any, pivot: bool) -> tuple[Any, Any, Any]:
    """(pivots, L, U)."""
    if A.dim() < 2:
        raise RuntimeError(
            f"linalg.lu: The input tensor A must have at least 2 dimensions. Got {list(A.shape)}"
        )
    computed("the pivots of an LU factorization")
    m, n = A.shape[-2:]
    pivots = _pivots(A._data, pivot)
    x = _reordered(A, _order(pivots, m))
    k = min(m, n)
    lower, upper = _LU.apply(x[..., :k, :k])
    if m > n:
        below = _triangular(upper, x[..., n:, :], upper=True, left=False)
        lower = TORCH["cat"]([lower, below], -2)
    if n > m:
        right = _triangular(lower, x[..., m:], upper=False, unitriangular=True)
        upper = TORCH["cat"]([upper, right], -1)
    return pivots, lower, upper


def _permutation(order: np.ndarray, dtype: Any) -> Any:
    """The matrix P with A = P @ L @ U."""
    return made(np.swapaxes(np.eye(order.shape[-1], dtype=dtype)[order], -1, -2).copy())


@by_example
def lu(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """(P, L, U) with A = P @ L @ U."""
    pivots, lower, upper = _parts(A, pivot)
    return lu_result(_permutation(_order(pivots, A.shape[-2]), A._data.dtype), lower, upper)


@by_example
def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """L and U in one matrix, the exchanges of rows, and the number of the first pivot that is 0, or 0."""
    pivots, lower, upper = _parts(A, pivot)
    m, n = A.shape[-2:]
    below, above = lower.tril(-1), upper
    if m > n:
        above = TORCH["cat"]([above, creation.zeros((*A.shape[:-2], m - n, n), dtype=A.dtype)], -2)
    if n > m:
        below = TORCH["cat"]([below, creation.zeros((*A.shape[:-2], m, n - m), dtype=A.dtype)], -1)
    zero = np.diagonal(upper._data, axis1=-2, axis2=-1) == 0
    info = (
        np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32)
        if zero.size
        else np.zeros(A.shape[:-2], np.int32)
    )
    if check_errors and info.any():
        raise RuntimeError(
            f"linalg.lu_factor: U[{info.max()},{info.max()}] is zero and using it on lu_solve would divide by 0"
        )
    return lu_factor_ex_result(below + above, made(pivots), made(info))


def lu_factor(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U in one matrix, and the exchanges of rows."""
    return lu_factor_result(*lu_factor_ex(A, pivot=pivot, check_errors=False)[:2])


@by_example
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """(P, L, U) of what lu_factor gives."""
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    order = _order(LU_pivots._data, m)
    empty = creation.empty(0, dtype=LU_data.dtype)
    eye = creation.eye(m, k, dtype=LU_data.dtype)
    lower, upper = (
        (LU_data[..., :k].tril(-1) + eye, LU_data[..., :k, :].triu()) if unpack_data else (empty, empty)
    )
    return lu_result(_permutation(order, LU_data._data.dtype) if unpack_pivots else empty, lower, upper)


@by_example
def lu_solve(
    LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False, out: Any = None
) -> Any:
    """X with A @ X = B, X @ A = B, or with the adjoint of A, for what lu_factor gives of A."""
    if not left:
        return lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH
    batch = np.broadcast_shapes(LU.shape[:-2], B.shape[:-2])
    LU, B = (x.expand(*batch, *x.shape[-2:]) for x in (LU, B))
    order = _order(pivots._data, LU.shape[-1])
    if adjoint:
        X = _triangular(LU.mH, _triangular(LU.mH, B, upper=False), upper=True, unitriangular=True)
        return _reordered(X, np.argsort(order, -1))
    return _triangular(LU, _triangular(LU, _reordered(B, order), upper=False, unitriangular=True), upper=True)


def _old_lu_solve(b: Any, LU_data: Any, LU_pivots: Any, *, out: Any = None) -> Any:
    """X with A @ X = b, for what lu_factor gives of A."""
    return lu_solve(LU_data, LU_pivots, b)


@by_example
def _old_lu(A: Any, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """L and U in one matrix, and the exchanges of rows."""
    found = lu_factor_ex(A, pivot=pivot)
    return tuple(found) if get_infos else tuple(found[:2])


# Householder reflections


def _reflected(A: Any, tau: Any, x: Any, reverse: bool, adjoint: bool) -> Any:
    """x after the reflections 1 - tau * v @ v.H, the v being 1 and what is below the diagonal of A."""
    m, k = A.shape[-2], tau.shape[-1]
    vectors = A[..., :k].tril(-1) + creation.eye(m, k, dtype=A.dtype)
    for i in reversed(range(k)) if reverse else range(k):
        v, t = vectors[..., i : i + 1], tau[..., i : i + 1].unsqueeze(-1)
        x = x - (t.conj() if adjoint and t.is_complex() else t) * v @ (v.mH @ x)
    return x


def householder_product(A: Any, tau: Any, *, out: Any = None) -> Any:
    """The first columns of the product of reflections that geqrf gives."""
    m, n = A.shape[-2:]
    if n > m:
        raise RuntimeError(
            f"linalg.householder_product: Expected input.shape[-2] >= input.shape[-1], got {list(A.shape)}"
        )
    start = creation.eye(m, n, dtype=A.dtype).expand(*A.shape[:-2], m, n)
    return _reflected(A, tau, start, True, False)


@by_example
def geqrf(input: Any, *, out: Any = None) -> Any:
    """The QR factorization as reflections: R on and above the diagonal, the vectors below it, and their factors."""
    computed("geqrf")
    a = input._data
    raw = [np.linalg.qr(a[place], "raw") for place in np.ndindex(a.shape[:-2])]
    k = min(a.shape[-2:])
    packed = np.array([h.T for h, _ in raw]).reshape(a.shape).astype(a.dtype)
    return geqrf_result(
        made(packed), made(np.array([t for _, t in raw]).reshape(*a.shape[:-2], k).astype(a.dtype))
    )


def ormqr(
    input: Any, tau: Any, other: Any, left: bool = True, transpose: bool = False, *, out: Any = None
) -> Any:
    """The product of `other` and the orthogonal matrix of these reflections, or its adjoint."""
    if left:
        return _reflected(input, tau, other, not transpose, transpose)
    return _reflected(input, tau, other.mH, transpose, not transpose).mH


for _name, _function in (
    ("lu_solve", _old_lu_solve),
    ("lu_unpack", lu_unpack),
    ("geqrf", geqrf),
    ("orgqr", householder_product),
    ("ormqr", ormqr),
    ("lu", _old_lu),
):
    TORCH[_name] = _function
    if _name != "lu_unpack":
        METHODS[_name] = _function
