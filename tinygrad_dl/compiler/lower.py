"""Lowering: captured operations as primitives. What has no entry here stays a call of its forward or its rules.

An entry is the operation's formula once more, in the few functions of `Builder`: the eager forward is its oracle. The
backward pass needs no entries of its own where an operation's rule is written in operations: the rule is run once and
what it called is lowered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

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
from tinygrad_dl.config import default_rng
from tinygrad_dl.typing import Axis, BasicIndex, DTypeLike, NDArray, RandomLike, Shape, ShapeLike, Sizes

if TYPE_CHECKING:
    from tinygrad_dl.nn.functional.normalization import RunningStatistics

Lowering = Callable[..., Any]
FORWARD: dict[str, Lowering] = {}
BACKWARD: dict[str, Lowering] = {}
#: How a convolution is padded: "same", "valid", or for each axis a number or a pair.
Padding: TypeAlias = Union[str, int, Sequence[Union[int, tuple[int, int]]]]


class Builder:
    """Makes primitives one after another, with shapes and dtypes worked out as NumPy does."""

    def __init__(self, supported: Callable[[Prim], bool] | None = None) -> None:
        self.supported = supported  # whether the backend has a primitive; None for all
        self.steps: list[Step] = []
        self.module, self.phase, self.origin = "", "forward", -1
        self._known: dict[Any, Var] = {}
        self.values: Mapping[int, np.ndarray] = {}  # what captured variables were, by serial

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
        for name, batch, share in (("mean", mean, "mean_share"), ("var", variance, "var_share")):
            running = self.state_of(getattr(moments, name, None))
            if batch.size != running.size:  # one for each example
                batch = self.mean(self.reshape(batch, (-1, running.size)), 0)
            new = self.add(
                self.multiply(running, 1 - moments.momentum),
                self.multiply(self.reshape(batch, running.shape), getattr(moments, share)),
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
    if kind == "multiply" and isinstance(xs[0], Var) and type(xs[1]) in (int, float) and xs[1] == 1:
        return xs[0]
    return b.elementwise(kind, *xs)


_register_elementwise()


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
    """Indices of an argument, compared with what there is before anything is changed."""
    if not isinstance(indices, Var) or indices.kind != "argument" or indices.dtype.kind != "i":
        raise NotLowered("indices that are not an argument")
    b.emit("check_classes", [indices], (), bool, classes=count, ignored=None, keep=True)
    return indices


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


@forward("softmax_cross_entropy")
def _cross_entropy(b: Builder, x: Var, target: Var, **options: Any) -> Any:
    if not _plain_cross_entropy(x, target, options) or not _counts_all(b, target, options):
        raise NotLowered
    b.emit("check_classes", [target], (), bool, classes=x.shape[1], ignored=None, keep=True)
    z = b.subtract(x, b.max(x, 1, True))
    loss = b.subtract(b.log(b.reshape(b.sum(b.exp(z), 1), (x.shape[0],))), b.onehot_take(z, target))
    return _reduced(b, loss, options["reduction"])


@backward("softmax_cross_entropy")
def _cross_entropy_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    x, target = call.inputs
    options = dict(zip(call.op.options, call.options))
    assert isinstance(x, Var) and isinstance(target, Var)
    if not _plain_cross_entropy(x, target, options) or not _counts_all(b, target, options):
        raise NotLowered
    e = b.exp(b.subtract(x, b.max(x, 1, True)))
    s = b.sum(e, 1, True)
    n, classes = x.shape
    share = (
        _shared(b, g, (n,), options["reduction"]) if options["reduction"] != "none" else b.reshape(g, (n, 1))
    )
    column = b.emit("iota", [], (1, classes), np.int64, axis=1)
    hit = b.equal(b.reshape(target, (n, 1)), column)
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


class Geometry:
    """Where the windows of a convolution or pooling lie in x (N, C, *S), padded."""

    def __init__(
        self, x: Sequence[int], kernel: Sequence[int], stride: Sizes, padding: Padding, dilation: Sizes
    ) -> None:
        n = len(kernel)
        self.kernel = tuple(int(k) for k in kernel)
        self.stride, self.dilation = _per_axis(stride, n), _per_axis(dilation, n)
        if padding == "same":
            spans = [d * (k - 1) for k, d in zip(self.kernel, self.dilation)]
            self.pads = tuple((s // 2, s - s // 2) for s in spans)
        elif isinstance(padding, str):
            self.pads = ((0, 0),) * n
        else:
            entries = (padding,) * n if isinstance(padding, (int, np.integer)) else padding
            self.pads = tuple(_pair(entry) for entry in entries)
        if len(self.pads) != n:
            raise NotLowered("padding")
        self.sizes = tuple(x[2:])
        self.padded = tuple(s + lo + hi for s, (lo, hi) in zip(self.sizes, self.pads))
        self.counts = tuple(
            (p - d * (k - 1) - 1) // s + 1
            for p, k, s, d in zip(self.padded, self.kernel, self.stride, self.dilation)
        )
        if any(c < 1 for c in self.counts):
            raise NotLowered("windows that do not fit")

    def offsets(self) -> list[tuple[int, ...]]:
        """The positions of a window's elements, relative to its first, in the order of the kernel."""
        return [tuple(int(i) * d for i, d in zip(at, self.dilation)) for at in np.ndindex(*self.kernel)]


def _per_axis(x: Sizes, n: int) -> tuple[int, ...]:
    return (int(x),) * n if isinstance(x, (int, np.integer)) else tuple(int(v) for v in x)


def _pair(x: int | tuple[int, int]) -> tuple[int, int]:
    before, after = (x, x) if isinstance(x, (int, np.integer)) else x
    return int(before), int(after)


def _padded(b: Builder, x: Var, geometry: Geometry, value: float = 0.0) -> Var:
    if not any(lo or hi for lo, hi in geometry.pads):
        return x
    pairs = ((0, 0), (0, 0), *geometry.pads)
    return b.emit("pad", [x], [*x.shape[:2], *geometry.padded], x.dtype, pairs=pairs, value=value)


def _columns(b: Builder, x: Var, f: Geometry) -> Var:
    """The windows of padded x as rows: (N * L, C * K)."""
    n, c = x.shape[:2]
    axes = [(0, 1, n), *((i + 2, s, m) for i, (s, m) in enumerate(zip(f.stride, f.counts))), (1, 1, c)]
    axes += [(i + 2, d, k) for i, (d, k) in enumerate(zip(f.dilation, f.kernel))]
    windows = b.emit("strided", [x], [size for _, _, size in axes], x.dtype, axes=tuple(axes), start=())
    return b.reshape(windows, (n * prod(f.counts), c * prod(f.kernel)))


def _last(b: Builder, x: Var) -> Var:
    """(N, C, *S) as (N, *S, C)."""
    return b.transpose(x, (0, *range(2, len(x.shape)), 1))


def _first(b: Builder, x: Var) -> Var:
    """(N, *S, C) as (N, C, *S)."""
    n = len(x.shape)
    return b.transpose(x, (0, n - 1, *range(1, n - 1)))


@forward("conv")
def _conv(
    b: Builder, x: Var, w: Var, bias: Var | None = None, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1,
    groups: int = 1,
) -> Any:  # fmt: skip
    if groups != 1 or x.dtype != w.dtype or x.dtype.kind != "f" or not x.size or not w.size:
        raise NotLowered("groups")
    f = Geometry(x.shape, w.shape[2:], stride, padding, dilation)
    rows = _columns(b, _padded(b, x, f), f)
    out = b.matmul(rows, b.transpose(b.reshape(w, (w.shape[0], rows.shape[1]))))
    if bias is not None:
        out = b.add(out, bias)
    return _first(b, b.reshape(out, (x.shape[0], *f.counts, w.shape[0])))


@backward("conv")
def _conv_vjp(b: Builder, g: Var, call: Call, needed: Sequence[bool]) -> list[Operand]:
    x, w = call.inputs[:2]
    assert isinstance(x, Var) and isinstance(w, Var)
    options = options_of(call)
    if options["groups"] != 1 or x.dtype != w.dtype or x.dtype.kind != "f" or not x.size or not w.size:
        raise NotLowered("groups")
    f = Geometry(x.shape, w.shape[2:], options["stride"], options["padding"], options["dilation"])
    n, c = x.shape[:2]
    filters, k = w.shape[0], prod(f.kernel)
    rows = b.reshape(_last(b, g), (n * prod(f.counts), filters))
    gx: Operand = None
    gw: Operand = None
    if needed[0]:
        spread = b.reshape(b.matmul(rows, b.reshape(w, (filters, c * k))), (n, *f.counts, c, *f.kernel))
        parts = []
        for at in np.ndindex(*f.kernel):
            index = (slice(None),) * (len(f.counts) + 2) + tuple(int(i) for i in at)
            parts.append(b.slice(spread, index))
        gx = _folded(b, parts, f, n, c, x.dtype)
    if needed[1]:
        columns = _columns(b, _padded(b, x, f), f)
        gw = b.reshape(b.matmul(b.transpose(rows), columns), w.shape)
    return [gx, gw, b.sum(rows, 0) if needed[2] else None]


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
    if f.padded != f.sizes:
        inside = tuple(slice(lo, lo + s) for (lo, _), s in zip(f.pads, f.sizes))
        out = b.slice(out, (slice(None), *inside, slice(None)))
    return _first(b, out)


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
    sizes = _per_axis(kernel, len(x.shape) - 2)
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
    out = f(b, *call.inputs, **options_of(call))
    return list(out) if isinstance(out, tuple) else [out]
