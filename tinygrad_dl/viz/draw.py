"""draw: the diagram of a Tensor's computation graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.viz.extract import extract
from tinygrad_dl.viz.failure import picture_of_failure
from tinygrad_dl.viz.gradient import split_parts
from tinygrad_dl.viz.labels import SHOWABLE
from tinygrad_dl.viz.nonfinite import mark
from tinygrad_dl.viz.record import Recording, rehearse
from tinygrad_dl.viz.view import GraphView, view_of

COLORS = ("grad", "gain", "nan")
DIRECTIONS = ("TB", "BT", "LR", "RL")


def draw(
    tensor: Any,
    model: Any = None,
    *,
    show: Sequence[str] = ("shape", "dtype", "value", "grad"),
    depth: int | None = None,
    color: str | None = None,
    direction: str = "TB",
    max_nodes: int = 400,
    repeats: bool = True,
    inputs: Sequence[Any] = (),
    names: Mapping[str, Any] | None = None,
    record: Recording | None = None,
    forward: Any = None,
    engine: str | None = None,
) -> GraphView:
    """The computation graph of `tensor`: Tensors, a function or model to run on `inputs`, or an exception.

    `model`: whose names and boxes; `names`: more of them, as locals(). `show`: shape, dtype, value, grad,
    stats, rule, gain, cost, options, origin. `color`: "grad", "gain", "nan". `depth` folds modules, `repeats`
    equal blocks, `max_nodes` the rest. `record`: a viz.record() of the run. `forward`: the Tensor whose
    gradient `tensor` is. Raises ValueRangeError, DTypeError.
    >>> from tinygrad_dl import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(draw(x * x, show=("shape", "grad")).text(), end="")
    n0 x; leaf; (); grad 6
    n1 *(n0, n0); (); grad 1; output
    """
    _check(show, color, direction)
    if callable(tensor) and not isinstance(tensor, (Value, type)):
        if model is None and hasattr(tensor, "named_modules"):
            model = tensor
        tensor, record = _run(tensor, inputs, record)
    if isinstance(tensor, BaseException):
        full = picture_of_failure(tensor, model, names, record)
    else:
        roots = _tensors(tensor)
        wants = not {"grad", "gain", "rule"}.isdisjoint(show) or color in COLORS
        if wants and len(roots) == 1 and (record is None or not record.pulls):
            record = rehearse(roots[0], record)
        full = extract(roots, model=model, names=names, recording=record, also=_tensors(forward))
        if forward is not None:
            split_parts(full, _tensors(forward))
    if color == "nan":
        mark(full)
    return view_of(full, show, depth, color, direction, max_nodes, repeats, engine)


def _run(
    function: Callable[..., Any], inputs: Sequence[Any], record: Recording | None
) -> tuple[Any, Recording]:
    """What a function gives, or the exception that it raises, and a recording of every value on the way."""
    record = record if record is not None else Recording()
    with record:
        try:
            return function(*(inputs if isinstance(inputs, (tuple, list)) else (inputs,))), record
        except Exception as error:
            return error, record


def _tensors(given: Any) -> list[Any]:
    found: list[Any] = []
    stack = [given]
    while stack:
        one = stack.pop()
        if isinstance(one, Value):
            found.append(one)
        elif isinstance(one, (list, tuple)):
            stack += reversed(one)
        elif isinstance(one, dict):
            stack += reversed(one.values())
        elif one is not None:
            raise DTypeError(
                f"draw: a Tensor, several, an exception or a function is needed; {type(one).__name__} came"
            )
    if given is not None and not found:
        raise DTypeError(f"draw: a Tensor is needed; {type(given).__name__} without one came")
    return found


def _check(show: Sequence[str], color: str | None, direction: str) -> None:
    if isinstance(show, str):
        raise DTypeError(f"draw: show: a sequence such as ({show!r},) is needed; the string {show!r} came")
    for name in show:
        if name not in SHOWABLE:
            near = get_close_matches(str(name), SHOWABLE, 1)
            told = f"did you mean {near[0]!r}?" if near else f"it may hold {', '.join(SHOWABLE)}"
            raise ValueRangeError(f"draw: show holds {name!r}, which is not known; {told}")
    if color is not None and color not in COLORS:
        raise ValueRangeError(
            f"draw: color: one of {', '.join(map(repr, COLORS))} or None is needed; {color!r} came"
        )
    if direction not in DIRECTIONS:
        raise ValueRangeError(
            f"draw: direction: one of {', '.join(DIRECTIONS)} is needed; {direction!r} came"
        )
