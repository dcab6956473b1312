"""tinygrad_dl.func and tinygrad_dl.autograd: the transformations, and calls of the functions they make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.fuzz.harness import Call
from tinygrad_dl import Tensor, autograd, func


def square_sum(x: Any) -> Any:
    return (x * x).sum()


def squares(x: Any) -> Any:
    return x * x


def x() -> Any:
    return np.array([1.0, 2.0])


def outputs_and_inputs() -> tuple[Any, Any]:
    leaf = Tensor(x(), requires_grad=True)
    return square_sum(leaf), leaf


def calls() -> Iterator[Call]:
    for name in ("grad", "value_and_grad", "hessian", "jacobian"):
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
    yield Call("autograd.grad", lambda: (autograd.grad, outputs_and_inputs(), {}))
    yield Call(
        "autograd.checkpoint", lambda: (autograd.checkpoint, (squares, Tensor(x(), requires_grad=True)), {})
    )
