"""Arguments that a step writes to or gives gradients, and those that it also reads from elsewhere."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import nn, optim

X = tg.asarray(np.random.default_rng(0).normal(size=(6, 3)).astype("float32"))
Y = X @ tg.asarray(np.float32([[1], [2], [3]]))


def parameter(value: float) -> tg.Tensor:
    return tg.Tensor(np.full((3, 1), value, np.float32), requires_grad=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_goes_to_the_argument_that_is_passed(backend: Any) -> None:
    def f(w: Any, x: Any) -> Any:
        w.grad = None
        loss = ((x @ w) ** 2).sum()
        loss.backward()
        return loss

    g = tg.compile(f, fullgraph=True, backend=backend)
    a, b, own = parameter(1.0), parameter(2.0), parameter(0.0)
    for w in [a] * 5 + [b] * 5 + [a, b, a]:
        own.data[...] = w.data
        expected = f(own, X)
        for other in (a, b):
            other.grad = None
        np.testing.assert_allclose(g(w, X).item(), expected.item(), rtol=1e-5)
        np.testing.assert_allclose(w.grad.numpy(), own.grad.numpy(), rtol=1e-5)  # type: ignore[union-attr]
        assert (b if w is a else a).grad is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["in place", "data", "new data"])
def test_parameters_that_are_arguments_are_updated(backend: Any, kind: str) -> None:
    def step(w: Any, b: Any, x: Any, y: Any) -> Any:
        w.grad = b.grad = None
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        if kind == "in place":
            with tg.no_grad():
                w -= 0.1 * w.grad
                b -= 0.1 * b.grad
        elif kind == "data":
            w.data -= 0.1 * w.grad.data
            b.data -= 0.1 * b.grad.data
        else:
            w.data = w.data - 0.1 * w.grad.data
            b.data = b.data - 0.1 * b.grad.data
        return loss

    g = tg.compile(step, fullgraph=True, backend=backend)
    pairs = [(parameter(0.5), parameter(0.5)), (parameter(-1.0), parameter(-1.0))]
    bias = [tuple(tg.Tensor([0.0], requires_grad=True) for _ in range(2)) for _ in range(2)]
    for i in [0] * 5 + [1] * 5 + [0, 1]:
        (w, own), (b, own_b) = pairs[i], bias[i]
        np.testing.assert_allclose(g(w, b, X, Y).item(), step(own, own_b, X, Y).item(), rtol=1e-4)
        for p, q in ((w, own), (b, own_b)):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert "    w -= 0.1 * dw\n    b -= 0.1 * db\n" in g.source


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_argument_may_also_be_in_a_closure(backend: Any) -> None:
    model, x = nn.Linear(3, 1), tg.asarray(X.numpy().copy())
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def penalized(weight: Any, x_: Any) -> Any:
        optimizer.zero_grad()
        loss = ((model(x) - Y) ** 2).mean() + 0.1 * (weight**2).sum() + x_.sum() * 0
        loss.backward()
        optimizer.step()
        return loss

    step = tg.compile(penalized, fullgraph=True, backend=backend)
    losses = [step(model.weight, x).item() for _ in range(8)]
    assert losses == sorted(losses, reverse=True)
    x.data[...] = 0.0
    assert step(model.weight, x).item() == pytest.approx(penalized(model.weight, x).item(), abs=0.5)
    other = tg.zeros((1, 3))  # another one than the model's
    expected = ((model(x) - Y) ** 2).mean().item()
    assert step(other, x).item() == pytest.approx(expected, rel=1e-5)


def test_an_argument_that_is_new_at_every_call_keeps_its_gradient() -> None:
    def f(x: Any) -> Any:
        x.grad = None
        (x * x).sum().backward()
        return x.grad * 1

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        g = tg.compile(f)
        for i in range(8):
            x = tg.Tensor([1.0 + i, 2.0], requires_grad=True)
            assert g(x).tolist() == [2.0 + 2 * i, 4.0] and x.grad.tolist() == [2.0 + 2 * i, 4.0]  # type: ignore[union-attr]
    assert "that is another Tensor at every call" in str(caught[0].message)


def test_lbfgs_takes_the_eager_steps_with_a_compiled_closure() -> None:
    runs = []
    for compiled in (False, True):
        tg.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, history_size=3)

        def closure(model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = ((model(X) - Y) ** 2).mean()
            loss.backward()
            return loss

        closure = tg.compile(closure, fullgraph=True) if compiled else closure
        losses = [optimizer.step(closure).item() for _ in range(10)]
        runs.append([losses, *(p.detach().numpy() for p in model.parameters())])
    for eager, other in zip(*runs):
        np.testing.assert_allclose(other, eager, rtol=1e-4, atol=1e-5)
