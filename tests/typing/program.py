"""A user's program, which type checkers read: each line says what type its value has. Nothing runs it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

import tinygrad_dl as tg
from tinygrad_dl import Tensor, nn, optim, testing, train, viz
from tinygrad_dl.nn import functional as F

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

# What is composed of operations
assert_type(tg.einsum("i,i->", tensor, tensor), Tensor)
assert_type(tg.kron(tensor, array), Tensor)
assert_type(tg.pad(tensor, (1, 1)), Tensor)
assert_type(tg.linalg.norm(tensor), Tensor)
assert_type(tg.fft.fftshift(tensor), Tensor)
assert_type(tensor.swapaxes(0, 0), Tensor)
assert_type(tensor.dtype, np.dtype[Any])

# Modes are context managers and decorators
with tg.no_grad() as mode:
    assert_type(mode, tg.no_grad)


@tg.no_grad()
def evaluated(x: Tensor) -> Tensor:
    """A decorated function keeps its type."""
    return x * 2


assert_type(evaluated(tensor), Tensor)

# A program of training
model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
assert_type(nn.Linear(2, 3).weight, nn.Parameter)
assert_type(F.relu(tensor), Tensor)
assert_type(F.mse_loss(tensor, array), Tensor)
assert_type(model.state_dict(), dict[str, NDArray[Any]])
optimizer = optim.Adam(model.parameters(), lr=0.1)
trainer = train.Trainer(model, nn.MSELoss(), optimizer)
assert_type(trainer.fit(array, array), train.History)
assert_type(trainer.predict(array), NDArray[Any])
classifier = train.Classifier(model)
assert_type(classifier.fit(array, array), train.Classifier)
assert_type(classifier.predict(array), NDArray[Any])


@tg.compile
def product(x: Tensor, y: Tensor) -> Tensor:
    """A compiled function keeps the types of its parameters and of its result."""
    return x * y


assert_type(product(tensor, tensor), Tensor)
assert_type(product.source, str)

# Gradients, checks, pictures
assert_type(tg.autograd.grad(tensor.sum(), tensor), "tuple[Tensor | None, ...]")
assert_type(testing.gradcheck(lambda x: x * x, tensor), testing.Report)
assert_type(viz.draw(tensor), viz.GraphView)
