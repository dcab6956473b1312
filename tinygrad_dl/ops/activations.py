"""Activations with a parameter or a curve of their own; relu, tanh and sigmoid are elementwise, softmax is special."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.elementwise import exp, multiply, sigmoid, tanh, where
from tinygrad_dl.ops.piecewise import APART, chosen
from tinygrad_dl.ops.special import erf


def buffer(x: Any) -> np.ndarray:
    """An empty array of the floating dtype that a function of x has, to be written to with `out=`."""
    return np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.result_type(x.dtype, np.float32))


def _elu_fast(g: Any, x: Any, out: Any, alpha: Any, scale: Any, rate: Any) -> Any:
    slope = out + alpha * scale
    slope *= rate
    slope *= g
    return chosen(x > 0, g * scale, slope)


@op(
    lambda g, x, out, alpha, scale, rate: g * where(x > 0, scale, rate * (out + alpha * scale)),
    fast=(_elu_fast,),
    domain=APART,
    cases=(Case((2, 3)), Case((2, 3), 0.5), Case((2, 3), 1.5, 2.0, 0.5)),
    kinks="alpha at 0",
)
def elu(x: Any, /, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Any:
    """The value above 0, an exponential that levels off below.

    out = scale * x where x > 0, scale * alpha * (e^(rate * x) - 1) elsewhere.   Shape: same as x.
    Source: Clevert and others 2016; with rate = 1 / alpha it is celu, with two fixed numbers selu.
    >>> elu(np.array([-1000.0, 2.0]))
    array([-1.,  2.])
    """
    low = np.expm1(np.minimum(x, 0) * rate)
    low *= alpha * scale
    return low + np.maximum(x, 0) * scale


def celu(x: Any, alpha: float = 1.0) -> Any:
    """elu with a smooth derivative at 0 for every alpha.

    out = x where x > 0, alpha * (e^(x / alpha) - 1) elsewhere.   Shape: same as x.   Source: Barron 2017.
    >>> celu(np.array([-1000.0, 2.0]), 2.0)
    array([-2.,  2.])
    """
    if alpha == 0:
        raise ValueRangeError("celu: alpha must not be 0")
    return elu(x, alpha, 1.0, 1.0 / alpha)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # the fixed point of mean 0, variance 1


def selu(x: Any) -> Any:
    """elu with the two constants that keep mean 0 and variance 1 from layer to layer.

    out = 1.0507 * (x where x > 0, 1.6733 * (e^x - 1) elsewhere).   Source: Klambauer and others 2017.
    >>> selu(np.array([0.0, 1.0]))
    array([0.        , 1.05070099])
    """
    return elu(x, SELU_ALPHA, SELU_SCALE)


def _softplus_slope(x: Any, beta: Any, threshold: Any) -> Any:
    return where(x * beta > threshold, 1, sigmoid(x * beta))


@op(
    lambda g, x, beta, threshold: g * _softplus_slope(x, beta, threshold),
    fast=(lambda g, x, beta, threshold: g * np.maximum(sigmoid(x * beta), x * beta > threshold),),
    cases=(Case((2, 3)), Case((2, 3), 2.0, 1.0), Case((2, 3), beta=0.5)),
    domain=Domain(avoid=(0.5,)),
)
def softplus(x: Any, /, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """A smooth positive part.

    out = log(1 + e^(beta * x)) / beta, and x itself where beta * x > threshold.   Shape: same as x.
    >>> softplus(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    z = x * beta
    out = np.absolute(z, out=buffer(x))
    np.exp(np.negative(out, out=out), out=out)
    np.log1p(out, out=out)
    if threshold < 0:
        out += np.maximum(z, 0)
        out /= beta
        return np.where(z > threshold, x, out)
    out *= ~(z > threshold)
    out += np.maximum(z, 0)
    out /= beta
    return out


@op(lambda g, x: g * sigmoid(-x))
def log_sigmoid(x: Any, /) -> Any:
    """The logarithm of the logistic function, exact at any size.

    out = -log(1 + e^-x) = min(x, 0) - log(1 + e^-|x|).   Shape: same as x.
    >>> log_sigmoid(np.array([0.0, -1000.0]))
    array([-6.93147181e-01, -1.00000000e+03])
    """
    out = np.absolute(x, out=buffer(x))
    np.exp(np.negative(out, out=out), out=out)
    np.log1p(out, out=out)
    return np.subtract(np.minimum(x, 0), out, out=out)


def _silu_fast(g: Any, x: Any, s: Any) -> Any:
    gx = np.subtract(1, s, out=np.empty_like(s))
    gx *= x
    gx += 1
    gx *= s
    gx *= g
    return gx


def _silu_slope(x: Any) -> Any:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


@op(lambda g, x: g * _silu_slope(x), fast=(_silu_fast,), keeps=("s",))
def silu(x: Any, /) -> Any:
    """The value times its logistic function; also called swish.

    out = x / (1 + e^-x).   Shape: same as x.   Source: Elfwing and others 2018.
    >>> silu(np.array([0.0, 100.0]))
    array([  0., 100.])
    """
    s = np.multiply(x, 0.5, out=buffer(x))
    np.tanh(s, out=s)
    s += 1
    s *= 0.5
    return x * s, s


def _normal_cdf(x: Any) -> Any:
    return (erf(x * (1 / sqrt(2))) + 1) * 0.5


def _gelu_slope(x: Any) -> Any:
    return _normal_cdf(x) + x * exp(x * x * -0.5) * (1 / sqrt(2 * pi))


def _cdf(x: Any) -> Any:
    """The normal distribution function of an array: exact in float64; in float32 by a formula that is right there.

    Abramowitz and Stegun 7.1.26, whose error of 1.5e-7 is float32's own, costs a fifth of erf.
    """
    if x.dtype != np.float32 or not x.ndim:
        cdf = erf(np.multiply(x, 1 / sqrt(2)))
        cdf += 1
        cdf *= 0.5
        return cdf
    z = np.absolute(x)
    t = z * np.float32(0.3275911 / sqrt(2))
    t += 1
    np.reciprocal(t, out=t)
    tail = t * np.float32(1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += np.float32(coefficient)
        tail *= t
    z *= z
    z *= np.float32(-0.5)
    tail *= np.exp(z, out=z)
    tail *= np.float32(0.5)  # the probability beyond |x|
    np.subtract(0.5, tail, out=tail)
    np.copysign(tail, x, out=tail)
    tail += np.float32(0.5)
    return tail


def _gelu_fast(g: Any, x: Any, cdf: Any) -> Any:
    gx = np.multiply(x, x, out=np.empty_like(x))
    gx *= -0.5
    np.exp(gx, out=gx)
    gx *= 1 / sqrt(2 * pi)
    gx *= x
    gx += cdf
    gx *= g
    return gx


@op(lambda g, x: g * _gelu_slope(x), fast=(_gelu_fast,), keeps=("cdf",))
def gelu(x: Any, /) -> Any:
    """The value times the normal distribution function: how probable it is that a normal draw lies below.

    out = x * (1 + erf(x / sqrt(2))) / 2.   Shape: same as x.   Source: Hendrycks and Gimpel 2016.
    >>> gelu(np.array([0.0, 10.0]))
    array([ 0., 10.])
    """
    cdf = _cdf(x)
    return x * cdf, cdf


def gelu_tanh(x: Any) -> Any:
    """gelu by the approximation that some published models were trained with.

    out = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2.   Shape: same as x.
    >>> gelu_tanh(np.array([0.0, 10.0]))
    array([ 0., 10.])
    """
    return x * 0.5 * (1 + tanh((x + 0.044715 * (x * x * x)) * sqrt(2 / pi)))


def _mish_slope(x: Any) -> Any:
    t = tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


@op(lambda g, x: g * _mish_slope(x))
def mish(x: Any, /) -> Any:
    """The value times the hyperbolic tangent of its softplus.

    out = x * tanh(log(1 + e^x)).   Shape: same as x.   Source: Misra 2019.
    >>> mish(np.array([0.0, 100.0]))
    array([  0., 100.])
    """
    out = np.absolute(x, out=buffer(x))
    np.log1p(np.exp(np.negative(out, out=out), out=out), out=out)
    out += np.maximum(x, 0)
    return np.multiply(x, np.tanh(out, out=out), out=out)


def softsign(x: Any) -> Any:
    """A curve like tanh that levels off slowly.

    out = x / (1 + |x|).   Shape: same as x.
    >>> softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """
    return x / (1 + abs(x))


def tanhshrink(x: Any) -> Any:
    """What tanh takes away.

    out = x - tanh(x).   Shape: same as x.
    >>> tanhshrink(np.array([0.0]))
    array([0.])
    """
    return x - tanh(x)


def glu(x: Any, axis: int = -1) -> Any:
    """One half of the channels, gated by the other.

    out = a * sigmoid(b), with x cut into a and b along an axis of even size.   Source: Dauphin and others 2017.
    >>> glu(np.array([3.0, 0.0]))
    array([1.5])
    """
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % 2:
        raise ShapeError(f"glu: an axis of even size is needed; axis {axis} of the shape {x.shape} came")
    half, before = x.shape[axis] // 2, (slice(None),) * (axis % x.ndim)
    return multiply(x[(*before, slice(None, half))], sigmoid(x[(*before, slice(half, None))]))
