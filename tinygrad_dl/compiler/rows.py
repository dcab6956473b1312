"""One program for any number of rows, derived from captures of a few.

Captures of the same function that differ in one leading size have the same steps; what is different in them (shapes,
options, numbers) must follow from the number of rows. Several captures are compared step by step and become one program
in which a size that differs is a `Size` and a number that differs a `Ratio`: expressions in `rows`. Where no such
expression explains all captures, there is no common program, and every size has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isclose
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinygrad_dl.compiler.capture import fixed
from tinygrad_dl.compiler.program import (
    CONVOLUTIONS,
    Call,
    Effect,
    NotLowered,
    Number,
    Prim,
    Program,
    Step,
    Var,
    Vjp,
)
from tinygrad_dl.compiler.replay import live_steps
from tinygrad_dl.compiler.sizes import Altered, Filled, Ratio, Size, depends, parts_of, same_size
from tinygrad_dl.graph import Value

#: What a number of rows is taken for while code is written: primes beyond every threshold. Code that is not the same
#: for both has lost sight of a size.
SAMPLES = (1009, 2003)


class Unexplained(NotLowered):
    """Captures differ in something that does not follow from the number of rows."""


class Merger:
    """Makes one of what several captures hold; `rows` are their numbers of rows, the latest last."""

    def __init__(self, rows: Sequence[int], at: int) -> None:
        self.rows, self.at = rows, at
        self._vars: dict[tuple[int, ...], Var] = {}
        self._key: list[dict[int, tuple[int, ...]]] = [{} for _ in rows]
        self._calls: dict[tuple[int, ...], Call] = {}
        self.constants: list[Var] = []
        self.numbers: list[
            str
        ] = []  # expressions of the numbers that primitives read, from `first_number` on
        self.first_number = 0

    # Numbers

    def size(self, values: Sequence[int]) -> int:
        if all(v == values[0] for v in values):
            return int(values[0])
        rows = self.rows
        slope, left = divmod(values[1] - values[0], rows[1] - rows[0])
        rest = values[0] - slope * rows[0]
        if left or any(slope * n + rest != v for n, v in zip(rows, values)):
            raise Unexplained(f"sizes {', '.join(map(str, values))} for {', '.join(map(str, rows))} rows")
        return Size(slope, rest, self.at)

    def number(self, values: Sequence[float]) -> float:
        """An expression a + b * f(rows), or one over that, which gives all the values."""
        if all(v == values[0] for v in values) or all(v != v for v in values):
            return values[-1]
        if all(isinstance(v, int) for v in values):
            return self.size(values)  # type: ignore[arg-type]
        rows = [float(n) for n in self.rows]
        low, high = rows.index(min(rows)), rows.index(max(rows))
        for inverse in (True, False):
            if inverse and not all(values):
                continue
            ys = [1 / v for v in values] if inverse else list(values)
            for text, f in TERMS.items():
                xs = [f(n) for n in rows]
                b = _tidy((ys[high] - ys[low]) / (xs[high] - xs[low]))
                a = _tidy(ys[high] - b * xs[high], abs(ys[high]))
                if all(isclose(a + b * x, y, rel_tol=1e-12) for x, y in zip(xs, ys)):
                    whole = f"({a!r} + {b!r} * {text})" if a else f"({b!r} * {text})"
                    whole = f"(1 / {whole})" if inverse else whole
                    return Ratio(whole, values[-1])
        raise Unexplained(f"numbers {', '.join(map(repr, values))}")

    # Values

    def value(self, xs: Sequence[Any]) -> Any:
        last = xs[-1]
        if isinstance(last, Var):
            return self.var(xs)
        if last is None or isinstance(last, (bool, str, np.dtype, type)):
            return self._equal(xs)
        if all(isinstance(x, (int, np.integer)) and not isinstance(x, bool) for x in xs):
            return self.size([int(x) for x in xs])
        if all(type(x) in (int, float) for x in xs):
            return self.number(xs)
        if any(type(x) is not type(last) for x in xs):
            raise Unexplained("values of different types")
        if isinstance(last, Number):
            self._equal([x.index for x in xs])
            return last
        if isinstance(last, (tuple, list)):
            self._equal([len(x) for x in xs])
            return type(last)(self.value(parts) for parts in zip(*xs))
        if isinstance(last, dict):
            self._equal([list(x) for x in xs])
            return {k: self.value([x[k] for x in xs]) for k in last}
        if isinstance(last, slice):
            parts = [self.value([getattr(x, k) for x in xs]) for k in ("start", "stop", "step")]
            if depends(parts):
                raise Unexplained("a part of an array that ends with the number of rows")
            return last
        code = getattr(last, "__code__", None)
        if code is not None:
            self._equal([x.__code__ for x in xs])
            for cells in zip(*((x.__closure__ or ()) for x in xs)):
                if depends(self.value([c.cell_contents for c in cells])):
                    raise Unexplained("a function that knows the number of rows")
            return last
        if all(x is last for x in xs):
            return last
        if isinstance(last, (np.ndarray, Value)):
            raise Unexplained("an array that the function made")
        if all(bool(x == last) for x in xs):
            return last
        return self._altered(xs)

    def _equal(self, xs: Sequence[Any]) -> Any:
        if any(x != xs[-1] for x in xs):
            raise Unexplained(f"{xs[0]!r} and {xs[-1]!r}")
        return xs[-1]

    def _altered(self, xs: Sequence[Any]) -> Any:
        """Objects of one class that differ in numbers only."""
        last = xs[-1]
        names = [*getattr(type(last), "__slots__", ()), *getattr(last, "__dict__", ())]
        if not names:
            raise Unexplained(f"{type(last).__name__} objects that differ")
        found = {name: self.value([getattr(x, name) for x in xs]) for name in names}
        return Altered(last, {name: x for name, x in found.items() if depends(x)})

    def var(self, xs: Sequence[Any]) -> Var:
        if not all(isinstance(x, Var) for x in xs):
            raise Unexplained("steps of different kinds")
        key = tuple(x.serial for x in xs)
        var = self._vars.get(key)
        if var is not None:
            return var
        for serial, known in zip(key, self._key):
            if known.setdefault(serial, key) != key:
                raise Unexplained("values that are used differently")
        last = xs[-1]
        self._equal([len(x.shape) for x in xs])
        self._equal([(x.dtype, x.kind) for x in xs])
        shape = tuple(self.size(n) for n in zip(*(x.shape for x in xs)))
        for n in shape:
            if isinstance(n, Size) and (n.slope < 0 or n.of(1) < 1):
                raise Unexplained("an array that may have no rows")
        source = last.source
        if last.kind == "constant":
            source = self._constant([fixed(x) for x in xs], source)
        elif last.kind != "result" and not all(_same_source(x.source, source) for x in xs):
            raise Unexplained("values from different places")
        var = self._vars[key] = Var(shape, last.dtype, last.kind, source, last.name)
        if var.kind == "constant":
            self.constants.append(var)
        return var

    def _constant(self, arrays: Sequence[np.ndarray], source: Any) -> Any:
        first = arrays[0]
        if all(a is first or (a.shape == first.shape and np.array_equal(a, first)) for a in arrays):
            return source
        if all(a.size and (a == first.flat[0]).all() for a in arrays):
            return Filled(first.flat[0])
        raise Unexplained("constants that differ")

    # Steps

    def step(self, xs: Sequence[Any]) -> Step:
        self._equal([type(x) for x in xs])
        last = xs[-1]
        made: Step
        if isinstance(last, Call):
            made = self.call(xs)
        elif isinstance(last, Vjp):
            call = self.call([x.call for x in xs])
            made = Vjp(self.value([x.inputs for x in xs]), self._outputs(xs), call=call)
        elif isinstance(last, Effect):
            made = self._effect(xs)
        else:
            self._equal([x.kind for x in xs])
            made = Prim(
                [self._operand(x) for x in _rows_of([x.inputs for x in xs])],
                self._outputs(xs),
                kind=last.kind,
                params=self.value([x.params for x in xs]),
            )
            check(made)
        made.module, made.phase, made.origin = last.module, last.phase, last.origin
        return made

    def call(self, xs: Sequence[Call]) -> Call:
        key = tuple(map(id, xs))
        made = self._calls.get(key)
        if made is None:
            last = xs[-1]
            self._equal([x.op for x in xs])
            inputs, options = self.value([x.inputs for x in xs]), self.value([x.options for x in xs])
            made = self._calls[key] = Call(inputs, self._outputs(xs), op=last.op, options=options)
            if last.op.name == "getitem":
                _check_index(inputs[0].shape, options[0])
        return made

    def _outputs(self, xs: Sequence[Step]) -> list[Var | None]:
        return [self.value(parts) for parts in _rows_of([x.outputs for x in xs])]

    def _operand(self, xs: Sequence[Any]) -> Any:
        """What a primitive reads: a number that follows from the number of rows is an input of the run."""
        x = self.value(xs)
        if isinstance(x, (Size, Ratio)):
            self.numbers.append(repr(x))
            return Number(self.first_number + len(self.numbers) - 1, float(xs[-1]))
        return x

    def _effect(self, xs: Sequence[Effect]) -> Effect:
        last = xs[-1]
        if not all(x.function == last.function for x in xs):
            self.value([x.function for x in xs])
        made = Effect(
            self.value([x.inputs for x in xs]),
            self._outputs(xs),
            function=last.function,
            args=self.value([x.args for x in xs]),
            what=last.what,
        )
        made.wrapped, made.changes = last.wrapped, self.value([x.changes for x in xs])
        for parts in _rows_of([x.gradients for x in xs]):
            if any(leaf is not parts[-1][0] for leaf, _ in parts):
                raise Unexplained("gradients of different parameters")
            made.gradients.append((parts[-1][0], self.value([v for _, v in parts])))
        return made

    def gradients(self, xs: Sequence[Sequence[tuple[Any, Any]]]) -> list[tuple[Any, Any]]:
        found = []
        for parts in _rows_of(xs):
            if any(leaf is not parts[-1][0] for leaf, _ in parts):
                raise Unexplained("gradients of different parameters")
            found.append((parts[-1][0], self.value([v for _, v in parts])))
        return found


def _sqrt(n: float) -> float:
    return float(n**0.5)


TERMS: dict[str, Callable[[float], float]] = {
    "rows": lambda n: n, "(1 / rows)": lambda n: 1 / n, "rows ** 0.5": _sqrt, "rows ** -0.5": lambda n: 1 / _sqrt(n),
}  # fmt: skip


def _tidy(x: float, scale: float = 0.0) -> float:
    """Rounding taken from a coefficient that is a whole number."""
    near = round(x) if abs(x) < 2**52 else x
    return float(near) if abs(x - near) <= 1e-12 * max(abs(x), scale) else x


def _rows_of(xs: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    if any(len(x) != len(xs[-1]) for x in xs):
        raise Unexplained("other steps")
    return list(zip(*xs))


def _same_source(x: Any, y: Any) -> bool:
    if isinstance(x, tuple) and isinstance(y, tuple):
        return len(x) == len(y) and all(map(_same_source, x, y))
    return x is y or (isinstance(x, (int, bool, str)) and x == y)


def _never_negative(x: int) -> bool:
    slope, rest = parts_of(x)
    return slope >= 0 and slope + rest >= 0


def _check_index(shape: Sequence[int], index: Any) -> None:
    """Refuse a part of rows that need not be there for every number of rows."""
    parts = list(index) if isinstance(index, (tuple, list)) else [index]
    if Ellipsis in [p for p in parts if not isinstance(p, Var)]:
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - sum(p is not None for p in parts) + 1)
    axis = 0
    for p in parts:
        if p is None:
            continue
        if isinstance(shape[axis], Size) and not isinstance(p, Var):
            whole = isinstance(p, slice) and (p.start, p.stop, p.step or 1) in ((None, None, 1), (0, None, 1))
            if not whole and not (isinstance(p, int) and p in (0, -1)):
                raise Unexplained("a part of the rows")
        axis += 1


def check(prim: Prim) -> None:
    """Refuse a primitive that could read or write beyond an array for some number of rows."""
    params = prim.params
    x = prim.inputs[0] if prim.inputs else None
    out = prim.outputs[0] if prim.outputs else x
    assert isinstance(out, Var)
    if prim.kind == "slice":
        assert isinstance(x, Var)
        if depends(params["index"]):
            raise Unexplained("a part of an array that ends with the number of rows")
        _check_index(x.shape, params["index"])
    elif prim.kind == "reshape":
        assert isinstance(x, Var)
        if not same_size(x.size, out.size):
            raise Unexplained("a shape that does not fit for every number of rows")
    elif prim.kind in ("strided", "join", "fold"):
        own = prim.kind == "strided"
        places = [(params["axes"], params["start"])] if own else params["places"]
        shape = x.shape if own else out.shape  # type: ignore[union-attr]
        for axes, start in places:
            last = [*start, *[0] * (len(shape) - len(start))]
            for axis, step, size in axes:
                last[axis] = last[axis] + step * (size - 1)
            if not all(_never_negative(n - 1 - end) for n, end in zip(shape, last)):
                raise Unexplained("windows that do not fit for every number of rows")
    elif prim.kind in CONVOLUTIONS:
        shapes = [v.shape for v in (*prim.reads(), *prim.writes())]
        if any(depends(shape[1:]) for shape in shapes) or depends(list(params.values())):
            raise Unexplained("images whose size follows from the number of rows")
    elif prim.kind == "broadcast":
        assert isinstance(x, Var)
        extra = len(out.shape) - len(x.shape)
        if not all(n == 1 or same_size(n, m) for n, m in zip(x.shape, out.shape[extra:])):
            raise Unexplained("a shape that does not fit for every number of rows")


def _argument(merger: Merger, programs: Sequence[Any]) -> list[Var]:
    return [merger.var(parts) for parts in _rows_of([p.arguments for p in programs])]


def merged_program(programs: Sequence[Program], rows: Sequence[int], at: int) -> Program:
    """Captured programs as one, for any number of rows."""
    m = Merger(rows, at)
    arguments = _argument(m, programs)
    states = [m.var(parts) for parts in _rows_of([p.states for p in programs])]
    steps = [m.step(parts) for parts in _rows_of([live_steps(p) for p in programs])]
    results = m.value([tuple(p.results) for p in programs])
    gradients = m.gradients([p.gradients for p in programs])
    return Program(arguments, states, m.constants, steps, list(results), gradients)


def merged_lowered(lowered: Sequence[Any], rows: Sequence[int], at: int) -> Any:
    """Lowered programs as one, for any number of rows; what a backend needs of it."""
    m = Merger(rows, at)
    last = lowered[-1]
    m.first_number = last.numbers
    if any(x.numbers != last.numbers for x in lowered):
        raise Unexplained("updates that differ")
    arguments = _argument(m, [x.program for x in lowered])
    states = [m.var(parts) for parts in _rows_of([x.states for x in lowered])]
    steps = [m.step(parts) for parts in _rows_of([x.steps for x in lowered])]
    results = list(m.value([tuple(x.results) for x in lowered]))
    gradients = m.gradients([x.gradients for x in lowered])
    program = SimpleNamespace(arguments=arguments, states=states, constants=m.constants, gradients=gradients)
    return SimpleNamespace(
        program=program, states=states, steps=steps, results=results, gradients=gradients, updates=last.updates,
        numbers=last.numbers + len(m.numbers), row_numbers=(last.numbers, m.numbers), left=last.left,
    )  # fmt: skip
