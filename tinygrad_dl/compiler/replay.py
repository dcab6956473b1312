"""A captured program as one Python function: the forwards and rules of eager in a row, without the engine between.

This is the ground that every backend stands on: what a backend has no lowering for is run as here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl.codegen import distinct
from tinygrad_dl.compiler.program import (
    Call,
    Effect,
    Number,
    Operand,
    Program,
    Step,
    Var,
    Vjp,
    all_reads,
    named_values,
    rules_of,
)
from tinygrad_dl.compiler.sizes import Altered, Filled, depends, is_rows
from tinygrad_dl.convert import wrap
from tinygrad_dl.dispatch import in_float32, wide
from tinygrad_dl.op import Missing


def altered(template: Any, **attributes: Any) -> Any:
    """A copy of an object with other values of some attributes."""
    made = copy.copy(template)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


#: What the text of a program for any number of rows calls.
RUN_TIME = {"altered": altered, "in_float32": in_float32, "wide": wide}


def plain(x: object) -> Any:
    """The array of a Tensor, or the array itself."""
    return getattr(x, "_data", x)


class Writer:
    """The text of a function and the objects that it names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.space: dict[str, Any] = {"np": np, "asarray": np.asarray, "ndarray": np.ndarray, "plain": plain}
        self._names: dict[int, str] = {}

    def object(self, value: object, stem: str = "k") -> str:
        """A name for an object in the text; numbers, strings and the like stand there themselves."""
        if value is None or isinstance(value, (bool, int, str)) and not isinstance(value, np.generic):
            return repr(value)
        if isinstance(value, float) and value == value and abs(value) != float("inf"):
            return repr(value)
        if isinstance(value, Altered):
            parts = ", ".join(f"{k}={self.object(v)}" for k, v in value.attributes.items())
            return f"altered({self.object(value.template)}, {parts})"
        if isinstance(value, (tuple, list)) and depends(value):
            inside = ", ".join(map(self.object, value))
            return f"[{inside}]" if isinstance(value, list) else f"({inside},)"
        name = self._names.get(id(value))
        if name is None:
            name = f"{stem}{len(self.space)}"
            self._names[id(value)] = name
            self.space[name] = value
        return name

    def var(self, var: Var) -> str:
        return f"v{var.serial}"

    def operand(self, x: Operand | Any) -> str:
        if isinstance(x, Var):
            return self.var(x)
        if isinstance(x, Number):
            return f"numbers[{x.index}]"
        if isinstance(x, tuple) and any(isinstance(part, Var) for part in x):
            return f"({', '.join(map(self.operand, x))},)"
        return self.object(x)


def live_steps(program: Program) -> list[Step]:
    """The steps whose results are wanted; effects always run, and so does what draws random numbers."""
    wanted = {r.serial for r in program.results if isinstance(r, Var)}
    wanted |= {var.serial for _, var in program.gradients if var is not None}
    live = []
    for step in reversed(program.steps):
        random = isinstance(step, Call) and ("rng" in step.op.options or "moments" in step.op.options)
        needed = isinstance(step, Effect) or random or any(v.serial in wanted for v in step.writes())
        if isinstance(step, Call) and not needed:
            continue
        if not needed:
            continue
        live.append(step)
        wanted.update(v.serial for v in all_reads(step))
    live.reverse()
    return live


def write_call(w: Writer, step: Call, cached: bool) -> None:
    """The line that runs an operation's forward."""
    op = step.op
    if op.variadic:
        inputs = [f"({', '.join(map(w.operand, step.inputs))},)"]
    else:
        inputs = [w.operand(x) for x in step.inputs]
    values = [*inputs, *map(w.operand, step.options)]
    names = (*op.inputs, *op.options)
    args = values[: op.positional] + [
        f"{n}={v}" for n, v in zip(names[op.positional :], values[op.positional :])
    ]
    text = f"{w.object(op.run, f'{op.name}_')}({', '.join(args)})"
    if op.accumulates and isinstance(step.inputs[0], Var) and step.inputs[0].dtype == np.float16:
        options = "".join(f"{w.operand(x)}, " for x in step.options)
        text = f"in_float32({w.object(op, 'op')}, ({', '.join(inputs)},), ({options}))"
    out = step.outputs[0]
    assert out is not None
    if not op.cached:
        w.lines.append(f"{w.var(out)} = {text}")
    else:
        kept = [w.var(v) if v is not None else "_" for v in step.outputs[1:]]
        for v, name in zip(step.outputs[1:], op.cached):
            if v is None:
                kept[op.cached.index(name)] = f"c{out.serial}_{name}"
        kept += [f"c{out.serial}_{name}" for name in op.cached[len(kept) :]]
        w.lines.append(f"{w.var(out)}, {', '.join(kept)} = {text}")
    if not out.shape:
        w.lines.append(f"if type({w.var(out)}) is not ndarray: {w.var(out)} = asarray({w.var(out)})")


def write_vjp(w: Writer, step: Vjp) -> None:
    """The lines that run an operation's rules, for the parents whose gradient is wanted."""
    op, call = step.call.op, step.call
    rules, requires = rules_of(op)
    values = named_values(call)
    out = call.outputs[0]
    assert out is not None
    half = op.accumulates and out.dtype == np.float16  # whose rules are given float32

    def value(name: str, i: int) -> str:
        text = plain_value(name, i)
        return f"wide({text})" if half and (name == "g" or name in op.saves) else text

    def plain_value(name: str, i: int) -> str:
        if name == "g":
            return w.operand(step.inputs[0])
        if name == "i":
            return str(i)
        if name == "shapes":
            return w.object(tuple(x.shape if isinstance(x, Var) else () for x in call.inputs))
        if name == "needs_input_grad":
            return repr(tuple(v is not None for v in step.outputs))
        if name in op.cached:
            var = values.get(name)
            return w.var(var) if isinstance(var, Var) else f"c{out.serial}_{name}"
        if name in values:
            return w.operand(values[name])
        base, _, what = name.rpartition("_")
        x = values[base]
        if what == "shape":
            return w.object(x.shape if isinstance(x, Var) else np.shape(x))
        return w.object(x.dtype if isinstance(x, Var) else np.result_type(x))

    if op.joint:
        names = [w.var(v) if v is not None else "_" for v in step.outputs]
        call_text = f"{w.object(rules[0], op.name + '_vjp')}({', '.join(value(n, 0) for n in requires[0])})"
        w.lines.append(f"{', '.join(names)}{',' if len(names) == 1 else ''} = distinct({call_text})")
        return
    for i, v in enumerate(step.outputs):
        if v is None:
            continue
        rule, arguments = (rules[0], requires[0]) if op.variadic else (rules[i], requires[i])
        assert rule is not None and not isinstance(rule, Missing)
        w.lines.append(
            f"{w.var(v)} = {w.object(rule, op.name + '_vjp')}({', '.join(value(n, i) for n in arguments)})"
        )


def replay(program: Program) -> tuple[Callable[..., Any], str]:
    """The function `run(arguments, states, numbers)` and its text; it returns the results and the gradients."""
    w = Writer()
    w.space |= {"distinct": distinct, "wrap": wrap, **RUN_TIME}
    steps = live_steps(program)
    if program.arguments:
        w.lines.append(f"{', '.join(w.var(v) for v in program.arguments)}, = arguments")
    if program.states:
        w.lines.append(f"{', '.join(w.var(v) for v in program.states)}, = states")
    sized = next(((v, v.shape.index(n)) for v in program.arguments for n in v.shape if is_rows(n)), None)
    if sized is not None:
        w.lines.append(f"rows = {w.var(sized[0])}.shape[{sized[1]}]")
    for var in program.constants:
        if isinstance(var.source, Filled):
            parts = ", ".join(map(w.object, (var.shape, var.source.value, var.dtype)))
            w.lines.append(f"{w.var(var)} = np.full({parts})")
        else:
            w.lines.append(f"{w.var(var)} = {w.object(getattr(var.source, 'array', var.source))}")
    for step in steps:
        if isinstance(step, Call):
            write_call(w, step, True)
        elif isinstance(step, Vjp):
            write_vjp(w, step)
        elif isinstance(step, Effect):
            write_effect(w, step)
    results = ", ".join(w.operand(r) for r in program.results)
    gradients = ", ".join(w.var(v) for _, v in program.gradients if v is not None)
    w.lines.append(
        f"return ({results}{',' if program.results else ''}), ({gradients}{',' if gradients else ''})"
    )
    lines = released(w.lines)
    text = "def run(arguments, states, numbers):\n" + "\n".join(f"    {line}" for line in lines) + "\n"
    space = w.space
    exec(compile(text, "<tinygrad_dl program>", "exec"), space)
    return space["run"], text


def released(lines: list[str]) -> list[str]:
    """The lines, with each array let go of after its last use: its memory, still in the cache, is used again."""
    last: dict[str, int] = {}
    for i, line in enumerate(lines):
        last.update(dict.fromkeys(re.findall(r"\b(?:v\d+|c\d+_\w+)\b", line), i))
    ending: dict[int, list[str]] = {}
    for name, i in last.items():
        ending.setdefault(i, []).append(name)
    found = []
    for i, line in enumerate(lines):
        found.append(line)
        if i in ending and i < len(lines) - 1:
            found.append(f"del {', '.join(ending[i])}")
    return found


def write_effect(w: Writer, step: Effect) -> None:
    """The line that runs a side effect on the live objects, with the gradients that it reads in place."""
    for leaf, var in step.gradients:
        if var is None or var.source != (leaf, "grad"):  # otherwise it is there
            w.lines.append(
                f"{w.object(leaf, 'p')}._grad = {'None' if var is None else f'wrap({w.var(var)})'}"
            )
    wrapped = iter(step.wrapped)
    args = []
    for x in step.args:
        if isinstance(x, Var):
            args.append(f"wrap({w.var(x)})" if next(wrapped) else w.var(x))
        else:
            args.append(w.object(x))
    call = f"{w.object(step.function, 'effect')}({', '.join(args)})"
    outputs = [w.var(v) for v in step.outputs if v is not None]
    if len(outputs) > 1:
        w.lines.append(f"{', '.join(outputs)} = map(plain, {call})")
    else:
        w.lines.append(f"{outputs[0]} = plain({call})" if outputs else call)
