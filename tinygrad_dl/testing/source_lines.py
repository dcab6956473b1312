"""The line of a hand-written backward in which a gradient is computed, where the source is known."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinygrad_dl.testing.forms import gradient_names


def gradient_line(function: Callable[..., Any], name: str) -> str:
    """Where a function assigns the gradient of an input, as `line 12 of net.py: dW = ...`; "" if it is not found."""
    parsed = _parsed(function)
    if parsed is None:
        return ""
    tree, lines, first, file = parsed
    base = name.rpartition(".")[2]
    found = [node for target, node in _assignments(tree) if _is_gradient(target, base)]
    # `grads["dW1"] = dW1` says less than the line that computes it.
    telling = [
        node for node in found if not isinstance(node, (ast.Name, ast.Tuple)) and not _only_names(node)
    ]
    # `dW = np.zeros(W.shape)` before a loop says less than `dW += ...` in it.
    telling = [node for node in telling if not _is_start(node)] or telling
    if not telling:
        return ""
    return _shown(telling[0], lines, first, file)


def return_line(function: Callable[..., Any]) -> str:
    """Where a function returns, as `line 12 of net.py: return g * x`; "" if that is not known, or in several lines."""
    found = _parsed(function)
    if found is None:
        return ""
    tree, lines, first, name = found
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None]
    return _shown(returns[0], lines, first, name) if len(returns) == 1 else ""


def _parsed(function: Callable[..., Any]) -> tuple[ast.AST, list[str], int, str] | None:
    """The syntax tree of a function, its lines, the number of the first, and the name of the file."""
    function = inspect.unwrap(function)
    try:
        lines, first = inspect.getsourcelines(function)
        path = inspect.getsourcefile(function)
        return ast.parse(textwrap.dedent("".join(lines))), lines, first, Path(path or "?").name
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


def _shown(node: Any, lines: Sequence[str], first: int, name: str) -> str:
    number: int = node.lineno - 1
    return f"line {first + number} of {name}: {' '.join(lines[number].split())[:100]}"


def _is_start(node: ast.AST) -> bool:
    """Whether an assignment gives zeros, to which a loop adds."""
    value = getattr(node, "value", None)
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    return isinstance(node, ast.Assign) and all(
        isinstance(part, ast.Constant)
        or isinstance(part, ast.Call)
        and ast.unparse(part.func).rpartition(".")[2] in ("zeros", "zeros_like", "empty", "empty_like")
        for part in parts
    )


def _only_names(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(value, (ast.Name, ast.Subscript)) or (
        isinstance(value, ast.Tuple) and all(isinstance(e, (ast.Name, ast.Subscript)) for e in value.elts)
    )


def _assignments(tree: ast.AST) -> Iterator[tuple[ast.expr | str, Any]]:
    """The targets of all assignments, and the keys of dictionaries, with the node whose line computes them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                    yield part, node
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            yield node.target, node
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, value


def _is_gradient(target: ast.expr | str, name: str) -> bool:
    if isinstance(target, str):
        return target in gradient_names(name) or target == name
    if isinstance(target, ast.Name):
        # In a loop over layers dW is the gradient of W1, W2, ...
        return target.id in gradient_names(name) or target.id in gradient_names(re.sub(r"\d+$", "", name))
    if isinstance(target, ast.Attribute):
        return target.attr in gradient_names(name)
    if isinstance(target, ast.Subscript):
        key = target.slice
        if isinstance(key, ast.Constant):
            return isinstance(key.value, str) and _is_gradient(key.value, name)
        prefix = _prefix(key)
        if prefix:
            return any(re.fullmatch(re.escape(prefix) + r"\d+", n) for n in (*gradient_names(name), name))
        return _is_gradient(target.value, name)  # dW[i] += ...
    return False


def _prefix(key: ast.expr) -> str:
    """The text before the number in f"dW{k}" and "dW" + str(k)."""
    if isinstance(key, ast.JoinedStr) and key.values and isinstance(key.values[0], ast.Constant):
        return str(key.values[0].value)
    if isinstance(key, ast.BinOp) and isinstance(key.left, ast.Constant) and isinstance(key.left.value, str):
        return key.left.value
    return ""
