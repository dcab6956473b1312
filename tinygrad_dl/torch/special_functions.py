"""Functions that neither the core nor NumPy has: gamma, error and Bessel functions, and their derivatives.

Each is an entry of a table: its values, by series, recurrences and quadrature in float64, and the derivative with
respect to each argument by other functions of the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl.errors import missing_extra
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import lift, lower, wrapped
from tinygrad_dl.torch.custom import Function

# Bernoulli numbers B_2k
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_ROOT_PI = math.sqrt(math.pi)


# Values


def _each(f: Callable[[float], float]) -> Callable[[Any], Any]:
    """A function of Python's floats as one of arrays."""
    return lambda x: np.vectorize(f, otypes=[float])(x) if np.size(x) else np.asarray(x, float)


_erfc = _each(math.erfc)


@_each
def _log_gamma(x: float) -> float:
    if math.isnan(x) or math.isinf(x):
        return abs(x)
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


def _zeta(s: Any, q: Any) -> Any:
    """Hurwitz's zeta, sum of (q + k) ** -s, by the Euler-Maclaurin formula from q + n on."""
    s, q = np.broadcast_arrays(np.asarray(s, float), np.asarray(q, float))
    total, z = np.zeros(q.shape), np.array(q)
    steps = 15 - min(0.0, float(np.nanmin(np.where(np.isfinite(q), q, 0), initial=0.0)))
    for _ in range(int(steps)):
        small = z < 15
        if not small.any():
            break
        total = total + np.where(small, np.where(small, z, 1.0) ** -s, 0.0)
        z = np.where(small, z + 1, z)
    total = total + z ** (1 - s) / (s - 1) + 0.5 * z**-s
    rising = s
    for k, b in enumerate(_BERNOULLI, 1):
        total = total + b / math.factorial(2 * k) * rising * z ** (1 - s - 2 * k)
        rising = rising * (s + 2 * k - 1) * (s + 2 * k)
    pole = (q <= 0) & (q == np.floor(q))
    total = np.where(pole, np.inf, np.where((q < 0) & (s != np.floor(s)), np.nan, total))
    return np.where(s < 1, np.nan, np.where(s == 1, np.inf, total))


def _digamma(x: Any) -> Any:
    """The derivative of log gamma: recurrence up to 12, reflection below 0, the asymptotic series."""
    x = np.asarray(x, float)
    negative = x <= 0
    z, total = np.where(negative, 1 - x, x), np.zeros(x.shape)
    for _ in range(12):
        small = z < 12
        total, z = total - np.where(small, 1 / z, 0.0), np.where(small, z + 1, z)
    total = total + np.log(z) - 0.5 / z - sum(b / (2 * k * z ** (2 * k)) for k, b in enumerate(_BERNOULLI, 1))
    pole = np.where(x == 0, np.copysign(np.inf, -x), np.nan)
    reflected = np.where(x == np.floor(x), pole, total - np.pi / np.tan(np.pi * x))
    return np.where(negative, reflected, total)


def polygamma_values(n: int, x: Any) -> Any:
    """The n-th derivative of digamma; n = 0 is digamma."""
    with np.errstate(all="ignore"):
        if n == 0:
            return _digamma(x)
        return (-1.0) ** (n + 1) * math.factorial(n) * _zeta(n + 1.0, x)


def _erfinv(y: Any) -> Any:
    """Winitzki's approximation, then Newton's steps on erf."""
    a, log = 0.147, np.log1p(-y * y)
    part = 2 / (np.pi * a) + log / 2
    x = np.sign(y) * np.sqrt(np.sqrt(part * part - log / a) - part)
    for _ in range(3):
        # erf(x) - y without cancellation near the ends
        error = np.where(
            abs(y) < 0.5, _each(math.erf)(x) - y, np.where(y > 0, (1 - y) - _erfc(x), _erfc(-x) - (1 + y))
        )
        step = error * _ROOT_PI / 2 * np.exp(x * x)
        x = x - step / (1 + x * step)
    x = np.where(abs(y) == 1, np.sign(y) * np.inf, x)
    return np.where(abs(y) > 1, np.nan, x)


def _erfcx(x: Any) -> Any:
    """exp(x ** 2) * erfc(x): the product below 4, a continued fraction above."""
    below = np.minimum(x, 4.0)
    product = np.exp(below * below) * _erfc(below)
    z = np.maximum(x, 4.0)
    fraction = z
    for k in range(60, 0, -1):
        fraction = z + k / 2 / fraction
    return np.where(x < 4, product, np.where(np.isinf(x), 0.0, 1 / (fraction * _ROOT_PI)))


def _ndtr(x: Any) -> Any:
    return 0.5 * _erfc(-x / math.sqrt(2))


def _log_ndtr(x: Any) -> Any:
    t = x / math.sqrt(2)
    far = np.log(_erfcx(np.maximum(-t, 0.5)) / 2) - t * t
    return np.where(x < -1, np.where(x == -np.inf, x, far), np.log1p(-_erfc(np.maximum(t, -1.0)) / 2))


def _ndtri(p: Any) -> Any:
    """The quantile of the normal distribution: Newton's steps on log_ndtr, which is concave, from below."""
    smaller = np.minimum(p, 1 - p)
    inside = (smaller > 0) & (smaller <= 0.5)
    target = np.log(np.where(inside, smaller, 0.5))
    z = -np.sqrt(-2 * target)
    for _ in range(8):
        z = z - (_log_ndtr(z) - target) * math.sqrt(math.pi / 2) * _erfcx(-z / math.sqrt(2))
    z = np.where(smaller == 0.5, 0.0, np.where(p < 0.5, z, -z))
    return np.where(inside, z, np.where(p == 0, -np.inf, np.where(p == 1, np.inf, np.nan)))


def _entr(x: Any) -> Any:
    found = np.where(x > 0, -x * np.log(np.where(x > 0, x, 1.0)), np.where(x == 0, 0.0, -np.inf))
    return np.where(np.isnan(x), x, found)


def _scaled_bessel(n: int, x: Any) -> Any:
    """exp(-|x|) times the modified Bessel function of order 0 or 1: its integral up to 30, its series beyond."""
    t = (np.arange(32) + 0.5) * (np.pi / 64)
    near = np.clip(x, -30, 30)
    inner = near[..., None] * np.cos(t)
    waves = np.cosh(inner) if n == 0 else np.sinh(inner) * np.cos(t)
    found = np.mean(waves, -1) * np.exp(-abs(near))
    far, term, total = np.maximum(abs(x), 30), 1.0, 1.0
    for k in range(1, 25):
        term = term * ((2 * k - 1) ** 2 - 4 * n * n) / (8 * k * far)
        total = total + term
    series = total / np.sqrt(2 * np.pi * far)
    series = np.where(np.isinf(x), 0.0, series)
    return np.where(abs(x) <= 30, found, np.where(x < 0, (-1) ** n, 1) * series)


def _bessel(n: int) -> Callable[[Any], Any]:
    return lambda x: np.where(
        np.isinf(x), np.where(x < 0, (-1) ** n, 1) * np.inf, _scaled_bessel(n, x) * np.exp(abs(x))
    )


def _series(start: Any, ratio: Callable[[int], Any], slope: Any, change: Callable[[int], Any]) -> Any:
    """The sum of t_k * slope_k from t_0 = start: t_k = t_{k-1} * ratio(k), slope_k = slope_{k-1} + change(k).

    The ratios fall below 1 and go on falling; it ends where no term counts any more.
    """
    term, largest = np.array(start, float), np.array(start, float)
    total, slope = term * slope, slope
    for k in range(1, 100_000):
        factor = ratio(k)
        term, slope = term * factor, slope + change(k)
        total, largest = total + term * slope, np.maximum(largest, term)
        if not np.any((term > 1e-17 * largest) & (factor > 0)):
            break
    return total


def gamma_derivative(a: Any, x: Any) -> Any:
    """dx / da of a number x of the gamma distribution with the concentration a, at a fixed quantile.

    It is -(dP/da) / (dP/dx), where P(a, x) = sum of x ** (a + k) * exp(-x) / gamma(a + k + 1).
    """
    with np.errstate(all="ignore"):
        near = a < 1e5  # above, the distribution is close to a normal one
        b, y = np.where(near, a, 1.0), np.where(near, x, 1.0)
        slope = np.log(y) - _digamma(b + 1)
        total = _series(np.ones(b.shape), lambda k: y / (b + k), slope, lambda k: -1 / (b + k))
        found = np.where(y > 0, -y / b * total, 0.0)
        return np.where(near, found, (x + a) / (2 * a))


def beta_derivative(a: Any, b: Any, x: Any) -> Any:
    """dx / da of a number x of the beta distribution, at a fixed quantile.

    It is -(dI/da) / (dI/dx), where I(x; a, b) = x ** a * (1 - x) ** b / (a * B(a, b)) times the sum of
    (a + b)_k / (a + 1)_k * x ** k; for larger x, 1 - I(1 - x; b, a).
    """
    with np.errstate(all="ignore"):
        swapped = x > (a + 1) / (a + b + 2)
        first, y = np.where(swapped, b, a), np.where(swapped, 1 - x, x)
        # log x is in both; the rest is that of log(term)'s derivative
        slope = np.log(x) + _digamma(a + b) - np.where(swapped, _digamma(a), _digamma(a + 1))
        total = _series(
            np.ones(np.shape(x)),
            lambda k: (a + b + k - 1) / (first + k) * y,
            slope,
            lambda k: 1 / (a + b + k - 1) - np.where(swapped, 0.0, 1 / (a + k)),
        )
        found = np.where(swapped, 1.0, -1.0) * x * (1 - x) / first * total
        return np.where((x > 0) & (x < 1), found, 0.0)


def _gamma_tail(a: Any, x: Any) -> Any:
    """Q(a, x) = 1 - P(a, x) for x > a + 1, by a continued fraction."""
    b = x + 1 - a
    c, d = np.full(x.shape, 1e300), 1 / b
    h = np.array(d)
    for k in range(1, 10_000):
        factor = -k * (k - a)
        b = b + 2
        d = 1 / (factor * d + b)
        c = b + factor / c
        h = h * c * d
        if np.all(abs(c * d - 1) < 1e-16):
            break
    return np.exp(a * np.log(x) - x - _log_gamma(a)) * h


def _incomplete(upper: bool) -> Callable[[Any, Any], Any]:
    def values(a: Any, x: Any) -> Any:
        a, x = np.broadcast_arrays(a, x)
        tail = x > a + 1
        normal = (a > 0) & (x > 0) & np.isfinite(x) & np.isfinite(a)
        b, y = np.where(normal & ~tail, a, 1.0), np.where(normal & ~tail, x, 1.0)
        low = np.exp(b * np.log(y) - y - _log_gamma(b + 1)) * _series(
            np.ones(b.shape), lambda k: y / (b + k), 1.0, lambda k: 0.0
        )
        high = _gamma_tail(np.where(normal & tail, a, 1.0), np.where(normal & tail, x, 3.0))
        found = np.where(tail, high if upper else 1 - high, 1 - low if upper else low)
        ends = np.where(
            (x == np.inf) & np.isinf(a), np.nan, np.where((x == np.inf) | ((a == 0) & (x > 0)), 1.0, 0.0)
        )
        ends = np.where((a < 0) | (x < 0) | ((a == 0) & (x == 0)) | np.isnan(a) | np.isnan(x), np.nan, ends)
        return np.where(normal, found, 1 - ends if upper else ends)

    return values


def _scipy(name: str) -> Callable[[Any], Any]:
    def values(x: Any) -> Any:
        try:
            from scipy import special
        except ImportError:
            raise missing_extra("scipy", "data", f"torch.special.{name}") from None
        return SCIPY[name](special, x)

    return values


# Rarely used, without derivatives in PyTorch, too: a library's
SCIPY: dict[str, Callable[[Any, Any], Any]] = {
    "airy_ai": lambda special, x: special.airy(x)[0],
    "bessel_j0": lambda special, x: special.j0(x),
    "bessel_j1": lambda special, x: special.j1(x),
    "bessel_y0": lambda special, x: special.y0(x),
    "bessel_y1": lambda special, x: special.y1(x),
    "modified_bessel_k0": lambda special, x: special.k0(x),
    "modified_bessel_k1": lambda special, x: special.k1(x),
    "scaled_modified_bessel_k0": lambda special, x: special.k0e(x),
    "scaled_modified_bessel_k1": lambda special, x: special.k1e(x),
    "spherical_bessel_j0": lambda special, x: special.spherical_jn(0, x),
}

# Orthogonal polynomials: p_0 = 1, p_1, and p_{k+1} of k, x, p_k and p_{k-1}
POLYNOMIALS: dict[str, tuple[Callable[[Any], Any], Callable[[int, Any, Any, Any], Any]]] = {
    "chebyshev_polynomial_t": (lambda x: x, lambda k, x, p, q: 2 * x * p - q),
    "chebyshev_polynomial_u": (lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - q),
    "chebyshev_polynomial_v": (lambda x: 2 * x - 1, lambda k, x, p, q: 2 * x * p - q),
    "chebyshev_polynomial_w": (lambda x: 2 * x + 1, lambda k, x, p, q: 2 * x * p - q),
    "hermite_polynomial_h": (lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - 2 * k * q),
    "hermite_polynomial_he": (lambda x: x, lambda k, x, p, q: x * p - k * q),
    "laguerre_polynomial_l": (lambda x: 1 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1)),
    "legendre_polynomial_p": (lambda x: x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1)),
}


def _polynomial(name: str) -> Callable[[Any, Any], Any]:
    shifted = name.startswith("shifted_")
    first, step = POLYNOMIALS[name.removeprefix("shifted_")]

    def values(x: Any, n: Any) -> Any:
        x, n = np.broadcast_arrays(x, np.trunc(n))
        x = 2 * x - 1 if shifted else x
        before, now = np.ones(x.shape), first(x)
        found = np.where(n == 0, before, 0.0)
        for k in range(1, int(np.max(n, initial=0)) + 1):
            found = np.where(n == k, now, found)
            before, now = now, step(k, x, now, before)
        return found

    return values


# The table: values of arrays, and the derivative with respect to each argument of Tensors; None: there is none


class Special:
    """A function of the table."""

    def __init__(
        self, name: str, values: Callable[..., Any], *derivatives: Callable[..., Any] | None
    ) -> None:
        self.name, self.values, self.derivatives = name, values, derivatives

    def __call__(self, *args: Any) -> Any:
        """The function of Tensors of the core."""
        return lower(_Special.apply(self, *[lift(x) if isinstance(x, Value) else x for x in args]))

    def of(self, *args: Any) -> Any:
        """The function of this layer's Tensors."""
        return _Special.apply(self, *args)


class _Special(Function):
    @staticmethod
    def forward(ctx: Any, special: Special, *args: Any) -> Any:
        arrays = [np.asarray(x._data if isinstance(x, Value) else x, np.float64) for x in args]
        kind = np.result_type(*[x._data.dtype for x in args if isinstance(x, Value)])
        with np.errstate(all="ignore"):
            result = lift(wrapped(np.asarray(special.values(*arrays)).astype(kind)))
        ctx.special, ctx.numbers = special, [None if isinstance(x, Value) else x for x in args]
        ctx.save_for_backward(*[x if isinstance(x, Value) else None for x in args])
        return result

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        args = [x if number is None else number for x, number in zip(ctx.saved_tensors, ctx.numbers)]
        found: list[Any] = [None]
        for i, needed in enumerate(ctx.needs_input_grad[1:]):
            if not needed:
                found.append(None)
                continue
            derivative = ctx.special.derivatives[i] if i < len(ctx.special.derivatives) else None
            if derivative is None:
                raise NotImplementedError(
                    f"the derivative for argument {i} of {ctx.special.name} is not implemented"
                )
            part = g * derivative(*args)
            found.append(part.sum_to_size(args[i].shape) if part.shape != args[i].shape else part)
        return tuple(found)


def _quotient(x: Any, y: Any, at_zero: float) -> Any:
    """y / x, and its limit at 0."""
    zero = x == 0
    return (y / x.masked_fill(zero, 1.0)).masked_fill(zero, at_zero)


lgamma: Special = Special("lgamma", _log_gamma, lambda x: digamma.of(x))
digamma: Special = Special("digamma", lambda x: polygamma_values(0, x), lambda x: polygamma_of(1, x))
_POLYGAMMA: dict[int, Special] = {}


def polygamma_of(n: int, x: Any) -> Any:
    """The n-th derivative of digamma of this layer's Tensor."""
    if n not in _POLYGAMMA:
        _POLYGAMMA[n] = Special(
            f"polygamma({n})", lambda x: polygamma_values(n, x), lambda x: polygamma_of(n + 1, x)
        )
    return _POLYGAMMA[n].of(x)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma of a Tensor of the core."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return lower(polygamma_of(n, lift(x)))


erfc: Special = Special("erfc", _erfc, lambda x: (-x * x).exp() * (-2 / _ROOT_PI))
erfinv: Special = Special("erfinv", _erfinv, lambda y: (erfinv.of(y) ** 2).exp() * (_ROOT_PI / 2))
erfcx: Special = Special("erfcx", _erfcx, lambda x: 2 * x * erfcx.of(x) - 2 / _ROOT_PI)
ndtr: Special = Special("ndtr", _ndtr, lambda x: (-x * x / 2).exp() / math.sqrt(2 * math.pi))
log_ndtr: Special = Special(
    "log_ndtr", _log_ndtr, lambda x: math.sqrt(2 / math.pi) / erfcx.of(x / -math.sqrt(2))
)
ndtri: Special = Special("ndtri", _ndtri, lambda p: (ndtri.of(p) ** 2 / 2).exp() * math.sqrt(2 * math.pi))
entr: Special = Special("entr", _entr, lambda x: -x.log() - 1)
i0: Special = Special("i0", _bessel(0), lambda x: i1.of(x))
i1: Special = Special("i1", _bessel(1), lambda x: i0.of(x) - _quotient(x, i1.of(x), 0.5))
i0e: Special = Special("i0e", lambda x: _scaled_bessel(0, x), lambda x: i1e.of(x) - x.sign() * i0e.of(x))
i1e: Special = Special(
    "i1e",
    lambda x: _scaled_bessel(1, x),
    lambda x: i0e.of(x) - x.sign() * i1e.of(x) - _quotient(x, i1e.of(x), 0.5),
)
zeta: Special = Special("zeta", _zeta, None, lambda s, q: -s * zeta.of(s + 1.0, q))


def _density(a: Any, x: Any) -> Any:
    """The derivative of P(a, x) with respect to x."""
    from tinygrad_dl.torch.registry import TORCH

    log_gamma = lgamma.of(a) if isinstance(a, Value) else math.lgamma(a)
    return (TORCH["xlogy"](a - 1.0, x) - x - log_gamma).exp()


gammainc: Special = Special("gammainc", _incomplete(False), None, _density)
gammaincc: Special = Special("gammaincc", _incomplete(True), None, lambda a, x: -_density(a, x))

#: Functions of one number, and of two, without derivatives.
PLAIN = {name: Special(name, _scipy(name)) for name in SCIPY}
PLAIN_OF_TWO = {
    name: Special(name, _polynomial(name))
    for name in (*POLYNOMIALS, *(f"shifted_{name}" for name in POLYNOMIALS if name.startswith("chebyshev")))
}
