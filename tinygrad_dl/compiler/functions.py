"""Mathematical functions for native loops: straight lines of instructions, the same for scalars and vectors.

A loop with a call in it does not vectorize; these are polynomials after the usual reductions of the argument (Cody and
Waite; the division-based logarithm and the corrected log1p of Sun's fdlibm; Juffa's erf). Branches are selections, so a
lane never waits for another. Largest errors against the exact value, in units in the last place, over all exponents,
as `tests/compiler/test_functions.py` holds them:

| function | float32 | float64 |
|---|---|---|
| exp, expm1, log, log1p, sigmoid, tanh | 2 | 2 |
| erf | 2 | libm's |
| sin, cos, log2, log10, power | libm's | libm's |

A processor without fused multiply-add adds up to half a unit to float64's sigmoid and tanh. float64's erf is libm's.
Exact at 0 and -0, infinities and nan; results below the normal range are rounded once.
"""

from __future__ import annotations

from math import factorial

from tinygrad_dl.compiler.assembly import INTEGER_OF, Code, Val, constant

# Bits of the mantissa and bias of the exponent.
MANTISSA = {"float": 23, "double": 52}
BIAS = {"float": 127, "double": 1023}

# ln 2 in two parts; a multiple of the first by an exponent is exact.
LN2 = {
    "float": (0.693359375, -2.12194440e-4),
    "double": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}

# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2, highest power first.
EXP = {
    "float": (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ),
    "double": tuple(1 / factorial(n) for n in range(13, 1, -1)),
}
# (log(1 + f) - 2 s) / s - ..., in s^2 with s = f / (2 + f), highest power first (fdlibm).
LOG = {
    "float": (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
    "double": (
        1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
        2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01,
    ),
}  # fmt: skip
# Beyond these, e^x is infinite, or rounds to 0.
EXP_RANGE = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}


def _c(x: Val, value: float) -> Val:
    return constant(x.kind, value, x.lanes)


def _i(x: Val, value: int) -> Val:
    return constant(INTEGER_OF[x.kind], value, x.lanes)


def _polynomial(b: Code, x: Val, coefficients: tuple[float, ...]) -> Val:
    """Horner's rule; the highest power first."""
    p = _c(x, coefficients[0])
    for k in coefficients[1:]:
        p = b.fma(p, x, _c(x, k))
    return p


def _nan_stays(b: Code, x: Val, y: Val) -> Val:
    return b.select(b.compare("uno", x, x), x, y)


def _clipped(b: Code, x: Val, low: float, high: float) -> Val:
    """Between the bounds; nan becomes the upper one, so that its conversion to an integer is defined."""
    x = b.select(b.compare("olt", x, _c(x, high)), x, _c(x, high))
    return b.select(b.compare("ogt", x, _c(x, low)), x, _c(x, low))


def _reduced(b: Code, x: Val) -> tuple[Val, Val, Val]:
    """x = n ln 2 + r: n as a floating-point number, r, and what r was rounded by."""
    high, low = LN2[x.kind]
    n = b.intrinsic("rint", b.mul(x, _c(x, 1.44269504088896340736)))
    near = b.fma(n, _c(x, -high), x)
    r = b.fma(n, _c(x, -low), near)
    rest = b.fma(n, _c(x, -low), b.binary("fsub", near, r))
    return n, r, rest


def _halves(b: Code, x: Val, n: Val) -> tuple[Val, Val]:
    """Two powers of two whose product is 2^n, so that results out of the normal range are rounded once."""
    whole = b.convert("fptosi", n, INTEGER_OF[x.kind])
    half = b.binary("ashr", whole, _i(x, 1))
    return _power_of_two(b, x, half), _power_of_two(b, x, b.sub(whole, half))


def _power_of_two(b: Code, x: Val, n: Val) -> Val:
    bits = b.binary("shl", b.add(n, _i(x, BIAS[x.kind])), _i(x, MANTISSA[x.kind]))
    return b.convert("bitcast", bits, x.kind)


def _exp(b: Code, x: Val) -> Val:
    """e^x, except for nan."""
    n, r, rest = _reduced(b, _clipped(b, x, *EXP_RANGE[x.kind]))
    p = b.add(b.fma(_polynomial(b, r, EXP[x.kind]), b.mul(r, r), rest), r)
    first, second = _halves(b, x, n)
    return b.mul(b.mul(b.add(p, _c(x, 1.0)), first), second)


def exp(b: Code, x: Val) -> Val:
    return _nan_stays(b, x, _exp(b, x))


def expm1(b: Code, x: Val) -> Val:
    """2^n ((e^r - 1) + (1 - 2^-n))."""
    least = -20.0 if x.kind == "float" else -40.0  # below, it rounds to -1
    n, r, rest = _reduced(b, _clipped(b, x, least, EXP_RANGE[x.kind][1]))
    p = b.fma(_polynomial(b, r, EXP[x.kind]), b.mul(r, r), rest)
    first, second = _halves(b, x, n)
    back, again = _halves(b, x, b.neg(n))
    one = b.binary("fsub", _c(x, 1.0), b.mul(back, again))
    # n = 0 adds nothing; else r, the larger part of e^r - 1, goes to the exact constant first.
    high = b.binary("fadd", one, r)
    lost = b.binary("fsub", r, b.binary("fsub", high, one))
    y = b.binary("fadd", high, b.binary("fadd", lost, p))
    y = b.mul(b.mul(y, first), second)
    return b.select(b.compare("ueq", x, _c(x, 0.0)), x, y)  # -0 and nan


def _log(b: Code, x: Val, u: Val, f: Val | None, lost: Val | None) -> Val:
    """log(u + lost) for u > 0; where its exponent is 0, log(1 + f)."""
    kind, mantissa = x.kind, MANTISSA[x.kind]
    tiny = b.compare("olt", u, _c(x, 1.17549435e-38 if kind == "float" else 2.2250738585072014e-308))
    scaled = b.select(tiny, b.mul(u, _c(x, 2.0**mantissa)), u)
    bits = b.convert("bitcast", scaled, INTEGER_OF[kind])
    # m in [sqrt(1/2), sqrt(2))
    root = 0x3F3504F3 if kind == "float" else 0x3FE6A09E667F3BCD
    e = b.binary("ashr", b.sub(bits, _i(x, root)), _i(x, mantissa))
    m = b.convert("bitcast", b.sub(bits, b.binary("shl", e, _i(x, mantissa))), kind)
    n = b.add(b.convert("sitofp", e, kind), b.select(tiny, _c(x, -float(mantissa)), _c(x, 0.0)))
    own = b.binary("fsub", m, _c(x, 1.0))
    none = b.compare("oeq", n, _c(x, 0.0))
    f = own if f is None else b.select(none, f, own)
    s = b.div(f, b.add(f, _c(x, 2.0)))
    z = b.mul(s, s)
    r = b.mul(_polynomial(b, z, LOG[kind]), z)
    half = b.mul(b.mul(f, f), _c(x, 0.5))
    high, low = LN2[kind]
    tail = b.mul(s, b.add(half, r))
    if lost is not None:
        tail = b.add(tail, b.select(none, _c(x, 0.0), b.div(lost, u)))
    tail = b.fma(n, _c(x, low), tail)
    return b.fma(n, _c(x, high), b.binary("fsub", f, b.binary("fsub", half, tail)))


def log(b: Code, x: Val) -> Val:
    y = _log(b, x, x, None, None)
    y = b.select(b.compare("oeq", x, _c(x, 0.0)), _c(x, float("-inf")), y)
    y = b.select(b.compare("oeq", x, _c(x, float("inf"))), x, y)
    return b.select(b.compare("ult", x, _c(x, 0.0)), _c(x, float("nan")), y)


def log1p(b: Code, x: Val) -> Val:
    one = _c(x, 1.0)
    u = b.binary("fadd", one, x)
    lost = b.binary("fsub", x, b.binary("fsub", u, one))
    # Beyond 1, x is the larger: 1 is what gets lost.
    lost = b.select(b.compare("ogt", x, one), b.binary("fsub", one, b.binary("fsub", u, x)), lost)
    y = _log(b, x, u, x, lost)
    y = b.select(b.compare("oeq", x, _c(x, -1.0)), _c(x, float("-inf")), y)
    y = b.select(b.compare("oeq", x, _c(x, float("inf"))), x, y)
    y = b.select(b.compare("oeq", x, _c(x, 0.0)), x, y)
    return b.select(b.compare("ult", x, _c(x, -1.0)), _c(x, float("nan")), y)


def _quotient(b: Code, top: Val, large: Val, small: Val) -> Val:
    """top / (large + small), corrected by what the sum and the quotient were rounded by."""
    whole = b.binary("fadd", large, small)
    lost = b.binary("fsub", small, b.binary("fsub", whole, large))
    inverse = b.div(_c(top, 1.0), whole)
    y = b.binary("fmul", top, inverse)
    rest = b.fma(b.neg(y), lost, b.fma(b.neg(y), whole, top))
    return b.fma(rest, inverse, y)


def sigmoid(b: Code, x: Val) -> Val:
    """1 / (1 + e^-|x|), or e^-|x| times that: nothing overflows on either side."""
    e = _exp(b, b.neg(b.intrinsic("fabs", x)))
    top = b.select(b.compare("olt", x, _c(x, 0.0)), e, _c(x, 1.0))
    return _nan_stays(b, x, _quotient(b, top, _c(x, 1.0), e))


def tanh(b: Code, x: Val) -> Val:
    a = b.intrinsic("fabs", x)
    if x.kind == "float":
        z = b.mul(x, x)
        p = _polynomial(
            b,
            z,
            (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1),
        )
        near = b.fma(b.mul(p, z), a, a)
        e = _exp(b, b.add(a, a))
        far = b.sub(_c(x, 1.0), b.div(_c(x, 2.0), b.add(e, _c(x, 1.0))))
        y = b.select(b.compare("olt", a, _c(x, 0.625)), near, far)
    else:
        a = _clipped(b, a, 0.0, 22.0)
        t = expm1(b, b.add(a, a))
        y = _quotient(b, t, _c(x, 2.0), t)
    return _nan_stays(b, x, b.intrinsic("copysign", y, x))


def erf(b: Code, x: Val) -> Val:
    if x.kind != "float":
        return _each_lane(b, "erf", x)
    a = b.intrinsic("fabs", x)
    z = b.mul(x, x)
    # 1 - e^q(a) from 475/512 on, where q is odd and even powers apart for shorter chains
    r = b.fma(_c(x, -1.72853470e-5), a, _c(x, 3.83197126e-4))
    u = b.fma(_c(x, -3.88396438e-3), a, _c(x, 2.42546219e-2))
    r = b.fma(r, z, u)
    for k in (-1.06777877e-1, -6.34846687e-1, -1.28717512e-1):
        r = b.fma(r, a, _c(x, k))
    r = b.fma(r, a, b.neg(a))
    far = b.intrinsic("copysign", b.sub(_c(x, 1.0), _exp(b, r)), x)
    p = _polynomial(
        b, z, (-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1)
    )
    near = b.fma(p, x, x)
    y = b.select(b.compare("ogt", a, _c(x, 475 / 512)), far, near)
    # Beyond 4 it is 1 to the last place, and the polynomial has no sense.
    y = b.select(b.compare("ogt", a, _c(x, 4.0)), b.intrinsic("copysign", _c(x, 1.0), x), y)
    return _nan_stays(b, x, y)


def _each_lane(b: Code, name: str, x: Val) -> Val:
    """A function of libm's, called for one lane after the other."""
    if x.lanes == 1:
        return b.call(name, x.kind, x)
    parts = [b.call(name, x.kind, b.lane(x, i)) for i in range(x.lanes)]
    return b.joined(parts)


#: What has an intrinsic of LLVM's: an instruction, or a call of libm's for each lane.
INTRINSICS = {
    "abs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "rint", "trunc": "trunc", "sin": "sin",
    "cos": "cos", "log2": "log2", "log10": "log10", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan",
}  # fmt: skip
FUNCTIONS = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "erf": erf,
}


def function(b: Code, name: str, x: Val) -> Val:
    """A function of one number; KeyError where there is none."""
    if name in INTRINSICS:
        return b.intrinsic(INTRINSICS[name], x)
    return FUNCTIONS[name](b, x)
