"""Functions of each element: tables of names, and PyTorch's promotion of dtypes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl.nn import functional as F
from tinygrad_dl.ops import elementwise as ops
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import special_functions as special
from tinygrad_dl.torch.boundary import computed, wrapped
from tinygrad_dl.torch.dtypes import numpy_of
from tinygrad_dl.torch.registry import METHODS, TORCH, as_tensor, enter, floating, promoted, public

# torch's names -> the core's, of functions of one real or complex number
FLOATING = {
    "acos": "acos",
    "acosh": "acosh",
    "asin": "asin",
    "asinh": "asinh",
    "atan": "atan",
    "atanh": "atanh",
    "cos": "cos",
    "cosh": "cosh",
    "erf": "erf",
    "exp": "exp",
    "exp2": "exp2",
    "expm1": "expm1",
    "log": "log",
    "log10": "log10",
    "log1p": "log1p",
    "log2": "log2",
    "reciprocal": "reciprocal",
    "sigmoid": "sigmoid",
    "sin": "sin",
    "sinh": "sinh",
    "sqrt": "sqrt",
    "tan": "tan",
    "tanh": "tanh",
    "deg2rad": "deg2rad",
    "rad2deg": "rad2deg",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctanh": "atanh",
    "special_expit": "sigmoid",
}
# of one number of any dtype, which it keeps
KEEPING = {
    "abs": "abs",
    "absolute": "abs",
    "negative": "negative",
    "neg": "negative",
    "square": "square",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "fix": "trunc",
    "relu": "relu",
    "bitwise_not": "bitwise_invert",
    "sgn": "sign",
    "sign": "sign",
}
TESTS = {
    "isnan": "isnan",
    "isinf": "isinf",
    "isfinite": "isfinite",
    "signbit": "signbit",
    "logical_not": "logical_not",
}
# of two numbers, promoted
BINARY = {
    "mul": "multiply",
    "multiply": "multiply",
    "maximum": "maximum",
    "minimum": "minimum",
    "bitwise_and": "bitwise_and",
    "bitwise_or": "bitwise_or",
    "bitwise_xor": "bitwise_xor",
    "bitwise_left_shift": "bitwise_left_shift",
    "bitwise_right_shift": "bitwise_right_shift",
    "remainder": "remainder",
    "hypot": "hypot",
    "nextafter": "nextafter",
    "floor_divide": "floor_divide",
    "logaddexp": "logaddexp",
}
COMPARING = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "not_equal": "not_equal",
    "less": "less",
    "less_equal": "less_equal",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
}
BINARY_FLOATING = {"atan2": "atan2", "arctan2": "atan2", "copysign": "copysign"}


def _float(name: str) -> Any:
    core = getattr(tg, name)
    return lambda input: core(floating(input))


def _keep(name: str) -> Any:
    core = getattr(tg, name)
    return lambda input: core(as_tensor(input))


def _two(name: str, kind: str) -> Any:
    core = getattr(tg, name)

    def binary(input: Any, other: Any) -> Any:
        a, b = promoted(input, other)
        if kind == "floating":
            a, b = (floating(x) if isinstance(x, Value) else x for x in (a, b))
        elif kind == "comparing" and isinstance(a, Value) and isinstance(b, Value) and "logical" in name:
            a, b = as_tensor(input), as_tensor(other)
        return core(a, b)

    return binary


for _theirs, _ours in FLOATING.items():
    enter(_theirs, _float(_ours), in_place=True)
for _theirs, _ours in {**KEEPING, **TESTS}.items():
    enter(_theirs, _keep(_ours), in_place=True)
for _table, _how in ((BINARY, ""), (COMPARING, "comparing"), (BINARY_FLOATING, "floating")):
    for _theirs, _ours in _table.items():
        enter(_theirs, _two(_ours, _how), in_place=True)


@public(in_place=True)
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input + alpha * other."""
    a, b = promoted(input, other if alpha == 1 else mul_core(other, alpha))
    if isinstance(a, Value) and a.dtype.kind == "b":
        return tg.logical_or(a, b)
    return tg.add(a, b)


def mul_core(x: Any, y: Any) -> Any:
    """The product, promoted."""
    a, b = promoted(x, y)
    return tg.multiply(a, b)


@public(in_place=True, aliases=("subtract",))
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input - alpha * other."""
    a, b = promoted(input, other if alpha == 1 else mul_core(other, alpha))
    if any(isinstance(x, Value) and x.dtype.kind == "b" for x in (a, b)):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
            "use the `~` or `logical_not()` operator instead."
        )
    return tg.subtract(a, b)


@public(in_place=True)
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha * input."""
    b, a = promoted(input if alpha == 1 else mul_core(input, alpha), other)
    return tg.subtract(a, b)


@public(in_place=True, aliases=("divide",))
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other, rounded down ("floor") or towards 0 ("trunc")."""
    a, b = promoted(input, other)
    if rounding_mode == "floor":
        return tg.floor_divide(a, b)
    if rounding_mode == "trunc":
        if isinstance(a, Value) and a.dtype.kind in "iu":
            quotient = tg.divide(tg.astype(a, np.float64), b)
            return tg.astype(tg.trunc(quotient), a.dtype)
        return tg.trunc(tg.divide(a, b))
    if rounding_mode is not None:
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
        )
    a, b = (floating(x) if isinstance(x, Value) else x for x in (a, b))
    return tg.divide(a, b)


@public(in_place=True)
def true_divide(input: Any, other: Any) -> Any:
    """input / other."""
    a, b = (floating(x) if isinstance(x, Value) else x for x in promoted(input, other))
    return tg.divide(a, b)


@public(in_place=True, aliases=("pow",))
def power(input: Any, exponent: Any) -> Any:
    """input ** exponent."""
    a, b = promoted(input, exponent)
    if isinstance(a, Value) and a.dtype.kind in "iu" and isinstance(b, int) and b < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return tg.power(a, b)


@public(in_place=True)
def float_power(input: Any, exponent: Any) -> Any:
    """input ** exponent in float64."""
    a, b = (
        tg.astype(x, np.result_type(x.dtype, np.float64)) if isinstance(x, Value) else x
        for x in (as_tensor(input), as_tensor(exponent))
    )
    return tg.power(a, b)


@public(in_place=True)
def fmod(input: Any, other: Any) -> Any:
    """The remainder with the sign of the dividend."""
    a, b = promoted(input, other)
    if isinstance(a, Value) and a.dtype.kind in "iu":
        return wrapped(np.fmod(a._data, b._data if isinstance(b, Value) else b))
    return a - tg.trunc(tg.divide(a, b)) * b


@public(in_place=True)
def frac(input: Any) -> Any:
    """The part behind the point."""
    return input - tg.trunc(input).detach()


@public(in_place=True)
def rsqrt(input: Any) -> Any:
    """1 / sqrt(input)."""
    return tg.reciprocal(tg.sqrt(floating(input)))


@public(in_place=True)
def round_(input: Any, *, decimals: int = 0) -> Any:
    """The nearest integer, halves to the even one."""
    return tg.round(input, decimals)


@public(in_place=True, aliases=("clip",))
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Each element held between two limits."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    given = [x for x in (input, min, max) if x is not None]
    found = iter(promoted(*given))
    x = next(found)
    low = next(found) if min is not None else None
    high = next(found) if max is not None else None
    if isinstance(low, Value) or isinstance(high, Value):
        x = x if low is None else tg.where(tg.less(x, low), low, x)
        return x if high is None else tg.where(tg.greater(x, high), high, x)
    if low is not None and high is not None and low > high:
        return tg.where(tg.isnan(x), x, x * 0 + high)
    return tg.clip(x, low, high)


@public(in_place=True)
def clamp_min(input: Any, min: Any) -> Any:
    """Each element, at least `min`."""
    return clamp.core(input, min, None)


@public(in_place=True)
def clamp_max(input: Any, max: Any) -> Any:
    """Each element, at most `max`."""
    return clamp.core(input, None, max)


@public(method=False)
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where the condition holds, other elsewhere; with the condition alone its true positions."""
    if input is None and other is None:
        return tuple(wrapped(i) for i in np.nonzero(condition._data))
    a, b = promoted(input, other)
    if condition.dtype.kind == "u":
        condition = tg.astype(condition, "bool")
    return tg.where(condition, a, b)


@public(torch=False)
def where_method(self: Any, condition: Any, other: Any) -> Any:
    """self where the condition holds, other elsewhere."""
    return where.core(condition, self, other)


@public(in_place=True)
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight * (end - input)."""
    return input + weight * (end - input)


@public(in_place=True)
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value * tensor1 * tensor2."""
    return add.core(input, mul_core(mul_core(tensor1, tensor2), value))


@public(in_place=True)
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value * tensor1 / tensor2."""
    return add.core(input, mul_core(div.core(tensor1, tensor2), value))


@public
def logaddexp2(input: Any, other: Any) -> Any:
    """log2(2 ** input + 2 ** other)."""
    return tg.logaddexp(input * math.log(2), other * math.log(2)) / math.log(2)


@public(in_place=True, aliases=("special_xlogy",))
def xlogy(input: Any, other: Any) -> Any:
    """input * log(other), 0 where input is 0."""
    a, b = promoted(input, other)
    a, b = floating(a), floating(b) if isinstance(b, Value) else b
    # Where the logarithm is finite it stays, as it is the slope in a at 0; nan stays nan.
    zero = tg.logical_and(tg.equal(a, 0), tg.less_equal(b if isinstance(b, Value) else wrapped(b), 0))
    safe = tg.where(zero, 1.0, b)
    return a * tg.log(floating(safe))


@public(in_place=True, aliases=("special_logit",))
def logit(input: Any, eps: float | None = None) -> Any:
    """log(x / (1 - x)), x held in [eps, 1 - eps]."""
    x = floating(input)
    x = x if eps is None else tg.clip(x, eps, 1 - eps)
    inside = tg.logical_and(tg.greater_equal(x, 0), tg.less_equal(x, 1))
    kept = tg.where(inside, x, 0.5)
    outside = tg.where(inside, 1.0, math.nan)  # not nan everywhere, as 0 * nan would reach every gradient
    return tg.where(inside, tg.log(kept) - tg.log(1 - kept), x * outside)


@public(in_place=True)
def nan_to_num(input: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Numbers in the place of nan and the infinities."""
    if input.dtype.kind not in "fc":
        return input
    limits = np.finfo(input.dtype)
    x = tg.where(tg.isnan(input), 0.0 if nan is None else nan, input)
    x = tg.where(tg.equal(input, math.inf), float(limits.max) if posinf is None else posinf, x)
    return tg.where(tg.equal(input, -math.inf), float(limits.min) if neginf is None else neginf, x)


@public(in_place=True)
def heaviside(input: Any, values: Any) -> Any:
    """0 below 0, 1 above, `values` at 0."""
    return wrapped(np.heaviside(input._data, values._data).astype(input.dtype))


@public
def isposinf(input: Any) -> Any:
    """Whether each element is +inf."""
    return tg.equal(input, math.inf)


@public
def isneginf(input: Any) -> Any:
    """Whether each element is -inf."""
    return tg.equal(input, -math.inf)


@public
def isreal(input: Any) -> Any:
    """Whether the imaginary part is 0."""
    return wrapped(np.isreal(input._data))


@public
def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether |input - other| <= atol + rtol * |other|."""
    return wrapped(np.isclose(input._data, other._data, rtol, atol, equal_nan))


@public
def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close."""
    computed("allclose")
    return bool(np.isclose(input._data, other._data, rtol, atol, equal_nan).all())


@public
def equal(input: Any, other: Any) -> bool:
    """Whether shapes and elements are equal."""
    computed("equal")
    return bool(input.shape == other.shape and (input._data == other._data).all())


@public(in_place=True)
def gcd(input: Any, other: Any) -> Any:
    """The greatest common divisor."""
    a, b = promoted(input, other)
    return wrapped(np.gcd(a._data, b._data))


@public(in_place=True)
def lcm(input: Any, other: Any) -> Any:
    """The least common multiple."""
    a, b = promoted(input, other)
    return wrapped(np.lcm(a._data, b._data))


@public(in_place=True)
def ldexp(input: Any, other: Any) -> Any:
    """input * 2 ** other."""
    return mul_core(input, tg.power(2.0, floating(other)))


@public
def frexp(input: Any) -> Any:
    """Mantissa in [0.5, 1) and exponent."""
    _, exponent = np.frexp(input._data)
    return input / np.ldexp(np.ones_like(input._data), exponent), wrapped(exponent.astype(np.int32))


@public
def fmax(input: Any, other: Any) -> Any:
    """The larger element; a nan counts only where both are."""
    a, b = promoted(input, other)
    return tg.where(tg.logical_or(tg.greater_equal(a, b), tg.isnan(b)), a, b)


@public
def fmin(input: Any, other: Any) -> Any:
    """The smaller element; a nan counts only where both are."""
    a, b = promoted(input, other)
    return tg.where(tg.logical_or(tg.less_equal(a, b), tg.isnan(b)), a, b)


@public(in_place=True, aliases=("special_sinc",))
def sinc(input: Any) -> Any:
    """sin(pi x) / (pi x), 1 at 0."""
    x = floating(input) * math.pi
    zero = tg.equal(x, 0)
    safe = tg.where(zero, 1.0, x)
    return tg.where(zero, 1 - x * x / 6, tg.sin(safe) / safe)


# Functions that the core does not have: special_functions.py


def _special(f: Any) -> Any:
    return lambda input: f(floating(input))


def _special_of_two(f: Any) -> Any:
    def call(input: Any, other: Any) -> Any:
        a, b = promoted(input, other)
        return f(*(floating(x) if isinstance(x, Value) else x for x in (a, b)))

    return call


for _name, _aliases in (
    ("lgamma", ("special_gammaln",)),
    ("digamma", ("special_digamma", "special_psi")),
    ("erfinv", ("special_erfinv",)),
    ("erfc", ("special_erfc",)),
    ("i0", ("special_i0",)),
):
    enter(_name, _special(getattr(special, _name)), in_place=True, aliases=_aliases)
for _name in ("entr", "erfcx", "i0e", "i1", "i1e", "log_ndtr", "ndtr", "ndtri"):
    enter(f"special_{_name}", _special(getattr(special, _name)), method=False)
for _name, _function in special.PLAIN.items():
    enter(f"special_{_name}", _special(_function), method=False)
for _name, _function in special.PLAIN_OF_TWO.items():
    enter(f"special_{_name}", _special_of_two(_function), method=False)
for _name, _function in (("modified_bessel_i0", special.i0), ("modified_bessel_i1", special.i1)):
    enter(f"special_{_name}", _special(lambda x, f=_function: f(x.detach())), method=False)
enter("special_zeta", _special_of_two(special.zeta), method=False)
enter("igamma", _special_of_two(special.gammainc), in_place=True, aliases=("special_gammainc",))
enter("igammac", _special_of_two(special.gammaincc), in_place=True, aliases=("special_gammaincc",))


@public(method=False)
def special_xlog1py(input: Any, other: Any) -> Any:
    """input * log1p(other), 0 where input is 0."""
    a, b = promoted(input, other)
    a, b = floating(a), floating(b) if isinstance(b, Value) else b
    zero = tg.logical_and(tg.equal(a, 0), tg.less_equal(b if isinstance(b, Value) else wrapped(b), -1))
    return a * tg.log1p(floating(tg.where(zero, 0.0, b)))


@public(method=False, aliases=("special_polygamma",))
def polygamma(n: int, input: Any) -> Any:
    """The n-th derivative of digamma."""
    if isinstance(n, Value):
        n, input = input, n
    return special.polygamma(int(n), floating(input))


@public(torch=False)
def polygamma_method(self: Any, n: int) -> Any:
    """The n-th derivative of digamma."""
    return special.polygamma(n, floating(self))


@public(in_place=True, aliases=("special_multigammaln",))
def mvlgamma(input: Any, p: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension p."""
    x = floating(input)
    parts = [special.lgamma(x - i / 2) for i in range(p)]
    return sum(parts[1:], parts[0]) + p * (p - 1) / 4 * math.log(math.pi)


@public(method=False)
def complex_(real: Any, imag: Any) -> Any:
    """Complex numbers of their parts."""
    return real + imag * 1j


@public(method=False)
def polar(abs: Any, angle: Any) -> Any:
    """Complex numbers of absolute values and angles."""
    return abs * tg.cos(angle) + (abs * tg.sin(angle)) * 1j


@public(in_place=True, lazy=True)
def conj(input: Any) -> Any:
    """The complex conjugate."""
    return tg.conj(input) if input.dtype.kind == "c" else input


# conjugation is computed at once here
enter("conj_physical", conj.core)
enter("resolve_neg", lambda input: input)


def resolve_conj(input: Any) -> Any:
    """The Tensor, of a conjugate a copy, which may be written to."""
    return input if input._stands_for is None else input.clone()


TORCH["resolve_conj"] = METHODS["resolve_conj"] = resolve_conj


@public(view=True)
def real(input: Any) -> Any:
    """The real part."""
    return tg.real(input) if input.dtype.kind == "c" else input


@public(view=True)
def imag(input: Any) -> Any:
    """The imaginary part."""
    if input.dtype.kind != "c":
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return tg.imag(input)


@public
def angle(input: Any) -> Any:
    """The angle of each number."""
    return tg.angle(floating(input))


@public(view=True)
def view_as_real(input: Any) -> Any:
    """Complex numbers as pairs along a last axis."""
    if input.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    out = tg.stack([tg.real(input), tg.imag(input)], axis=-1)
    if input.level is None:  # a view, which writing to reaches
        out._data = input._data[..., None].view(out._data.dtype)
    return out


@public(view=True, lazy=True)  # of float16, for which NumPy has no complex dtype, computed
def view_as_complex(input: Any) -> Any:
    """Pairs along the last axis as complex numbers."""
    if input.dtype.kind != "f":
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{input.dtype}"
        )
    if not input.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    out = input[..., 0] + input[..., 1] * 1j
    if input.level is None and out.dtype.itemsize == 2 * input.dtype.itemsize:
        data = input._data  # a view, which writing to reaches
        *steps, last = data.strides
        if data.size and last != data.itemsize:
            raise RuntimeError("Tensor must have a last dimension with stride 1")
        if any(s % out.dtype.itemsize for s in steps) and data.size:
            raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
        out._data = data.view(out.dtype)[..., 0]
    return out


@public(in_place=True)
def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along an axis."""
    x = input if dtype is None else tg.astype(input, numpy_of(dtype))
    return F.softmax(floating(x), dim)


@public
def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """log(softmax(x)) along an axis."""
    x = input if dtype is None else tg.astype(input, numpy_of(dtype))
    return F.log_softmax(floating(x), dim)


def astype(x: Any, kind: Any) -> Any:
    """A Tensor of the core in another dtype."""
    target = np.dtype(kind)
    if x.dtype == target:
        return x
    if x.dtype.kind == "c" and target.kind != "c":
        x = tg.real(x)
    if x.dtype.kind == "f" and target.kind in "iu":
        with np.errstate(invalid="ignore"):
            return wrapped(x._data.astype(target)) if x.level is None else ops.astype(x, target)
    return ops.astype(x, target)
