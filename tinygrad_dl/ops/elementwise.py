"""Operations on each element: arithmetic, exponentials, choices, casts, complex parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.convert import conjugated
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.typing import DTypeLike, NDArray, Scalar

POSITIVE = Domain(0.2, 3.0)
PAIR = (Case((2, 3), (2, 3)), Case((2, 1, 3), (4, 1)), Case((), (2,)), Case((0, 2), (2,)))

# Arithmetic


@op(lambda g: g, lambda g: g, cases=PAIR, label="+", ufunc=np.add, math=("x + y", "g", "g"))
def add(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The sum of two values, element by element.

    out = x + y.   Shapes broadcast together.
    >>> add(np.array([1, 2]), 3)
    array([4, 5])
    """
    return np.add(x, y)


@op(lambda g: g, lambda g: -g, cases=PAIR, label="-", ufunc=np.subtract, math=("x - y", "g", "-g"))
def subtract(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The difference of two values, element by element.

    out = x - y.   Shapes broadcast together.
    >>> subtract(np.array([1, 2]), 3)
    array([-2, -1])
    """
    return np.subtract(x, y)


@op(
    lambda g, y: g * y,
    lambda g, x: g * x,
    cases=PAIR,
    label="*",
    ufunc=np.multiply,
    math=(r"x \cdot y", r"g \cdot y", r"g \cdot x"),
)
def multiply(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The product of two values, element by element (for matrices see matmul).

    out = x * y.   Shapes broadcast together.
    >>> multiply(np.array([1, 2]), 3)
    array([3, 6])
    """
    return np.multiply(x, y)


@op(
    lambda g, y: g / y,
    lambda g, out, y: -g * out / y,
    domain=(Domain(), Domain(avoid=(0,), gap=0.4)),
    cases=PAIR,
    label="/",
    ufunc=np.divide,
    math=(r"\frac{x}{y}", r"\frac{g}{y}", r"-g \cdot \frac{x}{y^2}"),
)
def divide(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The quotient of two values, element by element.

    out = x / y.   Shapes broadcast together; integers give floats.
    >>> divide(np.array([1.0, 2.0]), 4)
    array([0.25, 0.5 ])
    """
    return np.divide(x, y)


@op(lambda g: -g, label="neg", ufunc=np.negative, math=("-x", "-g"))
def negative(x: NDArray, /) -> Any:
    """The value with the opposite sign.

    out = -x.   Shape: same as x.
    >>> negative(np.array([1, -2]))
    array([-1,  2])
    """
    return np.negative(x)


@op(lambda g: g, label="pos", ufunc=np.positive, math=("x", "g"))
def positive(x: NDArray, /) -> Any:
    """The value itself, as a copy.

    out = x.   Shape: same as x.
    >>> positive(np.array([1, -2]))
    array([ 1, -2])
    """
    return np.positive(x)


def is_complex(x: Any) -> bool:
    """Whether an array, a Tensor or a number is complex."""
    return x.dtype.kind == "c" if hasattr(x, "dtype") else isinstance(x, complex)


def _derivative_of_power(g: NDArray, x: NDArray, y: NDArray | complex) -> Any:
    if isinstance(y, (int, float, complex)):
        return g * (2 * x if y == 2 else y * x ** (y - 1) if y != 0 else 0)
    # y * x**(y-1), which is 0 and not 0 * inf where the exponent is 0
    return where(y == 0, 0, g * y * x ** where(y == 0, 1, y - 1))


def _derivative_in_exponent(g: NDArray, out: NDArray, x: NDArray, y: Any) -> Any:
    # 0**y does not change with y >= 0; log(0) must not make that 0 * -inf
    still = (x == 0) & (y >= 0) & (y == y.real)
    return where(
        still, 0, g * out * log(where(still, 1, x + 0 * y if is_complex(y) and not is_complex(x) else x))
    )


def _power_hint(x: Any, y: Any) -> str | None:
    kinds = [x.dtype.kind if hasattr(x, "dtype") else "i" if isinstance(x, int) else "f" for x in (x, y)]
    if kinds != ["i", "i"]:
        return None
    return "an integer to a negative power is not an integer. Make one of them floating first, such as x ** -1.0."


@op(
    _derivative_of_power,
    _derivative_in_exponent,
    domain=(POSITIVE, Domain()),
    cases=(*PAIR, Case((3,), 2), Case((3,), 0), Case((3,), -1.5)),
    kinks="x**0 has derivative 0 everywhere, 0**y has derivative 0 in y for y >= 0",
    label="**",
    hint=_power_hint,
    ufunc=np.power,
    math=("x^y", r"g \cdot y \, x^{y-1}", r"g \cdot x^y \ln x"),
)
def power(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The first value to the power of the second, element by element.

    out = x ** y.   Shapes broadcast together.
    >>> power(np.array([1.0, 2.0]), 3)
    array([1., 8.])
    """
    fast_square: Any = x  # the operator has one
    return fast_square**y if type(y) is int and y == 2 else np.power(x, y)


@op(lambda g, x: 2 * g * x, ufunc=np.square, math=("x^2", "2 g x"))
def square(x: NDArray, /) -> Any:
    """The square of each element.

    out = x * x.   Shape: same as x.
    >>> square(np.array([1, -2]))
    array([1, 4])
    """
    return np.square(x)


@op(lambda g, out: g / (2 * out), domain=POSITIVE, ufunc=np.sqrt, math=(r"\sqrt{x}", r"\frac{g}{2 \sqrt{x}}"))
def sqrt(x: NDArray, /) -> Any:
    """The square root of each element.

    out = x ** 0.5; its derivative is infinite at 0.   Shape: same as x.
    >>> sqrt(np.array([4.0, 9.0]))
    array([2., 3.])
    """
    return np.sqrt(x)


@op(
    lambda g, x: g * conjugated(sign(x)),
    domain=Domain(avoid=(0,)),
    kinks="0 at 0",
    label="abs",
    ufunc=np.absolute,
    math=(r"\lvert x \rvert", r"g \cdot \operatorname{sign}(x)"),
)
def abs(x: NDArray, /) -> Any:
    """The absolute value of each element.

    out = max(x, -x); of a complex x its length, sqrt(real(x)^2 + imag(x)^2).   Shape: same as x, real.
    >>> abs(np.array([1, -2]))
    array([1, 2])
    """
    return np.absolute(x)


def _derivative_of_sign(g: NDArray, out: NDArray, x: NDArray) -> Any:
    if not is_complex(x):
        return g * 0
    # x moves on the unit circle: what goes along out, its radius, does not count
    length = abs(x)
    return where(length == 0, 0, (g - real(g * out) * conj(out)) / where(length == 0, 1, length))


@op(
    _derivative_of_sign,
    domain=Domain(avoid=(0,)),
    kinks="0 everywhere for real x; for complex x 0 at 0",
    jvp="transposed",
    ufunc=np.sign,
    math=(r"\frac{x}{\lvert x \rvert}", "0"),
)
def sign(x: NDArray, /) -> Any:
    """The sign of each element: -1, 0 or 1, or a complex number of length 1; nan stays nan.

    out = x / |x|, 0 at 0.   Shape: same as x.
    >>> sign(np.array([3.0, -2.0, 0.0]))
    array([ 1., -1.,  0.])
    """
    return np.sign(x)


# Exponentials


@op(lambda g, out: g * out, ufunc=np.exp, math=("e^x", r"g \cdot e^x"))
def exp(x: NDArray, /) -> Any:
    """The exponential function of each element.

    out = e ** x.   Shape: same as x.
    >>> exp(np.array([0.0]))
    array([1.])
    """
    return np.exp(x)


@op(lambda g, x: g / x, domain=POSITIVE, ufunc=np.log, math=(r"\ln x", r"\frac{g}{x}"))
def log(x: NDArray, /) -> Any:
    """The natural logarithm of each element.

    out = ln(x), -inf at 0, nan below.   Shape: same as x.
    >>> log(np.array([1.0]))
    array([0.])
    """
    return np.log(x)


# Kinks and choices


def _share(chosen: NDArray, tied: NDArray) -> NDArray:
    return where(tied, 0.5, where(chosen, 1, 0))


@op(
    lambda g, x, y: g * _share(x > y, x == y),
    lambda g, x, y: g * _share(y > x, x == y),
    domain=(Domain(-2, 2), Domain(2.1, 5)),
    cases=PAIR,
    kinks="ties share the gradient evenly",
    ufunc=np.maximum,
    math=(r"\max(x, y)", r"g \cdot [x > y]", r"g \cdot [y > x]"),
)
def maximum(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The larger of two values, element by element; nan if one is nan.

    out = max(x, y).   Shapes broadcast together.
    >>> maximum(np.array([1, 5]), 3)
    array([3, 5])
    """
    return np.maximum(x, y)


@op(
    lambda g, x, y: g * _share(x < y, x == y),
    lambda g, x, y: g * _share(y < x, x == y),
    domain=(Domain(-2, 2), Domain(2.1, 5)),
    cases=PAIR,
    kinks="ties share the gradient evenly",
    ufunc=np.minimum,
    math=(r"\min(x, y)", r"g \cdot [x < y]", r"g \cdot [y < x]"),
)
def minimum(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The smaller of two values, element by element; nan if one is nan.

    out = min(x, y).   Shapes broadcast together.
    >>> minimum(np.array([1, 5]), 3)
    array([1, 3])
    """
    return np.minimum(x, y)


@op(
    None,
    lambda g, condition: where(condition, g, 0),
    lambda g, condition: where(condition, 0, g),
    cases=(
        Case(np.array([True, False, True]), (3,), (2, 3)),
        Case(np.array([[True], [False]]), (3,), ()),
    ),
    elementwise=True,
    math=(
        r"\begin{cases} x & \text{if condition} \\ y & \text{else} \end{cases}",
        "",
        r"g \cdot [\text{condition}]",
        r"g \cdot [\text{not condition}]",
    ),
)
def where(condition: NDArray, x: NDArray, y: NDArray, /) -> Any:
    """The first value where the condition holds, the second elsewhere.

    out = x if condition else y.   Shapes broadcast together. A nan in the derivative of the branch not taken
    still propagates (0 * nan); where_safe avoids it.
    >>> where(np.array([True, False]), 1, 2)
    array([1, 2])
    """
    return np.where(condition, x, y)


@op(
    lambda g, x_dtype: astype(g if x_dtype.kind == "c" else g.real, x_dtype),
    cases=(Case((2, 3), "float64"),),
    elementwise=True,
    math=("x", "g"),
)
def astype(x: NDArray, dtype: DTypeLike, /, *, copy: bool = True, device: str | None = None) -> Any:
    """The values converted to another dtype; the gradient is converted back.

    Shape: same as x. Complex to real raises DTypeError.
    >>> astype(np.array([1.5]), "int64")
    array([1])
    """
    if device not in (None, "cpu"):
        raise ValueRangeError(f'astype: expected device "cpu", the only one, got {device!r}')
    if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
        raise DTypeError(f"astype: complex values do not fit {np.dtype(dtype)}; take the real part first")
    return x.astype(dtype, copy=copy)


# Complex values. In a rule g is the coefficient in dL = Re(g dout): see backward.py


@op(lambda g: conjugated(g), ufunc=np.conjugate, jvp="linear", math=(r"\overline{x}", r"\overline{g}"))
def conj(x: NDArray, /) -> Any:
    """The complex conjugate of each element; a real one as it is.

    out = real(x) - i * imag(x).   Shape: same as x.
    >>> conj(np.array([1 + 2j]))
    array([1.-2.j])
    """
    return np.conjugate(x)


@op(lambda g: g, elementwise=True, jvp="linear", math=(r"\operatorname{Re} x", "g"))
def real(x: NDArray, /) -> Any:
    """The real part of each element.

    out = (x + conj(x)) / 2.   Shape: same as x.
    >>> real(np.array([1 + 2j]))
    array([1.])
    """
    return np.real(x)


@op(
    lambda g, x_dtype: g * (-1j if x_dtype.kind == "c" else 0),
    elementwise=True,
    jvp="linear",
    math=(r"\operatorname{Im} x", r"-i \, g"),
)
def imag(x: NDArray, /) -> Any:
    """The imaginary part of each element; 0 for a real one.

    out = (x - conj(x)) / 2i.   Shape: same as x.
    >>> imag(np.array([1 + 2j]))
    array([2.])
    """
    return np.imag(x)


@op(
    lambda g, x: where(x == 0, 0, -1j * g / where(x == 0, 1, x)) if is_complex(x) else g * 0,
    domain=Domain(avoid=(0,)),
    kinks="0 at 0, and everywhere for real x",
    elementwise=True,
    math=(r"\operatorname{atan2}(\operatorname{Im} x, \operatorname{Re} x)", r"-i \, \frac{g}{\overline{x}}"),
)
def angle(x: NDArray, /) -> Any:
    """The angle of each element in the complex plane, in radians.

    out = atan2(imag(x), real(x)), in [-pi, pi]; it jumps where x crosses the negative numbers.   Shape: same as x.
    >>> angle(np.array([1j, 1.0]))
    array([1.57079633, 0.        ])
    """
    return np.angle(x)
