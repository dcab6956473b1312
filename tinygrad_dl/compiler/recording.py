"""One run of a function of arrays as a program, for a file rather than for being run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

from tinygrad_dl import no_grad
from tinygrad_dl.compiler.capture import Capture, finish
from tinygrad_dl.compiler.program import Program
from tinygrad_dl.graph import Value


class Recording(Capture):
    """A capture for one run only, which needs no guards."""

    def _enter(self, frame: FrameType, code: CodeType) -> None:
        pass


def record(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], names: Sequence[str]
) -> tuple[Program, Any, Capture]:
    """The program of one run without gradients, its result, and the capture; `names`: of the arguments."""
    capture = Recording(lambda x: False)
    for i, x in enumerate([*args, *kwargs.values()]):
        if isinstance(x, Value):
            capture.add_argument(x, i, names[i] if i < len(names) else f"input{i}")
    with no_grad():
        result = capture.run(function, tuple(args), kwargs)
    owners = [step.owner for step in capture.steps]
    program = finish(capture, result, set())
    modules = getattr(function, "named_modules", None)
    paths = {id(m): path for path, m in modules()} if modules is not None else {}
    for step, owner in zip(capture.steps, owners):
        if id(owner) in paths:
            path, kind = paths[id(owner)], type(owner).__name__
            step.module = f"{path}: {kind}" if path else kind
    return program, result, capture
