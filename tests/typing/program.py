"""A user's program, which type checkers read: each line says what type its value has. Nothing runs it."""

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

import tinygrad_dl as tg
from tinygrad_dl import Tensor

tensor = Tensor([1.0, 2.0], requires_grad=True)
array: NDArray[np.float64] = np.ones(2)

# A Tensor in is a Tensor out, of numbers alone too
assert_type(tg.exp(tensor), Tensor)
assert_type(tg.exp(2.0), Tensor)
assert_type(tg.exp([1.0, 2.0]), Tensor)
assert_type(tg.add(tensor, array), Tensor)
assert_type(tg.add(array, tensor), Tensor)
assert_type(tg.add(1, 2), Tensor)
assert_type(tg.sum(tensor, axis=0, keepdims=True), Tensor)
assert_type(tg.concat([tensor, tensor], axis=0), Tensor)
assert_type(tg.clip(tensor, min=0.0), Tensor)

# Names that other modules have too
assert_type(tg.floor(tensor), Tensor)
assert_type(tg.ceil(tensor), Tensor)

# Functions that make Tensors
assert_type(tg.ones(3), Tensor)
assert_type(tg.zeros((2, 2)), Tensor)
assert_type(tg.asarray(array), Tensor)

# Operators and methods
assert_type(tensor + 1, Tensor)
assert_type(1 - tensor, Tensor)
assert_type(tensor * array, Tensor)
assert_type(tensor @ tensor, Tensor)
assert_type(-tensor, Tensor)
assert_type(abs(tensor), Tensor)
assert_type(tensor == 1.0, Tensor)
assert_type(tensor < array, Tensor)
assert_type(tensor.exp(), Tensor)
assert_type(tensor.sum(axis=0), Tensor)
assert_type(tensor.reshape(1, 2), Tensor)
assert_type(tensor.T, Tensor)
assert_type(tensor[0], Tensor)
assert_type(tensor.grad, "Tensor | None")
(tensor * tensor).sum().backward()


@tg.op(lambda g, x: g * 3 * x**2)
def cube(x: NDArray[np.float64], /, *, scale: float = 1.0) -> NDArray[np.float64]:
    """A user's own operation keeps the names and types of its options."""
    return scale * x**3


assert_type(cube(tensor, scale=2.0), Tensor)
