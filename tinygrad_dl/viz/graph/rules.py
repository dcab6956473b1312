"""What the registry knows of an operation, for diagrams: its derivative rules, its formula, its cost."""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from tinygrad_dl.graph import Node
from tinygrad_dl.op import Missing, Op
from tinygrad_dl.typing import DTypeLike, Shape


def rule_texts(op: Op) -> list[tuple[str, str]]:
    """For each input, the expression of its derivative rule and the whole source; empty texts without a rule."""
    return _rule_texts(op.name, op.forward, op.rules, op.inputs, op.joint)


@lru_cache(maxsize=1024)
def _rule_texts(
    name: str, forward: Callable[..., Any], rules: tuple[Any, ...], inputs: tuple[str, ...], joint: bool
) -> list[tuple[str, str]]:
    """The same, cached by what identifies the operation: registering an operation again changes its rules."""
    in_source = _decorator_arguments(forward)
    texts = []
    for i in range(len(inputs)):
        at = 0 if joint else i
        rule = rules[at] if at < len(rules) else None
        if rule is None:
            texts.append(("", ""))
        elif isinstance(rule, Missing):
            texts.append(("", f"no derivative: {rule.reason}"))
        else:
            short, source = _of_rule(rule, in_source[at] if at < len(in_source) else None)
            texts.append((f"{short}, part {i + 1}" if joint else short, source))
    return texts


def _decorator_arguments(forward: Callable[..., Any]) -> list[ast.expr]:
    """The positional arguments of the @op above a forward function, as its source has them."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    except (OSError, TypeError, SyntaxError):
        return []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            for decorator in statement.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == "op":
                    return list(decorator.args)
    return []


def _of_rule(rule: Callable[..., Any], in_source: ast.expr | None) -> tuple[str, str]:
    """The expression and the source of a rule: those of the lambda in the decorator, or of the named function."""
    if isinstance(in_source, ast.Lambda):
        return ast.unparse(in_source.body), ast.unparse(in_source)
    names = ", ".join(inspect.signature(rule).parameters)
    call = f"{rule.__name__.strip('_<>') or 'rule'}({names})"
    try:
        source = textwrap.dedent(inspect.getsource(rule))
        body = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return call, ""
    returns = [part for part in ast.walk(body) if isinstance(part, ast.Return) and part.value is not None]
    if returns and isinstance(body, ast.FunctionDef) and isinstance(body.body[-1], ast.Return):
        # Special cases return early; the last line of a function is the general case.
        return ast.unparse(body.body[-1].value or body), source.rstrip()
    return call, source.rstrip()


@lru_cache(maxsize=1024)
def formula(op: Op) -> str:
    """The line of the docstring that starts with `out =`, without the shapes that follow it."""
    for line in inspect.cleandoc(op.forward.__doc__ or "").splitlines():
        found = re.match(r"out\b[^=]*=\s*(.*?)(?:\.?\s{2,}.*)?$", line)
        if found:
            return line.split("   ")[0].rstrip(". ")
    return ""


def option_texts(op: Op, node: Node) -> dict[str, str]:
    """The options of a call that differ from their defaults, as short text."""
    texts = {}
    for name, value in zip(op.options, node.options):
        if name in op.defaults and (value is op.defaults[name] or _same(value, op.defaults[name])):
            continue
        text = short(value)
        # The name of a class says nothing to readers of a diagram.
        if text != type(value).__name__ and (name != "dtype" or text != str(node.dtype)):
            texts[name] = text
    return texts


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and isinstance(a, (int, float, str, tuple, type(None))) and a == b


@cache
def dtype_text(dtype: DTypeLike) -> str:
    """The name of a dtype; cached, because NumPy takes microseconds for it."""
    return str(dtype)


def short(value: Any, limit: int = 40) -> str:
    """A value in at most `limit` characters: arrays by shape, functions by name, never a memory address."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"array {tuple(value.shape)}"
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, slice):
        parts = ["" if v is None else short(v) for v in (value.start, value.stop, value.step)]
        return ":".join(parts if parts[2] else parts[:2])
    if isinstance(value, (tuple, list)):
        text = ", ".join(short(v) for v in value[:9]) + (", ..." if len(value) > 9 else "")
        text = f"({text})" if isinstance(value, tuple) else f"[{text}]"
    elif callable(value):
        text = getattr(value, "__name__", type(value).__name__)
    elif value is Ellipsis:
        text = "..."
    else:
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def cost(op: Op, shapes: Sequence[Shape | None], node: Node) -> dict[str, int]:
    """The cost of one call: multiply-adds of contractions, elements and bytes of the result."""
    size = math.prod(node.shape)
    found = {"elements": size, "bytes": size * node.dtype.itemsize}
    if op.name in MULTIPLY_ADDS:
        found["multiply_adds"] = MULTIPLY_ADDS[op.name](size, *(shape or () for shape in shapes))
    return found


def _recurrent(size: int, x: Shape, *others: Shape) -> int:
    # The weights are the third and fourth input from the end; each step of each sequence is multiplied by both.
    return math.prod(x[:-1]) * sum(math.prod(shape) for shape in others[-4:-2])


# Operation -> its multiply-adds, from the size of the result and the shapes of the inputs.
MULTIPLY_ADDS: dict[str, Callable[..., int]] = {
    "matmul": lambda size, x, y: size * x[-1],
    "linear": lambda size, x, w, *b: size * x[-1],
    "vecdot": lambda size, x, y: max(math.prod(x), math.prod(y)),
    "conv": lambda size, x, w, *b: size * math.prod(w[1:]),
    "conv_transpose": lambda size, y, w, *b: math.prod(y) * math.prod(w[1:]),
    "conv_weight": lambda size, x, y: size * y[0] * math.prod(y[2:]),
    "rnn": _recurrent,
    "gru": _recurrent,
    "lstm": _recurrent,
}
