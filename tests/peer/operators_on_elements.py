"""Counterparts of PyTorch's elementwise operators and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as td
from tests.peer.counterparts import OURS, Unlike, axes_of, ours
from tinygrad_dl import Tensor, linalg

# Elementwise: one name for both, or PyTorch's and ours

OURS |= {
    name: getattr(td, name)
    for name in (
        "abs acos acosh asin asinh atan atan2 atanh ceil conj cos cosh deg2rad exp exp2 expm1 "
        "floor hypot imag log log10 log1p log2 logaddexp maximum minimum positive pow rad2deg real reciprocal "
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


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        options = {} if dtype is None else {"dtype": dtype}
        return function(x, axis=axes_of(x, dim), keepdims=keepdim, **options)

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
        return function(x, axis=axes_of(x, dim), correction=correction, keepdims=keepdim)

    return deviate


OURS |= {"std": _deviation(td.std), "var": _deviation(td.var)}
OURS["std_mean"] = lambda x, *a, **k: (_deviation(td.std)(x, *a, **k), _mean_beside(x, *a, **k))
OURS["var_mean"] = lambda x, *a, **k: (_deviation(td.var)(x, *a, **k), _mean_beside(x, *a, **k))


def _mean_beside(
    x: Any, dim: Any = None, unbiased: Any = None, correction: Any = 1, keepdim: bool = False
) -> Any:
    return td.mean(x, axis=axes_of(x, None if isinstance(dim, bool) else dim), keepdims=keepdim)


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
    return td.quantile(x, q, axes_of(x, dim), keepdims=keepdim, method=interpolation)


@ours("softmax", "softmax.with_dtype")
def softmax(x: Any, dim: Any, dtype: Any = None) -> Any:
    return td.softmax(_cast(x, dtype), dim if x.ndim else None)


@ours("log_softmax", "log_softmax.with_dtype")
def log_softmax(x: Any, dim: Any, dtype: Any = None) -> Any:
    return td.log_softmax(_cast(x, dtype), dim if x.ndim else None)


OURS["nn.functional.softmin.with_dtype"] = lambda x, dim, dtype=None: td.softmax(-_cast(x, dtype), dim)


def _cast(x: Any, dtype: Any) -> Any:
    if x.dtype.kind == "c" and dtype is not None:
        raise Unlike("complex values are not converted to real ones")
    return x if dtype is None else td.astype(x, dtype)


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
