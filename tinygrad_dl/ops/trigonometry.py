"""Trigonometric and hyperbolic functions, their inverses, and lengths and angles in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.op import Domain, op
from tinygrad_dl.ops.elementwise import PAIR, is_complex, sqrt, where
from tinygrad_dl.typing import NDArray, Scalar

INSIDE = Domain(-0.9, 0.9)
PLANE = (Domain(avoid=(0,), gap=0.3), Domain(avoid=(0,), gap=0.3))


@op(lambda g, x: g * cos(x), ufunc=np.sin, math=(r"\sin x", r"g \cos x"))
def sin(x: NDArray, /) -> Any:
    """The sine of each element, in radians.

    out = sin(x).   Shape: same as x.
    >>> sin(np.array([0.0]))
    array([0.])
    """
    return np.sin(x)


@op(lambda g, x: -g * sin(x), ufunc=np.cos, math=(r"\cos x", r"-g \sin x"))
def cos(x: NDArray, /) -> Any:
    """The cosine of each element, in radians.

    out = cos(x).   Shape: same as x.
    >>> cos(np.array([0.0]))
    array([1.])
    """
    return np.cos(x)


@op(
    lambda g, out: g * (1 + out * out),
    domain=Domain(-1.2, 1.2),
    ufunc=np.tan,
    math=(r"\tan x", r"g \, (1 + \tan^2 x)"),
)
def tan(x: NDArray, /) -> Any:
    """The tangent of each element, in radians.

    out = sin(x) / cos(x).   Shape: same as x.
    >>> tan(np.array([0.0]))
    array([0.])
    """
    return np.tan(x)


# Of a complex x the root below has two values, and which one is right, the result knows: on branch cuts, too.


@op(
    lambda g, out, x: g / (cos(out) if is_complex(x) else sqrt(1 - x * x)),
    domain=INSIDE,
    ufunc=np.arcsin,
    math=(r"\arcsin x", r"\frac{g}{\sqrt{1 - x^2}}"),
)
def asin(x: NDArray, /) -> Any:
    """The angle whose sine is each element, in radians; nan outside [-1, 1].

    out = asin(x), in [-pi/2, pi/2]; its derivative is infinite at -1 and 1.   Shape: same as x.
    >>> asin(np.array([0.0]))
    array([0.])
    """
    return np.arcsin(x)


@op(
    lambda g, out, x: -g / (sin(out) if is_complex(x) else sqrt(1 - x * x)),
    domain=INSIDE,
    ufunc=np.arccos,
    math=(r"\arccos x", r"-\frac{g}{\sqrt{1 - x^2}}"),
)
def acos(x: NDArray, /) -> Any:
    """The angle whose cosine is each element, in radians; nan outside [-1, 1].

    out = acos(x), in [0, pi]; its derivative is infinite at -1 and 1.   Shape: same as x.
    >>> acos(np.array([1.0]))
    array([0.])
    """
    return np.arccos(x)


@op(lambda g, x: g / (1 + x * x), ufunc=np.arctan, math=(r"\arctan x", r"\frac{g}{1 + x^2}"))
def atan(x: NDArray, /) -> Any:
    """The angle whose tangent is each element, in radians.

    out = atan(x), in [-pi/2, pi/2].   Shape: same as x.
    >>> atan(np.array([0.0]))
    array([0.])
    """
    return np.arctan(x)


def _over_length_squared(part: NDArray, x: NDArray, y: NDArray) -> Any:
    # by the length twice: its square is 0 for small coordinates and infinite for large ones
    length = hypot(x, y)
    divisor = where(length == 0, 1, length)
    return where(length == 0, 0, part / divisor / divisor)


@op(
    lambda g, x, y: g * _over_length_squared(y, x, y),
    lambda g, x, y: -g * _over_length_squared(x, x, y),
    domain=PLANE,
    cases=PAIR,
    kinks="0 at the origin",
    ufunc=np.arctan2,
    real=True,
    math=(r"\operatorname{atan2}(x, y)", r"\frac{g \, y}{x^2 + y^2}", r"-\frac{g \, x}{x^2 + y^2}"),
)
def atan2(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The angle of the point (y, x) of the plane, in radians; the sine side comes first.

    out = atan(x / y) in the right quadrant, in [-pi, pi].   Shapes broadcast together.
    >>> atan2(np.array([0.0]), 1.0)
    array([0.])
    """
    return np.arctan2(x, y)


@op(lambda g, x: g * cosh(x), ufunc=np.sinh, math=(r"\sinh x", r"g \cosh x"))
def sinh(x: NDArray, /) -> Any:
    """The hyperbolic sine of each element.

    out = (e^x - e^-x) / 2.   Shape: same as x.
    >>> sinh(np.array([0.0]))
    array([0.])
    """
    return np.sinh(x)


@op(lambda g, x: g * sinh(x), ufunc=np.cosh, math=(r"\cosh x", r"g \sinh x"))
def cosh(x: NDArray, /) -> Any:
    """The hyperbolic cosine of each element.

    out = (e^x + e^-x) / 2.   Shape: same as x.
    >>> cosh(np.array([0.0]))
    array([1.])
    """
    return np.cosh(x)


@op(
    lambda g, out, x: g / (cosh(out) if is_complex(x) else sqrt(x * x + 1)),
    ufunc=np.arcsinh,
    math=(r"\operatorname{arsinh} x", r"\frac{g}{\sqrt{x^2 + 1}}"),
)
def asinh(x: NDArray, /) -> Any:
    """The value whose hyperbolic sine is each element.

    out = ln(x + sqrt(x^2 + 1)).   Shape: same as x.
    >>> asinh(np.array([0.0]))
    array([0.])
    """
    return np.arcsinh(x)


@op(
    lambda g, out, x: g / (sinh(out) if is_complex(x) else sqrt(x * x - 1)),
    domain=Domain(1.2, 4),
    ufunc=np.arccosh,
    math=(r"\operatorname{arcosh} x", r"\frac{g}{\sqrt{x^2 - 1}}"),
)
def acosh(x: NDArray, /) -> Any:
    """The value whose hyperbolic cosine is each element; nan below 1.

    out = ln(x + sqrt(x^2 - 1)); its derivative is infinite at 1.   Shape: same as x.
    >>> acosh(np.array([1.0]))
    array([0.])
    """
    return np.arccosh(x)


@op(
    lambda g, x: g / (1 - x * x),
    domain=INSIDE,
    ufunc=np.arctanh,
    math=(r"\operatorname{artanh} x", r"\frac{g}{1 - x^2}"),
)
def atanh(x: NDArray, /) -> Any:
    """The value whose hyperbolic tangent is each element; infinite at -1 and 1, nan outside.

    out = ln((1 + x) / (1 - x)) / 2.   Shape: same as x.
    >>> atanh(np.array([0.0]))
    array([0.])
    """
    return np.arctanh(x)


def _share_of_length(g: NDArray, out: NDArray, x: NDArray) -> NDArray:
    still = out == 0
    return g * where(still, 0, x / where(still, 1, out))


@op(
    lambda g, out, x: _share_of_length(g, out, x),
    lambda g, out, y: _share_of_length(g, out, y),
    domain=PLANE,
    cases=PAIR,
    kinks="0 at (0, 0)",
    ufunc=np.hypot,
    real=True,
    math=(r"\sqrt{x^2 + y^2}", r"\frac{g \, x}{\mathrm{out}}", r"\frac{g \, y}{\mathrm{out}}"),
)
def hypot(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The length of the point (x, y) of the plane, without overflow on the way.

    out = sqrt(x^2 + y^2).   Shapes broadcast together.
    >>> hypot(np.array([3.0]), 4.0)
    array([5.])
    """
    return np.hypot(x, y)


@op(
    lambda g: g * (np.pi / 180),
    ufunc=np.deg2rad,
    real=True,
    math=(r"\frac{\pi}{180} x", r"\frac{\pi}{180} g"),
)
def deg2rad(x: NDArray, /) -> Any:
    """Angles in degrees as angles in radians.

    out = x * pi / 180.   Shape: same as x.
    >>> deg2rad(np.array([0.0]))
    array([0.])
    """
    return np.deg2rad(x)


@op(
    lambda g: g * (180 / np.pi),
    ufunc=np.rad2deg,
    real=True,
    math=(r"\frac{180}{\pi} x", r"\frac{180}{\pi} g"),
)
def rad2deg(x: NDArray, /) -> Any:
    """Angles in radians as angles in degrees.

    out = x * 180 / pi.   Shape: same as x.
    >>> rad2deg(np.array([0.0]))
    array([0.])
    """
    return np.rad2deg(x)
