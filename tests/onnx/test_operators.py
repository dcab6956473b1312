"""Every operation of the registry that has a form in ONNX computes there what it computes here."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from tests.onnx.runtimes import onnx, results
from tests.test_registry import OWN, cases_of, drawn
from tinygrad_dl import Tensor
from tinygrad_dl.onnx import ExportError, export
from tinygrad_dl.onnx.operators import BITS, COMPARISONS, FORMULAS, LOGIC, NODES, REDUCTIONS, REFUSED
from tinygrad_dl.op import Op

TABLE = {**NODES, **COMPARISONS, **LOGIC, **BITS, **REDUCTIONS, **FORMULAS}
# Beyond what ONNX's reference evaluator implements: groups of a transposed convolution, gradients of one kind of
# recurrence, and positions in arrays of several spatial axes.
BEYOND_REFERENCE = {"conv_transpose", "rnn", "max_pool_indices", "max_pool", "bitwise_invert"}


def float32(x: Any) -> Any:
    return np.asarray(x, np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x


def calls_of(op: Op) -> list[tuple[Any, tuple[np.ndarray, ...]]]:
    """The cases of an operation as functions of float32 arrays, with these."""
    found = []
    for case in cases_of(op):
        values, _, options, named = drawn(op, case, crc32(op.name.encode()))
        values = [float32(v) for v in values]
        at = [i for i, v in enumerate(values) if isinstance(v, np.ndarray)]
        if not at or any(values[i].size == 0 for i in at):
            continue
        if any(values[i].dtype.kind == "c" for i in at) or op.name in ("isin", "repeat", "take"):
            at = at[:1]

        def function(
            *arrays: Any, values: Any = values, at: Any = at, options: Any = options, named: Any = named
        ) -> Any:
            given = list(values)
            for i, x in zip(at, arrays):
                given[i] = x
            return op.function(*((given,) if op.variadic else given), *options, **named)

        found.append((function, tuple(values[i] for i in at)))
    return found


def together(calls: list[Any]) -> tuple[Any, tuple[np.ndarray, ...]]:
    """Several functions as one."""

    def function(*arrays: Any) -> Any:
        rest = list(arrays)
        return tuple(f(*(rest.pop(0) for _ in args)) for f, args in calls)

    return function, tuple(x for _, args in calls for x in args)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_an_operation_computes_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    op: Op = OWN[name]
    path = tmp_path / "m.onnx"
    calls = []
    for call in calls_of(op):
        try:
            export(*call, path, dynamic_batch=False)
        except ExportError as error:
            assert "has no form in ONNX" in str(error), error
        else:
            calls.append(call)
    assert calls, f"no case of {name} was exported"
    function, example = together(calls)
    if len(calls) > 1:
        export(function, example, path, dynamic_batch=False)
    expected = function(*(Tensor(x) if x.dtype.kind == "f" else x for x in example))
    for runtime, got in results(path, example, name not in BEYOND_REFERENCE).items():
        for i, (g, e) in enumerate(zip(got, map(np.asarray, expected))):
            assert np.shape(g) == e.shape and g.dtype == e.dtype, (runtime, i)
            np.testing.assert_allclose(g, e, rtol=1e-5, atol=2e-6, err_msg=f"{runtime}: case {i}")


@pytest.mark.parametrize("name", sorted(set(REFUSED) | {"searchsorted", "linear_recurrence"}))
def test_an_operation_without_a_form_in_onnx_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    op = OWN[name]
    case = cases_of(op)[0]
    values, _, options, named = drawn(op, case, 0)
    example = tuple(float32(v) for v in values)
    with pytest.raises(ExportError, match=f"{name} in the function has no form in ONNX: "):
        export(
            lambda *xs: op.function(*xs, *options, **named), example, tmp_path / "m.onnx", dynamic_batch=False
        )
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), 1), (slice(None), slice(None, None, -1)), (slice(None), None, slice(1, -1)), (..., -1),
        (slice(None), np.array([2, 0, 2])), (slice(None), np.array([[0, 1], [3, 2]]), slice(0, 2)),
        (slice(None), np.array([True, False, True, True])), (slice(None), slice(None, None, 2), -2),
        (slice(None), np.array([0, 1]), np.array([2, 0])), (slice(None), slice(3, 0, -2)),
    ],
    ids=str,
)  # fmt: skip
def test_an_index_picks_the_same_for_any_batch_size(key: Any, tmp_path: Path) -> None:
    x = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    export(lambda x: x[key] * 1.0, x, tmp_path / "m.onnx")
    wide = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    for got in results(tmp_path / "m.onnx", [wide]).values():
        np.testing.assert_array_equal(got[0], wide[key])


def test_numbers_that_follow_from_the_batch_size_are_computed(tmp_path: Path) -> None:
    export(
        lambda x: (x.sum(axis=0) / x.shape[0], x * x.shape[0] ** 0.5),
        np.ones((2, 3), np.float32),
        tmp_path / "m.onnx",
    )
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    for mean, scaled in results(tmp_path / "m.onnx", [x]).values():
        np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(scaled, x * 2, rtol=1e-6)


def test_every_operator_is_one_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert {*NODES.values(), *COMPARISONS.values(), *LOGIC.values(), *REDUCTIONS.values()} <= known
