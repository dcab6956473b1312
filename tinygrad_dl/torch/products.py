"""Products of vectors and matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import linalg
from tinygrad_dl.ops.linalg import solve_triangular
from tinygrad_dl.ops.packing import adjoint
from tinygrad_dl.torch.boundary import wrapped
from tinygrad_dl.torch.registry import promoted, public


def _same(what: str, *values: Any) -> None:
    kinds = {x.dtype for x in values}
    if len(kinds) > 1:
        from tinygrad_dl.torch.dtypes import of

        raise RuntimeError(
            f"{what}: expected m1 and m2 to have the same dtype, but got: "
            + " != ".join(repr(of(x.dtype)) for x in values)
        )


@public(view=True)
def matmul(input: Any, other: Any) -> Any:
    """The product of matrices, of vectors, or of stacks of matrices."""
    if not input.ndim or not other.ndim:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {input.ndim}D and {other.ndim}D"
        )
    _same("matmul", input, other)
    return tg.matmul(input, other)


def _exactly(what: str, *pairs: Any) -> None:
    for x, n in pairs:
        if x.ndim != n:
            raise RuntimeError(f"{what}: expected a Tensor of {n} axes, got {x.ndim}D")


@public(view=True)
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices."""
    _exactly("mm", (input, 2), (mat2, 2))
    return matmul.core(input, mat2)


@public(view=True)
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two stacks of matrices."""
    _exactly("bmm", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {input.shape[0]} and {mat2.shape[0]}"
        )
    return matmul.core(input, mat2)


@public(view=True)
def mv(input: Any, vec: Any) -> Any:
    """The product of a matrix and a vector."""
    _exactly("mv", (input, 2), (vec, 1))
    return matmul.core(input, vec)


@public(view=True)
def dot(input: Any, tensor: Any) -> Any:
    """The sum of the products of two vectors."""
    _exactly("dot", (input, 1), (tensor, 1))
    _same("dot", input, tensor)
    return tg.sum(input * tensor)


@public(view=True)
def vdot(input: Any, other: Any) -> Any:
    """The sum of the products of two vectors, the first one conjugated."""
    return tg.sum((input.conj() if input.dtype.kind == "c" else input) * other)


@public(view=True)
def inner(input: Any, other: Any) -> Any:
    """The sums of products along the last axes."""
    return tg.inner(input, other) if input.ndim and other.ndim else input * other


@public(view=True, aliases=("ger",))
def outer(input: Any, vec2: Any) -> Any:
    """All products of the elements of two vectors."""
    a, b = promoted(input, vec2)
    return a[:, None] * b[None, :]


def _scaled(x: Any, factor: Any) -> Any:
    if factor == 1:
        return x
    return x * 0 if factor == 0 else x * factor


def _added(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    product = _scaled(product, alpha)
    if beta == 0:
        return product
    return tg.broadcast_to(_scaled(input, beta), product.shape) + product


@public(view=True, in_place=True)
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * mat1 @ mat2."""
    return _added(input, mm.core(mat1, mat2), beta, alpha)


@public(view=True, in_place=True)
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * mat @ vec."""
    return _added(input, mv.core(mat, vec), beta, alpha)


@public(view=True, in_place=True)
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * outer(vec1, vec2)."""
    return _added(input, outer.core(vec1, vec2), beta, alpha)


@public(view=True, in_place=True)
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * batch1 @ batch2."""
    return _added(input, bmm.core(batch1, batch2), beta, alpha)


@public(view=True, in_place=True)
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * the sum of batch1 @ batch2."""
    return _added(input, tg.sum(bmm.core(batch1, batch2), 0), beta, alpha)


@public(view=True, method=False)
def einsum(equation: Any, *operands: Any) -> Any:
    """Sums of products by Einstein's notation."""
    if not isinstance(equation, str):
        operands, equation = tuple(equation), operands[0]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    given, arrow, wanted = equation.replace(" ", "").partition("->")
    if (
        arrow and "..." in given and "..." not in wanted
    ):  # PyTorch sums over axes that are not named at the end
        out = tg.einsum(f"{given}->...{wanted}", *operands)
        return tg.sum(out, tuple(range(out.ndim - len(wanted))))
    return tg.einsum(given + arrow + wanted, *operands)


@public(view=True, method=False)
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sums of products along several axes."""
    if isinstance(dims, (list, tuple)):
        first, second = dims = tuple([d] if isinstance(d, int) else list(d) for d in dims)
        for i, j in zip(first, second):  # an axis of size 1 stands for all of the other's
            if a.shape[i] == 1 != b.shape[j]:
                b = tg.sum(b, j, keepdims=True)
            elif b.shape[j] == 1 != a.shape[i]:
                a = tg.sum(a, i, keepdims=True)
    return tg.tensordot(a, b, dims)


@public(view=True)
def kron(input: Any, other: Any) -> Any:
    """The Kronecker product."""
    a, b = promoted(input, other)
    return tg.kron(a, b)


@public(view=True)
def cross(input: Any, other: Any, dim: Any = None) -> Any:
    """The cross product of vectors of 3."""
    a, b = tg.broadcast_arrays(input, other)
    dim = next(d for d, n in enumerate(a.shape) if n == 3) if dim is None else dim
    return tg.cross(a, b, axis=dim % a.ndim - a.ndim)


@public(view=True, method=False)
def chain_matmul(*matrices: Any) -> Any:
    """The product of several matrices."""
    return linalg.multi_dot(list(matrices)) if len(matrices) > 1 else matrices[0] * 1


@public(view=True, method=False)
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    """The distances of all pairs of rows."""
    difference = tg.expand_dims(x1, axis=-2) - tg.expand_dims(x2, axis=-3)
    return linalg.vector_norm(difference, axis=-1, ord=p)


@public(view=True, method=False)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """The powers of each element in columns."""
    x = x if x.ndim else tg.reshape(x, (1,))
    n = x.shape[-1] if N is None else N
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    if x.dtype.kind in "iu":
        return wrapped(x._data[..., None] ** powers)
    return x[..., None] ** powers.astype(x.dtype)


@public(view=True)
def matrix_power(input: Any, n: int) -> Any:
    """A square matrix to an integer power."""
    return linalg.matrix_power(input, n)


@public(view=True)
def matrix_exp(input: Any) -> Any:
    """The exponential of a square matrix, by scaling, a Taylor polynomial and squaring."""
    size = float(np.abs(input._data).sum(-1).max(initial=0))
    squarings = max(0, int(np.ceil(np.log2(size))) + 2) if size > 0 else 0
    x = input / 2.0**squarings
    out = term = tg.broadcast_to(tg.eye(input.shape[-1], dtype=input.dtype), input.shape) + 0
    for k in range(1, 19):
        term = (term @ x) / k
        out = out + term
    for _ in range(squarings):
        out = out @ out
    return out


@public(view=True, aliases=("inverse",))
def inv(input: Any) -> Any:
    """The inverse of a square matrix."""
    return linalg.inv(input)


@public(view=True)
def det(input: Any) -> Any:
    """The determinant."""
    return linalg.det(input)


@public(view=True)
def logdet(input: Any) -> Any:
    """The logarithm of the determinant."""
    sign, log = linalg.slogdet(input)
    if sign.dtype.kind == "c":
        return tg.log(sign) + log
    return tg.where(tg.less(sign, 0), np.nan, log)


@public(view=True)
def slogdet(input: Any) -> Any:
    """(sign, logarithm of the absolute value) of the determinant."""
    return linalg.slogdet(input)


@public(view=True)
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """The pseudoinverse."""
    return linalg.pinv(input)


@public(view=True)
def cholesky(input: Any, upper: bool = False) -> Any:
    """The Cholesky factor."""
    return linalg.cholesky(input, upper=upper)


@public(view=True)
def cholesky_inverse(input: Any, upper: bool = False) -> Any:
    """The inverse of a matrix of which the Cholesky factor is given."""
    return cholesky_solve.core(tg.eye(input.shape[-1], dtype=input.dtype), input, upper)


@public(view=True)
def cholesky_solve(input: Any, input2: Any, upper: bool = False) -> Any:
    """The solution with a matrix of which the Cholesky factor is given."""
    factor = adjoint(input2) if upper else input2
    return solve_triangular(adjoint(factor), solve_triangular(factor, input, lower=True), lower=False)


@public(view=True)
def qr(input: Any, some: bool = True) -> Any:
    """(Q, R)."""
    return linalg.qr(input, mode="reduced" if some else "complete")


@public(view=True)
def svd(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, S, V) with input = U diag(S) V^H."""
    if not compute_uv:
        s = linalg.svdvals(input)
        n, m = input.shape[-2:]
        zeros = [wrapped(np.zeros((*input.shape[:-2], k, k), input.dtype)) for k in (n, m)]
        return zeros[0], s, zeros[1]
    u, s, vh = linalg.svd(input, full_matrices=not some)
    return u, s, tg.swapaxes(vh.conj() if vh.dtype.kind == "c" else vh, -1, -2)
