"""draw: the diagram of a computation graph; diff: the diagram of what changed between two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np

from tinygrad_dl.arguments import Advice, Count, NonNegative, Size, checked
from tinygrad_dl.compiler.compiled import Compiled
from tinygrad_dl.convert import describe
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.viz.formats.graphviz import ENGINE_IN_PAGE, require_engine
from tinygrad_dl.viz.graph.diff import diff_models
from tinygrad_dl.viz.graph.extract import extract
from tinygrad_dl.viz.graph.failure import graph_of_failure
from tinygrad_dl.viz.graph.gradient import split_parts
from tinygrad_dl.viz.graph.labels import SHOWABLE
from tinygrad_dl.viz.graph.nonfinite import mark
from tinygrad_dl.viz.graph.program import OPEN, program_graph
from tinygrad_dl.viz.graph.recording import Recording, rehearse
from tinygrad_dl.viz.graph.variables import Variables, of_arguments, of_caller
from tinygrad_dl.viz.view import GraphView, view_of

COLORS = ("grad", "gain", "nan")
Color: TypeAlias = Literal["grad", "gain", "nan"]
Direction: TypeAlias = Literal["TB", "BT", "LR", "RL"]
Lines: TypeAlias = Annotated[Sequence[str], Advice("Such as show=('shape', 'grad')")]


@checked
def draw(
    tensor: Any,
    model: Any = None,
    *,
    show: Lines = ("shape", "dtype", "value", "grad"),
    depth: Size | None = None,
    color: Color | None = None,
    direction: Direction = "TB",
    max_nodes: Count = 400,
    repeats: bool = True,
    inputs: Any = (),
    names: Mapping[str, Any] | None = None,
    record: Recording | None = None,
    forward: Any = None,
    engine: str | None = None,
) -> GraphView:
    """Draw the computation graph of a Tensor, of several, of a function or model, or of an exception.

    `tensor`: what to draw; a function or model is run on `inputs`. `model`: the module that names parameters and
    modules. Arrays are called as the caller's variables; `names`: other names. `show`: any of shape, dtype, value,
    grad, stats, rule, gain, cost, options, origin. `color`: "grad", "gain" or "nan". `depth` collapses inner
    modules, `repeats` equal blocks, `max_nodes` whatever else is necessary. `record`: a viz.record() of the run.
    `forward`: the Tensor whose gradient `tensor` is. A compiled function is drawn as its program: fused loops,
    products, buffers.
    Raises ValueRangeError, DTypeError, CompileError.
    >>> from tinygrad_dl import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(draw(x * x, show=("shape", "grad")).text(), end="")
    n0 x; leaf; (); grad 6
    n1 *(n0, n0); (); grad 1; output
    """
    _validate("draw", show, model, engine)
    given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    if isinstance(tensor, Compiled) and not given:
        return draw_program(tensor, show, depth, direction, max_nodes, engine)
    if callable(tensor) and not isinstance(tensor, (Value, type)):
        is_model = hasattr(tensor, "named_modules")
        if model is None and is_model:
            model = tensor
        spaces = [names or {}, *of_caller()]
        if (
            not is_model
        ):  # a function of arrays is recorded, its own NumPy calls too, if they are Tensors with grad
            called, arrays = Variables(*spaces), given
            given = [_recorded(x) for x in given]
            spaces.append({called.name_of(x): t for x, t in zip(arrays, given) if called.name_of(x)})
        variables = Variables(*spaces, of_arguments(tensor, given))
        tensor, record = _run(tensor, given, record, variables)
    else:
        variables = Variables(names or {}, *of_caller())
    if isinstance(tensor, BaseException):
        full = graph_of_failure(tensor, model, names, record, variables)
    else:
        roots = _tensors(tensor, "tensor")
        needs_gradients = not {"grad", "gain", "rule"}.isdisjoint(show) or color in COLORS
        if needs_gradients and len(roots) == 1 and (record is None or not record.backward_steps):
            record = rehearse(roots[0], record)
        full = extract(
            roots,
            model=model,
            names=names,
            recording=record,
            also=_tensors(forward, "forward"),
            variables=variables,
        )
        if forward is not None:
            split_parts(full, _tensors(forward, "forward"))
    if color == "nan":
        mark(full)
    return view_of(full, show, depth, color, direction, max_nodes, repeats, engine)


def draw_program(
    compiled: Compiled, show: Sequence[str], depth: int | None, direction: str, max_nodes: int, engine: str | None
) -> GraphView:  # fmt: skip
    """The diagram of a compiled program: loops are open where that stays readable."""
    full = program_graph(compiled)
    if depth is None and len(full.nodes) > OPEN:
        depth = 0
    return view_of(full, show, depth, None, direction, max_nodes, False, engine)


def _recorded(x: Any) -> Any:
    """A floating-point array as a Tensor whose use is recorded; anything else as it is."""
    return asarray(x).requires_grad_() if isinstance(x, np.ndarray) and x.dtype.kind in "fc" else x


def _run(
    function: Callable[..., Any], inputs: Sequence[Any], record: Recording | None, variables: Variables
) -> tuple[Any, Recording]:
    """The result of a function, or the exception it raises, and a recording of every value in between."""
    record = record if record is not None else Recording()
    record.variables = variables
    with record:
        try:
            return function(*inputs), record
        except Exception as error:
            return error, record
        finally:
            record.variables = None  # it must keep no array alive


def _tensors(given: object, argument: str) -> list[Any]:
    """The Tensors in nested lists, tuples and dicts, in order. Raises DTypeError."""
    found: list[Any] = []
    stack = [given]
    opened: set[int] = set()  # a list may hold itself
    what = "draw: " if argument == "tensor" else f"draw: {argument}: "
    while stack:
        one = stack.pop()
        if isinstance(one, (list, tuple, dict)):
            if id(one) in opened:
                continue
            opened.add(id(one))
        if isinstance(one, Value):
            found.append(one)
        elif isinstance(one, (list, tuple)):
            stack += reversed(one)
        elif isinstance(one, dict):
            stack += reversed(one.values())
        elif one is not None:
            raise DTypeError(
                f"{what}expected a Tensor, several, an exception or a function, got {type(one).__name__}"
            )
    if given is not None and not found:
        raise DTypeError(f"{what}expected a Tensor, got a {type(given).__name__} without one")
    return found


def _validate(called: str, show: Sequence[str], model: object, engine: str | None) -> None:
    """Raise DTypeError or ValueRangeError for lines that boxes do not have, and for other models and engines."""
    if model is not None and (isinstance(model, type) or not hasattr(model, "named_modules")):
        raise DTypeError(f"{called}: model: expected a Module or None, got {describe(model)}")
    if engine and engine != ENGINE_IN_PAGE:
        require_engine(engine, f"{called}: ")
    for name in show:
        if name not in SHOWABLE:
            near = get_close_matches(str(name), SHOWABLE, 1)
            advice = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueRangeError(
                f"{called}: show: expected any of {', '.join(SHOWABLE)}, got {name!r}.{advice}"
            )


@checked
def diff(
    before: GraphView,
    after: GraphView,
    *,
    rtol: NonNegative = 1e-5,
    atol: NonNegative = 1e-8,
    show: Lines = ("shape", "value", "grad"),
    depth: Size | None = None,
    direction: Direction = "TB",
    max_nodes: Count = 400,
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
    _validate("diff", show, None, engine)
    difference = diff_models(before.full, after.full, rtol, atol)
    return view_of(difference, show, depth, None, direction, max_nodes, False, engine)
