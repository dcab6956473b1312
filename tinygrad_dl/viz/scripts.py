"""Drawing what a Python file defines: a model, a function that returns one, or a function of Tensors."""

from __future__ import annotations

import importlib.util
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np

from tinygrad_dl.arguments import Bounds, require
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.nn import Module
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.viz.draw import draw
from tinygrad_dl.viz.view import GraphView

MOST = 2**27  # numbers in an input: more would take gigabytes before anything is drawn


def draw_script(target: str, inputs: Sequence[str] = (), seed: int = 0, **how: Any) -> GraphView:
    """The diagram of `FILE.py:NAME`, run on random arrays of the shapes in `inputs`, such as "32,64" or "8:int64".

    NAME is a Module, a class or function that returns one without arguments, or a function of Tensors, whose inputs
    then require grad. `how`: options of draw(). Raises ValueRangeError for what cannot be found, run or called.
    """
    require("draw", "target", target, str)
    require("draw", "inputs", inputs, Sequence[str])
    require("draw", "seed", seed, Annotated[int, Bounds(least=0)])
    found, name = _find(target)
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
    module = _run_file(path)
    if not hasattr(module, name):
        public = [
            n
            for n, v in vars(module).items()
            if callable(v) and getattr(v, "__module__", "") == module.__name__
        ]
        known = f"; it has {', '.join(sorted(public))}" if public else ""
        raise ValueRangeError(f"draw: {file} has no {name!r}{known}")
    return getattr(module, name), name


def _run_file(path: Path) -> ModuleType:
    """The module that a file is, run as a script is: files beside it can be imported. Raises ValueRangeError."""
    # A module that is loaded already keeps its name.
    name, file = path.stem.replace(".", "_"), str(path.resolve())
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != file:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueRangeError(f"draw: {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses, pickle and typing look their module up by its name
    arguments = sys.argv
    sys.argv = [str(path)]  # the options of this command are none of the file's
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (Exception, SystemExit)):
            raise _failed(f"{path} cannot be run", error, file) from error
        raise
    finally:
        sys.path.pop(0)
        sys.argv = arguments
    return module


def _failed(what: str, error: BaseException, file: str = "") -> ValueRangeError:
    """An error in the user's code, in one line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f"line {lines[-1]}: " if lines else ""
    kind = "exit" if isinstance(error, SystemExit) else type(error).__name__
    return ValueRangeError(f"draw: {what}: {where}{kind}: {error}")


def _made(found: Any, name: str) -> Any:
    """What is drawn: `found`, or the model that it makes without arguments.

    A function whose parameters all have defaults, such as `def make(hidden=64)`, is called to see whether it makes a
    model; one that does not is a function of Tensors.
    """
    if isinstance(found, type) and issubclass(found, Module):
        needed = _required(found)
        if needed:
            raise ValueRangeError(
                f"draw: {name}: expected a class that can be made without arguments, got one that needs {needed}. "
                f"Make a model in the file, such as `net = {name}(...)`, and draw that"
            )
    elif not inspect.isfunction(found) or _required(found):
        return found
    try:
        made = found()
    except Exception as error:
        if inspect.isfunction(found):
            return found
        raise _failed(f"{name}()", error) from error
    return made if isinstance(made, Module) else found


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
    sizes = [size.strip() for size in match[1].split(",") if size.strip()]
    # Compared as text first: Python refuses to read numbers of thousands of digits.
    if any(len(size) > 12 for size in sizes) or math.prod(map(int, sizes)) > MOST or len(sizes) > 64:
        raise ValueRangeError(
            f"draw: expected a shape of at most {MOST:,} numbers and 64 axes, got {text[:60]!r}"
        )
    shape = tuple(map(int, sizes))
    try:
        dtype = np.dtype(match[2] or "float32")
    except Exception:  # whatever NumPy raises for what is none
        dtype = np.dtype(object)
    if dtype.kind not in "biufc":
        raise ValueRangeError(f"draw: {match[2]!r} is not a dtype of numbers")
    if dtype.kind == "f":
        return Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=requires_grad, name=name)
    return Tensor(rng.integers(0, 2, shape).astype(dtype), name=name)
