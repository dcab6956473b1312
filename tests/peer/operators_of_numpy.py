"""Counterparts of PyTorch's operators that are NumPy's functions on Tensors, or a line of operations here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as td
from tests.peer.counterparts import OURS, Unlike, axes_of, ours
from tinygrad_dl import linalg
from tinygrad_dl.ops.shape import axis_of

# Elementwise

OURS |= {
    "angle": td.angle,
    "conj_physical": td.conj,
    "resolve_conj": lambda x: x * 1,
    "resolve_neg": lambda x: x * 1,
    "contiguous": lambda x: x * 1,
    "alias_copy": lambda x: x * 1,
    "sinc": np.sinc,
    "logaddexp2": np.logaddexp2,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "fmod": np.fmod,
    "nan_to_num": lambda x, nan=0.0, posinf=None, neginf=None: np.nan_to_num(
        x, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf
    ),
    "complex": lambda real, imag: real + 1j * imag,
    "polar": lambda size, angle: size * td.exp(1j * angle),
    "view_as_real": lambda x: td.stack([td.real(x), td.imag(x)], axis=-1),
    "view_as_complex": lambda x: x[..., 0] + 1j * x[..., 1],
    "special.entr": lambda x: td.where(td.equal(x, 0), 0.0, -x * td.log(td.where(td.equal(x, 0), 1.0, x))),
    "special.xlog1py": lambda x, y: td.where(
        td.equal(x, 0), 0.0, x * td.log1p(td.where(td.equal(x, 0), 1.0, y))
    ),
    "special.ndtr": lambda x: 0.5 * (1 + td.erf(x / np.sqrt(2))),
    "ldexp": lambda x, exponent: x * 2.0**exponent,
    "fill": lambda x, value: x * 0 + value,
    "double": lambda x, **_: td.astype(x, "float64"),
    "cdouble": lambda x, **_: td.astype(x, "complex128"),
}


@ours("round.decimals_0", "round.decimals_3", "round.decimals_neg_3")
def rounded(x: Any, decimals: int = 0) -> Any:
    return np.round(x, decimals)


# Reductions


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        options = {} if dtype is None else {"dtype": dtype}
        return function(x, axis=axes_of(x, dim), keepdims=keepdim, **options)

    return reduce


OURS |= {"nansum": _reduction(np.nansum), "nanmean": _reduction(np.nanmean)}


OURS |= {
    "std.unbiased": lambda x, unbiased=True: td.std(x, correction=int(unbiased)),
    "var.unbiased": lambda x, unbiased=True: td.var(x, correction=int(unbiased)),
    "std_mean.unbiased": lambda x, unbiased=True: (td.std(x, correction=int(unbiased)), td.mean(x)),
    "var_mean.unbiased": lambda x, unbiased=True: (td.var(x, correction=int(unbiased)), td.mean(x)),
}


@ours("median", "nanmedian")
def median(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    size = x.size if dim is None else x.shape[dim] if x.ndim else 1
    if not size % 2:
        raise Unlike("PyTorch takes the lower of the two elements in the middle, NumPy their mean")
    return td.median(x, axis=axes_of(x, dim), keepdims=keepdim)


@ours("trapezoid", "trapz")
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, dim: int = -1) -> Any:
    return np.trapezoid(y, x, dx, axis=dim)


@ours("cumulative_trapezoid")
def cumulative_trapezoid(y: Any, x: Any = None, dx: float = 1.0, dim: int = -1) -> Any:
    if x is not None and x.ndim != 1:
        raise Unlike("widths of a shape of their own")
    y = td.moveaxis(y, dim, -1)
    widths = dx if x is None else td.diff(x)
    return td.moveaxis(td.cumulative_sum((y[..., 1:] + y[..., :-1]) / 2 * widths, axis=-1), -1, dim)


@ours("cov")
def cov(x: Any, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    if fweights is not None or aweights is not None:
        raise Unlike("no weights")
    if x.ndim > 2:
        raise Unlike("more than two axes")
    rows = x if x.ndim == 2 else td.reshape(x, (1, -1))
    d = rows - td.mean(rows, axis=1, keepdims=True)
    out = td.matmul(d, td.conj(d).mT) / max(rows.shape[1] - correction, 0)
    return out if rows.shape[0] > 1 else td.reshape(out, ())


# Shapes

OURS |= {
    "rot90": lambda x, k=1, dims=(0, 1): np.rot90(x, k, tuple(dims)),
    "hsplit": lambda x, parts: np.hsplit(x, _sections(parts)),
    "vsplit": lambda x, parts: np.vsplit(x, _sections(parts)),
    "dsplit": lambda x, parts: np.dsplit(x, _sections(parts)),
    "dstack": lambda xs: np.dstack(xs),
    "unsafe_chunk": lambda x, chunks, dim=0: OURS["chunk"](x, chunks, dim),
    "unsafe_split": lambda x, size, dim=0: OURS["split"](x, size, dim),
    "split.list_args": lambda x, sizes, dim=0: OURS["split_with_sizes"](x, sizes, dim),
    "split_with_sizes_copy": lambda x, sizes, dim=0: OURS["split_with_sizes"](x, sizes, dim),
    "atleast_1d": lambda *xs: _each(np.atleast_1d, xs),
    "atleast_2d": lambda *xs: _each(np.atleast_2d, xs),
    "atleast_3d": lambda *xs: _each(np.atleast_3d, xs),
    "narrow_copy": lambda x, dim, start, length: OURS["narrow"](x, dim, start, length),
    "block_diag": lambda *xs: _block_diagonal(xs),
    "cartesian_prod": lambda *xs: (
        td.stack([g.reshape((-1,)) for g in td.meshgrid(*xs, indexing="ij")], axis=1)
        if len(xs) > 1
        else xs[0] * 1
    ),
    "sum_to_size": lambda x, *shape: _summed(x, shape),
    "unfold": lambda x, dim, size, step: _windows(x, dim, size, step),
    "unfold_copy": lambda x, dim, size, step: _windows(x, dim, size, step),
}


def _sections(parts: Any) -> Any:
    return parts if isinstance(parts, int) else list(parts)


def _each(function: Callable[..., Any], xs: Any) -> Any:
    found = [function(x) for x in (xs[0] if len(xs) == 1 and isinstance(xs[0], (list, tuple)) else xs)]
    return found[0] if len(found) == 1 else found


def _block_diagonal(xs: Any) -> Any:
    blocks = [x if x.ndim == 2 else td.reshape(x, (1, -1)) for x in xs]
    columns = sum(b.shape[1] for b in blocks)
    rows, start = [], 0
    for block in blocks:
        end = columns - start - block.shape[1]
        rows.append(td.pad(block, ((0, 0), (start, end))))
        start += block.shape[1]
    return td.concat(rows)


def _summed(x: Any, shape: Any) -> Any:
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else tuple(shape)
    lead = x.ndim - len(sizes)
    if lead < 0 or any(m not in (1, n) for n, m in zip(x.shape[lead:], sizes)):
        raise Unlike("a size to which nothing is summed")
    x = td.sum(x, axis=tuple(range(lead))) if lead else x
    axes = tuple(i for i, (n, m) in enumerate(zip(x.shape, sizes)) if n != m)
    return td.sum(x, axis=axes, keepdims=True) if axes else x * 1


def _windows(x: Any, dim: int, size: int, step: int) -> Any:
    if not x.ndim:
        raise Unlike("a number has no windows")
    dim = axis_of(dim, x.ndim, "unfold") % x.ndim
    starts = np.arange(0, x.shape[dim] - size + 1, step)
    out = td.take(x, (starts[:, None] + np.arange(size)).reshape(-1), axis=dim)
    out = td.reshape(out, (*x.shape[:dim], len(starts), size, *x.shape[dim + 1 :]))
    return td.moveaxis(out, dim + 1, -1)


# Assignment: the value is a new node


@ours("select_scatter")
def select_scatter(x: Any, source: Any, dim: int, index: int) -> Any:
    return _assigned(x, source, (*[slice(None)] * (dim % x.ndim), index))


@ours("slice_scatter")
def slice_scatter(
    x: Any, source: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    return _assigned(x, source, (*[slice(None)] * (dim % x.ndim), slice(start, end, step)))


@ours("index_copy")
def index_copy(x: Any, dim: int, index: Any, source: Any) -> Any:
    if not x.ndim:
        raise Unlike("a number has no index")
    return _assigned(x, source, (*[slice(None)] * (dim % x.ndim), np.atleast_1d(index.numpy())))


@ours("index_fill")
def index_fill(x: Any, dim: int, index: Any, value: Any) -> Any:
    if not x.ndim:
        raise Unlike("a number has no index")
    return _assigned(x, value, (*[slice(None)] * (dim % x.ndim), np.atleast_1d(index.numpy())))


@ours("index_put")
def index_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    if accumulate:
        raise Unlike("an assignment does not add up")
    return _assigned(x, values, tuple(i.numpy() for i in indices))


def _assigned(x: Any, value: Any, key: Any) -> Any:
    out = x * 1
    out[key] = value
    return out


# Products

OURS |= {
    "addmm.decomposed": lambda m, x, y, beta=1, alpha=1: beta * m + alpha * td.matmul(x, y),
    "linalg.pinv.hermitian": lambda x, rcond=None, hermitian=True: linalg.pinv(x),
    "linalg.vander": lambda x, N=None: np.vander(_vector(x), N, increasing=True),
    "linalg.tensorinv": lambda x, ind=2: np.linalg.tensorinv(x, ind),
}


def _vector(x: Any) -> Any:
    if x.ndim != 1:
        raise Unlike("NumPy's vander takes a vector")
    return x
