"""The compiler's programs: flat lists of steps over variables, at two levels.

A *captured* program holds what ran: calls of registered operations, their vjps, and effects such as an optimizer's
step. A *lowered* program holds primitives (elementwise functions, reductions, views, products) and what has none.
Both levels share `Var`; a step reads its `inputs` and writes its `outputs`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.typing import Shape

if TYPE_CHECKING:
    from tinygrad_dl.op import Op

_serials = count()


@dataclass(eq=False)
class Var:
    """One array of a program: a value that a step writes once, or that is there when the program starts.

    `kind`: "argument" (of the compiled function, by position in the flattened arguments), "state" (an array that lives
    outside and is read, or written in place, at every run: parameters, buffers, an optimizer's averages), "constant"
    (an array of no argument) or "result" (of a step). `source` says where the first three come from: an index and
    whether it is a Tensor; the Tensor, or the optimizer, parameter and key; the array. `name` is for readers: "dw1".
    """

    shape: Shape
    dtype: np.dtype[Any]
    kind: str = "result"
    source: Any = None
    name: str = ""
    serial: int = field(default_factory=_serials.__next__)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{self.name or f'v{self.serial}'}: {self.dtype}{list(self.shape)}"


@dataclass(eq=False)
class Number:
    """A number that may change from run to run without a new program: a learning rate, a bias correction.

    `index` is its place in the list of numbers that a run is given; `value` is what it was at the capture.
    """

    index: int
    value: float


#: What a step reads: an array, a number that is an input of the run, or a number that is fixed.
Operand = Var | Number | bool | int | float | complex | None


@dataclass(eq=False)
class Step:
    """What every step has: what it reads, what it writes, and the layer and part of the pass it belongs to."""

    inputs: list[Operand]
    outputs: list[Var | None]
    #: Dotted name of the module that was running ("0", "block.1"), "" outside of any.
    module: str = field(default="", kw_only=True)
    #: "forward", "backward" or "update".
    phase: str = field(default="forward", kw_only=True)
    #: The module that was running, during a capture; the number of the captured step, in a lowered program.
    owner: Any = field(default=None, kw_only=True)
    origin: int = field(default=-1, kw_only=True)

    def reads(self) -> Iterator[Var]:
        return (x for x in self.inputs if isinstance(x, Var))

    def writes(self) -> Iterator[Var]:
        return (x for x in self.outputs if x is not None)


class NotLowered(Exception):
    """A step that has no lowering, for its options or dtypes, or no native code."""


# The captured level


@dataclass(eq=False)
class Call(Step):
    """A registered operation on arrays: `outputs` are the result and, if the op caches values, those (else None)."""

    op: Op
    options: tuple[Any, ...] = ()


@dataclass(eq=False)
class Vjp(Step):
    """The rules of a `Call`: `inputs` is the gradient of its result, `outputs` one entry per parent, or None."""

    call: Call
    saved: dict[str, Any] = field(default_factory=dict)  # name -> Var or number, as the rules name them


@dataclass(eq=False)
class Effect(Step):
    """A Python function run at its place in the program for what it does to live objects: `function(*args)`.

    Variables among `args`, which are the inputs, are handed on as Tensors or arrays, as in eager. `gradients` are the
    leaves and their gradients at that moment, if it reads or changes them; `changes` are the other variables that it
    writes to, `objects` what it changes beside arrays. What it returns, an array or a tuple of them, is the output.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    changes: list[Var] = field(default_factory=list)
    objects: list[Any] = field(default_factory=list)
    #: Which of the inputs are Tensors.
    wrapped: list[bool] = field(default_factory=list)
    gradients: list[tuple[Any, Var | None]] = field(default_factory=list)
    what: str = ""


# What captured steps read


def named_values(call: Call) -> dict[str, Any]:
    """The values that the rules of a call may name: inputs, result, cached values, options."""
    op = call.op
    values: dict[str, Any] = dict(zip(op.options, call.options))
    if op.variadic:
        values[op.inputs[0]] = tuple(call.inputs)
    else:
        values |= dict(zip(op.inputs, call.inputs))
    values["out"] = call.outputs[0]
    values |= dict(zip(op.cached, call.outputs[1:]))
    return values


def rules_of(op: Op) -> tuple[Sequence[Any], Sequence[Sequence[str]]]:
    """The rules that run on arrays, and what each of them names."""
    return (op.rules, op.rule_arguments) if op.fast is None else (op.fast, op.fast_arguments)


def _vars_in(options: Sequence[Any]) -> list[Var]:
    found = []
    for option in options:
        if isinstance(option, Var):
            found.append(option)
        elif isinstance(option, tuple):
            found += _vars_in(option)
    return found


def generators_in(step: Step) -> list[np.random.Generator]:
    """The generators of the user's from which a captured step draws."""
    given = step.options if isinstance(step, Call) else step.args if isinstance(step, Effect) else ()
    return [x for x in given if isinstance(x, np.random.Generator)]


def vjp_reads(step: Vjp) -> list[Var]:
    """What the rules of a vjp read beside the gradient."""
    op = step.call.op
    _, requires = rules_of(op)
    named: set[str] = set()
    for i, names in enumerate(requires):
        if op.joint or op.variadic or (i < len(step.outputs) and step.outputs[i] is not None):
            named.update(names)
    values = named_values(step.call)
    return _vars_in([values[n] for n in named if n in values])


def all_reads(step: Step) -> list[Var]:
    """Everything that a captured step reads."""
    found = list(step.reads())
    if isinstance(step, Call):
        found += _vars_in(step.options)
    elif isinstance(step, Vjp):
        found += vjp_reads(step)
    elif isinstance(step, Effect):
        found += [*step.changes, *(v for _, v in step.gradients if v is not None)]
    return found


# The lowered level. Semantics are NumPy's; shapes and dtypes stand in the variables.

#: Elementwise functions: inputs broadcast; the output's dtype is that of its variable.
ELEMENTWISE = frozenset(
    """add subtract multiply divide negative positive abs sign square sqrt reciprocal power exp expm1 log log1p log2
    log10 sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh sigmoid softplus erf maximum minimum where greater
    greater_equal less less_equal equal not_equal logical_and logical_or logical_not floor ceil round trunc isnan isinf
    isfinite remainder floor_divide cast""".split()
)
#: Reductions over `params["axes"]` (sorted, non-negative), with `params["keepdims"]`.
REDUCE = frozenset("sum prod max min argmax argmin any all".split())
#: Views of one input, which move no data: reshape(shape), transpose(axes), broadcast(shape), slice(index), strided.
#: "strided" has an axis for each (axis of the input, step, size) in `axes`, from the index `start`.
VIEW = frozenset("reshape transpose broadcast slice strided".split())
#: Convolution of padded images (N, C, *S) with weights (O, C / groups, *kernel): the result (N, O, *L), the gradient of
#: the weight (of images and gradient), and that of the padded images (of gradient and weight). `params["sizes"]` is S.
CONVOLUTIONS = frozenset("conv conv_weight conv_input".split())


@dataclass(eq=False)
class Prim(Step):
    """A primitive: `kind` is in ELEMENTWISE, REDUCE, VIEW or CONVOLUTIONS, or one of the following.

    "matmul" (NumPy's, over stacks), "take" (inputs[0][i, inputs[1][i]]), "rows" (inputs[0][inputs[1][..., 0]]),
    "scatter" (zeros, to whose rows inputs[1][i] inputs[0][i] are added), "iota" (indices along params["axis"]), "pad"
    (params["pairs"], params["value"]), "join" and "fold" (the inputs written, or added to zeros, at the strided views
    params["places"]), "assign" (writes inputs[1] into the state inputs[0], in place), "check_classes" (the run ends,
    before anything is changed, if an index is not below params["classes"]).
    """

    kind: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Program:
    """A program: its variables that are there at the start, its steps in order, and what it returns.

    `results` are the variables that `f` returned, flattened; `gradients` says which variable each parameter's `.grad`
    is after a run; `numbers` gives the values of the numbers of this run.
    """

    arguments: list[Var]
    states: list[Var]
    constants: list[Var]
    steps: list[Step]
    results: list[Operand]
    gradients: list[tuple[Any, Var | None]] = field(default_factory=list)
    numbers: Callable[[], Sequence[float]] | None = None

    def variables(self) -> list[Var]:
        """Every variable, each once, in the order of first appearance."""
        seen: dict[int, Var] = {}
        for var in (*self.arguments, *self.states, *self.constants):
            seen[var.serial] = var
        for step in self.steps:
            for var in (*step.reads(), *step.writes()):
                seen.setdefault(var.serial, var)
        return list(seen.values())

    def last_reads(self) -> dict[int, int]:
        """Serial of each variable -> index of the last step that reads it; results and gradients live to the end."""
        last: dict[int, int] = {}
        for i, step in enumerate(self.steps):
            for var in (*step.reads(), *step.writes()):
                last[var.serial] = i
        kept = [r for r in self.results if isinstance(r, Var)] + [
            var for _, var in self.gradients if var is not None
        ]
        last.update((var.serial, len(self.steps)) for var in kept)
        return last
