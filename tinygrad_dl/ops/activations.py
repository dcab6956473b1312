"""Activation functions: sigmoid and tanh, relu and its relatives, gelu and other smooth curves, softmax."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.kernels import activations as kernels
from tinygrad_dl.kernels.activations import select
from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.elementwise import exp, multiply, where
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.special import erf, floating
from tinygrad_dl.typing import Array, Axis, NDArray

NOT_ZERO = Domain(avoid=(0,))
AROUND_THE_BOUNDS = Domain(-9, 9, avoid=(-6, -3, -1, -0.5, 0, 0.5, 1, 3, 6))
ONE_AXIS = (Case((2, 3), axis=1), Case((2, 3, 4), axis=(0, -1)), Case((2, 3)), Case(()), Case((0, 2), axis=1))


def _floating(x: NDArray) -> NDArray:
    """x as it is, or integers in the floating dtype that a function of them has."""
    return x if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, np.float32))


# Smooth steps


@op(lambda g, out: g * (1 - out * out), ufunc=np.tanh, math=(r"\tanh x", r"g \, (1 - \mathrm{out}^2)"))
def tanh(x: NDArray, /) -> Any:
    """The hyperbolic tangent of each element.

    out = (e^x - e^-x) / (e^x + e^-x), in (-1, 1).   Shape: same as x.
    >>> tanh(np.array([0.0]))
    array([0.])
    """
    return np.tanh(x)


@op(
    lambda g, out: g * (out * (1 - out)),
    elementwise=True,
    math=(r"\sigma(x) = \frac{1}{1 + e^{-x}}", r"g \cdot \sigma(x) \, (1 - \sigma(x))"),
)
def sigmoid(x: NDArray, /) -> Any:
    """The logistic function of each element.

    out = 1 / (1 + e^-x), in (0, 1), computed as (1 + tanh(x / 2)) / 2: no overflow.   Shape: same as x.
    >>> sigmoid(np.array([0.0]))
    array([0.5])
    """
    half = np.multiply(x, 0.5)
    return np.add(np.tanh(half), 1) * 0.5


# Piecewise linear


# out != 0 and not out > 0: the gradient passes where out is nan, so the nan stays visible
@op(
    lambda g, out: g * (out != 0),
    fast=(kernels.relu_gradient,),
    domain=Domain(avoid=(0,)),
    kinks="0 at 0",
    elementwise=True,
    math=(r"\max(x, 0)", r"g \cdot [x > 0]"),
)
def relu(x: NDArray, /) -> Any:
    """The positive part of each element.

    out = max(x, 0).   Shape: same as x.
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


def _between(x: NDArray, low: float, high: float) -> NDArray:
    """Whether x is strictly inside; nan counts, so that it stays visible in gradients."""
    return ~((x <= low) | (x >= high))


@op(
    lambda g, x, slope: g * where(x > 0, 1, slope),
    fast=(lambda g, x, slope: select(x > 0, g, g * slope),),
    domain=NOT_ZERO,
    cases=(Case((2, 3)), Case((3,), 0.2)),
    kinks="`slope` at 0",
    elementwise=True,
    math=(
        r"\begin{cases} x & x > 0 \\ a x & \text{else} \end{cases}",
        r"\begin{cases} g & x > 0 \\ a g & \text{else} \end{cases}",
    ),
)
def leaky_relu(x: NDArray, /, slope: float = 0.01) -> Any:
    """The positive part, and a small multiple of the negative part.

    out = x where x > 0, slope * x elsewhere.   Shape: same as x.   Source: Maas and others 2013.
    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return np.maximum(x, 0) + np.minimum(x, 0) * slope


@op(
    lambda g, x, w: g * where(x > 0, 1, w),
    lambda g, x: g * where(x > 0, 0, x),
    fast=(lambda g, x, w: select(x > 0, g, g * w), lambda g, x: g * np.minimum(x, 0)),
    domain=(NOT_ZERO, Domain()),
    cases=(Case((2, 3), (3,)), Case((2, 3, 2), (3, 1)), Case((3,), (1,))),
    kinks="w at 0",
    elementwise=True,
    math=(
        r"\begin{cases} x & x > 0 \\ w x & \text{else} \end{cases}",
        r"\begin{cases} g & x > 0 \\ w g & \text{else} \end{cases}",
        r"\begin{cases} 0 & x > 0 \\ g x & \text{else} \end{cases}",
    ),
)
def prelu(x: NDArray, w: NDArray, /) -> Any:
    """The positive part, and a learnt multiple of the negative part.

    out = x where x > 0, w * x elsewhere.   w broadcasts to x.   Source: He and others 2015.
    >>> prelu(np.array([-1.0, 2.0]), np.array([0.25]))
    array([-0.25,  2.  ])
    """
    return np.maximum(x, 0) + np.minimum(x, 0) * w


@op(
    lambda g, x, low, high: g * _between(x, low, high),
    domain=AROUND_THE_BOUNDS,
    cases=(Case((4, 3)), Case((4, 3), 0.0, 6.0), Case((4, 3), low=-0.5, high=0.5)),
    kinks="0 at both bounds",
    elementwise=True,
    math=(r"\min(\max(x, l), u)", r"g \cdot [l < x < u]"),
)
def hardtanh(x: NDArray, /, low: float = -1.0, high: float = 1.0) -> Any:
    """The value clamped between two bounds; with 0 and 6 it is relu6.

    out = min(max(x, low), high).   Shape: same as x. Raises ValueRangeError unless low <= high.
    >>> hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    if low > high:
        raise ValueRangeError(f"hardtanh: the lower bound {low} is above the upper bound {high}")
    return np.minimum(np.maximum(x, low), high)


@op(
    lambda g, x: g * _between(x, -3, 3) / 6,
    domain=AROUND_THE_BOUNDS,
    cases=(Case((4, 3)),),
    kinks="0 at -3 and 3",
    elementwise=True,
    math=(r"\min(\max(\frac{x}{6} + \frac{1}{2}, 0), 1)", r"\frac{g}{6} \cdot [-3 < x < 3]"),
)
def hardsigmoid(x: NDArray, /) -> Any:
    """The logistic function in three lines.

    out = min(max(x / 6 + 1/2, 0), 1).   Shape: same as x.
    >>> hardsigmoid(np.array([-3.0, 0.0, 3.0]))
    array([0. , 0.5, 1. ])
    """
    return np.minimum(np.maximum(x + 3, 0), 6) / 6


@op(
    lambda g, x: g * where(x <= -3, 0, where(x >= 3, 1, x / 3 + 0.5)),
    fast=(lambda g, x: g * ((np.clip(x, -3, 3) / 3 + 0.5) * _between(x, -3, 3) + (x >= 3)),),
    domain=AROUND_THE_BOUNDS,
    cases=(Case((4, 3)),),
    kinks="0 at -3, 1 at 3",
    elementwise=True,
    math=(
        r"\frac{x}{6} \min(\max(x + 3, 0), 6)",
        r"\begin{cases} 0 & x \le -3 \\ g & x \ge 3 \\ g \, (\frac{x}{3} + \frac{1}{2}) & "
        r"\text{else} \end{cases}",
    ),
)
def hardswish(x: NDArray, /) -> Any:
    """The value times its hardsigmoid.

    out = x * min(max(x + 3, 0), 6) / 6.   Shape: same as x.   Source: Howard and others 2019.
    >>> hardswish(np.array([1.5, 3.0]))
    array([1.125, 3.   ])
    """
    return x * np.minimum(np.maximum(x + 3, 0), 6) / 6


@op(
    lambda g, x, lambd: g * ~((x >= -lambd) & (x <= lambd)),
    domain=AROUND_THE_BOUNDS,
    cases=(Case((4, 3)), Case((4, 3), 1)),
    kinks="0 at both bounds",
    elementwise=True,
    math=(r"x \cdot [\lvert x \rvert > \lambda]", r"g \cdot [\lvert x \rvert > \lambda]"),
)
def hardshrink(x: NDArray, /, lambd: float = 0.5) -> Any:
    """Zero near zero, the value itself elsewhere.

    out = x where |x| > lambd, 0 elsewhere.   Shape: same as x.
    >>> hardshrink(np.array([-1.0, 0.2]))
    array([-1.,  0.])
    """
    return x * ~((x >= -lambd) & (x <= lambd))


@op(
    lambda g, x, lambd: g * ~((x >= -lambd) & (x <= lambd)),
    domain=AROUND_THE_BOUNDS,
    cases=(Case((4, 3)), Case((4, 3), 1)),
    kinks="0 at both bounds",
    elementwise=True,
    math=(
        r"\operatorname{sign}(x) \max(\lvert x \rvert - \lambda, 0)",
        r"g \cdot [\lvert x \rvert > \lambda]",
    ),
)
def softshrink(x: NDArray, /, lambd: float = 0.5) -> Any:
    """The value moved towards zero, and zero near zero.

    out = x - lambd where x > lambd, x + lambd where x < -lambd, 0 elsewhere.   Shape: same as x.
    >>> softshrink(np.array([-1.0, 0.2]))
    array([-0.5,  0. ])
    """
    if lambd < 0:
        raise ValueRangeError(f"softshrink: expected lambd of at least 0, got {lambd!r}")
    return x - np.clip(x, -lambd, lambd)


@op(
    lambda g, x, threshold: where(x <= threshold, 0, g),
    domain=AROUND_THE_BOUNDS,
    cases=(Case((4, 3), 1.0, 2.0), Case((4, 3), -1.0, 0.0)),
    kinks="0 at the threshold",
    elementwise=True,
    math=(r"\begin{cases} x & x > t \\ v & \text{else} \end{cases}", r"g \cdot [x > t]"),
)
def threshold(x: NDArray, /, threshold: float, value: float) -> Any:
    """The value where it is above a threshold, another one elsewhere.

    out = x where x > threshold, value elsewhere.   Shape: same as x.
    >>> threshold(np.array([0.5, 2.0]), 1.0, -1.0)
    array([-1.,  2.])
    """
    return np.where(x <= threshold, x.dtype.type(value), x)


# Smooth curves


def _elu_fast(g: NDArray, x: NDArray, out: NDArray, alpha: float, scale: float, rate: float) -> NDArray:
    gx = out + alpha * scale
    gx *= rate
    gx *= g
    if x.size and not x.max() < np.inf:  # `select` multiplies by the mask, and infinity times 0 is nan
        return np.where(x > 0, g * scale, gx)
    return select(x > 0, g * scale, gx)


@op(
    lambda g, x, out, alpha, scale, rate: g * where(x > 0, scale, rate * (out + alpha * scale)),
    fast=(_elu_fast,),
    domain=NOT_ZERO,
    cases=(Case((2, 3)), Case((2, 3), 0.5), Case((2, 3), 1.5, 2.0, 0.5)),
    kinks="alpha at 0",
    elementwise=True,
    math=(
        r"s \begin{cases} x & x > 0 \\ \alpha (e^{r x} - 1) & \text{else} \end{cases}",
        r"\begin{cases} s \, g & x > 0 \\ r \, (\mathrm{out} + s \alpha) \, g & " r"\text{else} \end{cases}",
    ),
)
def elu(x: NDArray, /, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Any:
    """The value above 0, an exponential that levels off below.

    out = scale * x where x > 0, scale * alpha * (e^(rate * x) - 1) elsewhere.   Shape: same as x.
    Source: Clevert and others 2016; with rate = 1 / alpha it is celu, with two fixed numbers selu.
    >>> elu(np.array([-1000.0, 2.0]))
    array([-1.,  2.])
    """
    low = np.expm1(np.minimum(x, 0) * rate)
    low *= alpha * scale
    return low + np.maximum(x, 0) * scale


def celu(x: Array, alpha: float = 1.0) -> Any:
    """elu with a smooth derivative at 0 for every alpha.

    out = x where x > 0, alpha * (e^(x / alpha) - 1) elsewhere.   Shape: same as x.   Source: Barron 2017.
    >>> celu(np.array([-1000.0, 2.0]), 2.0)
    array([-2.,  2.])
    """
    if alpha == 0:
        raise ValueRangeError("celu: alpha must not be 0")
    return elu(x, alpha, 1.0, 1.0 / alpha)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # the fixed point of mean 0, variance 1


def selu(x: Array) -> Any:
    """elu with the two constants that keep mean 0 and variance 1 from layer to layer.

    out = 1.0507 * (x where x > 0, 1.6733 * (e^x - 1) elsewhere).   Source: Klambauer and others 2017.
    >>> selu(np.array([0.0, 1.0]))
    array([0.        , 1.05070099])
    """
    return elu(x, SELU_ALPHA, SELU_SCALE)


def _softplus_derivative(x: NDArray, beta: float, threshold: float) -> NDArray:
    return where(x * beta > threshold, 1, sigmoid(x * beta))


@op(
    lambda g, x, beta, threshold: g * _softplus_derivative(x, beta, threshold),
    fast=(lambda g, x, beta, threshold: g * np.maximum(sigmoid(x * beta), x * beta > threshold),),
    cases=(Case((2, 3)), Case((2, 3), 2.0, 1.0), Case((2, 3), beta=0.5)),
    domain=Domain(avoid=(0.5,)),
    elementwise=True,
    real=True,
    math=(r"\frac{1}{\beta} \ln(1 + e^{\beta x})", r"g \cdot \sigma(\beta x)"),
)
def softplus(x: NDArray, /, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """A smooth positive part.

    out = log(1 + e^(beta * x)) / beta, and x itself where beta * x > threshold.   Shape: same as x.
    >>> softplus(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    x = _floating(x)
    z = x * beta
    smooth = (np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0)) / beta
    return np.where(z > threshold, x, smooth)


@op(
    lambda g, x: g * sigmoid(-x),
    real=True,
    elementwise=True,
    math=(r"-\ln(1 + e^{-x})", r"g \cdot \sigma(-x)"),
)
def log_sigmoid(x: NDArray, /) -> Any:
    """The logarithm of the logistic function, exact at any size.

    out = -log(1 + e^-x) = min(x, 0) - log(1 + e^-|x|).   Shape: same as x.
    >>> log_sigmoid(np.array([0.0, -1000.0]))
    array([-6.93147181e-01, -1.00000000e+03])
    """
    x = _floating(x)
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _silu_derivative(x: NDArray) -> NDArray:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


@op(
    lambda g, x: g * _silu_derivative(x),
    fast=(kernels.silu_gradient,),
    cached=("s",),
    elementwise=True,
    math=(r"x \, \sigma(x)", r"g \, (\sigma(x) + x \, \sigma(x) (1 - \sigma(x)))"),
)
def silu(x: NDArray, /) -> Any:
    """The value times its logistic function; also called swish.

    out = x / (1 + e^-x).   Shape: same as x.   Source: Elfwing and others 2018.
    >>> silu(np.array([0.0, 100.0]))
    array([  0., 100.])
    """
    s = (np.tanh(_floating(x) * 0.5) + 1) * 0.5
    return x * s, s


def _normal_cdf(x: NDArray) -> NDArray:
    return (erf(x * (1 / sqrt(2))) + 1) * 0.5


def _gelu_derivative(x: NDArray) -> NDArray:
    return _normal_cdf(x) + x * exp(x * x * -0.5) * (1 / sqrt(2 * pi))


@op(
    lambda g, x: g * _gelu_derivative(x),
    fast=(lambda g, derivative: g * derivative,),
    kernel=kernels.gelu,
    cached=("derivative",),
    elementwise=True,
    real=True,
    math=(r"x \, \Phi(x)", r"g \, (\Phi(x) + x \, \varphi(x))"),
)
def gelu(x: NDArray, /) -> Any:
    """The value times the normal distribution function: how probable it is that a normal draw is smaller.

    out = x * (1 + erf(x / sqrt(2))) / 2.   Shape: same as x.   Source: Hendrycks and Gimpel 2016.
    >>> gelu(np.array([0.0, 10.0]))
    array([ 0., 10.])
    """
    return x * _normal_cdf(x)


def gelu_tanh(x: Array) -> Any:
    """gelu by the approximation that some published models were trained with.

    out = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2.   Shape: same as x.
    >>> gelu_tanh(np.array([0.0, 10.0]))
    array([ 0., 10.])
    """
    return x * 0.5 * (1 + tanh((x + 0.044715 * (x * x * x)) * sqrt(2 / pi)))


def _mish_derivative(x: NDArray) -> NDArray:
    t = tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


@op(
    lambda g, x: g * _mish_derivative(x),
    real=True,
    elementwise=True,
    math=(r"x \tanh(\ln(1 + e^x))", r"g \, (t + x \, (1 - t^2) \, \sigma(x)), \quad t = \tanh(\ln(1 + e^x))"),
)
def mish(x: NDArray, /) -> Any:
    """The value times the hyperbolic tangent of its softplus.

    out = x * tanh(log(1 + e^x)).   Shape: same as x.   Source: Misra 2019.
    >>> mish(np.array([0.0, 100.0]))
    array([  0., 100.])
    """
    x = _floating(x)
    return x * np.tanh(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0))


def softsign(x: Any) -> Any:
    """A curve like tanh that levels off slowly.

    out = x / (1 + |x|).   Shape: same as x.
    >>> softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """
    return x / (1 + abs(x))


def tanhshrink(x: Array) -> Any:
    """What tanh takes away.

    out = x - tanh(x).   Shape: same as x.
    >>> tanhshrink(np.array([0.0]))
    array([0.])
    """
    return x - tanh(x)


def glu(x: Array, axis: int = -1) -> Any:
    """One half of the channels, gated by the other.

    out = a * sigmoid(b), with x cut into a and b along an axis of even size.   Source: Dauphin and others 2017.
    >>> glu(np.array([3.0, 0.0]))
    array([1.5])
    """
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % 2:
        raise ShapeError(f"glu: expected an axis of even size, got axis {axis} of shape {x.shape}")
    half, before = x.shape[axis] // 2, (slice(None),) * (axis % x.ndim)
    return multiply(x[(*before, slice(None, half))], sigmoid(x[(*before, slice(half, None))]))


# Over axes


def _softmax_fast(g: NDArray, out: NDArray, axis: Axis) -> NDArray:
    gx = g - np.sum(g * out, axis=axis, keepdims=True)
    gx *= out
    return gx


@op(
    lambda g, out, axis: out * (g - sum(g * out, axis=axis, keepdims=True)),
    fast=(_softmax_fast,),
    cases=ONE_AXIS,
    accumulates=True,
    batch=batching.along,
    jvp="symmetric",
    math=(r"\frac{e^{x_i}}{\sum_j e^{x_j}}", r"\mathrm{out} \cdot (g - \sum_j g_j \, \mathrm{out}_j)"),
)
def softmax(x: NDArray, /, axis: Axis = None) -> Any:
    """Exponentials made to sum to one along axes: all of them by default, as in SciPy; the last is axis=-1.

    out_i = e^x_i / (e^x_1 + ... + e^x_n), shifted by the largest: no overflow.   Shape: same as x.
    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    x = floating(x)
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return e / np.sum(e, axis=axis, keepdims=True)


def _log_softmax_fast(g: NDArray, out: NDArray, axis: Axis) -> NDArray:
    gx = np.exp(out)
    gx *= -np.sum(g, axis=axis, keepdims=True)
    gx += g
    return gx


@op(
    lambda g, out, axis: g - exp(out) * sum(g, axis=axis, keepdims=True),
    fast=(_log_softmax_fast,),
    cases=ONE_AXIS,
    accumulates=True,
    batch=batching.along,
    jvp=(lambda t, out, axis: t - sum(t * exp(out), axis=axis, keepdims=True),),
    math=(r"x_i - \ln \sum_j e^{x_j}", r"g - e^{\mathrm{out}} \sum_j g_j"),
)
def log_softmax(x: NDArray, /, axis: Axis = None) -> Any:
    """The logarithm of softmax, exact where softmax rounds to 0 or 1; axes as in softmax.

    out_i = x_i - ln(e^x_1 + ... + e^x_n).   Shape: same as x.
    >>> log_softmax(np.array([1000.0, 0.0]))
    array([    0., -1000.])
    """
    x = floating(x)
    shifted = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
