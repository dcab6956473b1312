"""Arrays that operations make themselves: random ones, drawn as in eager, and those that follow from shapes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl.errors import CompileError
from tinygrad_dl.nn import functional as F

X = tg.asarray(np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4))
DRAWS: dict[str, Callable[[Any], Any]] = {
    "rand": lambda x: x + tg.rand(x.shape),
    "randn": lambda x: x * tg.randn((4,), dtype="float64") + tg.randn(x.shape),
    "randint": lambda x: x * tg.randint(1, 7, (x.shape[0], 1)),
    "randperm": lambda x: tg.take(x, tg.randperm(3), axis=0),
    "uniform": lambda x: x * tg.random.uniform(1.0, 2.0, x.shape),
    "normal": lambda x: tg.random.normal(x, 0.1),
    "bernoulli": lambda x: x * tg.random.bernoulli(0.5, x.shape),
    "rrelu": lambda x: F.rrelu(x, training=True),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.3, training=True),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.3, training=True),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x),
    "dropout and others": lambda x: F.dropout(tg.rand((4,)) * F.dropout(x, 0.5), 0.2),
    "seeded": lambda x: x + tg.rand(x.shape, rng=3) + tg.randn(x.shape),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_eager(name: str, backend: str) -> None:
    f = DRAWS[name]
    compiled = tg.compile(f, backend=backend, fullgraph=True)
    rows = (3, 3, 3, 3, 3) if name == "randperm" else (3, 3, 3, 3, 2, 1, 3, 2)
    found: list[list[Any]] = []
    for g in (f, compiled):
        tg.manual_seed(7)
        found.append([g(X[:n]).numpy().copy() for n in rows])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert len({str(x) for x in found[1][:5]}) > 1


@pytest.mark.parametrize("name", ["rand", "randn", "randint", "rrelu", "alpha_dropout", "gumbel_softmax"])
def test_the_program_that_people_read_draws_with_numpy(name: str) -> None:
    compiled = tg.compile(DRAWS[name], backend="numpy")
    for _ in range(4):
        compiled(X)
    space: dict[str, Any] = {}
    exec(compiled.source, space)
    tg.manual_seed(5)
    want = DRAWS[name](X).numpy()
    got = space["predict"](X.numpy(), rng=np.random.default_rng(5))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_what_a_draw_reads_is_what_it_is_at_the_call() -> None:
    bounds = [0.1]

    def f(x: Any) -> Any:
        return F.rrelu(x, bounds[0], bounds[0], training=True)

    compiled = tg.compile(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(4):
            compiled(X)
        bounds[0] = 0.5
        for _ in range(4):
            np.testing.assert_allclose(compiled(X).numpy(), f(X).numpy(), rtol=1e-6)


def test_draws_that_numpy_has_no_call_for_are_not_saved(tmp_path: Any) -> None:
    compiled = tg.compile(DRAWS["bernoulli"])
    for _ in range(4):
        compiled(X)
    with pytest.raises(CompileError, match="one call of a NumPy Generator"):
        compiled.save(tmp_path / "f.py")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("adaptive pooling", lambda x: F.adaptive_avg_pool2d(x, (2, 3))),
        ("interpolation", lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear")),
        ("local response", lambda x: F.local_response_norm(x, 2)),
        ("causal attention", lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
    ],
)
def test_arrays_that_follow_from_shapes_are_part_of_the_program(name: str, f: Any, backend: str) -> None:
    rng = np.random.default_rng(0)
    x = tg.asarray(rng.normal(size=(2, 3, 5, 7)).astype(np.float32))
    compiled = tg.compile(f, backend=backend, fullgraph=True)
    for _ in range(5):
        np.testing.assert_allclose(compiled(x).numpy(), f(x).numpy(), rtol=1e-5, atol=1e-6)
    assert f(x.numpy()).dtype == np.float32
