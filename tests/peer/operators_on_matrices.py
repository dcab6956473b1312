"""Counterparts of PyTorch's products and linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dl as td
from tests.peer.counterparts import OURS, Unlike, axes_of
from tinygrad_dl import Tensor, fft, linalg
from tinygrad_dl.ops.shape import axis_of

# Products

OURS |= dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), td.matmul) | {
    "inner": td.inner,
    "outer": td.outer,
    "kron": td.kron,
    "vdot": td.vecdot,
    "cross": lambda x, y, dim=None: linalg.cross(x, y, axis=_last(x, -1 if dim is None else dim)),
    "linalg.cross": lambda x, y, dim=-1: linalg.cross(x, y, axis=_last(x, dim)),
    "linalg.vecdot": lambda x, y, dim=-1: td.vecdot(x, y, axis=_last(x, dim)),
    "linalg.multi_dot": lambda xs: linalg.multi_dot(xs),
    "tensordot": lambda x, y, dims=2: _tensordot(x, y, dims),
    "einsum": lambda operands, subscripts: _einsum(operands, subscripts),
    "trace": td.trace,
    "diag": td.diag,
    "diagonal": lambda x, offset=0, dim1=0, dim2=1: td.diagonal(x, offset, dim1, dim2),
    "diagonal_copy": lambda x, offset=0, dim1=0, dim2=1: td.diagonal(x, offset, dim1, dim2),
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: td.diagonal(x, offset, dim1, dim2),
    "diag_embed": lambda x, offset=0, dim1=-2, dim2=-1: _diag_embed(x, offset, dim1, dim2),
    "diagflat": lambda x, offset=0: td.diag(td.reshape(x, (-1,)), offset),
    "addmm": lambda m, x, y, beta=1, alpha=1: beta * m + alpha * td.matmul(x, y),
    "addmv": lambda m, x, y, beta=1, alpha=1: beta * m + alpha * td.matmul(x, y),
    "baddbmm": lambda m, x, y, beta=1, alpha=1: beta * m + alpha * td.matmul(x, y),
    "addbmm": lambda m, x, y, beta=1, alpha=1: beta * m + alpha * td.sum(td.matmul(x, y), axis=0),
    "addr": lambda m, x, y, beta=1, alpha=1: beta * m + alpha * td.outer(x, y),
}  # fmt: skip


def _last(x: Any, dim: int) -> int:
    return dim if dim < 0 else dim - x.ndim


def _tensordot(x: Any, y: Any, dims: Any) -> Any:
    if not isinstance(dims, int) and any(x.shape[a] != y.shape[b] for a, b in zip(*dims)):
        raise Unlike("NumPy's tensordot does not broadcast sizes of 1")
    return td.tensordot(x, y, axes=dims)


def _einsum(operands: Any, subscripts: str) -> Any:
    given, arrow, out = subscripts.partition("->")
    if arrow and "..." in given and "..." not in out:
        raise Unlike("NumPy's einsum does not sum over '...'")
    return td.einsum(subscripts, *operands)


def _diag_embed(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    n = x.shape[-1] + abs(offset)
    ndim = x.ndim + 1
    dim1, dim2 = axis_of(dim1, ndim, "diag_embed"), axis_of(dim2, ndim, "diag_embed")
    rest = list(x.shape[:-1])
    for axis in sorted((dim1 % ndim, dim2 % ndim)):
        rest.insert(axis, n)
    return td.from_diagonal(x, tuple(rest), offset, dim1 % ndim, dim2 % ndim)


# Linear algebra

OURS |= {
    "linalg.det": linalg.det,
    "linalg.slogdet": linalg.slogdet,
    "logdet": lambda x: td.log(linalg.det(x)) if x.dtype.kind == "c" else linalg.slogdet(x).logabsdet,
    "linalg.inv": linalg.inv,
    "linalg.inv_ex": lambda x, check_errors=False: linalg.inv(x),
    "linalg.solve": lambda a, b, left=True: _solve(a, b, left),
    "linalg.solve_ex": lambda a, b, left=True, check_errors=False: _solve(a, b, left),
    "linalg.cholesky": lambda x, upper=False: linalg.cholesky(x, upper=upper),
    "linalg.cholesky_ex": lambda x, upper=False, check_errors=False: linalg.cholesky(x, upper=upper),
    "cholesky": lambda x, upper=False: linalg.cholesky(x, upper=upper),
    "linalg.qr": lambda x, mode="reduced": _qr(x, mode),
    "qr": lambda x, some=True: _qr(x, "reduced" if some else "complete"),
    "linalg.eigh": lambda x, UPLO="L": linalg.eigh(x),
    "linalg.eig": linalg.eig,
    "linalg.eigvals": linalg.eigvals,
    "linalg.eigvalsh": lambda x, UPLO="L": linalg.eigvalsh(x),
    "linalg.svd": lambda x, full_matrices=True: linalg.svd(x, full_matrices=full_matrices),
    "svd": lambda x, some=True, compute_uv=True: _svd(x, some, compute_uv),
    "linalg.svdvals": linalg.svdvals,
    "linalg.matrix_power": linalg.matrix_power,
    "linalg.matrix_norm": lambda x, ord="fro", dim=(-2, -1), keepdim=False, dtype=None: linalg.norm(
        x, ord, tuple(dim), keepdim
    ),
    "linalg.vector_norm": lambda x, ord=2, dim=None, keepdim=False, dtype=None: linalg.vector_norm(
        x, axis=axes_of(x, dim), keepdims=keepdim, ord=ord
    ),
    "linalg.norm": lambda x, ord=None, dim=None, keepdim=False, dtype=None: linalg.norm(
        x, ord, axes_of(x, dim), keepdim
    ),
    "linalg.norm.subgradients_at_zero": lambda x, ord=None, dim=None, keepdim=False: _norm_at_zero(
        x, ord, axes_of(x, dim), keepdim
    ),
    "norm": lambda x, p=2, dim=None, keepdim=False: linalg.vector_norm(
        x, ord=p, axis=axes_of(x, dim), keepdims=keepdim
    ),
    "norm.fro": lambda x, p="fro", dim=None, keepdim=False: linalg.vector_norm(
        x, axis=axes_of(x, dim), keepdims=keepdim
    ),
    "norm.inf": lambda x, p=np.inf, dim=None, keepdim=False: linalg.vector_norm(
        x, ord=p, axis=axes_of(x, dim), keepdims=keepdim
    ),
    "norm.nuc": lambda x, p="nuc", dim=(-2, -1), keepdim=False: linalg.norm(
        x, "nuc", axes_of(x, dim), keepdim
    ),
    "linalg.cond": lambda x, p=None: linalg.cond(x, p),
    "linalg.pinv": lambda x, rcond=None, **k: _pinv(x, rcond, **k),
    "pinverse": lambda x, rcond=1e-15: linalg.pinv(x, rtol=rcond),
    "linalg.lstsq.grad_oriented": lambda a, b, driver=None: _lstsq(a, b),
}


def _norm_at_zero(x: Any, ord: Any, axis: Any, keepdim: bool) -> Any:
    if ord in ("nuc", 2, -2):
        raise Unlike(
            "of the subgradients at the zero matrix, tinygrad_dl takes 0, PyTorch one made of U and Vh"
        )
    return linalg.norm(x, ord, axis, keepdim)


def _solve(a: Any, b: Any, left: bool) -> Any:
    if b.ndim > 1 and b.shape == a.shape[:-1]:
        b = td.expand_dims(b, -1)  # a stack of vectors, which the array API takes for a matrix
        return td.squeeze(linalg.solve(a, b), -1)
    if not left:
        return td.matrix_transpose(linalg.solve(td.matrix_transpose(a), td.matrix_transpose(b)))
    return linalg.solve(a, b)


def _qr(x: Any, mode: str) -> Any:
    if mode == "r":
        return linalg.qr(x).R
    if mode == "complete" and x.shape[-2] > x.shape[-1]:
        raise Unlike("PyTorch has no derivative of a complete Q with more rows than columns")
    return linalg.qr(x, mode=mode)


def _svd(x: Any, some: bool, compute_uv: bool) -> Any:
    if not compute_uv:
        raise Unlike("not here: see svdvals")
    u, s, vh = linalg.svd(x, full_matrices=not some)
    return u, s, td.matrix_transpose(vh)


def _pinv(x: Any, rcond: Any = None, rtol: Any = None, atol: Any = None, hermitian: bool = False) -> Any:
    if atol is not None:
        raise Unlike("the tolerance is relative")
    rtol = rcond if rtol is None else rtol
    return linalg.pinv(x, rtol=rtol.numpy() if isinstance(rtol, Tensor) else rtol)


def _lstsq(a: Any, b: Any) -> Any:
    if a.ndim != 2:
        raise Unlike("NumPy's lstsq takes one matrix")
    return linalg.lstsq(a, b).solution


# Fourier transforms


def _transform(name: str) -> Any:
    function = getattr(fft, name)

    def transform(x: Any, *arguments: Any, **options: Any) -> Any:
        names = {"dim": "axes" if name[-1] in "2n" or "shift" in name else "axis"}
        options = {names.get(k, k): v for k, v in options.items()}
        if isinstance(options.get("axes"), int) and "shift" not in name:
            options["axes"] = (options["axes"],)
        return function(x, *arguments, **options)

    return transform


OURS |= {
    f"fft.{name}": _transform(name)
    for name in (
        "fft fft2 fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft rfft2 rfftn"
    ).split()
}
