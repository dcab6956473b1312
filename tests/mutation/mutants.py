"""Mutants: every way to get one node of a function wrong, one at a time."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARE = {
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
# Not mutated: imports, annotations, docstrings and error messages do not affect results.
IGNORED = (ast.Raise, ast.JoinedStr, ast.ImportFrom, ast.Import, ast.AnnAssign, ast.Assert)

Function = ast.FunctionDef | ast.Lambda
Change = tuple[str, Callable[[Any], None]]


class Mutant(NamedTuple):
    """One change to one function of a file; `node` and `which` identify the changed node and the change."""

    path: Path
    line: int
    number: int
    node: int
    which: int
    what: str
    within: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}: {self.what}"

    def is_one_of(self, known: Sequence[tuple[str, str, str]]) -> bool:
        """Whether this is one of some known mutants: (file, beginning of the change, beginning of the function)."""
        return any(
            file == self.path.name and self.what.startswith(what) and self.within.startswith(within)
            for file, what, within in known
        )

    def tree(self) -> ast.Module:
        """The mutated source."""
        tree = ast.parse(self.path.read_text())
        function = functions_of(tree)[self.number]
        if self.node < 0:
            inner: Any = function.body
            function.body = _VALUE_CHANGES[self.which][1](inner)
        else:
            node = _nodes(function)[self.node]
            list(changes_of(node, parameters_of(function)))[self.which][1](node)
        return ast.fix_missing_locations(tree)


# Most derivative rules are lambdas: their value is also mutated as a whole.
_VALUE_CHANGES: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("sign", lambda body: ast.UnaryOp(ast.USub(), body)),
    ("factor 2", lambda body: ast.BinOp(ast.Constant(2), ast.Mult(), body)),
)


def functions_of(tree: ast.AST) -> list[Any]:
    """Return every function and lambda, in an order that does not change with their contents."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def first_line_of(function: Any) -> int:
    """The line on which a function starts for the compiler: that of its first decorator, if it has any."""
    return min(node.lineno for node in (function, *getattr(function, "decorator_list", ())))


def parameters_of(function: Any) -> list[str]:
    arguments = function.args
    return [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def mutants_of(path: Path, lines: set[int] | None = None) -> Iterator[Mutant]:
    """Yield all mutants of a file, or of the functions that start on the given lines and of those inside them."""
    tree = ast.parse(path.read_text())
    functions = functions_of(tree)
    selected = [f for f in functions if lines is None or first_line_of(f) in lines]
    included = {id(inner) for f in selected for inner in functions_of(f)}
    for number, function in enumerate(functions):
        if id(function) not in included:
            continue
        within = ast.unparse(function)
        parents = {id(child): node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
        counts: Counter[str] = Counter()
        for index, node in enumerate(_nodes(function)):
            text = _source(node, parents)
            line = getattr(node, "lineno", function.lineno)
            for which, (what, _) in enumerate(changes_of(node, parameters_of(function))):
                what = f"{what} in `{text}`"
                counts[what] += 1
                suffix = f" ({counts[what]})" if counts[what] > 1 else ""
                yield Mutant(path, line, number, index, which, what + suffix, within)
        has_value = isinstance(function, ast.Lambda) and not isinstance(function.body, ast.Tuple)
        if has_value and not ast.unparse(function.body).endswith(" * 0"):
            for which, (what, _) in enumerate(_VALUE_CHANGES):
                text = ast.unparse(function.body)[:60]
                yield Mutant(path, function.lineno, number, -1, which, f"{what}: `{text}`", within)


def _source(node: ast.AST, parents: dict[int, ast.AST]) -> str:
    """Return the source of a node, with the expression around it where the node is only a name or a number."""
    text = ast.unparse(node)[:60]
    outer = node
    while len(ast.unparse(outer)) < 12 and isinstance(parents.get(id(outer)), ast.expr):
        outer = parents[id(outer)]
    return text if outer is node else f"{text}` of `{ast.unparse(outer)[:60]}"


def changes_of(node: ast.AST, parameters: Sequence[str]) -> Iterator[Change]:
    """Yield the ways to get one node wrong: a description, and a function that changes the node."""
    if isinstance(node, ast.BinOp):
        yield from _changes_of_operator(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign dropped", lambda n: setattr(n, "op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert)):

        def negate_twice(n: Any) -> None:
            n.operand = ast.UnaryOp(n.op, n.operand)

        yield "negation dropped", negate_twice
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        other = COMPARE[type(node.ops[0])]
        yield (
            f"{type(node.ops[0]).__name__} becomes {other.__name__}",
            lambda n: setattr(n, "ops", [other(), *n.ops[1:]]),
        )
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        new = node.value + 1
        yield f"{node.value} becomes {new}", lambda n: setattr(n, "value", new)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield f"{node.value} becomes {not node.value}", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.BoolOp):
        other_op = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield (
            f"{type(node.op).__name__.lower()} becomes {other_op.__name__.lower()}",
            lambda n: setattr(n, "op", other_op()),
        )
    elif isinstance(node, ast.AugAssign) and type(node.op) in BINARY:
        changed = BINARY[type(node.op)]
        yield (
            f"{type(node.op).__name__} becomes {changed.__name__}",
            lambda n: setattr(n, "op", changed()),
        )
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in parameters:
        for name in parameters:
            if name != node.id and "g" not in (name, node.id) and _alike(name, node.id):
                yield f"{node.id} becomes {name}", lambda n, name=name: setattr(n, "id", name)


def _changes_of_operator(node: ast.BinOp) -> Iterator[Change]:
    by_one = isinstance(node.op, ast.Mult) and ast.unparse(node.right) == "1"  # the same as a division by 1
    if type(node.op) in BINARY and not by_one:
        new = BINARY[type(node.op)]
        yield f"{type(node.op).__name__} becomes {new.__name__}", lambda n: setattr(n, "op", new())
    if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult, ast.Pow)) and not getattr(
        node, "is_measured", False
    ):

        def swap(n: Any) -> None:
            n.left, n.right = n.right, n.left

        yield "operands swapped", swap


def _alike(a: str, b: str) -> bool:
    """Whether one name could be used for the other by mistake: both shapes or neither, and not an axis."""
    return (
        a.endswith("_shape") == b.endswith("_shape") and a != "axis" and b != "axis" and "dims" not in a + b
    )


def _allocates(node: ast.AST) -> bool:
    """Whether a call only allocates memory of the shape of its argument, whose values do not matter."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "np.empty_like",
        "np.zeros_like",
        "buffer",
    )


def _measured(node: ast.AST) -> list[ast.AST]:
    """Return the difference a - b of abs(a - b), which is that of b - a."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("abs", "np.abs", "np.linalg.norm"):
        return [a for a in node.args if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Sub)]
    return []


def _inferred_sizes(node: ast.AST) -> set[ast.AST]:
    """Return the -1 of reshape(x, (-1, n)): any negative number means the inferred size, so its 1 does not matter."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "reshape":
        sizes = [size for a in node.args for size in (a.elts if isinstance(a, ast.Tuple) else [a])]
        return {size for size in sizes if ast.unparse(size) == "-1"}
    return set()


def _nodes(function: Any) -> list[ast.AST]:
    """Return the nodes of the body of a function, without nested functions and error messages."""
    body = [function.body] if isinstance(function, ast.Lambda) else function.body
    found, stack = [], list(reversed(body))
    inferred: set[ast.AST] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, (*IGNORED, *Function.__args__)) or (  # type: ignore[attr-defined]
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            continue
        found.append(node)
        inferred |= _inferred_sizes(node)
        for difference in _measured(node):
            difference.is_measured = True  # type: ignore[attr-defined]
        if _allocates(node) or node in inferred:
            continue
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and ast.unparse(node.right) == "0":
            continue
        stack += reversed(list(ast.iter_child_nodes(node)))
    return found
