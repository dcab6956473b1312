"""Write docs/ops.md, the table of all operations, from the registry: `make ops-table`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import operations  # noqa: E402

import tinygrad_dl  # noqa: E402  found by the line above
import tinygrad_dl.fft  # noqa: E402
import tinygrad_dl.linalg  # noqa: E402, F401
from tinygrad_dl.op import OPS, Missing, Op  # noqa: E402

HEAD = """\
# All operations

This table is generated from the registry by `make ops-table`, and a test keeps it up to date. *Derivative* is the
gradient of each input, given `g`, the gradient of the result $\\mathrm{out}$; $[\\ldots]$ is 1 where a condition holds
and 0 elsewhere. *Rule* is the source of the gradient rules, one per input in order; functions whose names begin with an
underscore are defined next to the operation. *Tested in* is the range from which the tests draw the inputs. *At kinks*
is the value that is used where the derivative does not exist or is not unique.
"""


@cache
def blocks(module: str) -> dict[str, tuple[str, ast.Call]]:
    """The source of a module, and the decorator `op(...)` of each of its functions."""
    source = Path(sys.modules[module].__file__ or "").read_text(encoding="utf-8")
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) in ("op", "tg.op"):
                    found[node.name] = (source, mark)
    return found


def rules(op: Op) -> list[str]:
    """The text of each rule."""
    if op.forward.__name__ not in blocks(op.forward.__module__):
        return ["made by a function"]
    source, mark = blocks(op.forward.__module__)[op.forward.__name__]
    texts = []
    for rule, argument in zip(op.rules, mark.args):
        if isinstance(rule, Missing):
            texts.append(f"missing: {rule.reason}")
        elif rule is None:
            texts.append("none")
        else:
            body = argument.body if isinstance(argument, ast.Lambda) else argument
            text = ast.get_source_segment(source, body) or ""
            named = (
                "" if isinstance(argument, ast.Lambda) else f"({', '.join(op.rule_arguments[len(texts)])})"
            )
            texts.append(code(text + named))
    return texts


def code(text: str) -> str:
    """Source as one line of code in a table."""
    text = re.sub(r"\s*#.*", "", text)
    text = re.sub(r"(?<=\() | (?=\))", "", re.sub(r"\s+", " ", text).strip())
    return f"`{text}`".replace("|", "\\|")


def formula(op: Op) -> str:
    """What the operation computes, as mathematics."""
    return f"${op.math[0]}$" if op.math else ""


def derivatives(op: Op) -> list[str]:
    """What each input receives of the gradient, as mathematics."""
    pairs = zip(op.inputs, op.math[1:])
    return [rf"$\mathrm{{d}}\mathrm{{{name.replace('_', '')}}} = {text}$" for name, text in pairs if text]


def domain(op: Op) -> str:
    domains = op.domain if isinstance(op.domain, tuple) else (op.domain,)
    texts = [repr(d) for d in domains]
    return texts[0] if len(set(texts)) == 1 else "; ".join(texts)


def page() -> Iterator[str]:
    """The lines of the page."""
    yield HEAD

    def family(op: Op) -> str:
        return op.forward.__module__

    ours = [op for op in OPS.values() if family(op).split(".")[0] == "tinygrad_dl"]
    for module, members in groupby(sorted(ours, key=lambda op: (family(op), op.name)), key=family):
        ops = list(members)
        yield f"## {operations.title(module)}\n"
        differentiable = [op for op in ops if op.differentiable]
        if differentiable:
            yield "| operation | formula | derivative | rule | tested in | at kinks |\n|---|---|---|---|---|---|"
            for op in differentiable:
                kinks = op.kinks.replace("|", "\\|")
                yield (
                    f"| `{op.name}` | {formula(op)} | {'<br>'.join(derivatives(op))} | {'<br>'.join(rules(op))} "
                    f"| {domain(op)} | {kinks} |"
                )
            yield ""
        constant = [f"`{op.name}`" for op in ops if not op.differentiable]
        if constant:
            yield f"Without a derivative: {', '.join(constant)}.\n"


def text() -> str:
    """The whole page."""
    return "\n".join(page()).rstrip() + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "ops.md").write_text(text(), encoding="utf-8")
    print(f"docs/ops.md: {len(OPS)} operations")
