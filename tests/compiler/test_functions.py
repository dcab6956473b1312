"""The compiler's mathematical functions against exact values: all exponents, edges, and what lies around them."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from tinygrad_dl.compiler import functions
from tinygrad_dl.compiler.assembly import BYTES, Code, Val, constant
from tinygrad_dl.compiler.llvm import compiled, features

KINDS = {"float": np.float32, "double": np.float64}
LANES = 8
LONG = np.longdouble
# Units in the last place; products and sums are rounded one after the other where the processor cannot join them.
BOUND = 2.0 if features().get("fma", True) else 2.5
EXACT: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "erf": lambda x: np.array([math.erf(v) for v in x], LONG),
}
CASES = [(name, kind) for name in EXACT for kind in KINDS if (name, kind) != ("erf", "double")]


def native(name: str, kind: str, lanes: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function over arrays, `lanes` elements at a time."""
    declarations: set[str] = set()
    b = Code(declarations)
    with b.loop(constant("i64", 0), Val("%n", "i64"), lanes) as (i, _, _):
        x = b.load(b.at(Val("%x", "ptr"), i, kind), kind, lanes)
        b.store(functions.function(b, name, x), b.at(Val("%y", "ptr"), i, kind))
    b.do("ret i32 0")
    text = "\n".join(sorted(declarations)) + "\n" + b.text("f", ["ptr %x", "ptr %y", "i64 %n"], "i32")
    engine, (address,) = compiled(text, ["f"])
    f = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)

    def run(x: np.ndarray) -> np.ndarray:
        padded = np.concatenate([x, np.ones(-x.size % lanes, x.dtype)])
        y = np.empty_like(padded)
        f(padded.ctypes.data, y.ctypes.data, padded.size)
        return y[: x.size]

    run.engine = engine  # type: ignore[attr-defined]
    return run


def edges(dtype: Any) -> np.ndarray:
    """Specials, bounds of the range, and the neighborhoods of where something changes."""
    info = np.finfo(dtype)
    values = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        1.0,
        -1.0,
        0.5,
        0.625,
        -0.625,
        22.0,
        475 / 512,
        4.0,
        math.log(2) / 2,
    ]
    values += [
        math.log(float(info.max)),
        math.log(float(info.tiny)),
        math.log(float(info.smallest_subnormal)),
    ]
    values += [-math.log(float(info.max)), math.sqrt(0.5), math.sqrt(2), math.sqrt(2) - 1, -20.0, -40.0]
    found = np.array([*values, info.max, info.min, info.tiny, -info.tiny, info.smallest_subnormal], dtype)
    steps = [found]
    for direction in (np.inf, -np.inf):
        near = found
        for _ in range(40):
            with np.errstate(all="ignore"):
                near = np.nextafter(near, dtype(direction))
            steps.append(near)
    return np.concatenate(steps)


def inputs(dtype: Any) -> Iterator[np.ndarray]:
    """All exponents with random mantissas, denormals with them; and where the functions are not constant."""
    rng = np.random.default_rng(0)
    bits = 32 if dtype is np.float32 else 64
    unsigned = np.uint32 if bits == 32 else np.uint64
    yield rng.integers(0, 1 << bits, 200_000, np.uint64).astype(unsigned).view(dtype)
    yield (
        (rng.integers(0, np.finfo(dtype).tiny.view(unsigned), 20_000, np.uint64)).astype(unsigned).view(dtype)
    )
    for span in (0.1, 1, 5, 20, 100, 750):
        yield rng.uniform(-span, span, 30_000).astype(dtype)
    yield edges(dtype)


@pytest.mark.parametrize("name, kind", CASES)
def test_within_two_units_in_the_last_place(name: str, kind: str) -> None:
    dtype = KINDS[kind]
    f = native(name, kind, LANES)
    with np.errstate(all="ignore"):
        for x in inputs(dtype):
            y, exact = f(x), EXACT[name](x.astype(LONG))
            near = exact.astype(dtype)
            assert np.array_equal(np.isnan(y), np.isnan(near))
            whole = np.isfinite(y) & np.isfinite(near)
            # At the border of the range one of both may have been rounded to infinity.
            off = ~whole & ~np.isnan(near) & (y != near)
            assert (np.abs(np.where(np.isinf(y), near, y)[off]) >= np.finfo(dtype).max / 2).all()
            unit = np.abs(np.spacing(near[whole])).astype(LONG)
            error = np.abs(y[whole].astype(LONG) - exact[whole]) / unit
            assert error.max(initial=0) <= BOUND, (x[whole][error.argmax()], error.max())


@pytest.mark.parametrize("name, kind", CASES)
def test_exact_at_zero_infinity_and_nan(name: str, kind: str) -> None:
    dtype = KINDS[kind]
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        y, exact = native(name, kind, LANES)(x), EXACT[name](x.astype(LONG)).astype(dtype)
    np.testing.assert_array_equal(y, exact)
    numbers = ~np.isnan(exact)
    assert np.array_equal(np.signbit(y[numbers]), np.signbit(exact[numbers]))


@pytest.mark.parametrize("name, kind", CASES)
def test_scalars_and_vectors_are_the_same(name: str, kind: str) -> None:
    x = np.concatenate([edges(KINDS[kind]), np.random.default_rng(1).normal(size=200).astype(KINDS[kind])])
    one, many = native(name, kind, 1)(x), native(name, kind, 64 // BYTES[kind])(x)
    np.testing.assert_allclose(one, many, rtol=4 * np.finfo(KINDS[kind]).eps)


@pytest.mark.parametrize("name, kind", CASES)
def test_increases_where_the_function_does(name: str, kind: str) -> None:
    """Around every threshold the result does not go back by more than its error."""
    dtype = KINDS[kind]
    f = native(name, kind, LANES)
    for at in (0.625, 475 / 512, math.log(2) / 2, math.sqrt(2), 4.0, 22.0, 1.0, 2.0):
        x = np.array([at], dtype)
        run = [x := np.nextafter(x, dtype(np.inf)) for _ in range(300)]
        y = f(np.concatenate(run))
        assert (np.diff(y) >= -3 * np.abs(np.spacing(y[:-1]))).all()


@pytest.mark.parametrize("name", sorted(functions.INTRINSICS))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_intrinsics_are_numpys_functions(name: str, kind: str) -> None:
    x = np.random.default_rng(0).uniform(-0.99, 0.99, 64).astype(KINDS[kind])
    x = np.abs(x) if name in ("sqrt", "log2", "log10") else x
    expected = getattr(np, name)(x.astype(LONG)).astype(KINDS[kind])
    np.testing.assert_allclose(native(name, kind, LANES)(x), expected, rtol=4 * np.finfo(KINDS[kind]).eps)
