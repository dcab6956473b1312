"""What func says when it is used wrongly, word by word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import func, nn
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError

X = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: func.grad(lambda x: x * x)(X),
            GraphError,
            "func.grad: expected f to return one number, got (2,). Reduce it, such as with .sum() or .mean(), or "
            "use "
            "func.jacobian.",
        ),
        (
            lambda: func.value_and_grad(lambda x: [x.sum()])(X),
            GraphError,
            "func.value_and_grad: expected f to return one number, got list [Tensor(3., dtype=float64, op=sum)]. "
            "Reduce it, "
            "such as with .sum() or .mean(), or use func.jacobian.",
        ),
        (
            lambda: func.grad(lambda x: float(x.sum()))(X),
            DTypeError,
            "func.grad: f must return Tensors; result is float 3.0. If it was taken out with .data, "
            ".numpy(), .item() "
            "or float(), its derivative is lost: compute with the Tensor itself.",
        ),
        (
            lambda: func.grad(lambda x: x.sum())([1, 2.0]),
            DTypeError,
            "func.grad: argument 0[0] is int64; only floating and complex values have derivatives. Make it floating, "
            "or leave it "
            "out with argnums.",
        ),
        (
            lambda: func.grad(lambda x: x.sum(), argnums=1)(X),
            ValueRangeError,
            "func.grad: argnums=1, but f was called with 1 argument",
        ),
        (
            lambda: func.grad(lambda x: x.sum(), argnums=(0, "x"))(X, X),
            ValueRangeError,
            "func.grad: argnums: expected an int or a tuple of ints, got tuple (0, 'x')",
        ),
        (
            lambda: func.grad(X)(X),
            DTypeError,
            "func.grad: expected a function first, got an array of shape (2,) and dtype float64",
        ),
        (
            lambda: func.grad(lambda x: x.sum(), has_aux=True)(X),
            DTypeError,
            "func.grad: expected f to return (result, aux) with has_aux, got an array of shape () "
            "and dtype float64",
        ),
        (
            lambda: func.jvp(lambda x: x, (X,), (np.ones(3),)),
            ShapeError,
            "func.jvp: tangents[0]: expected the shape (2,), got (3,)",
        ),
        (
            lambda: func.jvp(lambda x: x, X, X),
            DTypeError,
            "func.jvp: primals: expected a tuple with one entry per argument, got an array of shape (2,) "
            "and dtype float64",
        ),
        (
            lambda: func.vjp(lambda x: {"y": x}, X)[1](X),
            ShapeError,
            "func.vjp: cotangents: expected the nesting ['y'], got one array",
        ),
        (
            lambda: func.hvp(lambda x: x, X, X),
            GraphError,
            "func.hvp: expected f to return one number, got (2,)",
        ),
        (
            lambda: func.jacfwd(lambda x: x, (0, -1))(X),
            ValueRangeError,
            "func.jacfwd: argnums: expected each argument once, got (0, -1)",
        ),
        (
            lambda: func.vmap(lambda x: x, randomness=X),  # type: ignore[arg-type]
            ValueRangeError,
            'func.vmap: randomness: expected "error", "different" or "same", got an array of shape (2,) '
            "and dtype float64",
        ),
        (
            lambda: func.functional_call(X, {}),  # type: ignore[arg-type]
            DTypeError,
            "functional_call: module: expected a Module, got an array of shape (2,) and dtype float64",
        ),
        (
            lambda: func.functional_call(nn.ReLU(), {}, X, X),  # type: ignore[arg-type]
            DTypeError,
            "functional_call: kwargs: expected a dict of named arguments, got an array of shape (2,) "
            "and dtype float64",
        ),
        (
            lambda: func.stack_module_state([nn.ReLU(), X]),  # type: ignore[list-item]
            DTypeError,
            "stack_module_state: models[1]: expected a Module, got an array of shape (2,) and dtype float64",
        ),
        (
            lambda: func.stack_module_state(3),  # type: ignore[arg-type]
            DTypeError,
            "stack_module_state: expected a list of models, got int 3",
        ),
    ],
)
def test_func_says_what_is_wrong(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
