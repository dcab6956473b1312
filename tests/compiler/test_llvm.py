"""Native code against the interpreter of primitives: random programs, every layout, edges, in-place updates."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import weakref
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.interpreter import interpret
from tinygrad_dl import Tensor
from tinygrad_dl.compiler.lower import FORWARD, Builder
from tinygrad_dl.compiler.program import NotLowered, Var
from tinygrad_dl.compiler.update import Shared

pytest.importorskip("llvmlite")
from tinygrad_dl.compiler import llvm, native, threads

RTOL = {"f4": 2e-6, "f8": 4e-15}


class Case:
    """A lowered program under construction: arguments and states with their values, and what is asked for."""

    def __init__(self, seed: int = 0) -> None:
        self.b = Builder()
        self.rng = np.random.default_rng(seed)
        self.arguments: list[Var] = []
        self.states: list[Var] = []
        self.constants: list[Var] = []
        self.values: dict[int, np.ndarray] = {}
        self.results: list[Any] = []

    def __repr__(self) -> str:
        """The program, for failing examples."""
        lines = [f"{v.kind} v{v.serial}: {v}" for v in (*self.arguments, *self.states)]
        for s in self.b.steps:
            xs = ", ".join(f"v{x.serial}" if isinstance(x, Var) else repr(x) for x in s.inputs)
            lines.append(
                f"{', '.join(f'v{o.serial} {o.dtype}{o.shape}' for o in s.writes())} = {s.kind}({xs}) {s.params}"
            )
        return "\n".join([*lines, f"return {', '.join(f'v{r.serial}' for r in self.results)}"])

    def array(self, shape: Any, dtype: Any = np.float32) -> np.ndarray:
        kind = np.dtype(dtype).kind
        if kind == "b":
            return np.asarray(self.rng.random(shape) < 0.5)
        if kind == "i":
            return np.asarray(self.rng.integers(-5, 6, shape)).astype(dtype)
        return np.asarray(self.rng.normal(size=shape)).astype(dtype)

    def argument(self, value: np.ndarray) -> Var:
        var = Var(value.shape, value.dtype, "argument", (len(self.arguments), False))
        self.arguments.append(var)
        self.values[var.serial] = value
        return var

    def state(self, value: np.ndarray) -> Var:
        var = Var(value.shape, value.dtype, "state", Tensor(value))
        self.states.append(var)
        self.values[var.serial] = value
        return var

    def lowered(self) -> Any:
        program = SimpleNamespace(arguments=self.arguments, states=self.states, constants=self.constants)
        return SimpleNamespace(
            program=program, states=self.states, steps=self.b.steps, results=self.results, gradients=[], numbers=0,
            updates=[],
        )  # fmt: skip

    def run(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """What native code gives: results, and the states afterwards."""
        compiled = native.Native(self.lowered())
        results = compiled.run([self.values[v.serial] for v in self.arguments])
        return [np.array(r._data) for r in results], [np.array(v.source._data) for v in self.states]

    def expected(self, wiggle: float = 0.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """What NumPy gives, from values that are off by a relative `wiggle`."""
        rng = np.random.default_rng(1)
        values = {
            s: (v * (1 + wiggle * rng.choice([-1, 1], v.shape))).astype(v.dtype) if v.dtype.kind == "f" else v
            for s, v in self.values.items()
        }
        known = interpret(self.lowered(), values, [])
        return [known[r.serial] for r in self.results], [known[v.serial] for v in self.states]

    def check(self) -> None:
        got, want, near = self.run(), self.expected(), [self.expected(w) for w in (3e-6, -1e-5)]
        for kind in range(2):
            for i, (x, y) in enumerate(zip(got[kind], want[kind])):
                assert x.shape == y.shape and x.dtype == y.dtype
                if x.dtype.kind != "f":
                    others = [n[kind][i] for n in near]
                    steady = np.logical_and.reduce([o == y for o in others])
                    assert (x == y)[steady].all()
                    continue
                if not x.size:
                    continue
                with np.errstate(all="ignore"):
                    slack = sum(np.abs(n[kind][i] - y) for n in near)
                    scale = np.abs(y[np.isfinite(y)]).max(initial=0)
                    close = (
                        np.abs(x - y)
                        <= 30 * slack + RTOL[x.dtype.str[1:]] * (np.abs(y) + 0.1 * scale) + 1e-37
                    )
                same = (x == y) | (np.isnan(x) & np.isnan(y)) | ~np.isfinite(slack)
                assert (close | same).all(), (x, y)


UNARY = """negative abs sign square sqrt reciprocal exp expm1 log log1p sin cos tanh sigmoid erf floor ceil round trunc
positive log2 log10 softplus""".split()
BINARY = "add subtract multiply divide maximum minimum".split()
STEPS = """unary unary binary binary binary compare where cast reduce reduce softmax standardize view view
matmul pad fold strided assign take rows scatter integers place""".split()
COMPARE = "greater greater_equal less less_equal equal not_equal".split()


def broadcastable(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes that broadcast to `shape`."""
    ones = st.tuples(*(st.sampled_from([n, n, 1]) for n in shape))
    return st.tuples(ones, st.integers(0, len(shape))).map(
        lambda t: t[0][t[1] :] if all(n == 1 for n in t[0][: t[1]]) or True else t[0]
    )


SIZES = st.sampled_from([1, 1, 2, 3, 4, 5, 7, 8, 10, 16, 17, 20, 33, 70])
SHAPES = st.lists(SIZES, max_size=4).map(tuple).filter(lambda s: int(np.prod(s)) <= 6000)


@st.composite
def programs(draw: Any) -> Case:
    """Random programs of every kind of primitive."""
    case = Case(draw(st.integers(0, 99)))
    b = case.b
    shape = draw(SHAPES)
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64]))
    pool: list[Var] = []
    for _ in range(draw(st.integers(1, 3))):
        own = draw(broadcastable(shape))
        kind = draw(st.sampled_from([dtype, dtype, dtype, np.int64, np.bool_]))
        pool.append(case.argument(case.array(own, kind)))
    pool.append(case.state(case.array(shape, dtype)))
    for _ in range(draw(st.integers(1, 14))):
        what = draw(st.sampled_from(STEPS))
        x = draw(st.sampled_from([v for v in pool if v.dtype.kind == "f"]))
        if what == "unary":
            pool.append(b.elementwise(draw(st.sampled_from(UNARY)), x))
        elif what == "binary":
            y = draw(st.sampled_from(pool))
            kind = draw(st.sampled_from(BINARY))
            if draw(st.booleans()):
                y = draw(st.sampled_from([2.0, 0.5, -1.0, 0]))
            elif not _fit(x.shape, y.shape):
                continue
            if isinstance(y, Var) and y.dtype != x.dtype:
                y = b.cast(y, x.dtype)
            pool.append(b.elementwise(kind, x, y))
        elif what == "compare":
            y = draw(st.sampled_from(pool))
            if _fit(x.shape, y.shape):
                pool.append(b.elementwise(draw(st.sampled_from(COMPARE)), x, y))
        elif what == "where":
            bools = [v for v in pool if v.dtype == bool and _fit(v.shape, x.shape)]
            if bools:
                pool.append(
                    b.where(draw(st.sampled_from(bools)), x, draw(st.sampled_from([0.0, 1.0])), dtype=x.dtype)
                )
        elif what == "cast":
            y = draw(st.sampled_from(pool))
            pool.append(b.cast(y, draw(st.sampled_from([np.float32, np.float64]))))
        elif what == "reduce" and x.shape and x.size:
            axes = draw(st.lists(st.integers(0, len(x.shape) - 1), unique=True, min_size=1))
            kind = draw(st.sampled_from(["sum", "sum", "max", "min", "prod"]))
            pool.append(b.reduce(kind, x, tuple(axes), draw(st.booleans())))
        elif what == "softmax" and x.shape and x.size:
            e = b.exp(b.subtract(x, b.max(x, -1, True)))
            pool.append(b.divide(e, b.sum(e, -1, True)))
            pool.append(b.subtract(x, b.log(b.sum(e, -1, True))))
        elif what == "standardize" and x.shape and x.size:
            axis = draw(st.integers(0, len(x.shape) - 1))
            d = b.subtract(x, b.mean(x, axis, True))
            variance = b.mean(b.multiply(d, d), axis, True)
            pool.append(b.multiply(d, b.divide(1.0, b.sqrt(b.add(variance, 0.1)))))
        elif what == "view" and x.shape:
            kind = draw(st.sampled_from(["reshape", "transpose", "broadcast", "slice"]))
            if kind == "reshape":
                at = draw(st.integers(0, len(x.shape) - 1))
                pool.append(
                    b.reshape(x, (*x.shape[:at], 1, *x.shape[at:]) if draw(st.booleans()) else (x.size,))
                )
            elif kind == "transpose":
                pool.append(b.transpose(x, draw(st.permutations(range(len(x.shape))))))
            elif kind == "broadcast":
                pool.append(b.broadcast(x, (draw(st.integers(1, 3)), *x.shape)))
            else:
                first = draw(st.integers(0, x.shape[0] - 1)) if x.shape[0] else 0
                pool.append(b.slice(x, (slice(first, None, draw(st.integers(1, 3))), Ellipsis)))
        elif what == "matmul" and len(x.shape) >= 2:
            y = draw(
                st.sampled_from([v for v in [v for v in pool if v.dtype.kind == "f"] if v.dtype == x.dtype])
            )
            if len(y.shape) >= 2:
                y = b.transpose(y, (*range(len(y.shape) - 2), len(y.shape) - 1, len(y.shape) - 2))
                if x.shape[-1] == y.shape[-2] and _fit(x.shape[:-2], y.shape[:-2]):
                    pool.append(b.matmul(x, y))
        elif what == "pad" and x.shape:
            pairs = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in x.shape)
            sizes = [n + lo + hi for n, (lo, hi) in zip(x.shape, pairs)]
            pool.append(
                b.emit(
                    "pad", [x], sizes, x.dtype, pairs=pairs, value=draw(st.sampled_from([0.0, float("-inf")]))
                )
            )
        elif what == "fold" and x.shape and x.size:
            axes = tuple((i, 1, n) for i, n in enumerate(x.shape))
            starts = [tuple(draw(st.integers(0, 2)) for _ in x.shape) for _ in range(2)]
            sizes = [n + 2 for n in x.shape]
            pool.append(b.emit("fold", [x, x], sizes, x.dtype, places=tuple((axes, s) for s in starts)))
        elif what == "strided" and len(x.shape) >= 2 and x.shape[0] >= 2 and x.shape[-1] >= 2:
            last = len(x.shape) - 1
            axes = ((last, 1, x.shape[-1] - 1), (0, 2, (x.shape[0] + 1) // 2), (last, 1, 2))
            pool.append(b.emit("strided", [x], [n for *_, n in axes], x.dtype, axes=axes, start=()))
        elif what == "assign":
            state = case.states[0]
            fitting = [
                v for v in pool if v.shape == state.shape and v.dtype == state.dtype and v is not state
            ]
            if fitting:
                b.assign(state, draw(st.sampled_from(fitting)))
        elif what == "take" and len(x.shape) == 2 and x.size:
            column = case.argument(case.rng.integers(0, x.shape[1], x.shape[0]))
            pool.append(b.onehot_take(x, column))
        elif what == "rows" and len(x.shape) == 2 and x.size:
            shape = draw(st.sampled_from([(3,), (2, 5), (1,)]))
            at = case.argument(case.rng.integers(0, x.shape[0], shape))
            pool.append(b.emit("rows", [x, b.reshape(at, (*shape, 1))], (*shape, x.shape[1]), x.dtype))
        elif what == "scatter" and len(x.shape) == 2 and x.size:
            at = case.argument(case.rng.integers(0, 4, x.shape[0]))
            pool.append(b.emit("scatter", [x, at], (4, x.shape[1]), x.dtype))
        elif what == "integers" and x.shape:
            i = case.argument(case.array(x.shape, np.int64))
            y = b.elementwise(
                draw(st.sampled_from(["floor_divide", "remainder"])), i, draw(st.sampled_from([3, -2, i]))
            )
            pool.append(b.cast(b.sum(y, draw(st.integers(0, len(x.shape) - 1)), True), x.dtype))
        elif what == "place" and x.shape and x.size:
            extreme = draw(st.sampled_from([FORWARD["argmax"], FORWARD["argmin"]]))
            pool.append(
                extreme(b, x, axis=draw(st.sampled_from([None, *range(len(x.shape))])), keepdims=False)
            )
        if pool[-1].size > 20000:
            pool.pop()
    made = [v for v in pool if v.kind == "result"]
    case.results = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique_by=id)) if made else []
    return case


def _fit(*shapes: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


@settings(deadline=None, max_examples=int(os.environ.get("PROGRAMS", "60")))
@given(programs())
def test_random_programs(case: Case) -> None:
    case.check()


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("kind", ["floor_divide", "remainder"])
def test_integers_are_divided_as_numpy_does(kind: str, dtype: Any) -> None:
    info = np.iinfo(dtype)
    some = np.array([0, 1, -1, 2, -2, 3, 7, -7, info.min, info.max], dtype)
    pairs = np.stack(np.meshgrid(some, some), -1).reshape(-1, 2)
    case = Case()
    x, y = case.argument(pairs[:, 0].copy()), case.argument(pairs[:, 1].copy())
    case.results = [
        case.b.elementwise(kind, x, y),
        case.b.elementwise(kind, x, 3),
        case.b.elementwise(kind, -7, y),
    ]
    with np.errstate(all="ignore"):
        for got, want in zip(case.run()[0], case.expected()[0]):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_the_place_of_an_extreme_is_the_first_and_that_of_nan(kind: str) -> None:
    case = Case()
    values = np.array(
        [[1, 3, 3, 0, 0], [2, np.nan, 5, np.nan, -1], [np.inf, 0, np.inf, -np.inf, -np.inf]], np.float32
    )
    x = case.argument(values)
    case.results = [FORWARD[kind](case.b, x, axis=axis, keepdims=False) for axis in (None, 0, 1)]
    for got, axis in zip(case.run()[0], (None, 0, 1)):
        np.testing.assert_array_equal(got, getattr(np, kind)(values, axis=axis))


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 3.0, np.inf, -np.inf, np.nan, 1e-40, -7.25, 1e30], np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [*BINARY, *COMPARE, "where", "power"])
def test_pairs_of_special_values(kind: str, dtype: Any) -> None:
    case = Case()
    pairs = np.stack(np.meshgrid(SPECIAL, SPECIAL), -1).reshape(-1, 2).astype(dtype)
    x, y = case.argument(pairs[:, 0].copy()), case.argument(pairs[:, 1].copy())
    xs = [case.b.greater(x, 0), x, y] if kind == "where" else [x, y]
    case.results = [case.b.elementwise(kind, *xs)]
    (got,), (want,) = case.run()[0], case.expected()[0]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("kind", [*UNARY, "isnan", "isinf", "isfinite", "logical_not"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(kind: str, dtype: Any) -> None:
    case = Case()
    out = bool if kind.startswith(("is", "logical")) else None
    case.results = [case.b.elementwise(kind, case.argument(SPECIAL.astype(dtype)), dtype=out)]
    (got,), (want,) = case.run()[0], case.expected()[0]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
    "kind", ["add", "subtract", "multiply", "maximum", "minimum", "abs", "negative", "sign", *COMPARE]
)
def test_integers(kind: str) -> None:
    case = Case()
    x, y = case.argument(case.array((5, 7), np.int64)), case.argument(case.array((7,), np.int64))
    case.results = [case.b.elementwise(kind, *((x,) if kind in ("abs", "negative", "sign") else (x, y)))]
    case.results.append(case.b.reduce("sum", x, (0,)))
    case.check()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize(
    "shape", [(3, 4, 5), (1, 17, 2), (40, 3, 70), (2, 70, 3), (9, 1, 1), (0, 3, 2), (2, 600, 33)]
)
def test_reductions_over_every_set_of_axes(shape: Any, axes: Any, keepdims: bool) -> None:
    case = Case()
    x = case.argument(case.array(shape))
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        inverse = tuple(np.argsort(order))
        y = case.b.transpose(case.b.multiply(case.b.transpose(x, order), 2.0), inverse)
        case.results.append(case.b.sum(y, axes, keepdims))
        if x.size:
            case.results.append(case.b.max(case.b.exp(y), axes, keepdims))
    case.check()


@pytest.mark.parametrize("kind", ["max", "min", "sum"])
@pytest.mark.parametrize("at", [0, 1, 15, 16, 98, 99])
def test_nan_stays_visible_in_reductions(kind: str, at: int) -> None:
    case = Case()
    value = case.array((3, 100))
    value[1, at] = np.nan
    x = case.argument(value)
    case.results = [case.b.reduce(kind, x, axes) for axes in ((0,), (1,), (0, 1))]
    case.check()


def test_long_sums_lose_few_digits() -> None:
    case = Case()
    value = np.random.default_rng(0).random((1 << 20) + 5).astype(np.float32)
    x = case.argument(value)
    case.results = [case.b.sum(x), case.b.sum(case.b.exp(x))]
    exact = [value.astype(float).sum(), np.exp(value.astype(float)).sum()]
    for got, want in zip(case.run()[0], exact):
        assert abs(float(got) - want) <= 2e-6 * want


SIZES_OF_PRODUCTS = [
    (1, 1, 1), (5, 3, 2), (64, 33, 10), (7, 130, 65), (130, 17, 1), (1, 300, 70), (200, 3, 200), (3, 0, 4),
    (9, 3000, 70), (100, 700, 150), (1100, 1100, 1), (1, 1100, 1100), (200_001, 1, 1),
]  # fmt: skip
STACKS = [
    ((4, 30, 40), (40, 50)), ((2, 1, 8, 9), (3, 9, 2)), ((600, 2, 3), (3, 2)), ((7,), (7, 3)), ((4, 7), (7,)),
    ((5,), (5,)), ((3, 2, 6), (6,)), ((6,), (3, 6, 2)),
]  # fmt: skip


@pytest.mark.parametrize("form", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("m, k, n", SIZES_OF_PRODUCTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(form: str, m: int, k: int, n: int, dtype: Any) -> None:
    case = Case()
    x, y = (
        case.argument(case.array(s if f == "N" else s[::-1], dtype)) for s, f in zip(((m, k), (k, n)), form)
    )
    x, y = (v if f == "N" else case.b.transpose(v, (1, 0)) for v, f in zip((x, y), form))
    out = case.b.matmul(x, y)
    case.results = [out, case.b.multiply(out, 2.0)]
    case.check()


@pytest.mark.parametrize("available", [False, True])
@pytest.mark.parametrize("x, y", STACKS)
def test_stacked_products_and_vectors(
    x: Any, y: Any, available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (llvm, native):
        if not available:
            monkeypatch.setattr(module, "blas", dict)
        monkeypatch.setattr(module, "small", lambda shared=False: 100)
    case = Case()
    out = case.b.matmul(case.argument(case.array(x)), case.argument(case.array(y)))
    case.results = [case.b.add(out, 1.0), case.b.sum(out)]
    case.check()


def test_large_products_without_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy computes them between native parts, on views of the block and of arguments."""
    for module in (llvm, native):
        monkeypatch.setattr(module, "blas", dict)
        monkeypatch.setattr(module, "small", lambda shared=False: 100)
    case = Case()
    x, y = case.argument(case.array((30, 20))), case.argument(case.array((25, 20)))
    out = case.b.matmul(case.b.multiply(x, 2.0), case.b.transpose(y, (1, 0)))
    case.results = [case.b.exp(case.b.matmul(case.b.transpose(out, (1, 0)), x)), out]
    case.check()


def test_chains_of_forty() -> None:
    case = Case()
    x, y = case.argument(case.array((400, 2))), case.argument(case.array((2,)))
    z = x
    for i in range(40):
        z = case.b.add(case.b.multiply(z, 0.9), y if i % 2 else x)
    case.results = [z, case.b.sum(z, 0)]
    case.check()


def test_states_are_updated_in_place_and_read_again() -> None:
    case = Case()
    state = case.state(case.array((300, 7)))
    old = case.b.transpose(state, (1, 0))
    before = case.b.sum(old, 0)
    case.b.assign(state, case.b.subtract(state, case.b.multiply(before_row(case, before), 0.1)))
    after = case.b.multiply(state, 3.0)
    case.b.assign(state, case.b.add(after, 1.0))
    case.results = [before, after]
    case.check()


def before_row(case: Case, x: Var) -> Var:
    return case.b.reshape(x, (x.shape[0], 1))


def test_arguments_that_do_not_lie_as_expected() -> None:
    case = Case()
    x, y = case.argument(case.array((6, 8))), case.argument(case.array((8,)))
    case.results = [case.b.add(x, y)]
    compiled = native.Native(case.lowered())
    wide, raw = np.arange(128, dtype=np.float32).reshape(8, 16), np.zeros(33, np.uint8)
    unaligned = raw[1:].view(np.float32)
    for a in (wide.T[:6], wide[:6, ::2], wide[1:7, 3:11][::-1], np.asfortranarray(wide[:6, :8])):
        for b in (wide[0, ::2], unaligned, np.broadcast_to(np.float32(3), 8)):
            np.testing.assert_array_equal(compiled.run([a, b])[0]._data, a + b)
            a[0, 0] += 1 if a.flags.writeable else 0
            np.testing.assert_array_equal(compiled.run([a, b])[0]._data, a + b)


def test_an_argument_that_is_a_states_own_memory() -> None:
    case = Case()
    x, state = case.argument(case.array((4, 5))), case.state(case.array((4, 5)))
    case.b.assign(state, case.b.add(state, x))
    case.results = [case.b.multiply(x, 2.0)]
    compiled = native.Native(case.lowered())
    for shared in (state.source._data, state.source._data[::-1]):
        before = state.source._data.copy()
        with pytest.raises(Shared):
            compiled.run([shared])
        np.testing.assert_array_equal(state.source._data, before)


def test_results_that_are_held_are_not_overwritten() -> None:
    case = Case()
    x = case.argument(case.array((4, 5)))
    y = case.b.exp(x)
    case.results = [y, case.b.transpose(y, (1, 0))]
    compiled = native.Native(case.lowered())
    first = compiled.run([np.zeros((4, 5), np.float32)])
    view = first[0]._data[1:]
    kept = first[1]
    del first
    compiled.run([np.ones((4, 5), np.float32)])
    assert (view == 1).all() and (kept._data == 1).all()


@pytest.mark.parametrize("dtype", ["f2", ">f4", "u1", "c8", "i2"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    case = Case()
    x = case.argument(np.zeros(3, dtype))
    case.results = [case.b.emit("positive", [x], (3,), dtype)]
    with pytest.raises(NotLowered):
        native.Native(case.lowered())


def test_states_that_share_memory_are_refused() -> None:
    case = Case()
    x = case.state(case.array((4, 5)))
    y = case.state(case.array((2, 5)))
    y.source._data = x.source._data[1:3]
    case.b.assign(x, case.b.add(x, 1.0))
    case.results = [case.b.sum(y)]
    with pytest.raises(NotLowered):
        native.Native(case.lowered())


def test_groups_of_the_same_structure_share_their_code() -> None:
    emitters: list[Any] = []
    case = Case()
    for shape in ((30, 20), (25, 40), (1000,), (16, 16), (17, 33)):
        state = case.state(case.array(shape))
        case.b.assign(state, case.b.add(case.b.multiply(state, 0.9), 1.0))
    original = llvm.Emitter.finish
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            llvm.Emitter, "finish", lambda self: (emitters.append(self.assembly()), original(self))[1]
        )
        native.Native(case.lowered())
    assert (
        emitters[0].count("define internal void @group") == 2
    )  # one with any length, and one for a short array
    case.check()


def test_programs_are_freed_with_their_last_reference() -> None:
    case = Case()
    case.results = [case.b.exp(case.argument(case.array((4, 5))))]
    gc.disable()
    try:
        compiled = native.Native(case.lowered())
        run = compiled.run
        del compiled
        run([np.zeros((4, 5), np.float32)])
        table = weakref.ref(run.__globals__["set"].__self__)  # type: ignore[attr-defined]
        del run
        assert table() is None
    finally:
        gc.enable()


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that can be divided is, however small."""
    monkeypatch.setattr(llvm, "DIVIDED", 1)
    monkeypatch.setattr(llvm, "DIVIDED_PRODUCT", 1)
    monkeypatch.setattr(threads, "wanted", lambda: True)


def divisible() -> Case:
    """Loops over one dimension and over several, with and without sums, and a product of several panels."""
    case = Case()
    x, y = case.argument(case.array((60, 130))), case.argument(case.array((130, 150)))
    z = case.b.exp(case.b.multiply(x, 0.5))
    product = case.b.matmul(z, y)
    state = case.state(case.array((60, 130)))
    case.b.assign(state, case.b.add(state, z))
    case.results = [product, case.b.sum(z, 1), case.b.sum(z, 0), case.b.add(product, case.b.slice(y, (0,)))]
    return case


def test_two_threads_compute_the_same(two_threads: None) -> None:
    case = divisible()
    case.check()
    divided = case.run()[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "wanted", lambda: False)
        for x, y in zip(divided, case.run()[0]):
            np.testing.assert_array_equal(x, y)


def test_programs_divided_at_once_from_two_threads(two_threads: None) -> None:
    """The worker helps one of them; the other computes both halves."""
    cases = [divisible() for _ in range(2)]
    programs_ = [native.Native(c.lowered()) for c in cases]
    expected = [c.expected()[0][1] for c in cases]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(200):
            results = programs_[i].run([cases[i].values[v.serial] for v in cases[i].arguments])
            if not np.allclose(results[1]._data, expected[i], rtol=1e-4):
                wrong.append(i)

    running = [Thread(target=work, args=(i,)) for i in range(2)]
    for t in running:
        t.start()
    for t in running:
        t.join(60)
    assert not wrong and not any(t.is_alive() for t in running)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_wait_for_the_worker(two_threads: None) -> None:
    case = divisible()
    compiled = native.Native(case.lowered())
    arguments = [case.values[v.serial] for v in case.arguments]
    compiled.run(arguments)
    child = os.fork()
    if not child:
        signal.alarm(20)
        good = np.isfinite(compiled.run(arguments)[0]._data).all()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    compiled.run(arguments)


def test_a_process_ends_with_its_worker_waiting() -> None:
    text = "from tinygrad_dl.compiler import threads; threads.pool(); print('made')"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "made\n", done.stderr


def test_two_matrices_taken_from_in_one_loop() -> None:
    case = Case()
    x, y = case.argument(case.array((40, 10))), case.argument(case.array((3, 40)))
    columns = case.argument(case.rng.integers(0, 3, 40))
    b = case.b
    case.results = [b.add(b.onehot_take(x, columns), b.onehot_take(b.transpose(y, (1, 0)), columns))]
    case.check()


def test_indices_out_of_range_read_nothing_else() -> None:
    case = Case()
    x, columns = case.argument(case.array((40, 10))), case.argument(np.full(40, 1 << 40))
    case.results = [case.b.onehot_take(x, columns)]
    np.testing.assert_array_equal(case.run()[0][0], case.values[x.serial][:, -1])


@pytest.mark.parametrize(("read_again", "buffers"), [(False, 1), (True, 2)])
def test_a_result_takes_the_place_of_an_input_that_nothing_reads_afterwards(
    read_again: bool, buffers: int
) -> None:
    case = Case()
    x, w = case.argument(case.array((64, 64))), case.argument(case.array((64, 64)))
    h = case.b.matmul(x, w)
    case.results = [case.b.matmul(case.b.tanh(h), h if read_again else w)]
    compiled = native.Native(case.lowered())
    assert compiled.block.size == buffers * h.nbytes
    case.check()


def test_a_view_that_is_read_beside_an_array_keeps_its_memory() -> None:
    case = Case()
    x, w = case.argument(case.array((40, 40))), case.argument(case.array((40, 40)))
    h = case.b.matmul(x, w)
    case.results = [case.b.matmul(case.b.add(h, case.b.transpose(h, (1, 0))), w)]
    case.check()
