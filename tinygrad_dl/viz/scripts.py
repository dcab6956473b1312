"""Drawing what a Python file defines: a model, a function that returns one, or a function of Tensors."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from tinygrad_dl.arguments import Bounds, require
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.nn import Module
from tinygrad_dl.scripts import failed, find, required, shape_of
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.viz.draw import draw
from tinygrad_dl.viz.view import GraphView


def draw_script(target: str, inputs: Sequence[str] = (), seed: int = 0, **how: Any) -> GraphView:
    """The diagram of `FILE.py:NAME`, run on random arrays of the shapes in `inputs`, such as "32,64" or "8:int64".

    NAME is a Module, a class or function that returns one without arguments, or a function of Tensors, whose inputs
    then require grad. `how`: options of draw(). Raises ValueRangeError for what cannot be found, run or called.
    """
    require("draw", "target", target, str)
    require("draw", "inputs", inputs, Sequence[str])
    require("draw", "seed", seed, Annotated[int, Bounds(least=0)])
    found, name = find(target, "draw")
    model = _made(found, name)
    if isinstance(model, Tensor):
        return draw(model, **how)
    if not callable(model):
        raise DTypeError(
            f"draw: {name}: expected a model, a function or a Tensor, got {type(model).__name__}"
        )
    is_model = isinstance(model, Module)
    tensors = [
        tensor_of(text, np.random.default_rng([seed, i]), not is_model, f"input {i}" if i else "input")
        for i, text in enumerate(inputs)
    ]
    needed = required(model.forward if is_model else model)
    if needed > len(tensors):
        raise ValueRangeError(
            f"draw: {name}: expected {needed} inputs, got {len(tensors)}. Give the shape of each: --input 32,64"
        )
    return draw(model, inputs=tensors, **how)


def _made(found: Any, name: str) -> Any:
    """What is drawn: `found`, or the model that it makes without arguments.

    A function whose parameters all have defaults, such as `def make(hidden=64)`, is called to see whether it makes a
    model; one that does not is a function of Tensors.
    """
    if isinstance(found, type) and issubclass(found, Module):
        needed = required(found)
        if needed:
            raise ValueRangeError(
                f"draw: {name}: expected a class that can be made without arguments, got one that needs {needed}. "
                f"Make a model in the file, such as `net = {name}(...)`, and draw that"
            )
    elif not inspect.isfunction(found) or required(found):
        return found
    try:
        made = found()
    except Exception as error:
        if inspect.isfunction(found):
            return found
        raise failed("draw", f"{name}()", error) from error
    return made if isinstance(made, Module) else found


def tensor_of(text: str, rng: np.random.Generator, requires_grad: bool, name: str) -> Tensor:
    """A random Tensor of a shape given as text: "32,64" is float32 and normal, "8,5:int64" zeros and ones."""
    shape, dtype = shape_of(text, "draw", "float32")
    if dtype.kind == "f":
        return Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=requires_grad, name=name)
    return Tensor(rng.integers(0, 2, shape).astype(dtype), name=name)
