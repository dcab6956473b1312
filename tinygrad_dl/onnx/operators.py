"""One table from the operations of the registry to ONNX operators.

`NODES` has the operations that are one ONNX operator; `FORMULAS` the others, each a function that writes its formula
with ONNX operators; `REFUSED` says why some have none. What stands in no table is refused, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, pi, prod, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinygrad_dl.compiler.program import Call, Var
from tinygrad_dl.compiler.sizes import Size, depends
from tinygrad_dl.kernels.pool import lowest, pool_windows
from tinygrad_dl.kernels.windows import windows
from tinygrad_dl.onnx.graph import Graph, Refused, Value
from tinygrad_dl.op import OPS

#: Operations of one or more arrays that broadcast, and the operator that computes them.
NODES = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "positive": "Identity",
    "sqrt": "Sqrt", "abs": "Abs", "sign": "Sign", "exp": "Exp", "log": "Log", "maximum": "Max", "minimum": "Min",
    "power": "Pow", "reciprocal": "Reciprocal", "floor": "Floor", "ceil": "Ceil", "sin": "Sin", "cos": "Cos",
    "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh", "tanh": "Tanh", "erf": "Erf", "sigmoid": "Sigmoid", "relu": "Relu",
    "hardswish": "HardSwish", "matmul": "MatMul", "real": "Identity",
}  # fmt: skip
COMPARISONS = {
    "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "equal": "Equal",
}  # fmt: skip
LOGIC = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not"}
BITS = {"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "bitwise_invert": "Not"}
REDUCTIONS = {
    "sum": "ReduceSum",
    "mean": "ReduceMean",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "prod": "ReduceProd",
}

#: Why some operations have no counterpart.
REFUSED = {
    "dropout": "it draws random numbers: export the model in evaluation mode",
    "fractional_max_indices": "its windows are drawn at random at every call",
    "searchsorted": "ONNX has no binary search",
    "linear_recurrence": "ONNX has no scan over an axis for it",
    "nextafter": "ONNX has no operator for neighboring numbers",
    "imag": "ONNX models of this export are real",
    "angle": "ONNX models of this export are real",
    "conj": "ONNX models of this export are real",
}

FORMULAS: dict[str, Callable[..., Any]] = {}


class Translation(SimpleNamespace):
    """One call: its inputs as values in `inputs`, its options by name, `out`: dtype and shape of the result.

    `module`: the module that was running; `state`: the value of one of its parameters or buffers.
    """

    g: Graph
    call: Call
    inputs: list[Any]
    out: Var
    module: Any
    state: Callable[[Any], Value]

    def x(self, i: int = 0, dtype: Any = None) -> Value:
        """Input i as a value, in the dtype of the result or another."""
        x = self.inputs[i]
        dtype = self.out.dtype if dtype is None else dtype
        return self.g.cast(x, dtype) if isinstance(x, Value) else self.g.constant(x, dtype)

    def raw(self, i: int = 0) -> Value:
        """Input i in its own dtype."""
        x = self.inputs[i]
        return x if isinstance(x, Value) else self.g.constant(x)

    def shape_of(self, i: int = 0) -> tuple[int, ...]:
        x = self.call.inputs[i]
        return x.shape if isinstance(x, Var) else np.shape(x)  # type: ignore[arg-type]

    def common(self) -> Any:
        """The dtype in which two inputs are compared; Python numbers are weak."""
        dtypes = [x.dtype for x in self.inputs if isinstance(x, Value)]
        weak = [x for x in self.inputs if not isinstance(x, Value)]
        return np.result_type(*dtypes, *weak) if dtypes else np.result_type(*weak)

    def axes_of(self, axis: Any, ndim: int) -> list[int]:
        if axis is None:
            return list(range(ndim))
        return [int(a) % ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]


def formula(*names: str) -> Callable[[Any], Any]:
    """Enter a function in the table."""

    def entered(function: Any) -> Any:
        for name in names:
            FORMULAS[name] = function
        return function

    return entered


def translate(
    g: Graph, call: Call, operands: Callable[..., Any], numbers: Callable[[Any], Any], module: Any,
    state: Callable[[Any], Value],
) -> Value:  # fmt: skip
    """The value of a call's result; Refused if ONNX cannot express it."""
    op, out = call.op, call.outputs[0]
    assert out is not None
    options = {name: operands(x, True) for name, x in zip(op.options, call.options)}
    inputs = [numbers(x) for x in call.inputs]
    t = Translation(g=g, call=call, inputs=inputs, out=out, module=module, state=state, **options)
    name = op.name
    if name in REFUSED:
        raise Refused(REFUSED[name])
    if any(isinstance(x, Value) and x.dtype.kind == "c" for x in inputs) or out.dtype.kind == "c":
        raise Refused("complex numbers have no operators in ONNX")
    if name in NODES:
        made = g.node(NODES[name], *(t.x(i) for i in range(len(op.inputs))))
    elif name in COMPARISONS:
        made = g.node(COMPARISONS[name], *(t.x(i, t.common()) for i in range(2)), dtype=bool)
    elif name in LOGIC:
        made = g.node(LOGIC[name], *(t.x(i, bool) for i in range(len(op.inputs))), dtype=bool)
    elif name in BITS:
        prefix = "" if out.dtype == bool else "Bitwise"
        made = g.node(prefix + BITS[name], *(t.x(i) for i in range(len(op.inputs))))
    elif name in REDUCTIONS:
        made = _reduced(t, REDUCTIONS[name])
    elif name in FORMULAS:
        made = FORMULAS[name](g, t)
    else:
        raise Refused("the table of ONNX operators has none for it")
    made.dtype, made.shape = out.dtype, out.shape
    return made


# Elementwise


@formula("square")
def _square(g: Graph, t: Translation) -> Value:
    x = t.x()
    return x * x


@formula("not_equal")
def _not_equal(g: Graph, t: Translation) -> Value:
    return g.node("Not", g.node("Equal", t.x(0, t.common()), t.x(1, t.common()), dtype=bool))


@formula("where")
def _where(g: Graph, t: Translation) -> Value:
    return g.where(t.x(0, bool), t.x(1), t.x(2), t.out.dtype)


@formula("astype")
def _astype(g: Graph, t: Translation) -> Value:
    x = t.raw()
    return g.node("Identity", x) if x.dtype == t.out.dtype else g.cast(x, t.out.dtype)


@formula("trunc")
def _trunc(g: Graph, t: Translation) -> Value:
    x = t.x()
    return g.node("Sign", x) * g.node("Floor", g.node("Abs", x))


@formula("round")
def _round(g: Graph, t: Translation) -> Value:
    scale = 10.0**t.decimals
    x = t.x()
    return g.node("Round", x) if t.decimals == 0 else g.node("Round", x * scale) / scale


def _negative_sign(g: Graph, x: Value) -> Value:
    """Whether a number is negative or -0."""
    zero = g.node("Equal", x, g.constant(0, x.dtype), dtype=bool)
    if x.dtype.kind != "f":
        return x < 0
    return g.node("Or", x < 0, g.node("And", zero, g.node("Reciprocal", x) < 0))


@formula("signbit")
def _signbit(g: Graph, t: Translation) -> Value:
    return _negative_sign(g, t.raw())


@formula("copysign")
def _copysign(g: Graph, t: Translation) -> Value:
    size = g.node("Abs", t.x())
    return g.where(_negative_sign(g, t.x(1)), -size, size, t.out.dtype)


@formula("clip")
def _clip(g: Graph, t: Translation) -> Value:
    x = t.x()
    if t.inputs[1] is not None:
        x = g.node("Max", x, t.x(1))
    return x if t.inputs[2] is None else g.node("Min", x, t.x(2))


@formula("floor_divide")
def _floor_divide(g: Graph, t: Translation) -> Value:
    x, y = t.x(), t.x(1)
    if t.out.dtype.kind in "iu":
        return (x - g.node("Mod", x, y)) / y
    return g.node("Floor", x / y)


@formula("remainder")
def _remainder(g: Graph, t: Translation) -> Value:
    x, y = t.x(), t.x(1)
    if t.out.dtype.kind in "iu":
        return g.node("Mod", x, y)
    return x - g.node("Floor", x / y) * y


@formula("isnan")
def _isnan(g: Graph, t: Translation) -> Value:
    x = t.raw()
    return g.node("IsNaN", x, dtype=bool) if x.dtype.kind == "f" else g.node("Not", g.cast(x - x + 1, bool))


@formula("isinf")
def _isinf(g: Graph, t: Translation) -> Value:
    x = g.cast(t.raw(), np.float32) if t.raw().dtype.kind != "f" else t.raw()
    return g.node("IsInf", x, dtype=bool)


@formula("isfinite")
def _isfinite(g: Graph, t: Translation) -> Value:
    x = g.cast(t.raw(), np.float32) if t.raw().dtype.kind != "f" else t.raw()
    return g.node("Abs", x) < np.inf  # nan is not less either


@formula("isclose")
def _isclose(g: Graph, t: Translation) -> Value:
    dtype = np.result_type(np.float32, t.common())
    x, y, rtol, atol = (t.x(i, dtype) for i in range(4))
    near = g.node("Abs", x - y) <= atol + rtol * g.node("Abs", y)
    near = g.node("And", near, g.node("Abs", y) < np.inf)
    near = g.node("Or", near, g.node("Equal", x, y, dtype=bool))
    if t.equal_nan:
        both = g.node("And", g.node("IsNaN", x, dtype=bool), g.node("IsNaN", y, dtype=bool))
        near = g.node("Or", near, both)
    return near


@formula("isin")
def _isin(g: Graph, t: Translation) -> Value:
    dtype = t.common()
    values = g.reshape(t.x(1, dtype), (prod(t.shape_of(1)),))
    equal = g.node("Equal", g.unsqueeze(t.x(0, dtype), -1), values, dtype=bool)
    found = _any(g, equal, [len(t.shape_of())], False)
    return g.node("Not", found) if t.invert else found


def _expm1(g: Graph, x: Value) -> Value:
    """e^x - 1 = 2 t / (1 - t) with t = tanh(x / 2), exact near 0; elsewhere as it reads."""
    half = g.node("Tanh", g.node("Clip", x, -1, 1) * 0.5)
    near = half * 2 / (1 - half)
    return g.where(g.node("Abs", x) < 0.5, near, g.node("Exp", x) - 1, x.dtype)


def _log1p(g: Graph, x: Value) -> Value:
    """log(1 + x) = log(u) x / (u - 1) with u = 1 + x rounded, which makes up for the rounding (Kahan)."""
    u = x + 1
    none = g.node("Equal", u, 1.0, dtype=bool)
    far = g.node("IsInf", u, dtype=bool)
    corrected = g.node("Log", u) * (x / g.where(none, 1.0, u - 1, x.dtype))
    return g.where(none, x, g.where(far, u, corrected, x.dtype), x.dtype)


@formula("expm1")
def _of_expm1(g: Graph, t: Translation) -> Value:
    return _expm1(g, t.x())


@formula("log1p")
def _of_log1p(g: Graph, t: Translation) -> Value:
    return _log1p(g, t.x())


@formula("exp2")
def _exp2(g: Graph, t: Translation) -> Value:
    return g.node("Pow", g.constant(2, t.out.dtype), t.x())


@formula("log2", "log10")
def _log_of_base(g: Graph, t: Translation) -> Value:
    return g.node("Log", t.x()) * (1 / log(int(t.call.op.name[3:])))


@formula("cbrt")
def _cbrt(g: Graph, t: Translation) -> Value:
    x = t.x()
    return g.node("Sign", x) * g.node("Pow", g.node("Abs", x), 1 / 3)


@formula("logaddexp")
def _logaddexp(g: Graph, t: Translation) -> Value:
    x, y = t.x(), t.x(1)
    top, same = g.node("Max", x, y), g.node("Equal", x, y, dtype=bool)
    gap = g.where(same, 0.0, g.node("Abs", x - y), x.dtype)  # infinity less infinity is nan
    return top + _softplus(g, -gap)


@formula("atan2")
def _atan2(g: Graph, t: Translation) -> Value:
    y, x = t.x(), t.x(1)
    angle = g.node("Atan", y / x)
    half = g.where(_negative_sign(g, y), -pi, pi, x.dtype)
    zero = g.node("Equal", x, 0.0, dtype=bool)
    still = g.node("And", zero, g.node("Equal", y, 0.0, dtype=bool))
    turned = g.where(_negative_sign(g, x), angle + half, angle, x.dtype)
    axis = g.where(still, g.where(_negative_sign(g, x), half, y, x.dtype), half * 0.5, x.dtype)
    return g.where(zero, axis, turned, x.dtype)


@formula("hypot")
def _hypot(g: Graph, t: Translation) -> Value:
    x, y = t.x(), t.x(1)
    return g.node("Sqrt", x * x + y * y)


@formula("deg2rad", "rad2deg")
def _degrees(g: Graph, t: Translation) -> Value:
    return t.x() * (pi / 180 if t.call.op.name == "deg2rad" else 180 / pi)


# Activations


@formula("leaky_relu")
def _leaky_relu(g: Graph, t: Translation) -> Value:
    return g.node("LeakyRelu", t.x(), alpha=float(t.slope))


@formula("prelu")
def _prelu(g: Graph, t: Translation) -> Value:
    return g.node("PRelu", t.x(), t.x(1))


@formula("hardtanh")
def _hardtanh(g: Graph, t: Translation) -> Value:
    return g.node("Clip", t.x(), float(t.low), float(t.high))


@formula("hardsigmoid")
def _hardsigmoid(g: Graph, t: Translation) -> Value:
    return g.node("HardSigmoid", t.x(), alpha=1 / 6, beta=0.5)


@formula("hardshrink")
def _hardshrink(g: Graph, t: Translation) -> Value:
    # Not Shrink, which computes x - bias and x + bias in turn and rounds.
    x = t.x()
    return g.where(g.node("Abs", x) <= float(t.lambd), 0.0, x, x.dtype)


@formula("softshrink")
def _softshrink(g: Graph, t: Translation) -> Value:
    return g.node("Shrink", t.x(), lambd=float(t.lambd), bias=float(t.lambd))


@formula("threshold")
def _threshold(g: Graph, t: Translation) -> Value:
    x = t.x()
    return g.where(x <= float(t.threshold), float(t.value), x, x.dtype)


@formula("elu")
def _elu(g: Graph, t: Translation) -> Value:
    alpha, scale, rate = float(t.alpha), float(t.scale), float(t.rate)
    if scale == rate == 1:
        return g.node("Elu", t.x(), alpha=alpha)
    if rate == 1:
        return g.node("Selu", t.x(), alpha=alpha, gamma=scale)
    if scale == 1 and rate * alpha == 1:
        return g.node("Celu", t.x(), alpha=alpha)
    x = t.x()
    low = _expm1(g, g.node("Min", x, 0.0) * rate) * (alpha * scale)
    return low + g.node("Max", x, 0.0) * scale


def _softplus(g: Graph, x: Value) -> Value:
    """log(1 + e^x), exact at any size: runtimes differ in how far their own Softplus reaches."""
    return g.node("Max", x, 0.0) + _log1p(g, g.node("Exp", -g.node("Abs", x)))


@formula("softplus")
def _of_softplus(g: Graph, t: Translation) -> Value:
    x, beta, threshold = t.x(), float(t.beta), float(t.threshold)
    smooth = _softplus(g, x * beta) / beta
    return g.where(x * beta > threshold, x, smooth, x.dtype)


@formula("log_sigmoid")
def _log_sigmoid(g: Graph, t: Translation) -> Value:
    return -_softplus(g, -t.x())


@formula("silu")
def _silu(g: Graph, t: Translation) -> Value:
    x = t.x()
    return x * g.node("Sigmoid", x)


@formula("gelu")
def _gelu(g: Graph, t: Translation) -> Value:
    x = t.x()
    if x.dtype == np.float32:
        return g.node("Gelu", x)
    return x * 0.5 * (g.node("Erf", x * (1 / sqrt(2))) + 1)


@formula("mish")
def _mish(g: Graph, t: Translation) -> Value:
    x = t.x()
    return x * g.node("Tanh", _softplus(g, x))


def _shifted(g: Graph, x: Value, axes: list[int]) -> tuple[Value, Value]:
    """x less its maximum over axes, and that, with 0 for a maximum that is infinite."""
    top = g.node("ReduceMax", x, g.integers(*axes), keepdims=1)
    top = g.where(g.node("IsInf", top, dtype=bool), 0.0, top, x.dtype)
    return x - top, top


@formula("softmax")
def _softmax(g: Graph, t: Translation) -> Value:
    x, axes = t.x(), t.axes_of(t.axis, len(t.shape_of()))
    if not axes:
        return x - x + 1
    if len(axes) == 1:
        return g.node("Softmax", x, axis=axes[0])
    e = g.node("Exp", _shifted(g, x, axes)[0])
    return e / g.node("ReduceSum", e, g.integers(*axes), keepdims=1)


@formula("log_softmax")
def _log_softmax(g: Graph, t: Translation) -> Value:
    x, axes = t.x(), t.axes_of(t.axis, len(t.shape_of()))
    if not axes:
        return x - x
    if len(axes) == 1:
        return g.node("LogSoftmax", x, axis=axes[0])
    x, _ = _shifted(g, x, axes)
    total = g.node("ReduceSum", g.node("Exp", x), g.integers(*axes), keepdims=1)
    return x - g.node("Log", total)


@formula("logsumexp")
def _logsumexp(g: Graph, t: Translation) -> Value:
    axes = t.axes_of(t.axis, len(t.shape_of()))
    if not axes:
        return g.node("Identity", t.x())
    x, top = _shifted(g, t.x(), axes)
    out = g.node("Log", g.node("ReduceSum", g.node("Exp", x), g.integers(*axes), keepdims=1)) + top
    return out if t.keepdims else g.squeeze(out, *axes)


# Reductions


def _reduced(t: Translation, kind: str) -> Value:
    g, axes = t.g, t.axes_of(t.axis, len(t.shape_of()))
    x = t.raw()
    if kind in ("ReduceMax", "ReduceMin") and x.dtype == bool:
        return _any(g, x, axes, t.keepdims) if kind == "ReduceMax" else _all(g, x, axes, t.keepdims)
    x = g.cast(x, t.out.dtype)
    if not axes:
        return g.node("Identity", x)
    return g.node(kind, x, g.integers(*axes), keepdims=int(bool(t.keepdims)))


def _any(g: Graph, x: Value, axes: list[int], keepdims: Any) -> Value:
    ones = g.cast(g.cast(x, bool), np.int32)
    if axes:
        ones = g.node("ReduceMax", ones, g.integers(*axes), keepdims=int(bool(keepdims)))
    return g.cast(ones, bool)


def _all(g: Graph, x: Value, axes: list[int], keepdims: Any) -> Value:
    return g.node("Not", _any(g, g.node("Not", g.cast(x, bool)), axes, keepdims))


@formula("any", "all")
def _any_all(g: Graph, t: Translation) -> Value:
    how = _any if t.call.op.name == "any" else _all
    return how(g, t.raw(), t.axes_of(t.axis, len(t.shape_of())), t.keepdims)


@formula("count_nonzero")
def _count_nonzero(g: Graph, t: Translation) -> Value:
    axes = t.axes_of(t.axis, len(t.shape_of()))
    ones = g.cast(g.cast(t.raw(), bool), np.int64)
    return g.node("ReduceSum", ones, g.integers(*axes), keepdims=int(bool(t.keepdims))) if axes else ones


def _count(shape: Sequence[int], axes: list[int]) -> int:
    count = prod([shape[a] for a in axes])
    if isinstance(count, Size):
        raise Refused("a statistic over the batch with a free batch size")
    return count


@formula("var", "std")
def _variance(g: Graph, t: Translation) -> Value:
    x, axes = t.x(), t.axes_of(t.axis, len(t.shape_of()))
    d = x - g.node("ReduceMean", x, g.integers(*axes), keepdims=1) if axes else x - x
    total = g.node("ReduceSum", d * d, g.integers(*axes), keepdims=int(bool(t.keepdims))) if axes else d * d
    out = total / float(_count(t.shape_of(), axes) - t.correction)
    return g.node("Sqrt", out) if t.call.op.name == "std" else out


@formula("argmax", "argmin")
def _argmax(g: Graph, t: Translation) -> Value:
    x = t.raw()
    x = g.cast(x, np.int32) if x.dtype == bool else x
    kind = "ArgMax" if t.call.op.name == "argmax" else "ArgMin"
    if t.axis is not None:
        return g.node(kind, x, dtype=np.int64, axis=int(t.axis), keepdims=int(bool(t.keepdims)))
    flat = g.reshape(x, (prod(t.shape_of()),))
    out = g.node(kind, flat, dtype=np.int64, axis=0, keepdims=0)
    return g.reshape(out, (1,) * len(t.shape_of())) if t.keepdims else out


@formula("cumulative_sum")
def _cumulative_sum(g: Graph, t: Translation) -> Value:
    x = t.x()
    axis = 0 if t.axis is None else int(t.axis) % len(t.shape_of())
    if t.axis is None and len(t.shape_of()) != 1:
        raise Refused("a cumulative sum without an axis")
    out = g.node("CumSum", x, g.constant(np.int64(axis)))
    if not t.include_initial:
        return out
    shape = [*t.shape_of()]
    shape[axis] = 1
    return g.node("Concat", g.expand(g.constant(0, x.dtype), shape), out, axis=axis)


@formula("sort", "argsort")
def _sort(g: Graph, t: Translation) -> Value:
    x, shape = t.raw(), t.shape_of()
    if t.axis is None or not shape:
        x, shape = g.reshape(x, (prod(shape),)), (prod(shape),)
    axis = 0 if t.axis is None else int(t.axis) % len(shape)
    size = shape[axis]
    if isinstance(size, Size):
        raise Refused("a sort along the batch with a free batch size")
    found = g.node(
        "TopK", x, g.integers(size), outputs=2, axis=axis, largest=int(bool(t.descending)), sorted=1
    )
    found[1].dtype = np.dtype(np.int64)
    return g.reshape(found[0] if t.call.op.name == "sort" else found[1], t.out.shape)


# Shapes


@formula("reshape")
def _reshape(g: Graph, t: Translation) -> Value:
    return g.reshape(t.raw(), t.out.shape)


@formula("permute_dims")
def _permute_dims(g: Graph, t: Translation) -> Value:
    return g.transpose(t.raw(), [int(a) % len(t.shape_of()) for a in t.axes])


@formula("matrix_transpose")
def _matrix_transpose(g: Graph, t: Translation) -> Value:
    n = len(t.shape_of())
    return g.transpose(t.raw(), [*range(n - 2), n - 1, n - 2])


@formula("broadcast_to")
def _broadcast_to(g: Graph, t: Translation) -> Value:
    return g.node("Expand", t.raw(), g.sizes(t.out.shape))


@formula("expand_dims")
def _expand_dims(g: Graph, t: Translation) -> Value:
    axes = t.axis if isinstance(t.axis, (tuple, list)) else (t.axis,)
    return g.unsqueeze(t.raw(), *(int(a) % len(t.out.shape) for a in axes))


@formula("squeeze")
def _squeeze(g: Graph, t: Translation) -> Value:
    shape = t.shape_of()
    ones = [a for a, n in enumerate(shape) if not isinstance(n, Size) and n == 1]
    axes = ones if t.axis is None else t.axes_of(t.axis, len(shape))
    return g.squeeze(t.raw(), *axes) if axes else g.node("Identity", t.raw())


@formula("flip")
def _flip(g: Graph, t: Translation) -> Value:
    return _sliced(g, t.raw(), [(a, -1, None, -1) for a in t.axes_of(t.axis, len(t.shape_of()))])


def _sliced(g: Graph, x: Value, parts: Sequence[tuple[int, int, Any, int]]) -> Value:
    """x[start:stop:step] along axes; a stop of None is the end in the step's direction."""
    if not parts:
        return x
    far = np.iinfo(np.int64)
    stops = [(far.max if step > 0 else far.min) if stop is None else stop for _, _, stop, step in parts]
    if depends([*stops, *(p[1] for p in parts)]):
        raise Refused("a part of an array that ends with the batch size")
    out = g.node(
        "Slice", x, g.integers(*(p[1] for p in parts)), g.integers(*stops), g.integers(*(p[0] for p in parts)),
        g.integers(*(p[3] for p in parts)),
    )  # fmt: skip
    return out


@formula("roll")
def _roll(g: Graph, t: Translation) -> Value:
    if t.axis is None:
        raise Refused("a roll without an axis")
    x, shape = t.raw(), t.shape_of()
    shifts = t.shift if isinstance(t.shift, (tuple, list)) else (t.shift,)
    for axis, shift in zip(t.axes_of(t.axis, len(shape)), shifts):
        if isinstance(shape[axis], Size):
            raise Refused("a roll along the batch with a free batch size")
        at = -int(shift) % shape[axis] if shape[axis] else 0
        if at:
            x = g.node(
                "Concat", _sliced(g, x, [(axis, at, None, 1)]), _sliced(g, x, [(axis, 0, at, 1)]), axis=axis
            )
    return g.node("Identity", x)


@formula("repeat")
def _repeat(g: Graph, t: Translation) -> Value:
    counts, shape = t.call.inputs[1], t.shape_of()
    axis = 0 if t.axis is None else int(t.axis) % len(shape)
    if isinstance(counts, Var) or (t.axis is None and len(shape) != 1) or isinstance(shape[axis], Size):
        raise Refused("a repetition that depends on values or along the batch")
    at = np.repeat(np.arange(shape[axis]), np.asarray(counts))
    return g.node("Gather", t.raw(), g.constant(at), axis=axis)


@formula("tile")
def _tile(g: Graph, t: Translation) -> Value:
    times = t.repetitions if isinstance(t.repetitions, (tuple, list)) else (t.repetitions,)
    x, n = t.raw(), max(len(times), len(t.shape_of()))
    if len(t.shape_of()) < n:
        x = g.unsqueeze(x, *range(n - len(t.shape_of())))
    return g.node("Tile", x, g.sizes([1] * (n - len(times)) + list(times)))


@formula("tril", "triu")
def _triangle(g: Graph, t: Translation) -> Value:
    x = t.raw()
    wide = g.cast(x, np.int32) if x.dtype == bool else x
    out = g.node("Trilu", wide, g.constant(np.int64(t.k)), upper=int(t.call.op.name == "triu"))
    return g.cast(out, x.dtype)


@formula("concat", "stack")
def _concat(g: Graph, t: Translation) -> Value:
    parts = [t.x(i) for i in range(len(t.inputs))]
    axis = t.axis
    if t.call.op.name == "stack":
        axis = int(axis) % len(t.out.shape)
        parts = [g.unsqueeze(x, axis) for x in parts]
    elif axis is None:
        parts, axis = [g.reshape(x, (prod(t.shape_of(i)),)) for i, x in enumerate(parts)], 0
    return g.node("Concat", *parts, axis=int(axis))


@formula("pad_constant")
def _pad_constant(g: Graph, t: Translation) -> Value:
    cut = [
        (a, max(-lo, 0), hi if hi < 0 else None, 1) for a, (lo, hi) in enumerate(t.widths) if min(lo, hi) < 0
    ]
    return _padded(g, _sliced(g, t.raw(), cut), t.widths, t.value)


def _padded(
    g: Graph, x: Value, widths: Sequence[tuple[int, int]], value: Any, mode: str = "constant"
) -> Value:
    """Padding around x; what is negative is left to the caller."""
    pads = [max(lo, 0) for lo, _ in widths] + [max(hi, 0) for _, hi in widths]
    if not any(pads):
        return x
    fill = g.constant(value, x.dtype) if mode == "constant" else None
    return g.node("Pad", x, g.integers(*pads), *([fill] if fill is not None else []), mode=mode)


@formula("pad_with")
def _pad_with(g: Graph, t: Translation) -> Value:
    # An index per axis, as runtimes differ in whether they know the mode "wrap".
    modes = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return _padded_by_index(g, t, [(lo, hi) for lo, hi in t.widths], modes[t.mode])


@formula("pad")
def _pad(g: Graph, t: Translation) -> Value:
    widths = [tuple(pair) for pair in np.broadcast_to(t.pad_width, (len(t.shape_of()), 2)).tolist()]
    if t.mode == "constant":
        if np.ndim(t.constant_values):
            raise Refused("padding with another constant on each side")
        return _padded(g, t.raw(), widths, t.constant_values)
    return _padded_by_index(g, t, widths, t.mode)


def _padded_by_index(g: Graph, t: Translation, widths: Sequence[Any], mode: Any) -> Value:
    x = t.raw()
    for axis, (lo, hi) in enumerate(widths):
        size = t.shape_of()[axis]
        if (lo, hi) == (0, 0):
            continue
        if isinstance(size, Size):
            raise Refused("padding of the batch with a free batch size")
        at = np.pad(np.arange(size), (max(lo, 0), max(hi, 0)), mode)
        at = at[max(-lo, 0) : len(at) - max(-hi, 0)]
        x = g.node("Gather", x, g.constant(at), axis=axis)
    return g.node("Identity", x) if x is t.raw() else x


# Indices


@formula("getitem")
def _getitem(g: Graph, t: Translation) -> Value:
    key = list(t.key) if isinstance(t.key, tuple) else [t.key]
    shape = t.shape_of()
    used = sum(_axes_used(k) for k in key if k is not None and k is not Ellipsis)
    at = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
    key[at : at + 1] = [slice(None)] * (len(shape) - used)
    x = t.raw()
    axis, slices, dropped, added, advanced = 0, [], [], [], []
    place = 0  # of the axis in the result, before advanced indices move
    for k in key:
        if k is None:
            added.append(place)
            place += 1
        elif isinstance(k, slice):
            start, stop, step = k.start, k.stop, 1 if k.step is None else int(k.step)
            if (start, stop, step) not in ((None, None, 1), (0, None, 1)):
                size = shape[axis]
                if isinstance(size, Size):
                    slices.append((axis, 0 if start is None else int(start), stop, step))
                    if step < 0 and start is None:
                        slices[-1] = (axis, -1, stop, step)
                else:
                    first, last, step = k.indices(size)
                    slices.append((axis, first, None if step < 0 and last < 0 else last, step))
            axis, place = axis + 1, place + 1
        elif isinstance(k, (int, np.integer)) and not isinstance(k, (bool, np.bool_)):
            slices.append((axis, int(k), int(k) + 1 if k != -1 else None, 1))
            dropped.append(axis)
            axis += 1
        else:
            advanced.append((axis, place, k))
            axis, place = axis + _axes_used(k), place + 1
    x = _sliced(g, x, slices)
    if not advanced:
        x = g.squeeze(x, *dropped) if dropped else x
        x = g.unsqueeze(x, *added) if added else x
        return g.node("Identity", x) if x is t.raw() else x
    if added or dropped or len(advanced) > 1:
        return _picked(g, t, x, key, dropped, added, advanced)
    axis, _, index = advanced[0]
    if isinstance(index, Value) and index.dtype == bool:
        raise Refused("elements picked by a mask, whose number depends on values")
    if not isinstance(index, Value):
        index = np.asarray(index)
        if index.dtype == bool:
            if index.ndim > 1:
                raise Refused("elements picked by a mask of several axes")
            index = np.flatnonzero(index)
    return g.node("Gather", x, _indices(g, index), axis=axis)


def _axes_used(k: Any) -> int:
    """How many axes of the array an index stands for."""
    return len(k.shape) if _is_mask(k) else 1


def _is_mask(k: Any) -> bool:
    return isinstance(k, (Value, np.ndarray)) and k.dtype.kind == "b"


def _indices(g: Graph, index: Any) -> Value:
    return g.cast(index, np.int64) if isinstance(index, Value) else g.constant(np.asarray(index), np.int64)


def _picked(
    g: Graph,
    t: Translation,
    x: Value,
    key: list[Any],
    dropped: list[int],
    added: list[int],
    advanced: list[Any],
) -> Value:
    """Several index arrays: pairs of indices into axes that lie side by side."""
    axes = [axis for axis, _, _ in advanced]
    # An integer beside index arrays counts as one of them.
    both = sorted([*axes, *dropped])
    if added or both != list(range(both[0], both[0] + len(both))):
        raise Refused("index arrays for axes that do not lie side by side")
    known = {axis: k for axis, _, k in advanced}
    parts: list[Value] = []
    shapes: list[Any] = []
    for axis in both:
        k = known.get(axis, 0)
        if _is_mask(k):
            raise Refused("elements picked by a mask beside other indices")
        parts.append(_indices(g, k))
        shapes.append(k.shape if isinstance(k, Value) else np.shape(k))
        if isinstance(k, Value) and k.shape is None:
            raise Refused("an index array of unknown shape")
    whole = _broadcast(shapes)
    stacked = [g.unsqueeze(g.expand(p, whole) if whole else p, len(whole)) for p in parts]
    pairs = g.node("Concat", *stacked, axis=len(whole))
    n, first = len(t.shape_of()), both[0]
    rest = [a for a in range(n) if a not in both]
    if first:
        x = g.transpose(x, [*both, *rest])
    out = g.node("GatherND", x, pairs)
    if first:
        m = len(whole)
        out = g.transpose(out, [*range(m, m + first), *range(m), *range(m + first, m + len(rest))])
    return out


def _broadcast(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The common shape; a size that depends on the batch fits itself and 1."""
    n = max(map(len, shapes), default=0)
    sizes = []
    for column in zip(*([1] * (n - len(s)) + list(s) for s in shapes)):
        sizes.append(next((size for size in column if isinstance(size, Size) or size != 1), 1))
    return tuple(sizes)


@formula("setitem")
def _setitem(g: Graph, t: Translation) -> Value:
    shape = t.shape_of()
    if depends(shape) or isinstance(t.key, Value) or any(isinstance(k, Value) for k in _parts(t.key)):
        raise Refused("an assignment whose places depend on values or on the batch size")
    at = np.arange(prod(shape)).reshape(shape)[t.key]
    value = g.expand(t.x(1), at.shape)
    flat = g.reshape(t.x(), (prod(shape),))
    out = g.node(
        "ScatterElements", flat, g.constant(at.ravel(), np.int64), g.reshape(value, (at.size,)), axis=0
    )
    return g.reshape(out, shape)


def _parts(key: Any) -> Sequence[Any]:
    return key if isinstance(key, tuple) else (key,)


@formula("take")
def _take(g: Graph, t: Translation) -> Value:
    x, axis = t.raw(), t.axis
    if axis is None:
        x, axis = g.reshape(x, (prod(t.shape_of()),)), 0
    return g.node("Gather", x, _indices(g, t.inputs[1]), axis=int(axis))


@formula("take_along_axis")
def _take_along_axis(g: Graph, t: Translation) -> Value:
    x, index = t.raw(), _indices(g, t.inputs[1])
    if t.axis is None:
        return g.node("GatherElements", g.reshape(x, (prod(t.shape_of()),)), index, axis=0)
    own, others = list(t.shape_of()), list(t.shape_of(1))
    axis = int(t.axis) % len(own)
    whole = [*_broadcast([own, others])]
    own = [n if a == axis else whole[a] for a, n in enumerate(own)]
    others = [n if a == axis else whole[a] for a, n in enumerate(others)]
    x.shape, index.shape = t.shape_of(), t.shape_of(1)
    return g.node("GatherElements", g.expand(x, own), g.expand(index, others), axis=axis)


@formula("rows")
def _rows(g: Graph, t: Translation) -> Value:
    return g.node("Gather", t.raw(), _indices(g, t.indices), axis=0)


# Products


@formula("linear")
def _linear(g: Graph, t: Translation) -> Value:
    x, w = t.x(), t.x(1)
    bias = None if t.inputs[2] is None else t.x(2)
    if len(t.shape_of()) == 2:
        return g.node("Gemm", x, w, *([bias] if bias is not None else []), transB=1)
    out = g.node("MatMul", x, g.transpose(w, [1, 0]))
    return out if bias is None else out + bias


@formula("affine")
def _affine(g: Graph, t: Translation) -> Value:
    layer = t.module
    running = getattr(layer, "running_mean", None)
    if running is None or "BatchNorm" not in type(layer).__name__:
        return t.x() * t.x(1) + t.x(2)
    # Evaluation of a batch normalization, whose scale and shift were computed from these four.
    size, dtype = running.shape[0], t.out.dtype
    parts = [
        g.constant(default, dtype) if p is None else t.state(p)
        for p, default in (
            (layer.weight, np.ones(size)), (layer.bias, np.zeros(size)), (running, 0), (layer.running_var, 0),
        )
    ]  # fmt: skip
    return g.node("BatchNormalization", t.x(), *parts, epsilon=float(layer.eps))


@formula("vecdot")
def _vecdot(g: Graph, t: Translation) -> Value:
    n = len(_broadcast([t.shape_of(), t.shape_of(1)]))
    axis = int(t.axis) if int(t.axis) < 0 else int(t.axis) - n
    return g.node("ReduceSum", t.x() * t.x(1), g.integers(axis), keepdims=0)


@formula("cross")
def _cross(g: Graph, t: Translation) -> Value:
    axis = int(t.axis)

    def turned(x: Value, by: int) -> Value:
        return g.node("Gather", x, g.constant(np.roll(np.arange(3), -by)), axis=axis)

    x, y = t.x(), t.x(1)
    return turned(x, 1) * turned(y, 2) - turned(x, 2) * turned(y, 1)


@formula("contraction")
def _contraction(g: Graph, t: Translation) -> Value:
    return g.node("Einsum", *(t.x(i) for i in range(len(t.inputs))), equation=t.subscripts)


# Windows


def _pads(f: Any) -> list[int]:
    return [lo for lo, _ in f.pads] + [hi for _, hi in f.pads]


def _spatial(t: Translation) -> tuple[int, ...]:
    sizes = t.shape_of()[2:]
    if depends(sizes):
        raise Refused("windows over the batch axis with a free batch size")
    return sizes


@formula("conv")
def _conv(g: Graph, t: Translation) -> Value:
    w = t.shape_of(1)
    f = windows("conv", _spatial(t), w[2:], t.stride, t.padding, t.dilation)
    bias = [] if t.inputs[2] is None else [t.x(2)]
    x, pads = t.x(), _pads(f)
    if min(pads, default=0) < 0:
        raise Refused("negative padding of a convolution")
    return g.node(
        "Conv", x, t.x(1), *bias, kernel_shape=list(f.kernel), strides=list(f.stride), dilations=list(f.dilation),
        pads=pads, group=int(t.groups),
    )  # fmt: skip


@formula("conv_transpose")
def _conv_transpose(g: Graph, t: Translation) -> Value:
    bias = [] if t.inputs[2] is None else [t.x(2)]
    return _transposed(g, t.x(), t.x(1), bias, _spatial(t), t.shape_of(1)[2:], t.out.shape[2:], t)


def _transposed(
    g: Graph, x: Value, w: Value, bias: list[Value], counts: Sequence[int], kernel: Sequence[int],
    sizes: Sequence[int], t: Translation, groups: int | None = None,
) -> Value:  # fmt: skip
    f = windows("conv_transpose", tuple(sizes), tuple(kernel), t.stride, t.padding, t.dilation)
    more = [
        size - ((n - 1) * s + d * (k - 1) + 1 - lo - hi)
        for n, k, s, d, (lo, hi), size in zip(counts, f.kernel, f.stride, f.dilation, f.pads, sizes)
    ]
    return g.node(
        "ConvTranspose", x, w, *bias, kernel_shape=list(f.kernel), strides=list(f.stride),
        dilations=list(f.dilation), pads=_pads(f), group=int(t.groups if groups is None else groups),
        output_padding=more,
    )  # fmt: skip


def _identity_kernels(kernel: Sequence[int], dtype: Any) -> np.ndarray:
    """(K, 1, *kernel): filter k is 1 at position k, so that a convolution copies what is under it."""
    k = prod(kernel)
    return np.eye(k, dtype=dtype).reshape(k, 1, *kernel)


@formula("unfold")
def _unfold(g: Graph, t: Translation) -> Value:
    f = windows("unfold", _spatial(t), t.kernel, t.stride, t.padding, t.dilation)
    channels = t.shape_of()[1]
    w = g.constant(_identity_kernels(f.kernel, t.out.dtype))
    out = g.node(
        "Conv", g.reshape(t.x(), (t.shape_of()[0] * channels, 1, *f.sizes)), w, kernel_shape=list(f.kernel),
        strides=list(f.stride), dilations=list(f.dilation), pads=_pads(f),
    )  # fmt: skip
    return g.reshape(out, t.out.shape)


@formula("fold")
def _fold(g: Graph, t: Translation) -> Value:
    f = windows("fold", tuple(t.size), t.kernel, t.stride, t.padding, t.dilation)
    channels = t.out.shape[1]
    w = g.constant(_identity_kernels(f.kernel, t.out.dtype))
    x = g.reshape(t.x(), (t.shape_of()[0] * channels, prod(f.kernel), *f.counts))
    return g.reshape(_transposed(g, x, w, [], f.counts, f.kernel, t.size, t, 1), t.out.shape)


@formula("max_pool", "max_pool_indices")
def _max_pool(g: Graph, t: Translation) -> Value:
    f = pool_windows("max_pool", _spatial(t), t.kernel, t.stride, t.padding, t.dilation, t.ceil_mode)
    x, pads = t.raw(), _pads(f)
    number = prod(f.sizes)
    if any(p >= k for pair, k in zip(f.pads, f.kernel) for p in pair):
        if t.call.op.name == "max_pool_indices":
            raise Refused("positions of maxima of windows that reach far beyond the edge")
        x = _padded(g, x, [(0, 0), (0, 0), *f.pads], lowest(x.dtype))
        pads = [0] * len(pads)
    how: dict[str, Any] = {
        "kernel_shape": list(f.kernel),
        "strides": list(f.stride),
        "dilations": list(f.dilation),
    }
    how["pads"] = pads
    if t.call.op.name == "max_pool":
        return g.node("MaxPool", x, **how)
    _, at = g.node("MaxPool", x, outputs=2, **how)
    at.dtype = np.dtype(np.int64)
    return g.node("Mod", at, g.constant(number, np.int64))


@formula("avg_pool")
def _avg_pool(g: Graph, t: Translation) -> Value:
    f = pool_windows("avg_pool", _spatial(t), t.kernel, t.stride, t.padding, 1, t.ceil_mode)
    how: dict[str, Any] = {"kernel_shape": list(f.kernel), "strides": list(f.stride)}
    if not any(map(any, f.pads)) and t.divisor_override is None:
        return g.node("AveragePool", t.x(), **how)
    # The mean over padded windows, times what windows at the edge, or another divisor, differ by.
    x = _padded(g, t.x(), [(0, 0), (0, 0), *f.pads], 0)
    forward = OPS["avg_pool"].forward
    ones = np.ones((1, 1, *f.sizes))
    wanted = forward(
        ones, t.kernel, t.stride, t.padding, t.ceil_mode, t.count_include_pad, t.divisor_override
    )
    inside = forward(np.pad(ones, [(0, 0), (0, 0), *f.pads]), f.kernel, f.stride)
    return g.node("AveragePool", x, **how) * g.constant(wanted / inside, t.out.dtype)


@formula("adaptive_max_indices")
def _adaptive_max_indices(g: Graph, t: Translation) -> Value:
    sizes, target = _spatial(t), t.out.shape[2:]
    positions = np.arange(prod(sizes)).reshape(sizes)
    regions = []
    for cell in np.ndindex(*target):
        region = tuple(slice(i * s // n, -(-(i + 1) * s // n)) for i, s, n in zip(cell, sizes, target))
        regions.append(positions[region].ravel())
    longest = max(map(len, regions))
    # Shorter regions name their first element again, which is never the first maximum twice.
    at = np.stack([np.concatenate([r, np.full(longest - len(r), r[0])]) for r in regions])
    n, c = t.shape_of()[:2]
    flat = g.reshape(t.raw(), (n, c, prod(sizes)))
    best = g.node(
        "ArgMax", g.node("Gather", flat, g.constant(at), axis=2), dtype=np.int64, axis=3, keepdims=1
    )
    first = g.constant(np.arange(len(regions)).reshape(-1, 1) * longest)
    return g.reshape(g.node("Gather", g.constant(at.ravel()), best + first, axis=0), t.out.shape)


@formula("pick_in_space")
def _pick_in_space(g: Graph, t: Translation) -> Value:
    n, c = t.shape_of()[:2]
    flat = g.reshape(t.raw(), (n, c, prod(t.shape_of()[2:])))
    index = g.reshape(_indices(g, t.inputs[1]), (n, c, prod(t.shape_of(1)[2:])))
    return g.reshape(g.node("GatherElements", flat, index, axis=2), t.out.shape)


@formula("put_in_space", "max_unpool")
def _put_in_space(g: Graph, t: Translation) -> Value:
    n, c = t.shape_of()[:2]
    flat, count = g.reshape(t.x(), (n, c, prod(t.shape_of()[2:]))), prod(t.out.shape[2:])
    index = g.reshape(_indices(g, t.inputs[1]), (n, c, prod(t.shape_of(1)[2:])))
    zeros = g.expand(g.constant(0, t.out.dtype), (n, c, count))
    how = None if t.call.op.name == "max_unpool" else "add"
    return g.reshape(g.node("ScatterElements", zeros, index, flat, axis=2, reduction=how), t.out.shape)


# Normalization


@formula("standardize")
def _standardize(g: Graph, t: Translation) -> Value:
    if t.moments is not None:
        raise Refused("it updates running statistics: export the model in evaluation mode")
    x, shape = t.x(), t.shape_of()
    view = shape if t.view is None else tuple(t.view)
    n = len(view)
    axes = sorted(int(a) % n for a in t.axis)
    w, b = (None if t.inputs[i] is None else t.x(i) for i in (1, 2))
    trailing = axes == list(range(axes[0], n)) and t.view is None and t.center
    if trailing and (w is None or t.shape_of(1) == tuple(shape[a] for a in axes)):
        scale = g.constant(np.ones([shape[a] for a in axes]), t.out.dtype) if w is None else w
        given = [scale] if b is None else [scale, b]
        if b is None or t.shape_of(2) == tuple(shape[a] for a in axes):
            return g.node("LayerNormalization", x, *given, axis=axes[0] - n, epsilon=float(t.eps))
    if t.view is not None:
        x = g.reshape(x, view)
    at = g.integers(*axes)
    d = x - g.node("ReduceMean", x, at, keepdims=1) if t.center else x
    out = d / g.node("Sqrt", g.node("ReduceMean", d * d, at, keepdims=1) + float(t.eps))
    for p, how in ((w, "Mul"), (b, "Add")):
        if p is not None:
            out = g.node(how, out, p if t.fit is None else g.reshape(p, t.fit))
    return out if t.view is None else g.reshape(out, shape)


# Recurrent layers: ONNX has the gates in another order, and both biases in one row


def _gates(g: Graph, w: Value, order: Sequence[int]) -> Value:
    """The gates, side by side along the first axis, in another order."""
    if len(order) == 1:
        return w
    parts = g.node("Split", w, outputs=len(order), axis=0, num_outputs=len(order))
    return g.node("Concat", *(parts[i] for i in order), axis=0)


def _recurrent(
    g: Graph, t: Translation, kind: str, first: int, order: Sequence[int], **how: Any
) -> list[Value]:
    """The node; `first`: the number of the input that holds the input weights."""
    hidden = t.shape_of(first + 1)[1]
    w_ih, w_hh = (g.unsqueeze(_gates(g, t.x(first + i), order), 0) for i in range(2))
    biases = []
    for i in (2, 3):
        size = len(order) * hidden
        given = t.inputs[first + i] is not None
        biases.append(_gates(g, t.x(first + i), order) if given else g.constant(np.zeros(size), t.out.dtype))
    b = g.unsqueeze(g.node("Concat", *biases, axis=0), 0)
    states = [g.unsqueeze(t.x(i), 0) for i in range(1, first)]
    return g.node(kind, t.x(), w_ih, w_hh, b, None, *states, outputs=first, hidden_size=hidden, **how)


@formula("rnn")
def _rnn(g: Graph, t: Translation) -> Value:
    names = {"tanh": "Tanh", "relu": "Relu"}
    y = _recurrent(g, t, "RNN", 2, (0,), activations=[names[t.nonlinearity]])[0]
    return g.squeeze(y, 1)


@formula("gru")
def _gru(g: Graph, t: Translation) -> Value:
    return g.squeeze(_recurrent(g, t, "GRU", 2, (1, 0, 2), linear_before_reset=1)[0], 1)


@formula("lstm")
def _lstm(g: Graph, t: Translation) -> Value:
    y, _, c = _recurrent(g, t, "LSTM", 3, (0, 3, 1, 2))
    return g.node("Concat", g.squeeze(y, 1), c, axis=0)


# Losses


def _reduced_loss(g: Graph, x: Value, reduction: str, ndim: int) -> Value:
    if reduction == "none":
        return x
    axes = [g.integers(*range(ndim))] if ndim else []
    return g.node("ReduceMean" if reduction == "mean" else "ReduceSum", x, *axes, keepdims=0)


@formula("squared_error")
def _squared_error(g: Graph, t: Translation) -> Value:
    d = t.x() - t.x(1)
    return _reduced_loss(g, d * d, t.reduction, len(t.shape_of()))


@formula("huber")
def _huber(g: Graph, t: Translation) -> Value:
    delta = float(t.delta)
    d = g.node("Abs", t.x() - t.x(1))
    return g.where(d <= delta, d * d * 0.5, (d - delta / 2) * delta, t.out.dtype)


@formula("binary_cross_entropy")
def _binary_cross_entropy(g: Graph, t: Translation) -> Value:
    x, target = t.x(), t.x(1)
    no = g.node("Max", _log1p(g, -x), -100.0)
    yes = g.node("Max", g.node("Log", x), -100.0)
    return no * (target - 1) - yes * target


@formula("bce_with_logits")
def _bce_with_logits(g: Graph, t: Translation) -> Value:
    x = t.x()
    each = g.node("Max", x, 0.0) - x * t.x(1) + _log1p(g, g.node("Exp", -g.node("Abs", x)))
    return _reduced_loss(g, each, t.reduction, len(t.shape_of()))


@formula("softmax_cross_entropy")
def _softmax_cross_entropy(g: Graph, t: Translation) -> Value:
    x, target = t.x(), _indices(g, t.inputs[1])
    count, e = t.shape_of()[1], float(t.label_smoothing)
    dtype = t.out.dtype
    weight = t.weight if isinstance(t.weight, Value) or t.weight is None else g.constant(t.weight, dtype)
    valid = g.node("Not", g.node("Equal", target, int(t.ignore_index), dtype=bool))
    known = g.where(valid, target, 0, np.int64)
    log_p = g.node("LogSoftmax", x, axis=1)
    picked = g.squeeze(g.node("GatherElements", log_p, g.unsqueeze(known, 1), axis=1), 1)
    share = g.cast(valid, dtype)
    if weight is not None:
        weight = g.cast(weight, dtype)
        own = g.node("Gather", weight, known, axis=0) * share
    else:
        own = share
    each = picked * own * (1 - e)
    if e:
        seen = log_p
        if weight is not None:
            seen = log_p * g.reshape(weight, (count, *[1] * (len(t.shape_of()) - 2)))
        each = each + g.node("ReduceSum", seen, g.integers(1), keepdims=0) * share * (e / count)
    each = -g.where(valid, each, 0.0, dtype)
    ndim = len(t.shape_of()) - 1
    if t.reduction != "mean":
        return _reduced_loss(g, each, t.reduction, ndim)
    return _reduced_loss(g, each, "sum", ndim) / _reduced_loss(g, own, "sum", ndim)
