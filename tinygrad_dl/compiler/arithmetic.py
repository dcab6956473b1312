"""Whether a function of the user's only computes with the arrays of Tensors, told from its text.

Where a capture hands out something that stands for an array, that must not get to where an ndarray is demanded: into
calls, containers, what is returned. So it is handed out only to functions in which `x.data` and `x.numpy()` are
operands, arguments of NumPy's elementwise functions, or what is assigned to `.data`.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from functools import lru_cache
from textwrap import dedent
from tokenize import TokenError
from types import CodeType
from typing import Any

import numpy as np

# Built-in functions that ask an object for a number or a text by its own methods.
ASKING = frozenset("float int bool complex str repr len print format".split())


def only_computes(code: CodeType, names: dict[str, Any]) -> bool:
    """Whether the code of a function computes with arrays of Tensors and does nothing else with them."""
    modules = frozenset(name for name in code.co_names if names.get(name) is np)
    return _only_computes(code, modules)


@lru_cache(maxsize=1024)
def _only_computes(code: CodeType, modules: frozenset[str]) -> bool:
    try:
        lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]
        (function,) = ast.parse(dedent("".join(inspect.getblock(lines)))).body
    except (SyntaxError, ValueError, IndexError, TokenError):
        return False
    return (
        isinstance(function, ast.FunctionDef)
        and function.name == code.co_name
        and Uses(function, modules).fine
    )


class Uses:
    """Follows the arrays of a function from where they come to where they are used."""

    def __init__(self, function: ast.FunctionDef, modules: frozenset[str]) -> None:
        self.modules = modules
        self.nodes = [*ast.walk(function)]
        self.parents = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}
        self.names: set[str] = set()  # variables that may be arrays
        elsewhere = {
            n for node in self.nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for n in node.names
        }
        count = -1
        self.fine = True
        while self.fine and len(self.names) != count:
            count = len(self.names)
            self.fine = all(self._is_operand(node) for node in self.nodes if self._is_array(node))
        self.fine = self.fine and self.names.isdisjoint(elsewhere)

    def _is_array(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr == "data" and isinstance(node.ctx, ast.Load)
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Attribute) and node.func.attr == "numpy"
        return isinstance(node, ast.Name) and node.id in self.names and isinstance(node.ctx, ast.Load)

    def _is_operand(self, node: ast.AST) -> bool:
        """Whether an expression whose value may be an array is used as one, and what is made of it, too."""
        parent = self.parents.get(node)
        if isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.Compare)):
            return self._is_operand(parent)
        if isinstance(parent, (ast.Attribute, ast.Expr, ast.FormattedValue)):
            return True
        if isinstance(parent, (ast.If, ast.While, ast.IfExp, ast.Assert)):
            return node is parent.test
        if isinstance(parent, ast.Subscript):
            return node is parent.value and (not isinstance(parent.ctx, ast.Load) or self._is_operand(parent))
        if isinstance(parent, ast.AugAssign):
            return node is parent.target or self._takes(parent.target)
        if isinstance(parent, ast.Assign):
            return all(map(self._takes, parent.targets))
        if isinstance(parent, ast.Call) and node in parent.args:
            function = parent.func
            if isinstance(function, ast.Name):
                return function.id in ASKING
            elementwise = isinstance(function, ast.Attribute) and isinstance(
                getattr(np, function.attr, None), np.ufunc
            )
            known = elementwise and isinstance(function.value, ast.Name) and function.value.id in self.modules  # type: ignore[attr-defined]
            return known and not parent.keywords and self._is_operand(parent)
        return False

    def _takes(self, target: ast.AST) -> bool:
        """Whether an array may be assigned to a target."""
        if isinstance(target, ast.Name):
            self.names.add(target.id)
            return True
        if isinstance(target, ast.Attribute):
            return target.attr in ("data", "grad")
        return isinstance(target, ast.Subscript) and self._is_array(target.value)
