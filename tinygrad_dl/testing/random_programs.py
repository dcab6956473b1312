"""Random differentiable programs: operations with shared values, broadcasting, views and assignments.

A program is a list of short lines, so that a failure shrinks to, and prints as, code that runs by itself.
"""

from __future__ import annotations

import builtins
import re
from typing import Annotated, Any, NamedTuple

import numpy as np

import tinygrad_dl
from tinygrad_dl.arguments import Bounds, checked
from tinygrad_dl.errors import ValueRangeError, missing_extra
from tinygrad_dl.op import Domain
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.strategies import Few, arrays, broadcastable_shapes
from tinygrad_dl.typing import Array

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover - the test extra is not installed
    raise missing_extra("hypothesis", "test", "tinygrad_dl.testing.random_programs") from error


# Smooth, and finite for every value that a program can produce.
UNARY = ("tanh", "sigmoid", "sin", "cos", "negative", "square")
BINARY = ("+", "-", "*")


class Dialect(NamedTuple):
    """How a framework spells the lines of a program: what to import, the name of an array, and what to replace."""

    imports: str
    array: str
    replaced: tuple[tuple[str, str], ...] = ()


_SIGMOID = (r"tg\.sigmoid\((\w+)\)", r"(1 / (1 + {}.exp(-\1)))")
_PERMUTED = (r"tg\.permute_dims\((\w+), ", r"{}.transpose(\1, ")
DIALECTS = {
    "tinygrad_dl": Dialect("import numpy as np\nimport tinygrad_dl as tg\n", "np.array({})"),
    "torch": Dialect(
        "import numpy as np\nimport torch\n",
        "torch.tensor({}, dtype=torch.float64, requires_grad=True)",
        (
            (r"tg\.permute_dims", "torch.permute"),
            (r"tg\.expand_dims", "torch.unsqueeze"),
            (r"(\w+)\[::-1\]", r"torch.flip(\1, (0,))"),
            (r"tg\.(\w+)", r"torch.\1"),
        ),
    ),
    "jax": Dialect(
        'import numpy as np\nimport jax\nimport jax.numpy as jnp\n\njax.config.update("jax_enable_x64", True)\n',
        "jnp.array({})",
        (
            (r"tg\.sigmoid", "jax.nn.sigmoid"),
            (_PERMUTED[0], _PERMUTED[1].format("jnp")),
            (r"^(\w+) = (.*); \1\[(.*?)\] = (.*)$", r"\1 = (\2).at[\3].set(\4)"),
            (r"tg\.(\w+)", r"jnp.\1"),
        ),
    ),
    "autograd": Dialect(
        "import numpy as np\nimport autograd.numpy as anp\n",
        "np.array({})",
        (
            (_SIGMOID[0], _SIGMOID[1].format("anp")),
            (_PERMUTED[0], _PERMUTED[1].format("anp")),
            (r"tg\.(\w+)", r"anp.\1"),
        ),
    ),
    "mygrad": Dialect(
        "import numpy as np\nimport mygrad as mg\n",
        "mg.tensor({})",
        (
            (_SIGMOID[0], _SIGMOID[1].format("mg")),
            (_PERMUTED[0], _PERMUTED[1].format("mg")),
            (r"tg\.(\w+)", r"mg.\1"),
        ),
    ),
}


class Program:
    """A function of some arrays, as source text; calling it runs the text on Tensors or on arrays.

    `framework`: whose functions it calls. `to(framework)` is the same program for another one.
    """

    def __init__(
        self, inputs: list[np.ndarray], lines: list[str], framework: str = "tinygrad_dl", spelled: Any = None
    ) -> None:
        self.inputs, self.framework = inputs, framework
        self._lines = lines  # for this package
        self.lines = lines if spelled is None else spelled

    def to(self, framework: str) -> Program:
        """The same program with the functions of "torch", "jax", "autograd", "mygrad" or "tinygrad_dl"."""
        if framework not in DIALECTS:
            raise ValueRangeError(
                f"Program.to: expected one of {', '.join(map(repr, DIALECTS))}, got {framework!r}"
            )
        if framework == "autograd" and any("; " in line for line in self._lines):
            raise ValueRangeError(
                "Program.to: expected a program without assignments for HIPS autograd, which has none. Draw it with "
                "programs(assignments=False)."
            )
        lines = list(self._lines)
        for pattern, replacement in DIALECTS[framework].replaced:
            lines = [re.sub(pattern, replacement, line) for line in lines]
        return Program(self.inputs, self._lines, framework, lines)

    @property
    def source(self) -> str:
        """The code of the program with its inputs, ready to run."""
        names = [f"x{i}" for i in range(len(self.inputs))]
        dialect = DIALECTS[self.framework]
        made = [dialect.array.format(repr(value.tolist())) for value in self.inputs]
        assignments = [f"{name} = {array}" for name, array in zip(names, made)]
        body = "".join(f"    {line}\n" for line in self.lines)
        return f"{dialect.imports}\n\ndef program({', '.join(names)}):\n{body}\n\n" + "\n".join(assignments)

    def __call__(self, *inputs: Array) -> Any:
        body = "".join(f"    {line}\n" for line in self.lines)
        namespace: dict[str, Any] = {}
        imports = DIALECTS[self.framework].imports.partition("\n\n")[0]  # without settings of the process
        exec(f"{imports}\ndef program({', '.join(f'x{i}' for i in range(len(inputs)))}):\n{body}", namespace)
        return namespace["program"](*inputs)

    def __repr__(self) -> str:
        return f"Program:\n{self.source}"


@checked
def programs(
    max_inputs: Few = 3,
    max_lines: Annotated[int, Bounds(least=0, most=100)] = 8,
    assignments: bool = True,
    framework: str = "tinygrad_dl",
) -> st.SearchStrategy[Program]:
    """Random programs with up to `max_inputs` inputs and `max_lines` lines that return a scalar.

    `framework`: whose functions they call; `program.to("jax")` is the same program for another one. HIPS autograd has
    no assignments.

    >>> from hypothesis import find
    >>> find(programs(), lambda p: True).lines
    ['return (x0 * 1.0).sum()']
    """
    drawn = _programs(max_inputs, max_lines, assignments and framework != "autograd")
    if framework not in DIALECTS:
        known = ", ".join(map(repr, DIALECTS))
        raise ValueRangeError(f"programs: framework: expected one of {known}, got {framework!r}")
    return drawn.map(lambda program: program.to(framework)) if framework != "tinygrad_dl" else drawn


@st.composite
def _programs(draw: st.DrawFn, max_inputs: int, max_lines: int, assignments: bool) -> Program:
    count = draw(st.integers(1, max_inputs))
    shapes = draw(
        broadcastable_shapes(count, max_dims=2, max_side=3).filter(lambda s: all(0 not in x for x in s))
    )
    inputs = [draw(arrays(shape=shape, domain=Domain(-1, 1))) for shape in shapes]
    known = [(f"x{i}", shape) for i, shape in enumerate(shapes)]
    values = dict(zip((name for name, _ in known), inputs))
    lines: list[str] = []
    while len(lines) < max_lines:
        name = f"v{len(lines)}"
        line = draw(_step(known, name, assignments))
        if line is None:
            break
        namespace: dict[str, Any] = {"np": np, "tg": tinygrad_dl, **{n: Tensor(v) for n, v in values.items()}}
        exec(line, namespace)
        result = namespace[name]
        # Large or overflowing results make slow tests and inaccurate differences.
        if result.size == 0 or result.size > 64 or not np.all(np.abs(result.data) < 50):
            continue
        lines.append(line)
        known.append((name, result.shape))
        values[name] = result.data
    # Every value counts: those that no line uses are summed into the result.
    unused = [name for name, _ in known if not any(_uses(line, name) for line in lines)] or [known[-1][0]]
    total = " + ".join(f"({name} * {draw(st.sampled_from((1.0, -0.5, 2.0)))}).sum()" for name in unused)
    return Program(inputs, [*lines, f"return {total}"])


def _uses(line: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", line.split("=", 1)[1]) is not None


@st.composite
def _step(
    draw: st.DrawFn, known: list[tuple[str, tuple[int, ...]]], name: str, assignments: bool
) -> str | None:
    # Drawn for each line, not once for all: so Hypothesis can remove any line when it shrinks a failure.
    return draw(_line(known, name, assignments)) if draw(st.integers(0, 5)) else None


@st.composite
def _line(draw: st.DrawFn, known: list[tuple[str, tuple[int, ...]]], name: str, assignments: bool) -> str:
    x, shape = draw(st.sampled_from(known))
    kinds = ["unary", "binary", "reduce", "view"]
    if shape:
        kinds += ["index", "matmul"] + (["assign"] if assignments else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "unary":
        return f"{name} = tg.{draw(st.sampled_from(UNARY))}({x})"
    if kind == "binary":
        partners = [n for n, s in known if _broadcast(s, shape)]
        return f"{name} = {x} {draw(st.sampled_from(BINARY))} {draw(st.sampled_from(partners))}"
    if kind == "reduce":
        axis = draw(st.one_of(st.none(), st.integers(0, len(shape) - 1))) if shape else None
        keep = draw(st.booleans())
        return f"{name} = tg.{draw(st.sampled_from(('sum', 'mean')))}({x}, axis={axis}, keepdims={keep})"
    if kind == "view":
        size = builtins.max(1, int(np.prod(shape)))
        forms = [f"tg.reshape({x}, ({size},))", f"tg.permute_dims({x}, {tuple(range(len(shape)))[::-1]})"]
        forms += [f"tg.broadcast_to({x}, {(2, *shape)})", f"tg.expand_dims({x}, 0)"]
        return f"{name} = {draw(st.sampled_from(forms))}"
    if kind == "index":
        n = shape[0]
        forms = [
            f"{x}[{n - 1}]",
            f"{x}[::-1]",
            f"{x}[np.array([0, {n - 1}, 0])]",
            f"{x}[..., None]",
            f"{x}[:1]",
        ]
        return f"{name} = {draw(st.sampled_from(forms))}"
    if kind == "matmul":
        partners = [
            n for n, s in known if s and (s[-2] if len(s) > 1 else s[-1]) == shape[-1] and _stack(shape, s)
        ]
        return f"{name} = {x} @ {draw(st.sampled_from(partners))}" if partners else f"{name} = {x} * {x}"
    assignable = [n for n, s in known if _broadcast_into(s, shape[1:])]
    value = draw(st.sampled_from([*assignable, "0.5"]))
    index = draw(st.sampled_from(("0", "-1", ":1")))
    return f"{name} = {x} * 1.0; {name}[{index}] = {value}"


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True


def _broadcast_into(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return _broadcast(a, b) and np.broadcast_shapes(a, b) == b


def _stack(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return _broadcast(a[:-2], b[:-2]) if len(a) > 2 and len(b) > 2 else True
