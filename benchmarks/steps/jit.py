"""The steps in JAX, compiled; the update is part of the compiled function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.steps import data


def forward(parameters: list[Any], x: Any) -> Any:
    for w, b in parameters[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = parameters[-1]
    return x @ w + b


def step_of(
    cost: Callable[..., Any], parameters: Any, x: np.ndarray, y: np.ndarray, rate: float
) -> Callable[[], None]:
    update = jax.jit(
        lambda p, x, y: jax.tree.map(lambda w, g: w - rate * g, p, jax.grad(cost)(p, x, y)), donate_argnums=0
    )
    state = [jax.tree.map(jnp.array, parameters)]
    x, y = jnp.array(x), jnp.array(y)

    def step() -> None:
        state[0] = jax.block_until_ready(update(state[0], x, y))

    return step


def mlp(sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    def cost(parameters: Any, x: Any, y: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(forward(parameters, x)), y[:, None], axis=1))

    x, y = data.rows(batch, sizes[0]), data.classes(batch, sizes[-1])
    return step_of(cost, data.weights(sizes), x, y, 0.01)


def cats() -> Callable[[], None]:
    def cost(parameters: Any, x: Any, y: Any) -> Any:
        z = forward(parameters, x)
        return jnp.mean(jax.nn.softplus(z) - y * z)

    sizes, batch = data.CATS
    y = data.classes(batch, 2).astype(np.float32).reshape(-1, 1)
    return step_of(cost, data.weights(sizes), data.rows(batch, sizes[0]), y, 0.0075)


def chain() -> Callable[[], None]:
    def total(start: Any) -> Any:
        x = start
        for _ in range(data.CHAIN // 2):
            x = x * 1.0001 + start
        return x.sum()

    gradient, start = jax.jit(jax.grad(total)), jnp.full(3, 0.5, jnp.float32)
    return lambda: jax.block_until_ready(gradient(start))


CASES = {**{name: partial(mlp, *case) for name, case in data.MLPS.items()}, "cats": cats, "chain": chain}
