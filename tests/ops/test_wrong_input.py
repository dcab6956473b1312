"""Wrong input of operations and of what is made of them: one error, which names what was called and the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, autograd, func, linalg
from tinygrad_dl.errors import (
    DTypeError,
    IndexRangeError,
    OutOfMemoryError,
    ShapeError,
    TinygradError,
    ValueRangeError,
)
from tinygrad_dl.nn import functional as F
from tinygrad_dl.op import OPS, op

X = Tensor(np.ones((2, 3), np.float32))
IMAGE = Tensor(np.ones((1, 2, 6, 6), np.float32))
WEIGHT = Tensor(np.ones((3, 2, 3, 3), np.float32))


def holds_itself() -> list[Any]:
    x: list[Any] = [1.0]
    x.append(x)
    return x


class Stranger:
    pass


CALLS: list[tuple[Callable[[], Any], type[TinygradError], str]] = [
    (lambda: tg.sum(X, keepdims="no"), DTypeError, "sum: keepdims: expected True or False, got str 'no'"),
    (lambda: X.sum(keepdims=2), DTypeError, "sum: keepdims: expected True or False, got int 2"),
    (lambda: np.sum(X, keepdims="no"), DTypeError, "sum: keepdims: expected True or False, got str 'no'"),
    (lambda: tg.sort(X, descending="False"), DTypeError, "sort: descending: expected True or False, got str 'False'"),
    (lambda: tg.sum(X, axis=2**40), ValueRangeError,
     "sum: axis: expected a number from -2147483647 to 2147483647, got int 1099511627776"),
    (lambda: tg.sum(X, dtype=Stranger), DTypeError, None),
    (lambda: X.astype("dates"), DTypeError, None),
    (lambda: tg.leaky_relu(X, "0.1"), DTypeError, "leaky_relu: slope: expected a number, got str '0.1'"),
    (lambda: tg.fft.fft(np.ones(3), norm="both"), ValueRangeError, None),
    (lambda: tg.fft.fft(np.ones(3), n=2**40), ValueRangeError,
     "fft: n: expected an int of at least 0 or None and at most 2147483647, got int 1099511627776"),
    (lambda: tg.tile(X, 2**40), ValueRangeError,
     "tile: repetitions: expected a number from -2147483647 to 2147483647, got int 1099511627776"),
    (lambda: tg.zeros(2**40), ValueRangeError, "zeros: expected sizes of at most 2147483647, got 1099511627776"),
    (lambda: tg.eye(2**40), ValueRangeError, None),
    (lambda: tg.arange(2**40), ValueRangeError, None),
    (lambda: tg.arange(0, float("nan")), ValueRangeError, None),
    (lambda: tg.zeros((2**20, 2**20)), OutOfMemoryError, None),
    (lambda: tg.swapaxes(X, "a", 0), DTypeError, "swapaxes: expected an axis that is an int, got str 'a'"),
    (lambda: tg.median(X, keepdims="no"), DTypeError, "median: keepdims: expected True or False, got str 'no'"),
    (lambda: Tensor(holds_itself()), TinygradError, None),
    (lambda: Tensor([1.0], dtype="foo"), DTypeError,
     "Tensor: dtype: expected a dtype of numbers or None, got str 'foo'"),
    (lambda: Tensor([1.0], requires_grad="no"), DTypeError,
     "Tensor: requires_grad: expected True or False, got str 'no'"),
    (lambda: X[holds_itself()], IndexRangeError, None),
    (lambda: X.reshape(10**30), ShapeError, None),
    (lambda: X.backward(create_graph="no"), TinygradError, None),
    (lambda: Tensor([1.0], requires_grad=True).register_hook(3), DTypeError,
     "register_hook: hook: expected a function, got int 3"),
    (lambda: linalg.norm(X, ord=Stranger), TinygradError, None),
    (lambda: func.grad(3), DTypeError, "func.grad: expected a function first, got int 3"),
    (lambda: func.grad(lambda x: x, has_aux="no"), DTypeError,
     "func.grad: has_aux: expected True or False, got str 'no'"),
    (lambda: func.grad(lambda x: x)(holds_itself()), ValueRangeError, None),
    (lambda: autograd.grad(X, X, allow_unused="no"), DTypeError,
     "autograd.grad: allow_unused: expected True or False, got str 'no'"),
    (lambda: tg.set_default_dtype(None), DTypeError,
     "set_default_dtype: expected a floating dtype, such as float32, got None"),
    (lambda: tg.manual_seed("a"), DTypeError, "manual_seed: expected an int, got 'a'"),
    (lambda: OPS["conv"].function(3, WEIGHT), DTypeError, None),
    (lambda: F.conv2d(IMAGE, WEIGHT, padding=-1), ValueRangeError, None),
    (lambda: F.conv2d(IMAGE, WEIGHT, padding=2**40), ValueRangeError, None),
    (lambda: F.max_pool2d(IMAGE, (2, 2, 2)), ShapeError,
     "max_pool2d: kernel_size=(2, 2, 2): expected an int or 2 ints, one for each spatial dimension"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), CALLS)
def test_wrong_input_has_one_clear_error(call: Any, kind: type[TinygradError], message: str | None) -> None:
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    if message is not None:
        assert str(error) == message
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


def test_values_that_are_as_good_are_taken() -> None:
    assert tg.sum(X, axis=np.int64(0), keepdims=True).shape == (1, 3)
    assert tg.sum(X, keepdims=1).shape == (1, 1)
    assert tg.leaky_relu(X, np.float32(0.5)).shape == (2, 3)
    assert tg.leaky_relu(X, 1).shape == (2, 3)


def test_data_of_a_wrong_dtype_is_refused_before_it_is_set() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(
        DTypeError,
        match=r"^data: expected floating or complex values, as this Tensor requires grad, got int64\.",
    ):
        x.data = np.array([1, 2])
    assert x.tolist() == [1.0, 2.0]
    assert x.requires_grad


def test_what_a_users_operation_raises_passes_unchanged() -> None:
    @op(lambda g: g)
    def refused(x: Any, flag: bool = False) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        refused(X)
    with pytest.raises(KeyError, match="mine"):  # annotations of a user's operation are the user's own
        refused(X, flag="yes")
