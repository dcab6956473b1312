"""tinygrad_dl.func and tinygrad_dl.autograd: the transformations, and calls of the functions they make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.fuzz.harness import Call
from tinygrad_dl import Tensor, autograd, func, nn


def square_sum(x: Any) -> Any:
    return (x * x).sum()


def squares(x: Any) -> Any:
    return x * x


def x() -> Any:
    return np.array([1.0, 2.0])


def outputs_and_inputs() -> tuple[Any, Any]:
    leaf = Tensor(x(), requires_grad=True)
    return square_sum(leaf), leaf


def complex_call(name: str) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    z = x() * (1 - 2j)
    if name == "grad":
        return func.grad(lambda z: abs(z).sum()), (z,), {}
    if name == "vjp":
        return func.vjp(squares, z)[1], (z,), {}
    if name == "jvp":
        return func.jvp, (squares, (z,), (z,)), {}
    return func.hvp, (lambda z: (abs(z) ** 4).sum(), z, z), {}


def calls() -> Iterator[Call]:
    for name in ("grad", "value_and_grad", "hessian", "jacobian", "jacrev", "jacfwd"):
        transformation = getattr(func, name)
        yield Call(f"func.{name}", lambda f=transformation: (f, (square_sum,), {}))  # type: ignore[misc]
        yield Call(
            f"{name} called",
            lambda f=transformation: (
                lambda x, argnums=0, has_aux=False: f(square_sum, argnums)(x),
                (x(),),
                {},
            ),  # type: ignore[misc]
        )
    yield Call("func.vjp", lambda: (func.vjp, (squares, x()), {}))
    yield Call("vjp called", lambda: (func.vjp(squares, x())[1], (x(),), {}))
    yield Call("func.jvp", lambda: (func.jvp, (squares, (x(),), (x(),)), {}))
    yield Call("func.hvp", lambda: (func.hvp, (square_sum, x(), x()), {}))
    yield Call("func.linearize", lambda: (func.linearize, (squares, x()), {}))
    yield Call("linearize called", lambda: (func.linearize(squares, x())[1], (x(),), {}))
    yield Call("func.vmap", lambda: (func.vmap, (squares,), {}))
    yield Call(
        "vmap called",
        lambda: (
            lambda x, in_axes=0, out_axes=0, randomness="error", chunk_size=None: func.vmap(
                squares, in_axes, out_axes, randomness=randomness, chunk_size=chunk_size
            )(x),
            (np.ones((2, 3)),),
            {},
        ),
    )
    yield Call("vmap.explain", lambda: (func.vmap(squares).explain, (x(),), {}))
    yield Call(
        "func.functional_call",
        lambda: (
            func.functional_call,
            (nn.Linear(2, 1), {"weight": np.ones((1, 2), np.float32)}, Tensor([1.0, 2.0])),
            {"kwargs": None, "tie_weights": True, "strict": False},
        ),
    )
    yield Call(
        "func.stack_module_state",
        lambda: (func.stack_module_state, ([nn.Linear(2, 1), nn.Linear(2, 1)],), {}),
    )
    for name in ("grad", "jvp", "vjp", "hvp"):
        yield Call(f"{name} of complex values", lambda name=name: complex_call(name))  # type: ignore[misc]
    yield Call("autograd.grad", lambda: (autograd.grad, outputs_and_inputs(), {}))
    yield Call(
        "autograd.checkpoint", lambda: (autograd.checkpoint, (squares, Tensor(x(), requires_grad=True)), {})
    )
