"""NumPy's products, linear algebra and Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import convert, fft, linalg
from tinygrad_dl.errors import MatrixError, ValueRangeError
from tinygrad_dl.numpy_functions.table import (
    Casting,
    Data,
    cast,
    choice,
    described,
    laid_out,
    raw,
    stands_for,
)
from tinygrad_dl.ops import einsum, elementwise, matmul, reduce
from tinygrad_dl.ops.fourier import Scaling
from tinygrad_dl.ops.index import take_along_axis
from tinygrad_dl.ops.linalg import check_square
from tinygrad_dl.ops.shape import moveaxis, permute_dims, reshape, value_of
from tinygrad_dl.ops.spectral import SVDResult, mirrored
from tinygrad_dl.typing import ArrayLike, Axis, DTypeLike

# Products


@stands_for(np.dot)
def dot(a: Data, b: Data) -> Any:
    return matmul.dot(a, b)


@stands_for(np.vdot)
def vdot(a: Data, b: Data) -> Any:
    a, b = (reshape(value_of(x), (-1,)) for x in (a, b))
    return reduce.sum(elementwise.conj(a) * b)


@stands_for(np.inner)
def inner(a: Data, b: Data) -> Any:
    return matmul.inner(a, b)


@stands_for(np.outer)
def outer(a: Data, b: Data) -> Any:
    return matmul.outer(a, b)


@stands_for(getattr(np.linalg, "outer", None))
def outer_of_vectors(x1: Data, x2: Data) -> Any:
    return linalg.outer(x1, x2)


@stands_for(np.kron)
def kron(a: Data, b: Data) -> Any:
    return matmul.kron(a, b)


@stands_for(np.tensordot)
def tensordot(a: Data, b: Data, axes: int | Sequence[int | Sequence[int]] = 2) -> Any:
    return matmul.tensordot(a, b, _axes(axes))


@stands_for(getattr(np.linalg, "tensordot", None))
def tensordot_of(x1: Data, x2: Data, axes: int | Sequence[int | Sequence[int]] = 2) -> Any:
    return matmul.tensordot(x1, x2, _axes(axes))


def _axes(axes: int | Sequence[int | Sequence[int]]) -> Any:
    return axes.tolist() if isinstance(axes, np.ndarray) else axes


@stands_for(getattr(np.linalg, "matmul", None))
def matmul_(x1: Data, x2: Data) -> Any:
    return matmul.matmul(x1, x2)


@stands_for(getattr(np.linalg, "vecdot", None))
def vecdot(x1: Data, x2: Data, axis: int = -1) -> Any:
    return matmul.vecdot(x1, x2, axis=axis)


@stands_for(np.cross)
def cross(
    a: Data, b: Data, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    out = matmul.cross(moveaxis(value_of(a), axisa, -1), moveaxis(value_of(b), axisb, -1))
    return moveaxis(out, -1, axisc)


@stands_for(getattr(np.linalg, "cross", None))
def cross_of(x1: Data, x2: Data, axis: int = -1) -> Any:
    return cross(x1, x2, axis=axis)


@stands_for(np.einsum)
def einsum_(
    *operands: Data,
    optimize: bool | str | Sequence[Any] = False,
    dtype: DTypeLike | None = None,
    order: str | None = "K",
    casting: Casting = "safe",
) -> Any:
    first = isinstance(operands[0], str)
    arrays = operands[1:] if first else operands[: len(operands) // 2 * 2 : 2]
    common = np.result_type(*(described(x) for x in arrays)) if dtype is None and casting != "safe" else dtype
    cast_ = [cast("np.einsum", x, common, casting) for x in arrays] if common is not None else list(arrays)
    if common is None:
        choice("np.einsum", "casting", casting, ("no", "equiv", "safe", "same_kind", "unsafe"))
    given: list[Any] = [operands[0], *cast_] if first else list(operands)
    if not first:
        given[: len(operands) // 2 * 2 : 2] = cast_
    return laid_out("np.einsum", einsum.einsum(*given, optimize=optimize), order, *arrays)


# Decompositions


def _mirrored(what: str, a: ArrayLike, UPLO: str) -> Any:
    """The symmetric matrix of which one triangle is given: the part of its argument that NumPy reads."""
    a = matmul.operand(what, a)
    check_square(what, a)
    return mirrored(what, a, UPLO)


@stands_for(np.linalg.cholesky)
def cholesky(a: Data, upper: bool = False) -> Any:
    return linalg.cholesky(_mirrored("cholesky", a, "U" if upper else "L"), upper=bool(upper))


@stands_for(np.linalg.eigh)
def eigh(a: Data, UPLO: str = "L") -> Any:
    return linalg.eigh(a, UPLO=UPLO)


@stands_for(np.linalg.eigvalsh)
def eigvalsh(a: Data, UPLO: str = "L") -> Any:
    return linalg.eigvalsh(_mirrored("eigvalsh", a, UPLO))


@stands_for(np.linalg.eig)
def eig(a: Data) -> Any:
    return linalg.eig(a)


@stands_for(np.linalg.eigvals)
def eigvals(a: Data) -> Any:
    return linalg.eigvals(a)


@stands_for(np.linalg.qr)
def qr(a: Data, mode: str = "reduced") -> Any:
    choice("np.linalg.qr", "mode", mode, ("reduced", "complete", "r"))
    return linalg.qr(a, mode="reduced").R if mode == "r" else linalg.qr(a, mode=mode)


@stands_for(np.linalg.svd)
def svd(a: Data, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if not hermitian:
        return linalg.svd(a, full_matrices=bool(full_matrices), compute_uv=compute_uv)
    symmetric = _mirrored("svd", a, "L")
    if not compute_uv:
        return linalg.svdvals(symmetric)
    values, vectors = linalg.eigh(symmetric)
    order = np.argsort(-np.absolute(raw(values)), axis=-1, kind="stable")
    values = take_along_axis(values, order, axis=-1)
    vectors = take_along_axis(vectors, order[..., None, :], axis=-1)
    sign = np.where(raw(values) < 0, -1, 1).astype(raw(values).dtype)
    right = elementwise.conj(vectors * sign[..., None, :]).mT
    return SVDResult(vectors, elementwise.abs(values), right)


@stands_for(getattr(np.linalg, "svdvals", None))
def svdvals(x: Data) -> Any:
    return linalg.svdvals(x)


# Equations


@stands_for(np.linalg.inv)
def inv(a: Data) -> Any:
    return linalg.inv(a)


@stands_for(np.linalg.solve)
def solve(a: Data, b: Data) -> Any:
    return linalg.solve(a, b)


@stands_for(np.linalg.det)
def det(a: Data) -> Any:
    return linalg.det(a)


@stands_for(np.linalg.slogdet)
def slogdet(a: Data) -> Any:
    return linalg.slogdet(a)


@stands_for(np.linalg.matrix_power)
def matrix_power(a: Data, n: int) -> Any:
    return linalg.matrix_power(a, n)


@stands_for(np.linalg.multi_dot)
def multi_dot(arrays: Data) -> Any:
    return linalg.multi_dot(arrays)


@stands_for(np.linalg.lstsq)
def lstsq(a: Data, b: Data, rcond: float | None = None) -> Any:
    a = matmul.operand("lstsq", a)
    if rcond is not None and rcond < 0:  # the precision of the dtype, as LAPACK takes it
        rcond = (
            float(np.finfo(described(a).dtype).eps)
            if described(a).dtype.kind in "fc"
            else np.finfo(float).eps
        )
    found = linalg.lstsq(a, b, rcond)
    return found._replace(rank=np.int32(raw(found.rank)))


@stands_for(np.linalg.pinv)
def pinv(a: Data, rcond: float | None = None, hermitian: bool = False, rtol: float | None = None) -> Any:
    if rcond is not None and rtol is not None:
        raise ValueRangeError("np.linalg.pinv: expected rcond or rtol, not both")
    limit = rcond if rtol is None else rtol
    return linalg.pinv(_mirrored("pinv", a, "L") if hermitian else a, rtol=limit)


@stands_for(np.linalg.tensorinv)
def tensorinv(a: Data, ind: int = 2) -> Any:
    a = value_of(a)
    if ind <= 0:
        raise ValueRangeError(f"np.linalg.tensorinv: ind: expected an int of at least 1, got {ind}")
    front, back = a.shape[:ind], a.shape[ind:]
    if np.prod(front, dtype=int) != np.prod(back, dtype=int):
        raise MatrixError(f"np.linalg.tensorinv: the sizes {front} and {back} do not make a square matrix")
    square = reshape(a, (int(np.prod(front, dtype=int)), -1))
    return reshape(linalg.inv(square), (*back, *front))


@stands_for(np.linalg.tensorsolve)
def tensorsolve(a: Data, b: Data, axes: Sequence[int] | None = None) -> Any:
    a, b = value_of(a), value_of(b)
    if axes is not None:
        last = [x % a.ndim for x in axes]
        a = permute_dims(a, (*(i for i in range(a.ndim) if i not in last), *last))
    back = a.shape[b.ndim :]
    size = int(np.prod(back, dtype=int))
    if a.size != size * size or b.size != size:
        raise MatrixError(
            f"np.linalg.tensorsolve: the shapes {a.shape} and {b.shape} do not make a square system"
        )
    return reshape(linalg.solve(reshape(a, (size, size)), reshape(b, (-1,))), back)


# Norms and numbers


@stands_for(np.linalg.norm)
def norm(x: Data, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Any:
    return linalg.norm(x, ord, axis, keepdims)


@stands_for(getattr(np.linalg, "matrix_norm", None))
def matrix_norm(x: Data, keepdims: bool = False, ord: float | str = "fro") -> Any:
    return linalg.matrix_norm(x, keepdims=keepdims, ord=ord)


@stands_for(getattr(np.linalg, "vector_norm", None))
def vector_norm(x: Data, axis: Axis = None, keepdims: bool = False, ord: float | str = 2) -> Any:
    return linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


@stands_for(np.linalg.cond)
def cond(x: Data, p: float | str | None = None) -> Any:
    return linalg.cond(x, p)


@stands_for(np.linalg.matrix_rank)
def matrix_rank(A: Data, tol: float | None = None, hermitian: bool = False, rtol: float | None = None) -> Any:
    if tol is not None and rtol is not None:
        raise ValueRangeError("np.linalg.matrix_rank: expected tol or rtol, not both")
    found = np.linalg.matrix_rank(np.asarray(raw(A)), tol=tol, hermitian=hermitian, rtol=rtol)
    return convert.wrap(np.asarray(found))


@stands_for(getattr(np.linalg, "diagonal", None))
def diagonal(x: Data, offset: int = 0) -> Any:
    return linalg.diagonal(x, offset=offset)


@stands_for(getattr(np.linalg, "trace", None))
def trace(x: Data, offset: int = 0, dtype: DTypeLike | None = None) -> Any:
    return linalg.trace(x, offset=offset, dtype=dtype)


# Fourier transforms


def _along_one(numpys: Callable[..., Any], ours: Callable[..., Any]) -> None:
    @stands_for(numpys)
    def transform(a: Data, n: int | None = None, axis: int = -1, norm: Scaling = None) -> Any:
        return ours(value_of(a), n, axis, norm)


def _along_two(numpys: Callable[..., Any], ours: Callable[..., Any]) -> None:
    @stands_for(numpys)
    def transform(
        a: Data, s: Sequence[int] | None = None, axes: Sequence[int] | None = (-2, -1), norm: Scaling = None
    ) -> Any:
        return ours(value_of(a), s, axes, norm)


def _along_several(numpys: Callable[..., Any], ours: Callable[..., Any]) -> None:
    @stands_for(numpys)
    def transform(
        a: Data, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Scaling = None
    ) -> Any:
        return ours(value_of(a), s, axes, norm)


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _along_one(getattr(np.fft, _name), getattr(fft, _name))
for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    _along_two(getattr(np.fft, _name), getattr(fft, _name))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    _along_several(getattr(np.fft, _name), getattr(fft, _name))


@stands_for(np.fft.fftshift)
def fftshift(x: Data, axes: Axis = None) -> Any:
    return fft.fftshift(x, axes)


@stands_for(np.fft.ifftshift)
def ifftshift(x: Data, axes: Axis = None) -> Any:
    return fft.ifftshift(x, axes)
