"""What a Python file defines, for the commands that draw and check it: FILE.py:NAME, and inputs given as shapes."""

from __future__ import annotations

import importlib.util
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError

MOST = 2**27  # numbers in an input: more would take gigabytes before anything is done


def find(target: str, command: str) -> tuple[Any, str]:
    """Run the file of "FILE.py:NAME" as a module; what it defines as NAME, and NAME. Raises ValueRangeError."""
    file, _, name = target.rpartition(":")
    if not file or not name.isidentifier():
        raise ValueRangeError(f"{command}: expected FILE.py:NAME, such as model.py:net, got {target!r}")
    path = Path(file)
    if not path.is_file():
        raise ValueRangeError(f"{command}: the file {file!r} does not exist")
    return named(run_file(path, command), name, file, command), name


def named(module: ModuleType, name: str, file: str, command: str) -> Any:
    """What a module defines as a name. Raises ValueRangeError with the names that it has."""
    if not hasattr(module, name):
        public = [
            n
            for n, v in vars(module).items()
            if callable(v) and getattr(v, "__module__", "") == module.__name__
        ]
        known = f"; it has {', '.join(sorted(public))}" if public else ""
        raise ValueRangeError(f"{command}: {file} has no {name!r}{known}")
    return getattr(module, name)


def run_file(path: Path, command: str) -> ModuleType:
    """The module that a file is, run as a script is: files beside it can be imported. Raises ValueRangeError."""
    # A module that is loaded already keeps its name.
    name, file = path.stem.replace(".", "_"), str(path.resolve())
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != file:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueRangeError(f"{command}: {str(path)!r} is not a Python file")
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
            raise failed(command, f"{path} cannot be run", error, file) from error
        raise
    finally:
        sys.path.pop(0)
        sys.argv = arguments
    return module


def failed(command: str, what: str, error: BaseException, file: str = "") -> ValueRangeError:
    """An error in the user's code, in one line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f"line {lines[-1]}: " if lines else ""
    kind = "exit" if isinstance(error, SystemExit) else type(error).__name__
    return ValueRangeError(f"{command}: {what}: {where}{kind}: {error}")


def required(function: Callable[..., Any]) -> int:
    """The number of positional arguments without a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


def shape_of(text: str, command: str, default: str) -> tuple[tuple[int, ...], np.dtype]:
    """A shape and a dtype given as text: "32,64", "8,5:int64". Raises ValueRangeError."""
    match = re.fullmatch(r"\s*\(?\s*((?:\d+\s*(?:,\s*\d+\s*)*,?)?)\s*\)?\s*(?::\s*(\w+))?\s*", text)
    if match is None:
        raise ValueRangeError(f"{command}: expected a shape such as 32,64 or 32,64:int64, got {text!r}")
    sizes = [size.strip() for size in match[1].split(",") if size.strip()]
    # Compared as text first: Python refuses to read numbers of thousands of digits.
    if any(len(size) > 12 for size in sizes) or math.prod(map(int, sizes)) > MOST or len(sizes) > 64:
        raise ValueRangeError(
            f"{command}: expected a shape of at most {MOST:,} numbers and 64 axes, got {text[:60]!r}"
        )
    try:
        dtype = np.dtype(match[2] or default)
    except Exception:  # whatever NumPy raises for what is none
        dtype = np.dtype(object)
    if dtype.kind not in "biufc":
        raise ValueRangeError(f"{command}: {match[2]!r} is not a dtype of numbers")
    return tuple(map(int, sizes)), dtype
