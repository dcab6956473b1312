"""A model as one Python file that needs NumPy only and takes any number of rows, with the preparation of its inputs.

The program is written out for three numbers of rows; the numbers in the text that differ follow from the number of rows
and become expressions in `rows`. The arrays stand in the file as text.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from tinygrad_dl.compiler.capture import fixed
from tinygrad_dl.compiler.program import Effect
from tinygrad_dl.compiler.recording import record
from tinygrad_dl.compiler.replay import live_steps
from tinygrad_dl.compiler.source import Printer, readable
from tinygrad_dl.compiler.source import source as written_out
from tinygrad_dl.errors import CompileError
from tinygrad_dl.files import write_atomically
from tinygrad_dl.graph import Value
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import PathLike

#: Numbers of rows that a program is written out for: primes, which are no sizes of layers.
ROWS = (5, 7, 11)
WIDTH = 100


class Preparation(Protocol):
    """What `save` needs of a preparation: example inputs for a number of rows, and the text of `predict` around it."""

    def example(self, rows: int) -> tuple[Any, ...]: ...

    def program(self) -> str: ...


class Differs(Exception):
    """Texts for different numbers of rows that are not one text."""


@contextmanager
def evaluating(function: Any) -> Iterator[None]:
    """The model in evaluation mode, and then as it was."""
    modes = [(m, m.training) for m in function.modules()] if hasattr(function, "modules") else []
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training


def any_rows(
    function: Callable[..., Any], example: Callable[[int], Sequence[Any]], names: Sequence[str]
) -> tuple[str, dict[str, str], list[str]]:
    """The text of a program for any number of rows, its arrays as expressions, and the names of its arguments.

    Raises CompileError where there is none.
    """
    texts, arrays, given = [], [], []
    for rows in ROWS:
        args = [Tensor(x) for x in example(rows)]
        try:
            program, _, capture = record(function, args, {}, names)
        except Exception as error:
            raise CompileError(
                f"save: expected a model that takes any number of rows, but with {rows} rows it raises "
                f"{type(error).__name__}: {error}"
            ) from None
        program.steps = live_steps(program)
        effects = [s.what for s in program.steps if isinstance(s, Effect)]
        if effects or capture.problems:
            raise CompileError(
                f"save: expected a model without side effects, got {(effects + capture.problems)[0]}"
            )
        lowered = readable(program, capture)
        texts.append(written_out(lowered, "TITLE", "program"))
        printer = Printer(lowered)
        found = {}
        for var in lowered.computed_states:
            assert isinstance(var.source, Value)
            found[printer.names[var.serial]] = var.source._data
        found |= {printer.names[var.serial]: fixed(var) for var in printer.constants}
        arrays.append(found)
        given.append([printer.names[v.serial] for v in lowered.program.arguments])
    try:
        return merged(texts), _expressions(arrays), given[-1]
    except Differs as reason:
        raise CompileError(
            f"save: expected a program that is the same for any number of rows, got {reason}"
        ) from None


def _in_rows(values: Sequence[int]) -> str:
    """An expression in `rows` for a number that was these."""
    slope, left = divmod(values[1] - values[0], ROWS[1] - ROWS[0])
    rest = values[0] - slope * ROWS[0]
    if left or any(slope * n + rest != v for n, v in zip(ROWS, values)):
        raise Differs(f"the numbers {', '.join(map(str, values))} for {', '.join(map(str, ROWS))} rows")
    text = "rows" if slope == 1 else f"{slope} * rows"
    return text if not rest else f"({text} {'+' if rest > 0 else '-'} {abs(rest)})"


def merged(texts: Sequence[str]) -> str:
    """Texts that differ in numbers only as one, with expressions in `rows`."""
    streams = [list(tokenize.generate_tokens(io.StringIO(text).readline)) for text in texts]
    if len({len(s) for s in streams}) > 1:
        raise Differs("other lines")
    lines = texts[0].splitlines()
    for tokens in reversed(list(zip(*streams))):
        words = [t.string for t in tokens]
        if len(set(words)) == 1 or tokens[0].type in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE):
            continue
        if not all(w.isdigit() for w in words):
            raise Differs(f"{words[0]!r} and {words[-1]!r}")
        (line, start), (_, end) = tokens[0].start, tokens[0].end
        row = lines[line - 1]
        lines[line - 1] = row[:start] + _in_rows([int(w) for w in words]) + row[end:]
    return "\n".join(lines) + "\n"


def _expressions(arrays: Sequence[dict[str, np.ndarray]]) -> dict[str, str]:
    """The arrays of a program as Python text; one whose shape follows from the rows is filled with its only value."""
    found = {}
    for name, last in arrays[-1].items():
        parts = [a[name] for a in arrays]
        if all(p.shape == last.shape and np.array_equal(p, last, last.dtype.kind == "f") for p in parts):
            found[name] = literal(last)
            continue
        if any(p.ndim != last.ndim or not p.size or (p != p.flat[0]).any() for p in parts):
            raise Differs(f"the array {name}, which depends on the number of rows")
        sizes = [
            column[0] if len(set(column)) == 1 else _in_rows(column)
            for column in zip(*(p.shape for p in parts))
        ]
        shape = ", ".join(map(str, sizes))
        found[name] = f"np.full(({shape},), {last.flat[0].item()!r}, np.{last.dtype})"
    return found


def literal(array: np.ndarray) -> str:
    """An array as Python text: its bytes, in lines."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digits = array.tobytes().hex()
    lines = [digits[i : i + WIDTH] for i in range(0, len(digits), WIDTH)] or [""]
    text = "\n    ".join(f'"{line}"' for line in lines)
    return f'np.frombuffer(bytes.fromhex(\n    {text}\n), "{array.dtype.str}").reshape({array.shape})'


def ship(
    function: Callable[..., Any], names: Sequence[str], title: str, preparation: Preparation, path: PathLike
) -> None:
    """Write the file: the arrays, the program, and `predict` around it."""
    with evaluating(function):
        text, arrays, given = any_rows(function, preparation.example, names)
    text = text.replace('"""TITLE"""', "", 1).replace("import numpy as np\n", "", 1).strip("\n")
    stored = {name: value for name, value in arrays.items() if not value.startswith("np.full(")}
    filled = {name: value for name, value in arrays.items() if name not in stored}
    taken = ", ".join(given)
    passed = ", ".join(
        [*given, *(f'{n}=ARRAYS["{n}"]' for n in stored), *(f"{n}={v}" for n, v in filled.items())]
    )
    head, _, body = text.partition("def program(")
    signature, _, rest = body.partition("):\n")
    program = f"{head}def program({signature}):\n    rows = len({given[0]})\n{rest}"
    entries = "".join(f'    "{name}": {value},\n' for name, value in stored.items())
    whole = (
        f'"""{title}\n\nNeeds NumPy only. Written by tinygrad_dl.\n"""\n\nfrom __future__ import annotations\n\n'
        f"import csv\nimport sys\nfrom datetime import datetime\nfrom typing import Any\n\nimport numpy as np\n\n\n"
        f"{program.strip()}\n\n\n# The numbers that the model learnt\nARRAYS = {{\n{entries}}}\n\n\n"
        f'def outputs({taken}):\n    """What the model computes for prepared inputs."""\n'
        f"    rows = len({given[0]})\n    return program({passed})\n\n\n{preparation.program()}"
    )
    write_atomically(path, whole.encode())
