"""draw: the diagram of a computation graph; diff: the diagram of what changed between two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.viz.graph.diff import diff_models
from tinygrad_dl.viz.graph.extract import extract
from tinygrad_dl.viz.graph.failure import graph_of_failure
from tinygrad_dl.viz.graph.gradient import split_parts
from tinygrad_dl.viz.graph.labels import SHOWABLE
from tinygrad_dl.viz.graph.nonfinite import mark
from tinygrad_dl.viz.graph.recording import Recording, rehearse
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
    """Draw the computation graph of a Tensor, of several, of a function or model, or of an exception.

    `tensor`: what to draw; a function or model is run on `inputs`. `model`: the module that names parameters and
    modules; `names`: more names, such as locals(). `show`: any of shape, dtype, value, grad, stats, rule, gain,
    cost, options, origin. `color`: "grad", "gain" or "nan". `depth` collapses inner modules, `repeats` equal
    blocks, `max_nodes` whatever else is necessary. `record`: a viz.record() of the run. `forward`: the Tensor
    whose gradient `tensor` is. Raises ValueRangeError, DTypeError.
    >>> from tinygrad_dl import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(draw(x * x, show=("shape", "grad")).text(), end="")
    n0 x; leaf; (); grad 6
    n1 *(n0, n0); (); grad 1; output
    """
    _validate_options(show, color, direction)
    if callable(tensor) and not isinstance(tensor, (Value, type)):
        if model is None and hasattr(tensor, "named_modules"):
            model = tensor
        tensor, record = _run(tensor, inputs, record)
    if isinstance(tensor, BaseException):
        full = graph_of_failure(tensor, model, names, record)
    else:
        roots = _tensors(tensor)
        needs_gradients = not {"grad", "gain", "rule"}.isdisjoint(show) or color in COLORS
        if needs_gradients and len(roots) == 1 and (record is None or not record.backward_steps):
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
    """The result of a function, or the exception it raises, and a recording of every value in between."""
    record = record if record is not None else Recording()
    with record:
        try:
            return function(*(inputs if isinstance(inputs, (tuple, list)) else (inputs,))), record
        except Exception as error:
            return error, record


def _tensors(given: Any) -> list[Any]:
    """The Tensors in nested lists, tuples and dicts, in order. Raises DTypeError."""
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
                f"draw: expected a Tensor, several, an exception or a function, got {type(one).__name__}"
            )
    if given is not None and not found:
        raise DTypeError(f"draw: expected a Tensor, got a {type(given).__name__} without one")
    return found


def _validate_options(show: Sequence[str], color: str | None, direction: str) -> None:
    """Raise DTypeError or ValueRangeError for options that draw() does not know."""
    if isinstance(show, str):
        raise DTypeError(f"draw: show: expected a sequence such as ({show!r},), got the string {show!r}")
    for name in show:
        if name not in SHOWABLE:
            near = get_close_matches(str(name), SHOWABLE, 1)
            advice = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueRangeError(f"draw: show: expected any of {', '.join(SHOWABLE)}, got {name!r}.{advice}")
    if color is not None and color not in COLORS:
        raise ValueRangeError(
            f"draw: color: expected one of {', '.join(map(repr, COLORS))} or None, got {color!r}"
        )
    if direction not in DIRECTIONS:
        raise ValueRangeError(f"draw: direction: expected one of {', '.join(DIRECTIONS)}, got {direction!r}")


def diff(
    before: GraphView,
    after: GraphView,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    show: Sequence[str] = ("shape", "value", "grad"),
    depth: int | None = None,
    direction: str = "TB",
    max_nodes: int = 400,
    engine: str | None = None,
) -> GraphView:
    """Draw the second of two graphs, with what was added, removed or changed since the first marked.

    `before`, `after`: two views made by draw(). Values a and b differ if |a - b| > atol + rtol * |b|: element by
    element for small arrays, by norm, mean and range for others. Raises DTypeError, ValueRangeError.
    >>> from tinygrad_dl import Tensor, viz
    >>> x = Tensor(2.0, requires_grad=True, name="x")
    >>> print(viz.diff(viz.draw(x * 3), viz.draw(x * 4), show=()).text(), end="")
    n0 x; leaf; changed; grad 3 -> 4
    n1 3 -> 4; number; changed
    n2 *(n0, n1); changed; value 6 -> 8; output
    note: 3 changed
    """
    for view in (before, after):
        if not isinstance(view, GraphView):
            raise DTypeError(f"diff: expected two views made by draw(), got {type(view).__name__}")
    if not (rtol >= 0 and atol >= 0):
        raise ValueRangeError(f"diff: expected rtol and atol of 0 or more, got {rtol} and {atol}")
    difference = diff_models(before.full, after.full, rtol, atol)
    return view_of(difference, show, depth, None, direction, max_nodes, False, engine)
