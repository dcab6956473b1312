"""Functions that neither the core nor NumPy has: the logarithm of the gamma function and its derivatives, and others.

Each is an autograd.Function: values by series in float64, derivatives by the next function.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import lift, lower, wrapped
from tinygrad_dl.torch.custom import Function

# Bernoulli numbers B_2k
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _shifted(x: Any, term: Any, least: float = 12.0) -> tuple[Any, Any]:
    """x + n above `least`, and the sum of term(x + k) for k below n: the recurrence of gamma functions."""
    z, total = np.array(x, np.float64), np.zeros(np.shape(x))
    for _ in range(int(least) + 1):
        small = z < least
        if not small.any():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            total = total + np.where(small, term(np.where(small, z, 1.0)), 0.0)
        z = np.where(small, z + 1, z)
    return z, total


def polygamma_values(n: int, x: Any) -> Any:
    """The n-th derivative of digamma (n = 0: digamma) by recurrence, reflection and the asymptotic series."""
    x = np.asarray(x, np.float64)
    negative = x <= 0
    if n == 0:
        z, total = _shifted(np.where(negative, 1 - x, x), lambda z: -1 / z)
        series = np.log(z) - 0.5 / z - sum(b / (2 * k * z ** (2 * k)) for k, b in enumerate(_BERNOULLI, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            reflected = total + series - np.pi / np.tan(np.pi * x)
            at_pole = negative & (x == np.floor(x))
            return np.where(
                at_pole, np.where(x == 0, -np.inf, np.nan), np.where(negative, reflected, total + series)
            )
    sign = (-1.0) ** (n + 1)
    # from Hurwitz's zeta: psi_n(x) = (-1)^(n+1) n! sum 1 / (x + k)^(n+1)
    z, total = _shifted(x, lambda z: z ** -(n + 1.0), 15.0 - min(0.0, float(np.min(x, initial=0.0))))
    tail = z ** (-float(n)) / n + 0.5 * z ** -(n + 1.0)
    for k, b in enumerate(_BERNOULLI, 1):
        rising = math.prod(range(n + 1, n + 2 * k))
        tail = tail + b / math.factorial(2 * k) * rising * z ** -(n + 2.0 * k)
    with np.errstate(invalid="ignore"):
        return sign * np.where(negative & (x == np.floor(x)), np.inf, math.factorial(n) * (total + tail))


def _lgamma(x: Any) -> Any:
    x = np.asarray(x, np.float64)
    if not x.size:
        return x
    return np.vectorize(
        lambda v: math.inf if v == math.floor(v) and v <= 0 or math.isinf(v) else math.lgamma(v)
    )(x)


def _erfinv(y: Any) -> Any:
    """Winitzki's approximation, then Newton's steps on erf."""
    y = np.asarray(y, np.float64)
    with np.errstate(all="ignore"):
        a, log = 0.147, np.log1p(-y * y)
        part = 2 / (np.pi * a) + log / 2
        x = np.sign(y) * np.sqrt(np.sqrt(part * part - log / a) - part)
        erf, erfc = np.vectorize(math.erf, otypes=[float]), np.vectorize(math.erfc, otypes=[float])
        for _ in range(3):
            # erf(x) - y without cancellation near the ends
            error = np.where(abs(y) < 0.5, erf(x) - y, np.where(y > 0, (1 - y) - erfc(x), erfc(-x) - (1 + y)))
            step = error * np.sqrt(np.pi) / 2 * np.exp(x * x)
            x = x - step / (1 + x * step)
        x = np.where(abs(y) == 1, np.sign(y) * np.inf, x)
        return np.where(abs(y) > 1, np.nan, x)


def _i(n: int, x: Any) -> Any:
    """The modified Bessel functions of order 0 and 1 by their integral (1/pi) int e^(x cos t) cos(n t) dt."""
    x = np.asarray(x, np.float64)
    if n == 0:
        return np.i0(x)
    t = (np.arange(400) + 0.5) * np.pi / 400
    return np.mean(np.exp(x[..., None] * np.cos(t)) * np.cos(n * t), -1)


def _values(function: Any, x: Any) -> Any:
    return lift(wrapped(np.asarray(function(x._data)).astype(x._data.dtype)))


class LogGamma(Function):
    """log |gamma(x)|."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return _values(_lgamma, x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * Polygamma.apply(0, x)


class Polygamma(Function):
    """The n-th derivative of digamma."""

    @staticmethod
    def forward(ctx: Any, n: int, x: Any) -> Any:
        ctx.save_for_backward(x)
        ctx.n = n
        return _values(lambda data: polygamma_values(n, data), x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return None, g * Polygamma.apply(ctx.n + 1, x)


class InverseErf(Function):
    """The inverse of erf."""

    @staticmethod
    def forward(ctx: Any, y: Any) -> Any:
        ctx.save_for_backward(y)
        return _values(_erfinv, y)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        x = InverseErf.apply(y)
        return g * (x * x).exp() * (math.sqrt(math.pi) / 2)


class Bessel(Function):
    """The modified Bessel function of order 0 or 1."""

    @staticmethod
    def forward(ctx: Any, n: int, x: Any) -> Any:
        ctx.save_for_backward(x)
        ctx.n = n
        return _values(lambda data: _i(n, data), x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        if ctx.n == 0:
            return None, g * Bessel.apply(1, x)
        # I1(x) / x, which is 1/2 at 0
        zero = x == 0
        quotient = (Bessel.apply(1, x) / x.masked_fill(zero, 1.0)).masked_fill(zero, 0.5)
        return None, g * (Bessel.apply(0, x) - quotient)


def _on_core(apply: Any, *args: Any) -> Any:
    return lower(apply(*[lift(x) if isinstance(x, Value) else x for x in args]))


def lgamma(x: Any) -> Any:
    """log |gamma(x)| of a Tensor of the core."""
    return _on_core(LogGamma.apply, x)


def digamma(x: Any) -> Any:
    """The derivative of lgamma."""
    return _on_core(Polygamma.apply, 0, x)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return _on_core(Polygamma.apply, n, x)


def erfinv(x: Any) -> Any:
    """The inverse of erf."""
    return _on_core(InverseErf.apply, x)


def i0(x: Any) -> Any:
    """The modified Bessel function of order 0."""
    return _on_core(Bessel.apply, 0, x)


def erfc(x: Any) -> Any:
    """1 - erf(x)."""
    values = (
        np.vectorize(math.erfc, otypes=[float])(x._data).astype(x.dtype)
        if x.level is None and x.size
        else None
    )
    out = 1 - tg.erf(x)
    if values is not None:  # without the cancellation of the difference
        out._data = values
    return out
