"""Drawing what a Python file defines: a model, a function that returns one, or a function of Tensors."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.nn import Module
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.viz.draw import draw
from tinygrad_dl.viz.view import GraphView


def draw_script(target: str, inputs: Sequence[str] = (), seed: int = 0, **how: Any) -> GraphView:
    """The diagram of `FILE.py:NAME`, run on random arrays of the shapes in `inputs`, such as "32,64" or "8:int64".

    NAME is a Module, a class or function that returns one without arguments, or a function of Tensors, whose inputs
    then require grad. `how`: options of draw(). Raises ValueRangeError for what cannot be found or called.
    """
    found, name = _find(target)
    model = found() if _returns_a_model(found) else found
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
    required = _required(model.forward if is_model else model)
    if required > len(tensors):
        raise ValueRangeError(
            f"draw: {name}: expected {required} inputs, got {len(tensors)}. Give the shape of each: --input 32,64"
        )
    return draw(model, inputs=tensors, **how)


def _find(target: str) -> tuple[Any, str]:
    """Run the file of "FILE.py:NAME" as a module; what it defines as NAME, and NAME. Raises ValueRangeError."""
    file, _, name = target.rpartition(":")
    if not file or not name.isidentifier():
        raise ValueRangeError(f"draw: expected FILE.py:NAME, such as model.py:net, got {target!r}")
    path = Path(file)
    if not path.is_file():
        raise ValueRangeError(f"draw: the file {file!r} does not exist")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueRangeError(f"draw: {file!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # As for a script that is run: files beside it can be imported.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, name):
        public = [
            n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == path.stem
        ]
        known = f"; it has {', '.join(sorted(public))}" if public else ""
        raise ValueRangeError(f"draw: {file} has no {name!r}{known}")
    return getattr(module, name), name


def _returns_a_model(found: object) -> bool:
    """Whether calling it without arguments gives the model: a Module class, or a function without parameters."""
    if isinstance(found, type):
        return issubclass(found, Module)
    return inspect.isfunction(found) and not inspect.signature(found).parameters


def _required(function: Callable[..., Any]) -> int:
    """The number of positional arguments without a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


def tensor_of(text: str, rng: np.random.Generator, requires_grad: bool, name: str) -> Tensor:
    """A random Tensor of a shape given as text: "32,64" is float32 and normal, "8,5:int64" zeros and ones."""
    match = re.fullmatch(r"\s*\(?\s*((?:\d+\s*(?:,\s*\d+\s*)*,?)?)\s*\)?\s*(?::\s*(\w+))?\s*", text)
    if match is None:
        raise ValueRangeError(f"draw: expected a shape such as 32,64 or 32,64:int64, got {text!r}")
    shape = tuple(int(size) for size in match[1].split(",") if size.strip())
    try:
        dtype = np.dtype(match[2] or "float32")
    except TypeError:
        raise ValueRangeError(f"draw: {match[2]!r} is not a dtype") from None
    if dtype.kind == "f":
        return Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=requires_grad, name=name)
    return Tensor(rng.integers(0, 2, shape).astype(dtype), name=name)
