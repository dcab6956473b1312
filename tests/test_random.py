"""Tensors of random numbers: shapes, dtypes, generators, distributions, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import random

DRAWS: dict[str, Any] = {
    "rand": lambda **k: random.rand((3, 4), **k),
    "randn": lambda **k: random.randn((3, 4), **k),
    "randint": lambda **k: random.randint(0, 1000, (3, 4), **k),
    "randperm": lambda **k: random.randperm(12, **k),
    "normal": lambda **k: random.normal(1.0, 2.0, (3, 4), **k),
    "uniform": lambda **k: random.uniform(-1.0, 2.0, (3, 4), **k),
    "bernoulli": lambda **k: random.bernoulli(0.5, (3, 4), **k),
    "multinomial": lambda **k: random.multinomial(np.ones(12), 12, **k),
    "choice": lambda **k: random.choice(100, (3, 4), **k),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_a_generator_and_the_default_generator_give_the_same_draws(name: str) -> None:
    expected = DRAWS[name](rng=7)
    assert expected.tolist() == DRAWS[name](rng=np.random.default_rng(7)).tolist()
    tg.manual_seed(7)
    assert expected.tolist() == DRAWS[name]().tolist()
    assert expected.tolist() != DRAWS[name]().tolist() and expected.size == 12


@pytest.mark.parametrize("name", ["rand", "randn", "normal", "uniform", "bernoulli"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_draws_have_the_dtype_asked_for(name: str, dtype: str) -> None:
    assert DRAWS[name](dtype=dtype).dtype == dtype


def test_shapes_are_an_int_or_a_tuple_and_may_be_empty() -> None:
    assert random.rand().shape == () and random.rand(3).shape == (3,) and random.rand((0, 2)).shape == (0, 2)
    assert random.randperm(0).shape == (0,) and random.multinomial(np.ones((0, 3)), 2).shape == (0, 2)
    assert random.choice(0, (0,)).shape == (0,)
    assert random.choice(np.ones((2, 5, 3)), (4, 1), axis=1).shape == (2, 4, 1, 3)


def test_rand_is_below_1_in_every_dtype() -> None:
    assert all(float(random.rand(20000, dtype=t, rng=0).max()) < 1 for t in ("float16", "float32", "float64"))


def test_moments_are_those_of_the_distributions() -> None:
    n = 20000
    for x, mean, std in (
        (random.rand(n, rng=0), 0.5, 12**-0.5),
        (random.randn(n, rng=0), 0, 1),
        (random.normal(3.0, 2.0, n, rng=0), 3, 2),
        (random.uniform(2.0, 4.0, n, rng=0), 3, 2 / 12**0.5),
        (random.bernoulli(0.25, n, rng=0), 0.25, 0.1875**0.5),
    ):
        assert float(x.mean()) == pytest.approx(mean, abs=0.05)
        assert float(x.std()) == pytest.approx(std, abs=0.05)
    z = random.randn(n, dtype="complex64", rng=0)
    assert z.dtype == "complex64" and float((abs(z) ** 2).mean()) == pytest.approx(1, abs=0.05)


def test_gradients_reach_the_parameters_of_normal_and_uniform() -> None:
    mean, std = tg.Tensor(1.0, requires_grad=True), tg.Tensor(2.0, requires_grad=True)
    x = random.normal(mean, std, (50,), rng=0)
    x.sum().backward()
    z = (x.detach() - 1.0) / 2.0
    assert mean.grad is not None and float(mean.grad) == 50
    assert std.grad is not None and float(std.grad) == pytest.approx(float(z.sum()), rel=1e-4)
    low = tg.Tensor([0.0, 1.0], requires_grad=True)
    random.uniform(low, tg.Tensor([2.0, 3.0]), rng=0).sum().backward()
    assert low.grad is not None and low.grad.shape == (2,)


def test_multinomial_draws_by_weight_and_never_a_weight_of_0() -> None:
    drawn = random.multinomial([[0.0, 1.0, 3.0, 0.0], [2.0, 0.0, 0.0, 2.0]], 4000, replacement=True, rng=0)
    assert np.bincount(drawn.numpy()[0], minlength=4)[[0, 3]].tolist() == [0, 0]
    assert (drawn.numpy()[0] == 2).mean() == pytest.approx(0.75, abs=0.03)
    assert set(drawn.numpy()[1].tolist()) == {0, 3}
    assert sorted(random.multinomial([1.0, 0.0, 5.0], 2, rng=1).tolist()) == [0, 2]


def test_choice_without_replacement_gives_each_entry_once_and_gradients_reach_the_entries() -> None:
    a = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    picked = random.choice(a, (3,), replace=False, rng=0)
    assert sorted(picked.tolist()) == [1, 2, 3]
    picked.sum().backward()
    assert a.grad is not None and a.grad.tolist() == [1, 1, 1]
    assert random.choice(3, (5,), p=[0.0, 1.0, 0.0]).tolist() == [1] * 5


def test_vmap_draws_for_each_example_as_its_randomness_says() -> None:
    draw = lambda x: x + random.randn((2,))  # noqa: E731
    rows = tg.func.vmap(draw, randomness="different")(tg.zeros((3, 2))).numpy()
    assert len({tuple(row) for row in rows.tolist()}) == 3
    rows = tg.func.vmap(draw, randomness="same")(tg.zeros((3, 2))).numpy()
    assert len({tuple(row) for row in rows.tolist()}) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random.rand((-1,)), "rand: expected sizes of at least 0"),
        (lambda: random.rand((2,), dtype="int64"), "rand: dtype: expected a floating dtype, got int64"),
        (lambda: random.randint(3, 3), "randint: expected low below high, got low=3 and high=3"),
        (lambda: random.randint(0, 300, dtype="uint8"), "randint: expected numbers that uint8 holds"),
        (lambda: random.normal(0.0, -1.0), "normal: expected a standard deviation of at least 0"),
        (lambda: random.uniform(2.0, 1.0), "uniform: expected low of at most high"),
        (lambda: random.normal(np.ones(2), np.ones(3)), "normal: mean and std of the shapes"),
        (lambda: random.normal(np.ones(2), 1.0, (3,)), "normal: mean and std of the shapes"),
        (lambda: random.bernoulli(1.5), "bernoulli: p: expected probabilities from 0 to 1"),
        (lambda: random.bernoulli(float("nan")), "bernoulli: p: expected probabilities from 0 to 1"),
        (lambda: random.multinomial([1.0, 0.0], 2), "multinomial: expected at most as many samples"),
        (lambda: random.multinomial([0.0, 0.0]), "multinomial: weights: expected finite weights"),
        (lambda: random.multinomial([1.0, float("nan")]), "multinomial: weights: expected finite weights"),
        (lambda: random.choice(3, (4,), replace=False), "choice: expected at most 3 draws"),
        (lambda: random.choice(0, (1,)), "choice: expected at least one entry"),
        (lambda: random.choice(3, (2,), p=[0.5, 0.5]), "choice: p: expected one probability for each of 3"),
        (lambda: random.rand((2,), rng="x"), "rand: rng: expected"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value).startswith(message)
