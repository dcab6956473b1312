"""PyTorch's operators that have a counterpart here: how its arguments are ours.

A function a name of PyTorch's operator database, with PyTorch's parameters. A sample for which it raises `Unlike`
is one that has no counterpart, for the reason given.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod as product
from typing import Any

import numpy as np

import tinygrad_dl as td
from tinygrad_dl import Tensor, linalg
from tinygrad_dl.nn import functional


class Unlike(Exception):
    """A sample that asks for something that is not there, or is another thing, here."""


OURS: dict[str, Callable[..., Any]] = {}


def ours(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The function is the counterpart of the operators of these names."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        OURS.update(dict.fromkeys(names, function))
        return function

    return enter


# Elementwise: one name for both, or PyTorch's and ours

OURS |= {
    name: getattr(td, name)
    for name in (
        "abs acos acosh asin asinh atan atan2 atanh ceil conj cos cosh deg2rad exp exp2 expm1 "
        "floor hypot log log10 log1p log2 logaddexp maximum minimum positive pow rad2deg real reciprocal "
        "remainder round sigmoid sign sin sinh sqrt square tan tanh trunc copysign"
    ).split()
}
OURS |= {
    theirs: getattr(td, name)
    for theirs, name in {
        "erf": "erf", "neg": "negative", "mul": "multiply", "true_divide": "divide", "float_power": "power",
        "__rmul__": "multiply", "__radd__": "add", "sgn": "sign", "max.binary": "maximum", "min.binary": "minimum",
    }.items()
    if hasattr(td, name)
}  # fmt: skip
OURS |= {
    "rsqrt": lambda x: 1 / td.sqrt(x),
    "where": lambda x, condition, y: td.where(condition, x, y),
    "__rdiv__": lambda x, y: y / x,
    "__rsub__": lambda x, y: y - x,
    "__rpow__": lambda x, y: y**x,
    "__rmod__": lambda x, y: td.remainder(y if isinstance(y, Tensor) else np.asarray(y, np.float64), x),
    "__rmatmul__": lambda x, y: td.matmul(y, x),
    "erfc": lambda x: 1 - td.erf(x),
    "frac": lambda x: x - td.trunc(x),
    "logit": lambda x, eps=None: _logit(x if eps is None else td.clip(x, eps, 1 - eps)),
    "clone": lambda x, **_: td.positive(x),
    "lerp": lambda x, end, weight: x + weight * (end - x),
}


def _logit(x: Any) -> Any:
    return td.log(x) - td.log1p(-x)


@ours("add")
def add(x: Any, y: Any, alpha: Any = 1) -> Any:
    return x + y * alpha


@ours("sub")
def sub(x: Any, y: Any, alpha: Any = 1) -> Any:
    return x - y * alpha


@ours("rsub")
def rsub(x: Any, y: Any, alpha: Any = 1) -> Any:
    return y - x * alpha


@ours("div.no_rounding_mode", "div.floor_rounding", "div.trunc_rounding")
def div(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    out = td.divide(x, y)
    return td.floor(out) if rounding_mode == "floor" else td.trunc(out) if rounding_mode == "trunc" else out


@ours("clamp")
def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    return td.clip(x, min, max)


OURS["clamp_min"] = lambda x, bound: td.clip(x, bound, None)
OURS["clamp_max"] = lambda x, bound: td.clip(x, None, bound)


@ours("addcmul")
def addcmul(x: Any, a: Any, b: Any, value: Any = 1) -> Any:
    return x + value * a * b


@ours("addcdiv")
def addcdiv(x: Any, a: Any, b: Any, value: Any = 1) -> Any:
    return x + value * a / b


@ours("xlogy")
def xlogy(x: Any, y: Any) -> Any:
    zero = td.equal(x, 0)
    return td.where(zero, 0, x * td.log(td.where(zero, 1, y)))


# Reductions


def _axes(x: Any, dim: Any) -> Any:
    """Ours: all axes are None, not (); and a number has no axis 0."""
    if isinstance(dim, (list, tuple)):
        return tuple(dim) if dim and x.ndim else None
    return dim if x.ndim else None


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        options = {} if dtype is None else {"dtype": dtype}
        return function(x, axis=_axes(x, dim), keepdims=keepdim, **options)

    return reduce


OURS |= {
    name: _reduction(getattr(td, ours)) for name, ours in (("sum", "sum"), ("mean", "mean"), ("prod", "prod"))
}
OURS |= {"amax": _reduction(td.max), "amin": _reduction(td.min), "logsumexp": _reduction(td.logsumexp)}
OURS |= {"max.reduction_no_dim": td.max, "min.reduction_no_dim": td.min}


def _deviation(function: Callable[..., Any]) -> Callable[..., Any]:
    def deviate(
        x: Any, dim: Any = None, unbiased: Any = None, correction: Any = 1, keepdim: bool = False
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        correction = 1 if correction is None else correction
        correction = correction if unbiased is None else int(unbiased)
        return function(x, axis=_axes(x, dim), correction=correction, keepdims=keepdim)

    return deviate


OURS |= {"std": _deviation(td.std), "var": _deviation(td.var)}
OURS["std_mean"] = lambda x, *a, **k: (_deviation(td.std)(x, *a, **k), _mean_beside(x, *a, **k))
OURS["var_mean"] = lambda x, *a, **k: (_deviation(td.var)(x, *a, **k), _mean_beside(x, *a, **k))


def _mean_beside(
    x: Any, dim: Any = None, unbiased: Any = None, correction: Any = 1, keepdim: bool = False
) -> Any:
    return td.mean(x, axis=_axes(x, None if isinstance(dim, bool) else dim), keepdims=keepdim)


def _extreme(argextreme: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's max along an axis takes one of several largest elements: here take_along_axis of argmax."""

    def along(x: Any, dim: Any, keepdim: bool = False) -> Any:
        if not x.ndim:
            return x * 1
        out = td.take_along_axis(x, argextreme(x, axis=dim, keepdims=True), axis=dim)
        return out if keepdim else td.squeeze(out, dim)

    return along


OURS |= {"max.reduction_with_dim": _extreme(td.argmax), "min.reduction_with_dim": _extreme(td.argmin)}
OURS["cumsum"] = lambda x, dim, dtype=None: td.cumulative_sum(x, axis=dim, dtype=dtype) if x.ndim else x * 1
OURS["cumprod"] = lambda x, dim, dtype=None: td.cumulative_prod(x, axis=dim, dtype=dtype) if x.ndim else x * 1


@ours("quantile")
def quantile(x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: str = "linear") -> Any:
    if isinstance(q, Tensor) and q.requires_grad:
        raise Unlike("the quantiles asked for are constants")
    q = q.numpy() if isinstance(q, Tensor) else q
    return td.quantile(x, q, _axes(x, dim), keepdims=keepdim, method=interpolation)


@ours("softmax", "softmax.with_dtype")
def softmax(x: Any, dim: Any, dtype: Any = None) -> Any:
    return td.softmax(x if dtype is None else td.astype(x, dtype), dim if x.ndim else None)


@ours("log_softmax", "log_softmax.with_dtype")
def log_softmax(x: Any, dim: Any, dtype: Any = None) -> Any:
    return td.log_softmax(x if dtype is None else td.astype(x, dtype), dim if x.ndim else None)


@ours("dist")
def dist(x: Any, y: Any, p: Any = 2) -> Any:
    return linalg.vector_norm(x - y, ord=p)


@ours("diff")
def diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if not x.ndim:
        raise Unlike("a number has no differences")
    if n == 0 and (prepend is not None or append is not None):
        raise Unlike("NumPy gives x for n=0, without what stands before and after")
    return td.diff(x, n=n, axis=dim, prepend=prepend, append=append)


# Shapes

OURS |= {
    "T": lambda x: x.T,
    "mT": lambda x: td.matrix_transpose(x) if x.ndim else x * 1,
    "mH": lambda x: td.matrix_transpose(x) if x.ndim else x * 1,
    "H": lambda x: x.T,
    "t": lambda x: x.T,
    "t_copy": lambda x: x.T,
    "transpose": lambda x, a, b: td.swapaxes(x, a, b) if x.ndim else x * 1,
    "transpose_copy": lambda x, a, b: td.swapaxes(x, a, b) if x.ndim else x * 1,
    "permute": lambda x, *axes: td.permute_dims(x, _listed(axes)),
    "permute_copy": lambda x, *axes: td.permute_dims(x, _listed(axes)),
    "movedim": lambda x, a, b: td.moveaxis(x, a, b) if x.ndim else x * 1,
    "reshape": lambda x, shape: td.reshape(x, tuple(shape)),
    "view": lambda x, *shape: td.reshape(x, _listed(shape)),
    "view_copy": lambda x, *shape: td.reshape(x, _listed(shape)),
    "reshape_as": lambda x, other: td.reshape(x, other.shape),
    "view_as": lambda x, other: td.reshape(x, other.shape),
    "ravel": lambda x: td.reshape(x, (-1,)),
    "broadcast_to": lambda x, shape: td.broadcast_to(x, tuple(shape)),
    "expand": lambda x, *shape: td.broadcast_to(x, _expanded(x, _listed(shape))),
    "expand_copy": lambda x, *shape: td.broadcast_to(x, _expanded(x, _listed(shape))),
    "expand_as": lambda x, other: td.broadcast_to(x, other.shape),
    "broadcast_tensors": lambda *xs: td.broadcast_arrays(*xs),
    "unsqueeze": lambda x, dim: td.expand_dims(x, dim),
    "unsqueeze_copy": lambda x, dim: td.expand_dims(x, dim),
    "flip": lambda x, dims: td.flip(x, axis=_both(dims)),
    "fliplr": lambda x: td.flip(x, axis=1),
    "flipud": lambda x: td.flip(x, axis=0),
    "roll": lambda x, shifts, dims=None: td.roll(x, _both(shifts), _both(dims)),
    "tile": lambda x, reps: td.tile(x, tuple(reps)),
    "repeat": lambda x, reps: td.tile(x, tuple(reps)),
    "cat": lambda xs, dim=0: td.concat(_of_one_ndim(xs), axis=dim),
    "stack": lambda xs, dim=0: td.stack(xs, axis=dim),
    "unbind": lambda x, dim=0: td.unstack(x, axis=dim),
    "unbind_copy": lambda x, dim=0: td.unstack(x, axis=dim),
    "split": lambda x, size, dim=0: _split(x, size, dim),
    "split_with_sizes": lambda x, sizes, dim=0: _split(x, sizes, dim),
    "tensor_split": lambda x, parts, dim=0: _tensor_split(x, parts, dim),
    "chunk": lambda x, chunks, dim=0: _split(x, -(-x.shape[dim] // chunks) or 1, dim),
    "hstack": lambda xs: np.hstack(xs),
    "vstack": lambda xs: np.vstack(xs),
    "column_stack": lambda xs: np.column_stack(xs),
    "meshgrid.variadic_tensors": lambda *xs, indexing="ij": td.meshgrid(*_vectors(xs), indexing=indexing),
    "meshgrid.list_of_tensors": lambda xs, indexing="ij": td.meshgrid(*_vectors(xs), indexing=indexing),
    "tril": lambda x, k=0: td.tril(x, k=k),
    "triu": lambda x, k=0: td.triu(x, k=k),
}


def _listed(sizes: Any) -> tuple[int, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else tuple(sizes)


def _both(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _vectors(xs: Any) -> Any:
    return [td.reshape(x, (-1,)) for x in xs]


def _of_one_ndim(xs: Any) -> Any:
    if len({x.ndim for x in xs}) > 1:
        raise Unlike("PyTorch leaves out empty vectors among matrices")
    return xs


def _expanded(x: Any, shape: Any) -> Any:
    extra = len(shape) - x.ndim
    return tuple(x.shape[i - extra] if size == -1 else size for i, size in enumerate(shape))


def _split(x: Any, size: Any, dim: int) -> Any:
    n = x.shape[dim]
    stops = list(range(size, n, size)) if isinstance(size, int) else list(np.cumsum(size)[:-1])
    return td.split(x, [int(s) for s in stops], dim)


def _tensor_split(x: Any, parts: Any, dim: int) -> Any:
    if isinstance(parts, Tensor):
        parts = parts.numpy().tolist()
    return np.array_split(x, parts, dim) if isinstance(parts, int) else td.split(x, list(parts), dim)


@ours("flatten")
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    if not x.ndim:
        return td.reshape(x, (1,))
    a, b = start_dim % x.ndim, end_dim % x.ndim
    return td.reshape(x, (*x.shape[:a], product(x.shape[a : b + 1]), *x.shape[b + 1 :]))


@ours("unflatten")
def unflatten(x: Any, dim: int, sizes: Any) -> Any:
    a = dim % x.ndim
    return td.reshape(x, (*x.shape[:a], *sizes, *x.shape[a + 1 :]))


@ours("squeeze", "squeeze_copy", "squeeze.multiple")
def squeeze(x: Any, dim: Any = None) -> Any:
    if dim is None:
        return td.squeeze(x)
    dims = [d % max(x.ndim, 1) for d in (dim if isinstance(dim, (list, tuple)) else [dim])]
    return td.squeeze(x, tuple(d for d in dims if x.ndim and x.shape[d] == 1))


@ours("repeat_interleave")
def repeat_interleave(x: Any, repeats: Any, dim: Any = None, output_size: Any = None) -> Any:
    repeats = repeats.numpy() if isinstance(repeats, Tensor) else repeats
    if not x.ndim:
        x = td.reshape(x, (1,))
    return td.repeat(x, repeats, axis=dim)


@ours("constant_pad_nd")
def pad(x: Any, pad: Any, value: Any = 0) -> Any:
    if any(p < 0 for p in pad):
        raise Unlike("NumPy's pad does not cut")
    pairs = [tuple(pad[i : i + 2]) for i in range(0, len(pad), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    return td.pad(x, widths, constant_values=value)


# Indexing and sorting


def _key(key: Any) -> Any:
    if isinstance(key, (list, tuple)):
        return tuple(map(_key, key)) if isinstance(key, tuple) else key
    return key.numpy() if isinstance(key, Tensor) else key


OURS |= {
    "__getitem__": lambda x, key: x[_key(key)],
    "select": lambda x, dim, i: td.take(x, np.asarray(i), axis=dim),
    "narrow": lambda x, dim, start, length: _narrow(x, dim, int(start), length),
    "slice": lambda x, dim=0, start=None, end=None, step=1: _slice(x, dim, start, end, step),
    "index_select": lambda x, dim, index: td.take(x, _vector(index), axis=dim) if x.ndim else x * 1,
    "take": lambda x, index: td.take(td.reshape(x, (-1,)), index.numpy()),
    "take_along_dim": lambda x, index, dim=None: _along(x, index, dim),
    "gather": lambda x, dim, index: _gather(x, dim, index),
    "masked_select": lambda x, mask: _masked_select(x, mask),
    "masked_fill": lambda x, mask, value: td.where(mask, value, x),
    "sort": lambda x, dim=-1, descending=False, stable=False: _sort(x, dim, descending),
    "msort": lambda x: td.sort(x, axis=0),
    "topk": lambda x, k, dim=-1, largest=True, sorted=True: _topk(x, k, dim, largest),
}


def _vector(index: Any) -> Any:
    return index.numpy().reshape(-1)


def _narrow(x: Any, dim: int, start: int, length: int) -> Any:
    start = start + x.shape[dim] if start < 0 else start
    return _slice(x, dim, start, start + length, 1)


def _slice(x: Any, dim: int, start: Any, stop: Any, step: int) -> Any:
    key = [slice(None)] * x.ndim
    key[dim] = slice(start, stop, step)
    return x[tuple(key)]


def _along(x: Any, index: Any, dim: Any) -> Any:
    index = index.numpy()
    if dim is None:
        return td.take_along_axis(td.reshape(x, (-1,)), index.reshape(-1), axis=0)
    return td.take_along_axis(x, index, axis=dim)


def _gather(x: Any, dim: int, index: Any) -> Any:
    index = index.numpy()
    if not x.ndim:
        x = td.reshape(x, (1,))
        return td.reshape(td.take_along_axis(x, index.reshape(-1), axis=0), index.shape)
    if not index.size:
        return td.reshape(td.reshape(x, (-1,))[:0], index.shape)
    cut = tuple(slice(None) if d == dim % x.ndim else slice(n) for d, n in enumerate(index.shape))
    return td.take_along_axis(x[cut], index, axis=dim)


def _masked_select(x: Any, mask: Any) -> Any:
    mask = mask.numpy()
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return td.broadcast_to(x, shape)[np.broadcast_to(mask, shape)]


def _sort(x: Any, dim: int, descending: bool) -> Any:
    return td.sort(x, axis=dim, descending=descending) if x.ndim else x * 1


def _topk(x: Any, k: int, dim: int, largest: bool) -> Any:
    return _slice(_sort(x, dim, largest), dim, 0, k, 1) if x.ndim else x * 1


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
    rest = list(x.shape[:-1])
    for axis in sorted((dim1 % ndim, dim2 % ndim)):
        rest.insert(axis, n)
    return td.from_diagonal(x, tuple(rest), offset, dim1 % ndim, dim2 % ndim)


# Linear algebra

OURS |= {
    "linalg.det": linalg.det,
    "linalg.slogdet": linalg.slogdet,
    "logdet": lambda x: linalg.slogdet(x).logabsdet,
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
    "linalg.eigvalsh": lambda x, UPLO="L": linalg.eigvalsh(x),
    "linalg.svd": lambda x, full_matrices=True: linalg.svd(x, full_matrices=full_matrices),
    "svd": lambda x, some=True, compute_uv=True: _svd(x, some, compute_uv),
    "linalg.svdvals": linalg.svdvals,
    "linalg.matrix_power": linalg.matrix_power,
    "linalg.matrix_norm": lambda x, ord="fro", dim=(-2, -1), keepdim=False, dtype=None: linalg.norm(
        x, ord, tuple(dim), keepdim
    ),
    "linalg.vector_norm": lambda x, ord=2, dim=None, keepdim=False, dtype=None: linalg.vector_norm(
        x, axis=_axes(x, dim), keepdims=keepdim, ord=ord
    ),
    "linalg.norm": lambda x, ord=None, dim=None, keepdim=False, dtype=None: linalg.norm(
        x, ord, _axes(x, dim), keepdim
    ),
    "linalg.norm.subgradients_at_zero": lambda x, ord=None, dim=None, keepdim=False: _norm_at_zero(
        x, ord, _axes(x, dim), keepdim
    ),
    "norm": lambda x, p=2, dim=None, keepdim=False: linalg.vector_norm(
        x, ord=p, axis=_axes(x, dim), keepdims=keepdim
    ),
    "norm.fro": lambda x, p="fro", dim=None, keepdim=False: linalg.vector_norm(
        x, axis=_axes(x, dim), keepdims=keepdim
    ),
    "norm.inf": lambda x, p=np.inf, dim=None, keepdim=False: linalg.vector_norm(
        x, ord=p, axis=_axes(x, dim), keepdims=keepdim
    ),
    "norm.nuc": lambda x, p="nuc", dim=(-2, -1), keepdim=False: linalg.norm(x, "nuc", _axes(x, dim), keepdim),
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


# nn.functional: PyTorch's names and arguments are ours; so only what differs stands here

RANDOM = frozenset(
    """
    alpha_dropout dropout dropout2d dropout3d feature_alpha_dropout fractional_max_pool2d fractional_max_pool3d
    multi_head_attention_forward rrelu
    """.split()
)


def of_functional(name: str) -> Callable[..., Any] | None:
    """The function of nn.functional for a name of the database, such as nn.functional.avg_pool2d; None without one."""
    if not name.startswith("nn.functional."):
        return None
    name = name.split(".")[2]
    if name in RANDOM:
        return None
    return FUNCTIONAL.get(name) or getattr(functional, name, None)


def _functional(name: str, unlike: Callable[..., str | None]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        reason = unlike(*arguments, **options)
        if reason:
            raise Unlike(reason)
        return getattr(functional, name)(*arguments, **options)

    return call


FUNCTIONAL: dict[str, Callable[..., Any]] = {
    "embedding": lambda table, indices, **options: functional.embedding(indices, table, **options),
    "embedding_bag": lambda table, indices, **options: functional.embedding_bag(indices, table, **options),
    "triplet_margin_with_distance_loss": lambda *xs, distance_function=None, **options: _triplet(
        *xs, distance_function, **options
    ),
    "multi_margin_loss": _functional(
        "multi_margin_loss", lambda x, *_, **__: "a score for each class is needed" if not x.ndim else None
    ),
    "avg_pool2d": _functional("avg_pool2d", lambda *a, **_: "() is no stride" if () in a[2:3] else None),
    "batch_norm": _functional(
        "batch_norm", lambda x, *_, **__: "inputs have a batch and channels" if x.ndim < 2 else None
    ),
    "gaussian_nll_loss": _functional(
        "gaussian_nll_loss", lambda x, y, *_, **__: "losses do not broadcast" if x.shape != y.shape else None
    ),
    "scaled_dot_product_attention": _functional(
        "scaled_dot_product_attention",
        lambda *_, dropout_p=0, **__: "dropout is random" if dropout_p else None,
    ),
}


def _triplet(a: Any, b: Any, c: Any, distance_function: Any, **options: Any) -> Any:
    if type(distance_function).__name__ == "PairwiseDistance":
        distance_function = functional.pairwise_distance
    elif distance_function is not None:
        raise Unlike("the distance is PyTorch's")
    return functional.triplet_margin_with_distance_loss(
        a, b, c, distance_function=distance_function, **options
    )
