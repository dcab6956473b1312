"""Lowering: captured operations as primitives. What has no entry here stays a call of its forward or its rules.

An entry is the operation's formula once more, in the few functions of `Builder`: the eager forward is its oracle. The
backward pass needs no entries of its own where an operation's rule is written in operations: the rule is run once and
what it called is lowered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.compiler import windows
from tinygrad_dl.compiler.program import (
    ELEMENTWISE,
    VIEW,
    Call,
    Effect,
    NotLowered,
    Number,
    Operand,
    Prim,
    Step,
    Var,
)
from tinygrad_dl.compiler.windows import Geometry, Padding, pair, per_axis
from tinygrad_dl.config import default_rng
from tinygrad_dl.typing import Axis, BasicIndex, DTypeLike, NDArray, RandomLike, Shape, ShapeLike, Sizes

if TYPE_CHECKING:
    from tinygrad_dl.nn.functional.normalization import RunningStatistics

Lowering = Callable[..., Any]
FORWARD: dict[str, Lowering] = {}
BACKWARD: dict[str, Lowering] = {}


class Builder:
    """Makes primitives one after another, with shapes and dtypes worked out as NumPy does."""

    def __init__(self, supported: Callable[[Prim], bool] | None = None) -> None:
        self.supported = supported  # whether the backend has a primitive; None for all
        self.steps: list[Step] = []
        self.module, self.phase, self.origin = "", "forward", -1
        self._known: dict[Any, Var] = {}
        self.values: Mapping[int, np.ndarray] = {}  # what captured variables were, by serial
        self.readable = (
            False  # whether people read the program: nothing is said in a primitive that NumPy has not
        )

    def emit(
        self,
        kind: str,
        inputs: Sequence[Operand],
        shape: Sequence[int],
        dtype: DTypeLike,
        /,
        **params: object,
    ) -> Var:
        """A primitive's result; the same primitive of the same inputs is made once."""
        key: Any = None
        if kind not in ("call",):
            key = (
                kind,
                tuple(_key(x) for x in inputs),
                tuple(shape),
                np.dtype(dtype),
                repr(sorted(params.items())),
            )
            if key in self._known:
                return self._known[key]
        out = Var(tuple(int(n) for n in shape), np.dtype(dtype))
        prim = Prim(
            list(inputs),
            [out],
            kind=kind,
            params=params,
            module=self.module,
            phase=self.phase,
            origin=self.origin,
        )
        if self.supported is not None and not self.supported(prim):
            raise NotLowered(f"no native code for {kind} of {out.dtype}")
        self.steps.append(prim)
        if key is not None:
            self._known[key] = out
        return out

    def assign(self, state: Var, value: Operand) -> None:
        """Write a value into a state, in place; what is read from the state afterwards is another value."""
        self.steps.append(
            Prim([state, value], [], kind="assign", module=self.module, phase=self.phase, origin=self.origin)
        )
        self.forget(state)

    def named(self, var: Var, name: str) -> Var:
        """The variable, with a name for readers unless it has one."""
        var.name = var.name or name
        return var

    def forget(self, *written: Var) -> None:
        """These were written in place: reading them again, or a view of them, gives another value."""
        serials = {var.serial for var in written}
        kept = {}
        for key, var in self._known.items():  # in the order in which they were made
            if any(part[0] == "v" and part[1] in serials for part in key[1]):
                if key[0] in VIEW:
                    serials.add(var.serial)
            else:
                kept[key] = var
        self._known = kept

    def fitted(self, x: Operand, like: Var) -> Operand:
        """A gradient summed to the shape, and converted to the dtype, of what it belongs to."""
        if not isinstance(x, Var):
            return x
        extra = len(x.shape) - len(like.shape)
        axes = tuple(range(extra)) + tuple(
            i + extra for i, n in enumerate(like.shape) if n == 1 and x.shape[i + extra] != 1
        )
        x = self.reshape(self.sum(x, axes), like.shape) if axes else x
        return self.cast(x, like.dtype)

    def keep_known(self, mark: int) -> None:
        """Forget the results of steps from `mark` on, which were taken back."""
        made = {v.serial for step in self.steps[:mark] for v in step.writes()}
        self._known = {key: var for key, var in self._known.items() if var.serial in made}

    def elementwise(self, kind: str, *xs: Operand, dtype: DTypeLike | None = None) -> Var:
        shape = np.broadcast_shapes(*(x.shape if isinstance(x, Var) else () for x in xs))
        if dtype is None:
            dtype = bool if kind in COMPARE else _common(xs[1:] if kind == "where" else xs)
        return self.emit(kind, xs, shape, dtype)

    def __getattr__(self, kind: str) -> Callable[..., Var]:
        if kind in ELEMENTWISE:
            return lambda *xs, dtype=None: self.elementwise(kind, *xs, dtype=dtype)
        raise AttributeError(kind)

    def cast(self, x: Operand, dtype: DTypeLike) -> Operand:
        if not isinstance(x, Var) or x.dtype == np.dtype(dtype):
            return x
        return self.emit("cast", [x], x.shape, dtype)

    def reduce(
        self,
        kind: str,
        x: Var,
        axes: Axis | Sequence[int] = None,
        keepdims: bool = False,
        dtype: DTypeLike | None = None,
    ) -> Var:
        axes = (
            tuple(range(len(x.shape))) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        )
        axes = tuple(sorted(a % len(x.shape) for a in axes)) if x.shape else ()
        if keepdims:
            shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
        else:
            shape = [n for i, n in enumerate(x.shape) if i not in axes]
        return self.emit(kind, [x], shape, dtype or x.dtype, axes=axes, keepdims=keepdims)

    def sum(self, x: Var, axes: Axis = None, keepdims: bool = False) -> Var:
        return self.reduce("sum", x, axes, keepdims)

    def max(self, x: Var, axes: Axis = None, keepdims: bool = False) -> Var:
        return self.reduce("max", x, axes, keepdims)

    def mean(self, x: Var, axes: Axis = None, keepdims: bool = False) -> Var:
        total = self.sum(x, axes, keepdims)
        if not x.size:
            return total
        return self.emit("multiply", [total, total.size / x.size], total.shape, total.dtype, mean=True)

    def reshape(self, x: Var, shape: Sequence[int]) -> Var:
        shape = tuple(int(n) for n in shape)
        if -1 in shape:
            rest = prod(n for n in shape if n != -1)
            shape = tuple(x.size // rest if n == -1 else n for n in shape)
        return x if shape == x.shape else self.emit("reshape", [x], shape, x.dtype, shape=shape)

    def transpose(self, x: Var, axes: Sequence[int] | None = None) -> Var:
        axes = tuple(reversed(range(len(x.shape)))) if axes is None else tuple(a % len(x.shape) for a in axes)
        if axes == tuple(range(len(x.shape))):
            return x
        return self.emit("transpose", [x], [x.shape[a] for a in axes], x.dtype, axes=axes)

    def broadcast(self, x: Var, shape: Sequence[int]) -> Var:
        return (
            x if x.shape == tuple(shape) else self.emit("broadcast", [x], shape, x.dtype, shape=tuple(shape))
        )

    def slice(self, x: Var, index: tuple[Any, ...]) -> Var:
        shape = np.broadcast_to(np.empty((), x.dtype), x.shape)[index].shape
        return self.emit("slice", [x], shape, x.dtype, index=index)

    def matmul(self, x: Var, y: Var) -> Var:
        a = x.shape if len(x.shape) > 1 else (1, *x.shape)
        b = y.shape if len(y.shape) > 1 else (*y.shape, 1)
        batch = np.broadcast_shapes(a[:-2], b[:-2])
        shape = [*batch, *([a[-2]] if len(x.shape) > 1 else []), *([b[-1]] if len(y.shape) > 1 else [])]
        return self.emit("matmul", [x, y], shape, np.result_type(x.dtype, y.dtype))

    def draw(
        self, function: Callable[..., Any], args: tuple[Any, ...], shape: Sequence[int], dtype: DTypeLike
    ) -> Var:
        """What a function of Python's draws anew at every run: an array of random numbers."""
        out = Var(tuple(int(n) for n in shape), np.dtype(dtype))
        self.steps.append(Effect([], [out], function=function, args=args, what=function.__name__))
        return out

    def track(self, moments: RunningStatistics, mean: Var, variance: Var) -> None:
        """Move running statistics towards a batch's, as `moments(mean, variance)` does."""
        part: Operand = 1.0
        if moments.batches is not None:
            count = self.cast(self.state_of(moments.batches), mean.dtype)
            part = self.divide(1.0, self.add(self.reshape(count, ()), 1.0))  # type: ignore[arg-type]
        for name, batch, share in (("mean", mean, "mean_share"), ("var", variance, "var_share")):
            running = self.state_of(getattr(moments, name, None))
            if batch.size != running.size:  # one for each example
                batch = self.mean(self.reshape(batch, (-1, running.size)), 0)
            kept: Operand = 1 - moments.momentum
            own: Operand = getattr(moments, share)
            if isinstance(part, Var):
                kept, own = self.subtract(1.0, part), self.multiply(part, own)
            new = self.add(
                self.multiply(running, kept), self.multiply(self.reshape(batch, running.shape), own)
            )
            self.assign(running, new)

    def state_of(self, array: NDArray | None) -> Var:
        """The variable of an array that lives outside of the program; set by whoever knows the program."""
        raise NotLowered("an array of unknown origin")

    def onehot_take(self, x: Var, index: Var) -> Var:
        """x[i, index[i]] of a matrix."""
        return self.emit("take", [x, index], index.shape, x.dtype)


DTYPES = frozenset("f4 f8 i4 i8 b1".split())
COMPARE = frozenset(
    """greater greater_equal less less_equal equal not_equal logical_and logical_or logical_not isnan isinf
    isfinite""".split()
)


def keep_mask(p: float, shape: Sequence[int], rng: RandomLike) -> np.ndarray:
    """Which elements dropout keeps: the draw of the eager operation."""
    return default_rng(rng).random(tuple(shape), dtype=np.float32) >= p


def _key(x: Operand) -> Any:
    return (
        ("v", x.serial) if isinstance(x, Var) else ("n", x.index) if isinstance(x, Number) else (type(x), x)
    )


def _is_one(x: Operand) -> bool:
    return type(x) in (int, float) and x == 1


def _common(xs: Iterable[Operand]) -> np.dtype[Any]:
    arrays = [np.empty(x.shape and (0,), x.dtype) for x in xs if isinstance(x, Var)]
    numbers = [x.value if isinstance(x, Number) else x for x in xs if not isinstance(x, Var)]
    return np.result_type(*arrays, *[n for n in numbers if n is not None])


def forward(*names: str) -> Callable[[Lowering], Lowering]:
    """Register the lowering of operations' forwards: `f(b, *inputs, **options)` returns the result, or a tuple."""

    def register(f: Lowering) -> Lowering:
        for name in names:
            FORWARD[name] = f
        return f

    return register


def backward(*names: str) -> Callable[[Lowering], Lowering]:
    """Register the lowering of operations' vjps: `f(b, g, call, needed)` returns one entry per parent."""

    def register(f: Lowering) -> Lowering:
        for name in names:
            BACKWARD[name] = f
        return f

    return register


# Elementwise operations. The names on the right are primitives.

SAME = """add subtract multiply divide negative positive abs sign square sqrt reciprocal exp expm1 log log1p log2 log10
sin cos tan sinh cosh tanh sigmoid erf maximum minimum where greater greater_equal less less_equal equal not_equal
logical_and logical_or logical_not floor ceil round trunc isnan isinf isfinite power floor_divide remainder""".split()
OTHER = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2"}


def _register_elementwise() -> None:
    for name in SAME:
        FORWARD[name] = lambda b, *xs, _kind=name, **options: _elementwise(b, _kind, xs, options)
    for name, kind in OTHER.items():
        FORWARD[name] = lambda b, *xs, _kind=kind, **options: _elementwise(b, _kind, xs, options)


def _elementwise(b: Builder, kind: str, xs: Sequence[Operand], options: dict[str, Any]) -> Var:
    if any(value is not None for value in options.values()):
        raise NotLowered
    if kind in ("floor_divide", "remainder") and any(isinstance(x, Var) and x.dtype.kind != "i" for x in xs):
        raise NotLowered
    if kind == "power" and not isinstance(xs[1], Var):
        xs = (b.cast(xs[0], _common(xs)), xs[1])
        if xs[1] == 2:
            return b.multiply(xs[0], xs[0])
        if xs[1] == 0.5:
            return b.sqrt(xs[0])
        if xs[1] == -0.5:
            return b.divide(1.0, b.sqrt(xs[0]))
        if xs[1] == -1:
            return b.divide(1.0, xs[0])
    if kind == "square":
        return b.multiply(xs[0], xs[0])
    if kind == "multiply" and isinstance(xs[0], Var) and _is_one(xs[1]) and _common(xs) == xs[0].dtype:
        return xs[0]
    return b.elementwise(kind, *xs)


_register_elementwise()


OF_TRUTH = {"bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "not_equal"}


def _register_truth() -> None:
    for name, kind in OF_TRUTH.items():
        FORWARD[name] = lambda b, *xs, _kind=kind: _of_truth(b, _kind, xs)
    FORWARD["bitwise_invert"] = lambda b, *xs: _of_truth(b, "logical_not", xs)


def _of_truth(b: Builder, kind: str, xs: Sequence[Operand]) -> Var:
    if not all(isinstance(x, Var) and x.dtype == bool for x in xs):
        raise NotLowered("bits of integers")
    return b.elementwise(kind, *xs, dtype=bool)


_register_truth()


@forward("relu")
def _relu(b: Builder, x: Var) -> Var:
    return b.maximum(x, 0)


@forward("astype")
def _astype(b: Builder, x: Var, dtype: DTypeLike, **options: object) -> Operand:
    return b.cast(x, dtype)


@forward("softplus")
def _softplus(b: Builder, x: Var, beta: float = 1.0, threshold: float = 20.0) -> Var:
    if beta != 1.0:
        raise NotLowered
    return b.add(b.maximum(x, 0), b.log1p(b.exp(b.negative(b.abs(x)))))


@forward("log_sigmoid")
def _log_sigmoid(b: Builder, x: Var) -> Var:
    return b.subtract(b.minimum(x, 0), b.log1p(b.exp(b.negative(b.abs(x)))))


@forward("leaky_relu")
def _leaky_relu(b: Builder, x: Var, slope: float = 0.01) -> Var:
    return b.where(b.greater(x, 0), x, b.multiply(x, slope))


@forward("silu")
def _silu(b: Builder, x: Var) -> Var:
    return b.multiply(x, b.sigmoid(x))


def _bounds(x: Var, *bounds: Operand) -> None:
    """Raise NotLowered unless bounds keep the dtype of x."""
    for bound in bounds:
        if isinstance(bound, Var) and bound.dtype != x.dtype:
            raise NotLowered("bounds of another dtype")
        if isinstance(bound, float) and x.dtype.kind != "f":
            raise NotLowered("bounds of another dtype")


@forward("clip")
def _clip(b: Builder, x: Var, low: Operand = None, high: Operand = None, **bounds: Operand) -> Var:
    low, high = bounds.get("min", low), bounds.get("max", high)
    if not isinstance(x, Var) or x.dtype.kind not in "fi":
        raise NotLowered
    _bounds(x, low, high)
    out = x if low is None else b.maximum(x, low)
    return out if high is None else b.minimum(out, high)


@forward("logaddexp")
def _logaddexp(b: Builder, x: Operand, y: Operand) -> Var:
    if not all(isinstance(v, Var) and v.dtype.kind == "f" for v in (x, y)):
        raise NotLowered
    apart = b.log1p(b.exp(b.negative(b.abs(b.subtract(x, y)))))
    return b.where(b.equal(x, y), b.add(x, float(np.log(2.0))), b.add(b.maximum(x, y), apart))


@forward("huber")
def _huber(b: Builder, x: Var, y: Var, delta: float = 1.0) -> Var:
    d = b.subtract(x, y)
    inside = b.minimum(b.maximum(d, -delta), delta)
    return b.multiply(inside, b.subtract(d, b.multiply(inside, 0.5)))


@forward("hardshrink")
def _hardshrink(b: Builder, x: Var, lambd: float = 0.5) -> Var:
    return b.where(b.logical_and(b.greater_equal(x, -lambd), b.less_equal(x, lambd)), 0.0, x, dtype=x.dtype)


# Reductions, shapes


def _as(b: Builder, x: Var, dtype: Any) -> Var:
    cast = b.cast(x, dtype)
    assert isinstance(cast, Var)
    return cast


@forward("sum")
def _sum(
    b: Builder, x: Var, axis: Any = None, dtype: Any = None, keepdims: bool = False, **options: Any
) -> Var:
    if dtype is not None and np.dtype(dtype) != x.dtype:
        raise NotLowered
    # NumPy adds truth values and small integers as integers of 64 bits.
    return b.sum(x if x.dtype.kind == "f" or dtype is not None else _as(b, x, np.int64), axis, keepdims)


@forward("mean")
def _mean(b: Builder, x: Var, axis: Any = None, keepdims: bool = False, **options: Any) -> Var:
    if any(value is not None for value in options.values()):
        raise NotLowered
    return b.mean(x if x.dtype.kind == "f" else _as(b, x, np.float64), axis, keepdims)


@forward("max")
def _max(b: Builder, x: Var, axis: Any = None, keepdims: bool = False, **options: Any) -> Var:
    if x.dtype.kind not in "fi" or not x.size:
        raise NotLowered
    return b.max(x, axis, keepdims)


@forward("min")
def _min(b: Builder, x: Var, axis: Any = None, keepdims: bool = False, **options: Any) -> Var:
    if x.dtype.kind not in "fi" or not x.size:
        raise NotLowered
    return b.reduce("min", x, axis, keepdims)


@forward("var")
def _var(b: Builder, x: Var, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Var:
    if x.dtype.kind != "f" or not x.size:
        raise NotLowered
    d = b.subtract(x, b.mean(x, axis, True))
    total = b.sum(b.multiply(d, d), axis, keepdims)
    left = x.size / total.size - correction
    return b.multiply(total, 1 / left) if left > 0 else b.divide(total, 0.0)


@forward("std")
def _std(b: Builder, x: Var, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Var:
    return b.sqrt(_var(b, x, axis, correction, keepdims))


@forward("vector_norm")
def _vector_norm(b: Builder, x: Var, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Var:
    if x.dtype.kind != "f" or not x.size:
        raise NotLowered
    if ord == 2:
        return b.sqrt(b.sum(b.multiply(x, x), axis, keepdims))
    if ord == 1:
        return b.sum(b.abs(x), axis, keepdims)
    if ord == np.inf:
        return b.max(b.abs(x), axis, keepdims)
    raise NotLowered(f"the norm of order {ord}")


@forward("logsumexp")
def _logsumexp(b: Builder, x: Var, axis: Any = None, keepdims: bool = False) -> Var:
    if x.dtype.kind != "f" or not x.size:
        raise NotLowered
    peak = b.max(x, axis, True)
    shift = b.where(b.isfinite(peak), peak, 0.0, dtype=x.dtype)
    total = b.sum(b.exp(b.subtract(x, shift)), axis, keepdims)
    return b.add(b.log(total), b.reshape(shift, total.shape))


def _triangle(b: Builder, x: Var, keep: str, k: int) -> Var:
    if len(x.shape) < 2 or x.dtype.kind not in "fi":
        raise NotLowered
    rows = b.emit("iota", [], (x.shape[-2], 1), np.int64, axis=0)
    columns = b.emit("iota", [], (1, x.shape[-1]), np.int64, axis=1)
    return b.where(b.elementwise(keep, columns, b.add(rows, k)), x, 0, dtype=x.dtype)


@forward("tril")
def _tril(b: Builder, x: Var, k: int = 0) -> Var:
    return _triangle(b, x, "less_equal", k)


@forward("triu")
def _triu(b: Builder, x: Var, k: int = 0) -> Var:
    return _triangle(b, x, "greater_equal", k)


def _place_of(b: Builder, kind: str, x: Var, axis: Any, keepdims: bool) -> Var:
    """The least index at which the extreme is found; nan is one."""
    if x.dtype.kind not in "fi" or not x.size or not x.shape:
        raise NotLowered
    if axis is None:
        if keepdims:
            raise NotLowered
        x, axis = b.reshape(x, (x.size,)), 0
    axis %= len(x.shape)
    hit = b.equal(x, b.reduce(kind, x, axis, True))
    hit = b.logical_or(hit, b.isnan(x)) if x.dtype.kind == "f" else hit
    indices = b.emit("iota", [], [n if i == axis else 1 for i, n in enumerate(x.shape)], np.int64, axis=axis)
    return b.reduce("min", b.where(hit, indices, x.shape[axis], dtype=np.int64), axis, keepdims)


@forward("argmax")
def _argmax(b: Builder, x: Var, axis: Any = None, keepdims: bool = False) -> Var:
    return _place_of(b, "max", x, axis, keepdims)


@forward("argmin")
def _argmin(b: Builder, x: Var, axis: Any = None, keepdims: bool = False) -> Var:
    return _place_of(b, "min", x, axis, keepdims)


# Rows of tables


def _checked(b: Builder, indices: Any, count: int) -> Var:
    """Indices that are there when a run begins, compared with what there is before anything is changed."""
    if not isinstance(indices, Var) or indices.dtype.kind != "i":
        raise NotLowered("indices that are no integers")
    source, ignored = _indices_of(b, indices, count)
    b.emit("check_classes", [source], (), bool, classes=count, ignored=ignored, keep=True)
    return indices


def _indices_of(b: Builder, indices: Var, count: int) -> tuple[Var, int | None]:
    """The argument that indices are made of, reshaped or with an index of the table in the place of one; that one."""
    made = {out.serial: step for step in b.steps for out in step.writes() if isinstance(step, Prim)}
    ignored: int | None = None
    while indices.kind == "result":
        step = made.get(indices.serial)
        inputs: Sequence[Operand] = step.inputs if step is not None else ()
        if step is not None and step.kind == "reshape" and isinstance(inputs[0], Var):
            indices = inputs[0]
        elif step is not None and step.kind == "where" and ignored is None and isinstance(inputs[0], Var):
            counted, kept, other = made.get(inputs[0].serial), inputs[1], inputs[2]
            if (
                counted is None or counted.kind != "not_equal" or not isinstance(kept, Var)
                or counted.inputs[0] is not kept or not isinstance(counted.inputs[1], int)
                or not isinstance(other, int) or not 0 <= other < count
            ):  # fmt: skip
                raise NotLowered("indices that are computed")
            indices, ignored = kept, counted.inputs[1]
        else:
            raise NotLowered("indices that are computed")
    return indices, ignored


@forward("rows")
def _rows(b: Builder, w: Var, indices: Any) -> Var:
    if len(w.shape) != 2 or not w.size:
        raise NotLowered
    at = _checked(b, indices, w.shape[0])
    if not at.size:
        raise NotLowered
    return b.emit("rows", [w, b.reshape(at, (*at.shape, 1))], (*at.shape, w.shape[1]), w.dtype)


@forward("scatter_rows")
def _scatter_rows(b: Builder, x: Var, indices: Any, count: int) -> Var:
    at = _checked(b, indices, count)
    if x.dtype.kind != "f" or not x.size or not at.shape:
        raise NotLowered
    columns = x.shape[-1]
    return b.emit(
        "scatter", [b.reshape(x, (at.size, columns)), b.reshape(at, (at.size,))], (count, columns), x.dtype
    )


@forward("take_along_axis")
def _take_along_axis(b: Builder, x: Var, indices: Any, axis: int | None = -1) -> Var:
    two = len(x.shape) == 2 and isinstance(indices, Var) and indices.shape == (x.shape[0], 1)
    if not two or axis not in (1, -1) or not x.size:
        raise NotLowered("indices along other axes than rows")
    at = _checked(b, indices, x.shape[1])
    return b.reshape(b.onehot_take(x, b.reshape(at, (x.shape[0],))), (x.shape[0], 1))


@backward("take_along_axis")
def _take_along_axis_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    x, indices = call.inputs
    assert isinstance(x, Var) and isinstance(indices, Var)
    if len(x.shape) != 2 or indices.shape != (x.shape[0], 1) or call.options[0] not in (1, -1) or not x.size:
        raise NotLowered("indices along other axes than rows")
    return [b.where(_hits(b, indices, x.shape[1]), g, 0.0, dtype=g.dtype), None]


def _hits(b: Builder, indices: Var, classes: int) -> Var:
    """Which class each of the indices (N, 1) is: (N, C)."""
    return b.equal(indices, b.emit("iota", [], (1, classes), np.int64, axis=1))


@forward("take")
def _take(b: Builder, x: Var, indices: Any, axis: int | None = None) -> Var:
    if (
        len(x.shape) != 1
        or not isinstance(indices, Var)
        or len(indices.shape) != 1
        or not x.size * indices.size
    ):
        raise NotLowered("elements of more than a vector")
    n = indices.size
    at = b.reshape(_checked(b, indices, x.size), (n, 1))
    return b.reshape(b.emit("rows", [b.reshape(x, (x.size, 1)), at], (n, 1), x.dtype), (n,))


@forward("reshape")
def _reshape(b: Builder, x: Var, shape: ShapeLike, **options: object) -> Var:
    return b.reshape(x, (shape,) if isinstance(shape, int) else shape)


@forward("permute_dims")
def _permute(b: Builder, x: Var, axes: Sequence[int] | None = None) -> Var:
    return b.transpose(x, axes)


@forward("matrix_transpose")
def _matrix_transpose(b: Builder, x: Var) -> Var:
    return b.transpose(x, [*range(len(x.shape) - 2), -1, -2])


@forward("broadcast_to")
def _broadcast_to(b: Builder, x: Var, shape: Shape) -> Var:
    return b.broadcast(x, shape)


@forward("expand_dims")
def _expand(b: Builder, x: Var, axis: int | tuple[int, ...] = 0) -> Var:
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    ndim = len(x.shape) + len(axes)
    axes = tuple(a % ndim for a in axes)
    sizes = iter(x.shape)
    return b.reshape(x, [1 if i in axes else next(sizes) for i in range(ndim)])


@forward("squeeze")
def _squeeze(b: Builder, x: Var, axis: Axis = None) -> Var:
    axes = tuple(range(len(x.shape))) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(a % len(x.shape) for a in axes)
    return b.reshape(x, [n for i, n in enumerate(x.shape) if i not in axes or n != 1])


@forward("getitem")
def _getitem(b: Builder, x: Var, key: BasicIndex | tuple[BasicIndex, ...]) -> Var:
    parts = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(p, (int, slice)) or p is None or p is Ellipsis for p in parts):
        raise NotLowered
    if any(isinstance(p, slice) and p.step is not None and p.step < 0 for p in parts):
        raise NotLowered
    return b.slice(x, parts)


@forward("setitem")
def _setitem(b: Builder, x: Var, value: Operand, key: BasicIndex | tuple[BasicIndex, ...]) -> Var:
    if not (key is Ellipsis or (isinstance(key, slice) and key == slice(None))) or not isinstance(value, Var):
        raise NotLowered("a part of an array that is written to")
    return b.broadcast(_as(b, value, x.dtype), x.shape)


@backward("getitem")
def _getitem_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    x = call.inputs[0]
    assert isinstance(x, Var)
    (key,) = call.options
    parts = list(key) if isinstance(key, tuple) else [key]
    if not all(isinstance(p, (int, slice)) or p is None or p is Ellipsis for p in parts):
        raise NotLowered
    rest = len(x.shape) - sum(p is not None and p is not Ellipsis for p in parts)
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * rest
    else:
        parts += [slice(None)] * rest
    axes: list[tuple[int, int, int]] = []
    start: list[int] = []
    for p in (p for p in parts if p is not None):
        axis = len(start)
        if isinstance(p, slice):
            first, last, step = p.indices(x.shape[axis])
            if step < 0:
                raise NotLowered
            axes.append((axis, step, len(range(first, last, step))))
            start.append(first if axes[-1][2] else 0)
        else:
            start.append(p % x.shape[axis])
    part = b.reshape(g, [n for _, _, n in axes])
    return [b.emit("fold", [part], x.shape, x.dtype, places=((tuple(axes), tuple(start)),))]


# Products


@forward("matmul")
def _matmul(b: Builder, x: Var, y: Var) -> Var:
    if x.dtype.kind != "f" or x.dtype != y.dtype or not x.shape or not y.shape:
        raise NotLowered
    return b.matmul(x, y)


@forward("linear")
def _linear(b: Builder, x: Var, w: Var, bias: Var | None = None) -> Var:
    if x.dtype.kind != "f" or x.dtype != w.dtype or not x.shape:
        raise NotLowered
    rows = b.reshape(x, (x.size // x.shape[-1] if x.shape[-1] else prod(x.shape[:-1]), x.shape[-1]))
    out = b.matmul(rows, b.transpose(w))
    if bias is not None:
        out = b.add(out, bias)
    return b.reshape(out, (*x.shape[:-1], w.shape[0]))


# Losses


def _reduced(b: Builder, loss: Var, reduction: str) -> Var:
    return loss if reduction == "none" else b.sum(loss) if reduction == "sum" else b.mean(loss)


def _shared(b: Builder, g: Var, shape: Sequence[int], reduction: str) -> Operand:
    return b.divide(g, prod(shape)) if reduction == "mean" else g


@backward("hardtanh")
def _hardtanh_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    (x,), options = call.inputs, options_of(call)
    inside = b.logical_and(b.greater(x, options["low"]), b.less(x, options["high"]))
    return [b.where(inside, g, 0.0, dtype=g.dtype)]


@forward("bce_with_logits")
def _bce(b: Builder, x: Var, target: Var, reduction: str = "mean") -> Var:
    tail = b.log1p(b.exp(b.negative(b.abs(x))))
    return _reduced(b, b.add(b.subtract(b.maximum(x, 0), b.multiply(x, target)), tail), reduction)


@forward("squared_error")
def _squared_error(b: Builder, x: Var, y: Var, reduction: str = "mean") -> Var:
    d = b.subtract(x, y)
    return _reduced(b, b.multiply(d, d), reduction)


@forward("softmax")
def _softmax(b: Builder, x: Var, axis: int = -1, **options: object) -> Var:
    e = b.exp(b.subtract(x, b.max(x, axis, True)))
    return b.divide(e, b.sum(e, axis, True))


@forward("log_softmax")
def _log_softmax(b: Builder, x: Var, axis: int = -1, **options: object) -> Var:
    z = b.subtract(x, b.max(x, axis, True))
    return b.subtract(z, b.log(b.sum(b.exp(z), axis, True)))


def _plain_cross_entropy(x: Var, target: Operand, options: dict[str, Any]) -> bool:
    return (
        len(x.shape) == 2
        and isinstance(target, Var)
        and target.dtype == np.int64
        and options["weight"] is None
        and not options["label_smoothing"]
        and x.size > 0
        and not 0 <= options["ignore_index"] < x.shape[1]
    )


def _counts_all(b: Builder, target: Operand, options: dict[str, Any]) -> bool:
    """Whether no target is ignored, as far as the capture has shown; a run with another one is left to eager."""
    if (
        not isinstance(target, Var) or target.kind == "result"
    ):  # it cannot be checked before anything is changed
        return False
    known = b.values.get(target.serial)
    return known is None or not (known == options["ignore_index"]).any()


def _weighted_cross_entropy(
    b: Builder, x: Var, target: Var, options: dict[str, Any]
) -> tuple[Var, Var, Var, Var]:
    """What multiplies -log p of each class, by how much the loss and its gradient are divided, and log p.

    a = w[c] * ((1 - e) [c is the target] + e / C), 0 for ignored targets; the mean divides by the sum of w[target].
    """
    weight, ignored, smoothing = (options[n] for n in ("weight", "ignore_index", "label_smoothing"))
    if (
        len(x.shape) != 2 or not isinstance(target, Var) or target.dtype != np.int64 or not x.size
        or target.kind == "result" or not (weight is None or (isinstance(weight, Var) and weight.dtype == x.dtype))
    ):  # fmt: skip
        raise NotLowered("targets or weights of another form")
    n, classes = x.shape
    b.emit("check_classes", [target], (), bool, classes=classes, ignored=ignored, keep=True)
    column = b.reshape(target, (n, 1))
    counted = b.not_equal(column, ignored)
    own = b.logical_and(_hits(b, column, classes), counted)
    w: Operand = 1.0 if weight is None else b.reshape(weight, (1, classes))
    share = b.where(own, w, 0.0, dtype=x.dtype)
    a = share
    if smoothing:
        each: Operand = smoothing / classes if weight is None else b.multiply(w, smoothing / classes)
        a = b.add(b.multiply(share, 1 - smoothing), b.where(counted, each, 0.0, dtype=x.dtype))
    z = b.subtract(x, b.max(x, 1, True))
    log_p = b.subtract(z, b.log(b.sum(b.exp(z), 1, True)))
    # Where no target counts the loss is 0 / 0 but the gradient 0.
    total = b.sum(share)
    some = b.greater(b.sum(_as(b, counted, x.dtype)), 0.0)
    return a, b.where(some, total, np.nan, dtype=x.dtype), b.where(some, total, 1.0, dtype=x.dtype), log_p


@forward("softmax_cross_entropy")
def _cross_entropy(b: Builder, x: Var, target: Var, **options: Any) -> Any:
    if not _plain_cross_entropy(x, target, options) or not _counts_all(b, target, options):
        a, total, _, log_p = _weighted_cross_entropy(b, x, target, options)
        each = b.where(b.equal(a, 0.0), 0.0, b.multiply(a, log_p), dtype=x.dtype)
        if options["reduction"] == "none":
            return b.negative(b.sum(each, 1))
        loss = b.negative(b.sum(each))
        return b.divide(loss, total) if options["reduction"] == "mean" else loss
    b.emit("check_classes", [target], (), bool, classes=x.shape[1], ignored=None, keep=True)
    z = b.subtract(x, b.max(x, 1, True))
    loss = b.subtract(b.log(b.reshape(b.sum(b.exp(z), 1), (x.shape[0],))), b.onehot_take(z, target))
    return _reduced(b, loss, options["reduction"])


@backward("softmax_cross_entropy")
def _cross_entropy_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    x, target = call.inputs
    options = dict(zip(call.op.options, call.options))
    assert isinstance(x, Var) and isinstance(target, Var)
    n, classes = x.shape[0], x.shape[-1]
    if not _plain_cross_entropy(x, target, options) or not _counts_all(b, target, options):
        a, _, total, log_p = _weighted_cross_entropy(b, x, target, options)
        d = b.subtract(b.multiply(b.exp(log_p), b.sum(a, 1, True)), a)
        if options["reduction"] == "none":
            return [b.multiply(d, b.reshape(g, (n, 1))), None]
        return [b.multiply(d, b.divide(g, total) if options["reduction"] == "mean" else g), None]
    e = b.exp(b.subtract(x, b.max(x, 1, True)))
    s = b.sum(e, 1, True)
    share = (
        _shared(b, g, (n,), options["reduction"]) if options["reduction"] != "none" else b.reshape(g, (n, 1))
    )
    hit = _hits(b, b.reshape(target, (n, 1)), classes)
    return [b.multiply(b.subtract(b.divide(e, s), b.cast(hit, x.dtype)), share), None]


# Normalization


@forward("standardize")
def _standardize(
    b: Builder, x: Var, w: Var | None = None, bias: Var | None = None, axis: Axis = (0,), eps: float = 1e-5,
    center: bool = True, moments: RunningStatistics | None = None, view: Shape | None = None, fit: Shape | None = None,
) -> Any:  # fmt: skip
    if x.dtype.kind != "f" or not x.size:
        raise NotLowered
    shape = x.shape
    x = x if view is None else b.reshape(x, view)
    w, bias = (p if p is None or fit is None else b.reshape(p, fit) for p in (w, bias))
    mean = b.named(b.mean(x, axis, True), "mu")
    d = b.subtract(x, mean) if center else x
    variance = b.named(b.mean(b.multiply(d, d), axis, True), "var")
    scale = b.named(b.divide(1, b.sqrt(b.add(variance, eps))), "scale")
    if moments is not None:
        b.track(moments, mean, variance)
    out = b.named(b.multiply(d, scale), "xhat")
    out = out if w is None else b.multiply(out, w)
    out = out if bias is None else b.add(out, bias)
    return b.reshape(out, shape)


@forward("affine")
def _affine(b: Builder, x: Var, scale: Var, shift: Var) -> Var:
    return b.add(b.multiply(x, scale), shift)


# Dropout: the mask is drawn by NumPy, so that the random numbers are the eager ones


@forward("dropout")
def _dropout(b: Builder, x: Var, p: float = 0.5, shape: Shape | None = None, rng: RandomLike = None) -> Any:
    kept = b.draw(
        keep_mask, (p, x.shape if shape is None else shape, rng), x.shape if shape is None else shape, bool
    )
    mask = b.multiply(b.cast(kept, x.dtype), 1 / (1 - p) if p < 1 else 0.0)
    return b.multiply(x, mask), mask


@backward("dropout")
def _dropout_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    return [b.multiply(g, call.outputs[1])]


# Windows: convolution and pooling over any number of spatial dimensions


def _padded(b: Builder, x: Var, geometry: Geometry, value: float = 0.0) -> Var:
    return _widened(b, x, ((0, 0), (0, 0), *geometry.pads), value)


def _widened(b: Builder, x: Var, pairs: Sequence[tuple[int, int]], value: float = 0.0) -> Var:
    """x with a constant before and behind each axis; negative numbers take elements away."""
    if any(n < 0 for pair in pairs for n in pair):
        # An axis that is kept is named whole: its size may be the number of rows.
        kept = (
            slice(max(-lo, 0), n + hi if hi < 0 else None) if lo < 0 or hi < 0 else slice(None)
            for n, (lo, hi) in zip(x.shape, pairs)
        )
        x = b.slice(x, tuple(kept))
        pairs = [(max(lo, 0), max(hi, 0)) for lo, hi in pairs]
    if not any(map(any, pairs)):
        return x
    shape = [n + lo + hi for n, (lo, hi) in zip(x.shape, pairs)]
    return b.emit("pad", [x], shape, x.dtype, pairs=tuple(pairs), value=value)


def _last(b: Builder, x: Var) -> Var:
    """(N, C, *S) as (N, *S, C)."""
    return b.transpose(x, (0, *range(2, len(x.shape)), 1))


def _first(b: Builder, x: Var) -> Var:
    """(N, *S, C) as (N, C, *S)."""
    n = len(x.shape)
    return b.transpose(x, (0, n - 1, *range(1, n - 1)))


def _check_conv(x: Var, w: Var) -> None:
    if x.dtype != w.dtype or x.dtype.kind != "f" or not x.size or not w.size:
        raise NotLowered("dtypes or sizes")


def _is_depthwise(x: Var, w: Var, groups: int) -> bool:
    """Whether every channel has a filter of its own: sums over the filters' elements rather than products."""
    return groups == x.shape[1] == w.shape[0] and groups > 1 and prod(w.shape[2:]) <= 25


def _elements(b: Builder, w: Var) -> list[Var]:
    """The elements (C,) of the filters (C, 1, *K), one after another."""
    flat = b.reshape(w, (w.shape[0], prod(w.shape[1:])))
    return [b.slice(flat, (slice(None), i)) for i in range(flat.shape[1])]


def _added(b: Builder, parts: Sequence[Var]) -> Var:
    total = parts[0]
    for part in parts[1:]:
        total = b.add(total, part)
    return total


@forward("conv")
def _conv(
    b: Builder, x: Var, w: Var, bias: Var | None = None, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1,
    groups: int = 1,
) -> Any:  # fmt: skip
    _check_conv(x, w)
    f = Geometry(x.shape, w.shape[2:], stride, padding, dilation)
    xp = _padded(b, x, f)
    if _is_depthwise(x, w, groups):
        out = _added(b, [b.multiply(part, e) for part, e in zip(_slices(b, xp, f), _elements(b, w))])
        return _first(b, out if bias is None else b.add(out, bias))
    shape = (x.shape[0], w.shape[0], *f.counts)
    out = _by_windows(b, "conv", xp, w, shape, f, groups)
    return out if bias is None else b.add(out, b.reshape(bias, (1, bias.size, *(1,) * len(f.counts))))


def _by_windows(b: Builder, kind: str, x: Var, y: Var, shape: Sequence[int], f: Geometry, groups: int) -> Var:
    """A primitive of convolution, or, for people who read the program, what it stands for."""
    if not b.readable:
        params = {"kernel": f.kernel, "stride": f.stride, "dilation": f.dilation, "sizes": f.padded}
        return b.emit(kind, [x, y], shape, x.dtype, groups=groups, **params)
    if kind == "conv":
        return windows.images(b, windows.conv(b, x, y, f, groups), x.shape[0], f.counts)
    if kind == "conv_weight":
        return b.reshape(b.matmul(*windows.conv_weight(b, x, y, f, groups)), shape)
    return b.transpose(windows.conv_input(b, x, y, f, groups), (1, 0, *range(2, len(shape))))


@backward("conv")
def _conv_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    x, w = call.inputs[:2]
    assert isinstance(x, Var) and isinstance(w, Var)
    options = options_of(call)
    _check_conv(x, w)
    f = Geometry(x.shape, w.shape[2:], options["stride"], options["padding"], options["dilation"])
    gx = _input_gradient(b, g, w, x.shape, f, options["groups"]) if needed[0] else None
    gw = _filter_gradient(b, x, g, w.shape, f, options["groups"]) if needed[1] else None
    bias = b.sum(g, (0, *range(2, len(g.shape)))) if needed[2] else None
    return [gx, gw, bias]


def _input_gradient(b: Builder, g: Var, w: Var, shape: Sequence[int], f: Geometry, groups: int) -> Var:
    """The transpose of a convolution: each element adds its filter, scaled, where the window lies in x."""
    n, c = shape[:2]
    if groups == c == w.shape[0] and prod(w.shape[2:]) <= 25 and groups > 1:
        last = _last(b, g)
        return _folded(b, [b.multiply(last, e) for e in _elements(b, w)], f, n, c, g.dtype)
    out = _by_windows(b, "conv_input", g, w, (n, c, *f.padded), f, groups)
    around = [(-lo, -hi) for lo, hi in f.pads]
    return _widened(b, out, [(0, 0), (0, 0), *around])


def _filter_gradient(b: Builder, x: Var, g: Var, shape: Sequence[int], f: Geometry, groups: int) -> Var:
    """Input times gradient of the result, summed over the windows."""
    xp = _padded(b, x, f)
    if groups == x.shape[1] == shape[0] and prod(shape[2:]) <= 25 and groups > 1:
        last, axes = _last(b, g), tuple(range(len(x.shape) - 1))
        sums = [b.reshape(b.sum(b.multiply(last, part), axes), (shape[0], 1)) for part in _slices(b, xp, f)]
        return b.reshape(_joined(b, sums, 1), shape)
    return _by_windows(b, "conv_weight", xp, g, shape, f, groups)


@forward("conv_weight")
def _conv_weight(
    b: Builder, x: Var, y: Var, kernel: Shape, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1,
    groups: int = 1,
) -> Any:  # fmt: skip
    _check_conv(x, y)
    f = Geometry(x.shape, kernel, stride, padding, dilation)
    if f.counts != y.shape[2:]:
        raise NotLowered("windows that are left over")
    return _filter_gradient(b, x, y, (y.shape[1], x.shape[1] // groups, *f.kernel), f, groups)


@forward("conv_transpose")
def _conv_transpose(
    b: Builder, y: Var, w: Var, bias: Var | None = None, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1,
    groups: int = 1, size: Sizes | None = None,
) -> Any:  # fmt: skip
    _check_conv(y, w)
    axes = len(w.shape) - 2
    if isinstance(padding, str):
        raise NotLowered("padding")
    if size is None:
        pads = [pair(p) for p in ((padding,) * axes if isinstance(padding, (int, np.integer)) else padding)]
        strides, dilations = per_axis(stride, axes), per_axis(dilation, axes)
        sizes = tuple(
            (m - 1) * s + d * (k - 1) + 1 - lo - hi
            for m, s, d, k, (lo, hi) in zip(y.shape[2:], strides, dilations, w.shape[2:], pads)
        )
    else:
        sizes = per_axis(size, axes)
    shape = (y.shape[0], w.shape[1] * groups, *sizes)
    f = Geometry(shape, w.shape[2:], stride, padding, dilation)
    if f.counts != y.shape[2:]:
        raise NotLowered("windows that are left over")
    out = _input_gradient(b, y, w, shape, f, groups)
    return out if bias is None else b.add(out, b.reshape(bias, (1, bias.size, *(1,) * axes)))


def _folded(b: Builder, parts: Sequence[Var], f: Geometry, n: int, c: int, dtype: DTypeLike) -> Var:
    """Values (N, *L, C) for each element of the windows, added where these lie in x: (N, C, *S)."""
    places = []
    for offset in f.offsets():
        axes = [
            (0, 1, n),
            *((i + 1, s, m) for i, (s, m) in enumerate(zip(f.stride, f.counts))),
            (len(f.counts) + 1, 1, c),
        ]
        places.append((tuple(axes), (0, *offset, 0)))
    out = b.emit("fold", parts, (n, *f.padded, c), dtype, places=tuple(places))
    around = [(-lo, -hi) for lo, hi in f.pads]
    return _first(b, _widened(b, out, [(0, 0), *around, (0, 0)]))


def _slices(b: Builder, x: Var, f: Geometry) -> list[Var]:
    """The first elements of all windows, the second ones, and so on: (N, *L, C) each."""
    n, c = x.shape[:2]
    found = []
    for offset in f.offsets():
        axes = [(0, 1, n), *((i + 2, s, m) for i, (s, m) in enumerate(zip(f.stride, f.counts))), (1, 1, c)]
        found.append(
            b.emit("strided", [x], [m for _, _, m in axes], x.dtype, axes=tuple(axes), start=(0, 0, *offset))
        )
    return found


def _pool_geometry(
    x: Var, kernel: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes, ceil_mode: bool
) -> Geometry:
    if x.dtype.kind != "f" or not x.size:
        raise NotLowered
    sizes = per_axis(kernel, len(x.shape) - 2)
    f = Geometry(x.shape, sizes, kernel if stride is None else stride, padding, dilation)
    if ceil_mode and any(
        (p - d * (k - 1) - 1) % s for p, k, s, d in zip(f.padded, f.kernel, f.stride, f.dilation)
    ):
        raise NotLowered("ceil_mode")
    if prod(f.kernel) > 16:
        raise NotLowered("large windows")
    return f


@forward("max_pool")
def _max_pool(
    b: Builder,
    x: Var,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Any:
    f = _pool_geometry(x, kernel, stride, padding, dilation, ceil_mode)
    parts = _slices(b, _padded(b, x, f, -np.inf), f)
    out = parts[0]
    for part in parts[1:]:
        out = b.maximum(out, part)
    return _first(b, out)


@backward("max_pool")
def _max_pool_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    (x,) = call.inputs
    assert isinstance(x, Var)
    options = options_of(call)
    f = _pool_geometry(x, *(options[n] for n in ("kernel", "stride", "padding", "dilation", "ceil_mode")))
    parts = _slices(b, _padded(b, x, f, -np.inf), f)
    out = parts[0]
    for part in parts[1:]:
        out = b.maximum(out, part)
    g = _last(b, g)
    shares = []
    free: Operand = None  # windows whose first maximum has not been met yet
    for part in parts:
        hit = b.equal(part, out)
        first = hit if free is None else b.logical_and(hit, free)
        shares.append(b.where(first, g, 0.0, dtype=g.dtype))
        free = b.logical_not(hit) if free is None else b.logical_and(free, b.logical_not(hit))
    return [_folded(b, shares, f, x.shape[0], x.shape[1], x.dtype)]


def _mean_share(f: Geometry, count_include_pad: bool, divisor_override: int | None) -> float:
    """By what the sum of a window is multiplied, where it is the same for all."""
    if divisor_override is None and not count_include_pad and any(lo or hi for lo, hi in f.pads):
        raise NotLowered("windows of different numbers of elements")
    return 1 / (divisor_override or prod(f.kernel))


@forward("pad_constant")
def _pad_constant(b: Builder, x: Var, widths: Any, value: float = 0) -> Var:
    pairs = [pair(w) for w in widths]
    if x.dtype.kind != "f" or len(pairs) != len(x.shape) or not x.size:
        raise NotLowered
    if any(n + min(lo, 0) + min(hi, 0) < 1 for n, (lo, hi) in zip(x.shape, pairs)):
        raise NotLowered("nothing is left")
    return _widened(b, x, pairs, float(value))


@forward("avg_pool")
def _avg_pool(
    b: Builder, x: Var, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    f = _pool_geometry(x, kernel, stride, padding, 1, ceil_mode)
    share = _mean_share(f, count_include_pad, divisor_override)
    return _first(b, b.multiply(_added(b, _slices(b, _padded(b, x, f), f)), share))


@forward("avg_pool_spread")
def _avg_pool_spread(
    b: Builder, x: Var, size: Shape, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    n, c = x.shape[:2]
    like = Var((n, c, *size), x.dtype)
    f = _pool_geometry(like, kernel, stride, padding, 1, ceil_mode)
    if f.counts != x.shape[2:]:
        raise NotLowered("windows that are left over")
    share = b.multiply(_last(b, x), _mean_share(f, count_include_pad, divisor_override))
    return _folded(b, [share] * prod(f.kernel), f, n, c, x.dtype)


def _joined(b: Builder, parts: Sequence[Var], axis: int) -> Var:
    """Arrays one behind the other along an axis."""
    first = parts[0]
    places, at = [], 0
    for part in parts:
        start = tuple(at if i == axis else 0 for i in range(len(part.shape)))
        places.append((tuple((i, 1, n) for i, n in enumerate(part.shape)), start))
        at += part.shape[axis]
    shape = [at if i == axis else n for i, n in enumerate(first.shape)]
    return b.emit("join", parts, shape, first.dtype, places=tuple(places))


@forward("concat")
def _concat(b: Builder, *parts: Var, axis: int | None = 0, **options: object) -> Var:
    if axis is None or any(not isinstance(p, Var) or p.dtype != parts[0].dtype for p in parts):
        raise NotLowered
    return _joined(b, parts, axis % len(parts[0].shape))


@backward("concat")
def _concat_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    (axis,) = call.options
    parts = [x.shape for x in call.inputs if isinstance(x, Var)]
    if axis is None or len(parts) < len(call.inputs):
        raise NotLowered
    found: list[Operand] = []
    at, axis = 0, axis % len(g.shape)
    for shape, wanted in zip(parts, needed):
        index = (*[slice(None)] * axis, slice(at, at + shape[axis]))
        found.append(b.slice(g, index) if wanted else None)
        at += shape[axis]
    return found


@backward("stack")
def _stack_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    axis = call.options[0] % len(g.shape)
    return [b.slice(g, (*[slice(None)] * axis, i)) if wanted else None for i, wanted in enumerate(needed)]


@forward("stack")
def _stack(b: Builder, *parts: Var, axis: int = 0, **options: object) -> Var:
    if any(not isinstance(p, Var) or p.dtype != parts[0].dtype for p in parts):
        raise NotLowered
    axis %= len(parts[0].shape) + 1
    return _joined(b, [b.reshape(p, (*p.shape[:axis], 1, *p.shape[axis:])) for p in parts], axis)


def options_of(call: Call) -> dict[str, Any]:
    """The options of a call by name; arrays among them are variables."""
    return dict(zip(call.op.options, call.options))


def lower_call(b: Builder, call: Call) -> list[Operand]:
    """The primitives of a call's forward; raises NotLowered where there are none."""
    f = FORWARD.get(call.op.name)
    if f is None:
        raise NotLowered("no lowering")
    for x in call.inputs:
        if isinstance(x, (list, np.ndarray)):
            raise NotLowered("a list as an operand")
        if isinstance(x, Var) and x.dtype.str[1:] not in DTYPES:
            raise NotLowered(f"{x.dtype}")
    try:
        out = f(b, *call.inputs, **options_of(call))
    except TypeError:
        if any(isinstance(x, Var) for x in call.options):
            raise NotLowered("an option that is an array") from None
        raise
    return list(out) if isinstance(out, tuple) else [out]
