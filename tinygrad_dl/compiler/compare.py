"""Whether two captures of one function are the same program."""

from __future__ import annotations

from types import FunctionType

import numpy as np

from tinygrad_dl.compiler.capture import Capture, Fixed
from tinygrad_dl.compiler.program import Call, Effect, Var, Vjp
from tinygrad_dl.graph import Value


def difference(a: Capture, b: Capture) -> str:
    """What two captures of one function do not agree on; "" if they are the same program."""
    numbers: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def same(x: object, y: object, inside: bool = False) -> bool:
        """`inside`: of what a function of the package encloses, whose arrays are as good as others that are equal."""
        if isinstance(x, Var) and isinstance(y, Var):
            if x.shape != y.shape or x.dtype != y.dtype or x.kind != y.kind:
                return False
            i, j = (
                numbers[0].setdefault(x.serial, len(numbers[0])),
                numbers[1].setdefault(y.serial, len(numbers[1])),
            )
            if x.kind == "constant":
                return i == j and (
                    x.source is y.source or (isinstance(x.source, Fixed) and x.source == y.source)
                )
            return i == j and (x.kind == "result" or same_source(x.source, y.source))
        if type(x) is not type(y):
            return False
        if isinstance(x, (tuple, list)) and isinstance(y, (tuple, list)):
            return len(x) == len(y) and all(same(a, b, inside) for a, b in zip(x, y))
        if isinstance(x, FunctionType) and isinstance(y, FunctionType):
            own, others = (tuple(c.cell_contents for c in f.__closure__ or ()) for f in (x, y))
            return x.__code__ is y.__code__ and same(own, others, True)
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and inside:
            return x.dtype == y.dtype and np.array_equal(x, y)
        return x is y or (not isinstance(x, (Value, np.ndarray)) and bool(x == y))

    def same_source(x: object, y: object) -> bool:
        if isinstance(x, tuple) and isinstance(y, tuple):
            return len(x) == len(y) and all(map(same_source, x, y))
        return x is y or (isinstance(x, (int, bool, str)) and x == y)

    if [i for i, _ in a.bound] == [i for i, _ in b.bound] and any(
        x is not y for (_, x), (_, y) in zip(a.bound, b.bound)
    ):
        return "it writes to an argument, or gives it a gradient, that is another Tensor at every call"
    if len(a.steps) != len(b.steps):
        return "two calls with the same kind of arguments compute different things"
    for s, t in zip(a.steps, b.steps):
        kind = type(s) is type(t)
        if kind and isinstance(s, Call) and isinstance(t, Call):
            kind = s.op is t.op and same(tuple(s.options), tuple(t.options))
        if kind and isinstance(s, Vjp) and isinstance(t, Vjp):
            kind = s.call.op is t.call.op
        if kind and isinstance(s, Effect) and isinstance(t, Effect):
            kind = s.function is t.function and same(s.args, t.args) and same(s.gradients, t.gradients)
        if not kind or len(s.inputs) != len(t.inputs):
            return "two calls with the same kind of arguments compute different things"
        for x, y in zip(s.inputs, t.inputs):
            if not same(x, y):
                what = s.op.name if isinstance(s, Call) else "a step"
                return f"{what} reads a value that Python computed: it differs from call to call"
        for x, y in zip(s.outputs, t.outputs):
            if not same(x, y):
                return "two calls with the same kind of arguments compute different things"
    for x, y in zip(a.results, b.results):
        if not same(x, y):
            return "what it returns was computed outside of the graph"
    return ""
