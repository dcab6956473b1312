"""Rounding, signs and bounds: functions that are flat or straight between their steps and kinks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.op import Case, Domain, Missing, op
from tinygrad_dl.ops.elementwise import PAIR, sign, where
from tinygrad_dl.typing import NDArray, Scalar

BETWEEN = Domain(0.1, 0.4)
FLAT = "0 everywhere"


@op(lambda g: g * 0, domain=BETWEEN, kinks=FLAT, ufunc=np.floor, real=True, math=(r"\lfloor x \rfloor", "0"))
def floor(x: NDArray, /) -> Any:
    """The largest integer not above each element.

    out <= x < out + 1.   Shape: same as x; the dtype stays.
    >>> floor(np.array([1.5, -1.5]))
    array([ 1., -2.])
    """
    return np.floor(x)


@op(lambda g: g * 0, domain=BETWEEN, kinks=FLAT, ufunc=np.ceil, real=True, math=(r"\lceil x \rceil", "0"))
def ceil(x: NDArray, /) -> Any:
    """The smallest integer not below each element.

    out - 1 < x <= out.   Shape: same as x; the dtype stays.
    >>> ceil(np.array([1.5, -1.5]))
    array([ 2., -1.])
    """
    return np.ceil(x)


@op(
    lambda g: g * 0,
    domain=BETWEEN,
    kinks=FLAT,
    ufunc=np.trunc,
    real=True,
    math=(r"\operatorname{sign}(x) \lfloor \lvert x \rvert \rfloor", "0"),
)
def trunc(x: NDArray, /) -> Any:
    """The integer part of each element: rounded towards zero.

    out = sign(x) * floor(|x|).   Shape: same as x; the dtype stays.
    >>> trunc(np.array([1.5, -1.5]))
    array([ 1., -1.])
    """
    return np.trunc(x)


@op(
    lambda g: g * 0,
    domain=BETWEEN,
    cases=(Case((2, 3)), Case((3,), decimals=0)),
    kinks=FLAT,
    elementwise=True,
    math=(r"\operatorname{round}(x)", "0"),
)
def round(x: NDArray, /, decimals: int = 0) -> Any:
    """Each element rounded to the nearest multiple of 10^-decimals, halves to the even one.

    out = 10^-decimals * nearest integer to x * 10^decimals.   Shape: same as x; the dtype stays.
    >>> round(np.array([0.5, 1.5]))
    array([0., 2.])
    """
    return np.round(x, decimals)


@op(
    lambda g, out: -g * out * out,
    domain=Domain(avoid=(0,), gap=0.4),
    ufunc=np.reciprocal,
    math=(r"\frac{1}{x}", r"-\frac{g}{x^2}"),
)
def reciprocal(x: NDArray, /) -> Any:
    """One divided by each element.

    out = 1 / x.   Shape: same as x.
    >>> reciprocal(np.array([2.0]))
    array([0.5])
    """
    return np.reciprocal(x)


@op(
    lambda g, out, x: g * (sign(x) * sign(out)),
    lambda g: g * 0,
    domain=(Domain(avoid=(0,)), Domain(avoid=(0,))),
    cases=PAIR,
    kinks="0 where x is 0",
    ufunc=np.copysign,
    real=True,
    math=(
        r"\lvert x \rvert \operatorname{sign}(y)",
        r"g \cdot \operatorname{sign}(x) \operatorname{sign}(y)",
        "0",
    ),
)
def copysign(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The size of the first value with the sign of the second, that of a zero included.

    out = |x| if y >= 0 else -|x|.   Shapes broadcast together.
    >>> copysign(np.array([1.0, 2.0]), -0.0)
    array([-1., -2.])
    """
    return np.copysign(x, y)


@op(
    Missing("it steps from one floating number to the next"),
    Missing("it steps from one floating number to the next"),
    cases=PAIR,
    ufunc=np.nextafter,
    math=(r"\text{the next number after } x \text{ towards } y", "", ""),
)
def nextafter(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The next floating number after the first value in the direction of the second.

    out: the representable number next to x, x itself where x == y.   Shapes broadcast together.
    >>> nextafter(np.array([1.0]), 2.0) - 1
    array([2.22044605e-16])
    """
    return np.nextafter(x, y)


@op(None, cases=(Case((2, 3)),), ufunc=np.signbit)
def signbit(x: NDArray, /) -> Any:
    """Whether the sign of each element is minus, that of a zero or a nan included.

    out: boolean.   Shape: same as x.
    >>> signbit(np.array([-0.0, 1.0]))
    array([ True, False])
    """
    return np.signbit(x)


def _outside(x: NDArray, min: Any, max: Any) -> NDArray:
    # as "outside" and not "inside", for a nan is not outside: its gradient passes, and so stays visible
    if min is None:
        return x > max
    return x < min if max is None else (x < min) | (x > max)


def _passed(g: NDArray, x: NDArray, min: Any, max: Any) -> NDArray:
    return g if min is None and max is None else where(_outside(x, min, max), 0, g)


def _to_lower(g: NDArray, x: NDArray, min: Any, max: Any) -> Any:
    # NumPy clips from below first, so an upper bound under the lower one wins
    return where(x < min if max is None else (x < min) & (min <= max), g, 0)


def _to_upper(g: NDArray, x: NDArray, min: Any, max: Any) -> Any:
    return where(x > max if min is None else (x > max) | (min > max), g, 0)


@op(
    _passed,
    _to_lower,
    _to_upper,
    domain=(Domain(-2, 2, avoid=(-1.05, 1.05), gap=0.15), Domain(-1.1, -1), Domain(1, 1.1)),
    cases=(
        Case((2, 3), -1.05, 1.05), Case((2, 3), (3,), (2, 1)), Case((3,), (3,), None), Case((3,), None, (3,)),
        Case((3,), None, None), Case((0, 3), -1.05, None),
    ),
    kinks="1 at the bounds, for x",
    elementwise=True,
    math=(r"\min(\max(x, l), u)", r"g \cdot [l \le x \le u]", r"g \cdot [x < l]", r"g \cdot [x > u]"),
)  # fmt: skip
def clip(x: NDArray, /, min: NDArray | None = None, max: NDArray | None = None) -> Any:
    """Each element moved to the nearest value between two bounds, either of which may be missing.

    out = min if x < min, max if x > max, else x.   Shapes broadcast together; the dtype of x stays.
    >>> clip(np.array([-3, 0, 3]), -1, 1)
    array([-1,  0,  1])
    """
    if min is None and max is None:
        return np.array(x)
    return np.clip(x, min, max)
