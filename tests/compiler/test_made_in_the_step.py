"""What a step makes itself, functions, objects, leaves and copies, and what it returns of what was there."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import func, nn, optim

RNG = np.random.default_rng(0)
W = tg.Tensor(RNG.normal(size=3), requires_grad=True)
both = pytest.mark.parametrize("backend", BACKENDS)


def values(n: int = 3) -> tg.Tensor:
    return tg.Tensor(RNG.normal(size=n))


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(b, (tuple, list)):
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
        return
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


def inner_function(x: Any) -> Any:
    doubled = x * 2

    def scaled(y: Any) -> Any:
        return y * doubled + x

    return scaled(x) + scaled(doubled)


def comprehensions(x: Any) -> Any:
    return sum(x * i for i in range(3)) + [x * i for i in range(3)][2] + {i: x * i for i in range(2)}[1]


def inner_dict(x: Any) -> Any:
    parts = {"x": x, "list": [x * 2]}

    def part(name: str) -> Any:
        return parts[name]

    parts["y"] = x + 1
    return part("x") * part("list")[0] + part("y")


@dataclasses.dataclass
class Batch:
    x: Any
    weight: float = 2.0

    def loss(self) -> Any:
        self.x = self.x * self.weight
        return (self.x**2).sum()


class Scale(nn.Module):
    def __init__(self, factor: Any) -> None:
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return x * self.factor


def parameter_of_the_step(x: Any) -> Any:
    w = nn.Parameter(x * 2)
    (w**3).sum().backward()
    return w.grad


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "a function": inner_function,
    "comprehensions": comprehensions,
    "a dict": inner_dict,
    "a gradient": lambda x: func.grad(lambda w: ((w * x) ** 2).sum())(x + 1),
    "an object": lambda x: Batch(x).loss(),
    "a module": lambda x: Scale(x)(x + 1),
    "a parameter": parameter_of_the_step,
    "a copy": lambda x: tg.Tensor(x) + x.copy() + tg.asarray(x, copy=True),
}


@both
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_step_makes_is_no_part_of_its_surroundings(name: str, backend: str) -> None:
    function = FUNCTIONS[name]
    compiled = tg.compile(function, backend=backend, fullgraph=True)
    for _ in range(6):
        x = values()
        assert_equal(compiled(x), function(x))
    assert "captured" in compiled.explain()


def test_a_function_that_was_made_before_is_not_taken_for_one_of_the_step() -> None:
    def make(factor: dict[str, float]) -> Any:
        return lambda x: x * factor["k"]

    factor = {"k": 2.0}
    functions = [make(factor)]

    def step(x: Any) -> Any:
        return functions[0](x) + make({"k": 1.0})(x)

    compiled = tg.compile(step, fullgraph=True)
    for k in (2.0, 3.0, 2.0, 5.0):
        factor["k"] = k
        for _ in range(4):
            x = values()
            assert_equal(compiled(x), step(x))


def test_detach_of_a_weight_may_be_the_first_use_of_it() -> None:
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: Any) -> Any:
        penalty = (model.weight.detach() ** 2).sum()
        optimizer.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return penalty, loss

    compiled = tg.compile(step, fullgraph=True)
    for _ in range(6):
        before = float((model.weight.detach() ** 2).sum())
        penalty, _ = compiled(tg.Tensor(np.ones((4, 3), np.float32)))
        np.testing.assert_allclose(penalty.item(), before, rtol=1e-5)


def returns_a_leaf(x: Any) -> Any:
    return (x * 2).detach().requires_grad_()


def returns_what_retains(x: Any) -> Any:
    W.grad = None
    y = W * x
    y.retain_grad()
    (y**2).sum().backward()
    return y


@both
@pytest.mark.parametrize("function", [returns_a_leaf, returns_what_retains])
def test_results_with_more_than_values_are_eagers(function: Any, backend: str) -> None:
    compiled = tg.compile(function, backend=backend)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(5):
            x = values()
            result, expected = compiled(x), function(x)
            assert_equal(result, expected)
            assert result.requires_grad == expected.requires_grad
            if expected.grad is not None:
                assert_equal(result.grad, expected.grad)
    assert len(caught) == 1 and "runs eagerly: it returns a Tensor that" in str(caught[0].message)


@both
def test_results_are_the_same_object_or_share_memory_as_in_eager(backend: str) -> None:
    def step(x: Any) -> Any:
        W.grad = None
        y = W.detach() * x
        (W * y).sum().backward()
        a, b = tg.autograd.grad((W * x).sum(), [W, W])
        return y, [y], a, b, W.grad, W.detach(), x.detach(), x

    compiled = tg.compile(step, backend=backend, fullgraph=True)
    for _ in range(6):
        x = values()
        y, (again,), a, b, gradient, weight, detached, same = compiled(x)
        assert y is again and same is x and gradient is W.grad
        assert np.shares_memory(weight.numpy(), W.data) and np.shares_memory(detached.numpy(), x.data)
        b.data[...] = 0
        assert_equal(a, x)
        np.testing.assert_allclose(W.grad.numpy(), y.numpy())  # type: ignore[union-attr]


@both
def test_a_model_may_be_switched_to_training_and_evaluation_in_a_step(backend: str) -> None:
    def run(compile_: Callable[[Any], Any]) -> list[Any]:
        tg.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        x = tg.asarray(np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32))

        def step() -> Any:
            model.train()
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        def evaluate() -> Any:
            model.eval()
            with tg.no_grad():
                return model(x).mean()

        step, evaluate = compile_(step), compile_(evaluate)
        found = []
        for _ in range(4):
            found += [float(step()) for _ in range(4)]
            assert model.training
            found.append(float(evaluate()))
            assert not model[2].training
        return found

    got = run(lambda f: tg.compile(f, backend=backend, fullgraph=True))
    np.testing.assert_allclose(got, run(lambda f: f), rtol=1e-4)
