"""Arrays that operations make themselves: random ones, drawn as in eager, and those that follow from shapes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import CompileError, ValueRangeError
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


IMAGES = tg.asarray(np.random.default_rng(0).normal(size=(3, 4, 6, 6)).astype(np.float32))
W = tg.Tensor(np.zeros((6, 6), np.float32))


def initialized(x: Any, initialize: Callable[..., Any], **options: Any) -> Any:
    initialize(W, **options)
    return x @ W


#: Everything that draws, from a generator of the user's: a layer, or a function of an input and the generator.
OWN: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "Dropout": lambda g: nn.Dropout(0.4, rng=g),
    "Dropout1d": lambda g: lambda x: F.dropout1d(x[0], 0.4, rng=g),
    "Dropout2d": lambda g: nn.Dropout2d(0.4, rng=g),
    "AlphaDropout": lambda g: nn.AlphaDropout(0.4, rng=g),
    "FeatureAlphaDropout": lambda g: nn.FeatureAlphaDropout(0.4, rng=g),
    "RReLU": lambda g: nn.RReLU(rng=g),
    "LSTM": lambda g: OwnResult(nn.LSTM(6, 4, 2, dropout=0.3, rng=g)),
    "attention": lambda g: lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.3, rng=g),
    "gumbel_softmax": lambda g: lambda x: F.gumbel_softmax(x, hard=True, rng=g),
    "rand": lambda g: lambda x: x + tg.rand(x.shape, rng=g) + tg.randn((6,), rng=g),
    "uniform": lambda g: lambda x: x + tg.random.uniform(0.0, tg.exp(x), rng=g),
    "normal": lambda g: lambda x: tg.random.normal(x, 0.1, rng=g),
    "randint": lambda g: lambda x: x * tg.randint(1, 7, x.shape, rng=g),
    "randperm": lambda g: lambda x: tg.take(x, tg.randperm(6, rng=g), axis=-1),
    "bernoulli": lambda g: lambda x: tg.random.bernoulli(0.3, x.shape, rng=g) * tg.random.bernoulli([0.1] * 6, rng=g),
    "bernoulli of x": lambda g: lambda x: tg.random.bernoulli(tg.sigmoid(x), rng=g),
    "multinomial": lambda g: lambda x: tg.random.multinomial(tg.exp(x[0, 0]), 3, rng=g) + 0.0,
    "choice": lambda g: lambda x: tg.random.choice(x, (5,), axis=2, rng=g),
    "choice with p": lambda g: lambda x: tg.random.choice(6, (5,), p=F.softmax(x[0, 0, 0], -1), rng=g) * 1.0,
    **{
        name: lambda g, name=name: lambda x: initialized(x, getattr(nn.init, name), rng=g)
        for name in ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_", "orthogonal_")
    },
    "sparse_": lambda g: lambda x: initialized(x, nn.init.sparse_, sparsity=0.5, rng=g),
}  # fmt: skip


class OwnResult(nn.Module):
    """A layer of which the first result counts."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        return self.layer(x[0])[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OWN)
def test_draws_from_a_generator_of_the_users_are_those_of_eager(name: str, backend: str) -> None:
    found: list[list[Any]] = []
    for compiled in (False, True):
        tg.manual_seed(7)
        rng = np.random.default_rng(3)
        f = OWN[name](rng)
        f = tg.compile(f, backend=backend, fullgraph=True) if compiled else f
        with tg.no_grad():
            found.append([*(np.array(f(IMAGES * k).numpy()) for k in range(1, 7)), rng.random()])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_compiled_step_draws_on_where_eager_drew() -> None:
    def trained(compiled: bool) -> list[Any]:
        tg.manual_seed(0)
        rng = np.random.default_rng(3)
        model = nn.Sequential(nn.Linear(6, 8), nn.RReLU(rng=rng), nn.Dropout(0.5, rng=rng), nn.Linear(8, 1))
        optimizer = optim.SGD(model.parameters(), 0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        step = tg.compile(step, fullgraph=True) if compiled else step
        return [*(step(IMAGES[0]).item() for _ in range(8)), rng.random()]

    np.testing.assert_allclose(trained(True), trained(False), rtol=1e-5)


def test_backward_of_a_compiled_model_draws_what_its_own_generator_drew() -> None:
    found: list[list[Any]] = []
    for compiled in (False, True):
        tg.manual_seed(0)
        rng = np.random.default_rng(3)
        model = nn.Sequential(nn.Linear(6, 30), nn.RReLU(rng=rng), nn.Dropout(0.5, rng=rng))
        f = tg.compile(model, fullgraph=True) if compiled else model
        gradients = []
        for _ in range(5):
            model.zero_grad()
            f(IMAGES[0]).sum().backward()
            gradients.append(model[0].weight.grad.numpy().copy())
        found.append([*gradients, rng.random()])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_what_bernoulli_is_given_is_checked_at_every_run() -> None:
    f = tg.compile(lambda p: tg.random.bernoulli(p), fullgraph=True)
    for _ in range(5):
        f(tg.full((3,), 0.5))
    with pytest.raises(ValueRangeError, match="expected probabilities from 0 to 1"):
        f(tg.full((3,), 1.5))


def test_what_a_step_initializes_is_initialized_at_every_run() -> None:
    weight = tg.Tensor(np.ones(2, np.float32))

    def f(x: Any) -> Any:
        nn.init.zeros_(weight)
        y = x + weight
        nn.init.constant_(weight, 3.0)
        return y + weight

    compiled = tg.compile(f, fullgraph=True)
    for k in range(6):
        weight.data[...] = k
        assert compiled(tg.full((2,), float(k))).tolist() == [k + 3.0] * 2
        assert weight.tolist() == [3.0, 3.0]


def test_the_program_that_people_read_draws_from_a_seed_that_was_given() -> None:
    compiled = tg.compile(lambda x: F.dropout(x + tg.rand(x.shape, rng=3), 0.5, rng=4), backend="numpy")
    for _ in range(4):
        want = compiled(X).numpy()
    space: dict[str, Any] = {}
    exec(compiled.source, space)
    np.testing.assert_allclose(space["predict"](X.numpy()), want, rtol=1e-6, atol=1e-6)


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
