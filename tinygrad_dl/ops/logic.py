"""Comparisons, logic, bits and remainders: what is not differentiable, or only in part."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.elementwise import PAIR
from tinygrad_dl.typing import NDArray, Scalar


def _bits_hint(*inputs: Any) -> str:
    dtypes = " and ".join(str(x.dtype) if hasattr(x, "dtype") else type(x).__name__ for x in inputs)
    return (
        f"expected integers or booleans, got {dtypes}. Convert them with astype, or compare for a mask first?"
    )


INTEGERS = (Case(np.array([6, 3]), np.array([3, 1])),)


@op(None, None, cases=PAIR, label="==", ufunc=np.equal)
def equal(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether two values are equal, element by element.

    out = x == y, boolean.   Shapes broadcast together.
    >>> equal(np.array([1, 2]), 2)
    array([False,  True])
    """
    return np.equal(x, y)


@op(None, None, cases=PAIR, label="!=", ufunc=np.not_equal)
def not_equal(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether two values differ, element by element.

    out = x != y, boolean.   Shapes broadcast together.
    >>> not_equal(np.array([1, 2]), 2)
    array([ True, False])
    """
    return np.not_equal(x, y)


@op(None, None, cases=PAIR, label="<", ufunc=np.less)
def less(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether the first value is smaller, element by element.

    out = x < y, boolean.   Shapes broadcast together.
    >>> less(np.array([1, 2]), 2)
    array([ True, False])
    """
    return np.less(x, y)


@op(None, None, cases=PAIR, label="<=", ufunc=np.less_equal)
def less_equal(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether the first value is smaller or equal, element by element.

    out = x <= y, boolean.   Shapes broadcast together.
    >>> less_equal(np.array([1, 2]), 2)
    array([ True,  True])
    """
    return np.less_equal(x, y)


@op(None, None, cases=PAIR, label=">", ufunc=np.greater)
def greater(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether the first value is larger, element by element.

    out = x > y, boolean.   Shapes broadcast together.
    >>> greater(np.array([1, 2]), 2)
    array([False, False])
    """
    return np.greater(x, y)


@op(None, None, cases=PAIR, label=">=", ufunc=np.greater_equal)
def greater_equal(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether the first value is larger or equal, element by element.

    out = x >= y, boolean.   Shapes broadcast together.
    >>> greater_equal(np.array([1, 2]), 2)
    array([False,  True])
    """
    return np.greater_equal(x, y)


@op(None, None, cases=INTEGERS, label="&", hint=_bits_hint, ufunc=np.bitwise_and)
def bitwise_and(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The bits set in both, element by element, of integers or booleans.

    out = x & y.   Shapes broadcast together.
    >>> bitwise_and(np.array([6, 3]), 1)
    array([0, 1])
    """
    return np.bitwise_and(x, y)


@op(None, None, cases=INTEGERS, label="|", hint=_bits_hint, ufunc=np.bitwise_or)
def bitwise_or(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The bits set in either, element by element, of integers or booleans.

    out = x | y.   Shapes broadcast together.
    >>> bitwise_or(np.array([6, 3]), 1)
    array([7, 3])
    """
    return np.bitwise_or(x, y)


@op(None, None, cases=INTEGERS, label="^", hint=_bits_hint, ufunc=np.bitwise_xor)
def bitwise_xor(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The bits set in one of two, element by element, of integers or booleans.

    out = x ^ y.   Shapes broadcast together.
    >>> bitwise_xor(np.array([6, 3]), 1)
    array([7, 2])
    """
    return np.bitwise_xor(x, y)


@op(None, None, cases=INTEGERS, label="<<", hint=_bits_hint, ufunc=np.bitwise_left_shift)
def bitwise_left_shift(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The bits moved to the left, element by element, of integers.

    out = x << y.   Shapes broadcast together.
    >>> bitwise_left_shift(np.array([6, 3]), 1)
    array([12,  6])
    """
    return np.bitwise_left_shift(x, y)


@op(None, None, cases=INTEGERS, label=">>", hint=_bits_hint, ufunc=np.bitwise_right_shift)
def bitwise_right_shift(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The bits moved to the right, element by element, of integers.

    out = x >> y.   Shapes broadcast together.
    >>> bitwise_right_shift(np.array([6, 3]), 1)
    array([3, 1])
    """
    return np.bitwise_right_shift(x, y)


@op(None, cases=(Case(np.array([6, 3])),), label="~", hint=_bits_hint, ufunc=np.bitwise_invert)
def bitwise_invert(x: NDArray, /) -> Any:
    """Every bit inverted, of integers or booleans.

    out = ~x.   Shape: same as x.
    >>> bitwise_invert(np.array([6, 3]))
    array([-7, -4])
    """
    return np.bitwise_invert(x)


@op(
    lambda g: g * 0,
    lambda g: g * 0,
    domain=(Domain(0.1, 0.9), Domain(1, 3)),
    cases=PAIR,
    kinks="0 everywhere",
    label="//",
    ufunc=np.floor_divide,
    real=True,
    math=(r"\lfloor \frac{x}{y} \rfloor", "0", "0"),
)
def floor_divide(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The largest integer not above the quotient, element by element.

    out = floor(x / y).   Shapes broadcast together.
    >>> floor_divide(np.array([7, -7]), 2)
    array([ 3, -4])
    """
    return np.floor_divide(x, y)


@op(
    lambda g: g,
    lambda g, x, y: -g * (x // y),
    domain=(Domain(3.1, 3.9), Domain(1.1, 1.5)),
    cases=PAIR,
    kinks="at multiples of y the derivative of the smooth part is taken",
    label="%",
    ufunc=np.remainder,
    real=True,
    math=(r"x - y \lfloor \frac{x}{y} \rfloor", "g", r"-g \lfloor \frac{x}{y} \rfloor"),
)
def remainder(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """What a division leaves, with the sign of the divisor, element by element.

    out = x - floor(x / y) * y.   Shapes broadcast together.
    >>> remainder(np.array([7, -7]), 3)
    array([1, 2])
    """
    return np.remainder(x, y)


BOOLEANS = (
    Case(np.array([True, False]), np.array([True, True])),
    Case(np.array([[2.0], [0.0]]), np.array([0.0, 1.0])),
)


@op(None, None, cases=BOOLEANS, ufunc=np.logical_and)
def logical_and(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether both values are true, that is, not 0, element by element.

    out = x and y, boolean.   Shapes broadcast together.
    >>> logical_and(np.array([True, False]), True)
    array([ True, False])
    """
    return np.logical_and(x, y)


@op(None, None, cases=BOOLEANS, ufunc=np.logical_or)
def logical_or(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether at least one value is true, that is, not 0, element by element.

    out = x or y, boolean.   Shapes broadcast together.
    >>> logical_or(np.array([True, False]), False)
    array([ True, False])
    """
    return np.logical_or(x, y)


@op(None, None, cases=BOOLEANS, ufunc=np.logical_xor)
def logical_xor(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """Whether exactly one value is true, that is, not 0, element by element.

    out = x != y as booleans.   Shapes broadcast together.
    >>> logical_xor(np.array([True, False]), True)
    array([False,  True])
    """
    return np.logical_xor(x, y)


@op(None, cases=(Case(np.array([True, False])), Case(np.array([2.0, 0.0]))), ufunc=np.logical_not)
def logical_not(x: NDArray, /) -> Any:
    """Whether each element is false, that is, 0.

    out = not x, boolean.   Shape: same as x.
    >>> logical_not(np.array([True, False]))
    array([False,  True])
    """
    return np.logical_not(x)


@op(None, ufunc=np.isnan)
def isnan(x: NDArray, /) -> Any:
    """Whether each element is nan, not a number.

    out = x != x.   Shape: same as x.
    >>> isnan(np.array([1.0, np.nan]))
    array([False,  True])
    """
    return np.isnan(x)


@op(None, ufunc=np.isinf)
def isinf(x: NDArray, /) -> Any:
    """Whether each element is infinite, of either sign.

    out = |x| == inf.   Shape: same as x.
    >>> isinf(np.array([1.0, -np.inf]))
    array([False,  True])
    """
    return np.isinf(x)


@op(None, ufunc=np.isfinite)
def isfinite(x: NDArray, /) -> Any:
    """Whether each element is a number: neither nan nor infinite.

    out = |x| < inf.   Shape: same as x.
    >>> isfinite(np.array([1.0, np.nan, np.inf]))
    array([ True, False, False])
    """
    return np.isfinite(x)


@op(
    None,
    None,
    None,
    None,
    cases=(
        Case((2, 3), (2, 3), 1e-5, 1e-8), Case((2, 3), (3,), (3,), 0.1),
        Case(np.array([1.0, np.nan]), np.array([1.0, np.nan]), 1e-5, 1e-8, equal_nan=True),
    ),
    elementwise=True,
)  # fmt: skip
def isclose(
    x: NDArray | Scalar,
    y: NDArray | Scalar,
    /,
    rtol: NDArray | Scalar = 1e-5,
    atol: NDArray | Scalar = 1e-8,
    equal_nan: bool = False,
) -> Any:
    """Whether two values are equal within a tolerance, element by element.

    out = |x - y| <= atol + rtol * |y|.   Shapes broadcast together, those of rtol and atol too.
    >>> isclose(np.array([1.0, 2.0]), 1.000001)
    array([ True, False])
    """
    return np.isclose(x, y, rtol, atol, equal_nan)


@op(
    None,
    None,
    cases=(
        Case(np.array([[1, 2], [3, 4]]), np.array([2, 4])),
        Case(np.array([1]), np.array([1]), invert=True),
    ),
    batch=lambda call: call.run(*call.inputs) if not call.batched[1] else None,
)
def isin(x: NDArray, values: NDArray, /, *, invert: bool = False) -> Any:
    """Whether each element is one of the values; with `invert` whether it is none of them.

    out = x == values_1 or ... or x == values_n.   Shape: same as x.
    >>> isin(np.array([1, 2, 3]), np.array([2, 3]))
    array([False,  True,  True])
    """
    return np.isin(x, values, invert=invert)
