"""Every operation of the registry, called with its own cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tinygrad_dl.fft
import tinygrad_dl.linalg  # noqa: F401  operations of these two register at their first import
from tests.fuzz.harness import Call
from tests.test_registry import OWN, as_tensors, cases_of, drawn
from tinygrad_dl.op import Case, Op


def calls() -> Iterator[Call]:
    for op in OWN.values():
        for number, case in enumerate(cases_of(op)[:2]):
            yield Call(f"{op.name} {number}", lambda op=op, case=case: _made(op, case))  # type: ignore[misc]


def _made(op: Op, case: Case) -> Any:
    values, free, options, named = drawn(op, case, 0)
    tensors = as_tensors(values, free)
    return op.function, (tensors, *options) if op.variadic else (*tensors, *options), dict(named)
