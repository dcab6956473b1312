"""Exponentials and logarithms in the forms that stay exact: log1p, logsumexp, softmax, erf."""

from __future__ import annotations

from math import erf as erf_of_number
from math import log as log_of_number
from math import pi
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.kernels import activations
from tinygrad_dl.op import Domain, op
from tinygrad_dl.ops.elementwise import PAIR, POSITIVE, exp, where
from tinygrad_dl.ops.reduce import AXES, expand_reduced, sum
from tinygrad_dl.typing import Array, Axis, NDArray, Scalar


@op(lambda g, out: g * (out + 1), ufunc=np.expm1, math=("e^x - 1", r"g \cdot e^x"))
def expm1(x: NDArray, /) -> Any:
    """The exponential of each element less one, exact for small values.

    out = e ** x - 1.   Shape: same as x.
    >>> expm1(np.array([0.0]))
    array([0.])
    """
    return np.expm1(x)


@op(lambda g, out: g * out * log_of_number(2), ufunc=np.exp2, math=("2^x", r"g \cdot 2^x \ln 2"))
def exp2(x: NDArray, /) -> Any:
    """Two to the power of each element.

    out = 2 ** x.   Shape: same as x.
    >>> exp2(np.array([3.0]))
    array([8.])
    """
    return np.exp2(x)


@op(
    lambda g, x: g / (1 + x), domain=Domain(-0.8, 3), ufunc=np.log1p, math=(r"\ln(1 + x)", r"\frac{g}{1 + x}")
)
def log1p(x: NDArray, /) -> Any:
    """The natural logarithm of one plus each element, exact for small values.

    out = ln(1 + x), -inf at -1, nan below.   Shape: same as x.
    >>> log1p(np.array([0.0]))
    array([0.])
    """
    return np.log1p(x)


@op(
    lambda g, x: g / (x * log_of_number(2)),
    domain=POSITIVE,
    ufunc=np.log2,
    math=(r"\log_2 x", r"\frac{g}{x \ln 2}"),
)
def log2(x: NDArray, /) -> Any:
    """The logarithm of each element to base 2.

    out = ln(x) / ln(2), -inf at 0, nan below.   Shape: same as x.
    >>> log2(np.array([8.0]))
    array([3.])
    """
    return np.log2(x)


@op(
    lambda g, x: g / (x * log_of_number(10)),
    domain=POSITIVE,
    ufunc=np.log10,
    math=(r"\log_{10} x", r"\frac{g}{x \ln 10}"),
)
def log10(x: NDArray, /) -> Any:
    """The logarithm of each element to base 10.

    out = ln(x) / ln(10), -inf at 0, nan below.   Shape: same as x.
    >>> log10(np.array([100.0]))
    array([2.])
    """
    return np.log10(x)


@op(
    lambda g, out: g / (3 * out * out),
    domain=Domain(avoid=(0,), gap=0.4),
    ufunc=np.cbrt,
    real=True,
    math=(r"\sqrt[3]{x}", r"\frac{g}{3 \, \mathrm{out}^2}"),
)
def cbrt(x: NDArray, /) -> Any:
    """The cube root of each element, with its sign.

    out ** 3 = x; its derivative is infinite at 0.   Shape: same as x.
    >>> cbrt(np.array([-8.0]))
    array([-2.])
    """
    return np.cbrt(x)


def _weight(x: NDArray, out: NDArray) -> NDArray:
    # e^x / e^out; where everything is -inf nothing weighs anything, and -inf - -inf must not make it nan
    return exp(x - where(out == -np.inf, 0, out))


def _share(x: NDArray, y: NDArray, out: NDArray) -> Any:
    # e^x / e^out; of infinities the larger has all, equal ones half each, and -inf twice nothing
    infinite = (out == np.inf) | (out == -np.inf)
    if isinstance(out, (np.ndarray, np.generic)) and not infinite.any():
        return exp(x - out)
    at_infinity = where((x == out) & (out > 0), where(y == out, 0.5, 1), 0)  # pyright: ignore[reportOperatorIssue]
    return where(infinite, at_infinity, exp(where(infinite, 0, x) - where(infinite, 0, out)))


@op(
    lambda g, x, y, out: g * _share(x, y, out),
    lambda g, x, y, out: g * _share(y, x, out),
    cases=PAIR,
    kinks="0 where both are -inf",
    ufunc=np.logaddexp,
    real=True,
    math=(r"\ln(e^x + e^y)", r"g \cdot e^{x - \mathrm{out}}", r"g \cdot e^{y - \mathrm{out}}"),
)
def logaddexp(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The logarithm of the sum of two exponentials, which cannot overflow.

    out = ln(e^x + e^y).   Shapes broadcast together.
    >>> logaddexp(np.array([1000.0]), -1000.0)
    array([1000.])
    """
    return np.logaddexp(x, y)


def floating(x: Array) -> Any:
    # integers have no -inf to start a maximum from
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


def _of_logsumexp(t: Any, x: Any, out: Any, x_shape: Any, axis: Axis, keepdims: bool) -> Any:
    share = _weight(x, expand_reduced(out, x_shape, axis, keepdims))
    return sum(t * share, axis=axis, keepdims=keepdims)


@op(
    lambda g, x, out, x_shape, axis, keepdims: (
        expand_reduced(g, x_shape, axis, keepdims) * _weight(x, expand_reduced(out, x_shape, axis, keepdims))
    ),
    cases=AXES,
    kinks="0 where everything is -inf",
    accumulates=True,
    batch=batching.along,
    jvp=(_of_logsumexp,),
    math=(r"\ln \sum_i e^{x_i}", r"g \cdot e^{x_i - \mathrm{out}}"),
)
def logsumexp(x: NDArray, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The logarithm of the sum of exponentials along axes (all of them by default), which cannot overflow.

    out = ln(e^x_1 + ... + e^x_n), -inf for no elements.   Shape: without `axis`; 1 there if `keepdims`.
    >>> logsumexp(np.array([1000.0, -1000.0]))
    np.float64(1000.0)
    """
    x = floating(x)
    peak = np.max(np.real(x), axis=axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(peak), peak, np.zeros_like(peak))
    with np.errstate(divide="ignore"):  # the logarithm of nothing is -inf
        out = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return out if keepdims else np.squeeze(out, axis=axis) if axis is not None else out.reshape(())[()]


@op(
    lambda g, x: g * (2 / pi**0.5 * exp(-x * x)),
    kernel=activations.erf,
    real=True,
    elementwise=True,
    math=(r"\frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2} dt", r"g \cdot \frac{2}{\sqrt{\pi}} e^{-x^2}"),
)
def erf(x: NDArray, /) -> Any:
    """The error function of each element, to the last digits of float32 and float64.

    out = 2 / sqrt(pi) * integral of e^(-t^2) from 0 to x, in [-1, 1].   Shape: same as x.
    >>> erf(np.array([0.0, 10.0]))
    array([0., 1.])
    """
    return np.vectorize(erf_of_number, otypes=[x.dtype if x.dtype.kind == "f" else np.float64])(x)
