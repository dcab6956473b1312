"""Random programs: compiled they give eager's values and gradients, with both backends."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_dl as tg
from tinygrad_dl import Tensor
from tinygrad_dl.testing.strategies import programs

BACKENDS = [
    "numpy",
    pytest.param(
        "llvm", marks=pytest.mark.skipif(find_spec("llvmlite") is None, reason="llvmlite is not installed")
    ),
]
# In pieces: HYPOTHESIS_PROFILE=thorough PROGRAMS=2000 pytest --hypothesis-seed=1 ...
EXAMPLES = int(
    os.environ.get("PROGRAMS", 20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 40)
)


def compare(program: Any, backend: str, dtype: str) -> None:
    eager, own = ([Tensor(x, dtype=dtype, requires_grad=True) for x in program.inputs] for _ in range(2))

    def step_of(leaves: list[Tensor]) -> Any:
        def step() -> Tensor:
            for leaf in leaves:
                leaf.grad = None
            out = program(*leaves)
            out.backward()
            return out.detach()

        return step

    step = tg.compile(step_of(own), backend=backend)
    expected = step_of(eager)()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "compile: .* runs eagerly: it calls numpy.array")
        for _ in range(4):
            got = step()
    tolerance = 1e-9 if dtype == "float64" else 2e-3
    pairs = [(got, expected), *((x.grad, y.grad) for x, y in zip(own, eager))]
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None:
            x, y = a.numpy(), b.numpy()
            assert x.shape == y.shape and x.dtype == y.dtype
            scale = max(1.0, float(np.abs(y).max(initial=0)))
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=EXAMPLES)
@given(program=programs())
def test_a_compiled_program_is_the_eager_one(backend: str, program: Any) -> None:
    compare(program, backend, "float64")


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=max(EXAMPLES // 4, 10))
@given(program=programs(max_lines=4))
def test_in_float32_too(backend: str, program: Any) -> None:
    compare(program, backend, "float32")
