"""compare_frameworks: the same operations and programs in two frameworks, and where their results differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from html import escape
from importlib import import_module
from itertools import product
from random import Random
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.arguments import Size, checked
from tinygrad_dl.errors import TinygradError, ValueRangeError
from tinygrad_dl.op import OPS, Domain, Op
from tinygrad_dl.testing import journal
from tinygrad_dl.testing.evidence import examine
from tinygrad_dl.testing.frameworks import FRAMEWORKS, module_of
from tinygrad_dl.typing import NDArray

# Where a framework keeps functions of the names that the operations have here.
PLACES = {
    "torch": ("torch", "torch.special", "torch.nn.functional"),
    "jax": ("jax.numpy", "jax.nn", "jax.scipy.special"),
    "autograd": ("autograd.numpy", "autograd.scipy.special"),
    "mygrad": ("mygrad", "mygrad.nnet.activations"),
    "tinygrad_dl": ("tinygrad_dl", "tinygrad_dl.nn.functional"),
}
# Values at which functions are compared, beside the points that their domains avoid, and the ends of these.
POINTS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -3.0,
    1e-8,
    -1e-8,
    1e-160,
    30.0,
    -30.0,
    1e3,
    -1e3,
    np.inf,
    -np.inf,
    np.nan,
)
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


class FrameworkDifferenceError(TinygradError, AssertionError):
    """Two frameworks differ; `comparison` says where."""

    @checked
    def __init__(self, comparison: Comparison) -> None:
        super().__init__(str(comparison))
        self.comparison = comparison


class Difference(NamedTuple):
    """Where two frameworks differ: in the "value" or the "gradient" of an operation or a program, at some inputs.

    `expected`: the interval that differences of the values give for the derivative, "" where they give none. `points`:
    at how many of the values that were tried they differ.
    """

    name: str
    what: str
    dtype: str
    inputs: tuple[Any, ...]
    first: float
    second: float
    expected: str
    points: int

    def describe(self, frameworks: tuple[str, str]) -> str:
        """The difference in one line."""
        at = ", ".join(_number(x) for x in self.inputs) if np.ndim(self.inputs[:1]) == 1 else str(self.inputs)
        text = f"{self.what} of {self.name}({at}) in {self.dtype}: "
        text += f"{frameworks[0]} {_number(self.first)}, {frameworks[1]} {_number(self.second)}"
        text += f", differences {self.expected}" if self.expected else ""
        return text + (f" (and at {self.points - 1} more points)" if self.points > 1 else "")


def _number(x: Any) -> str:
    return f"{x:.9g}" if isinstance(x, (float, np.floating)) else " ".join(str(x).split())


class Comparison:
    """The result of compare_frameworks; true if nothing differs."""

    @checked
    def __init__(self, first: str, second: str) -> None:
        self.frameworks = (first, second)
        self.differences: list[Difference] = []
        self.operations: list[str] = []
        self.programs = 0

    def __bool__(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        first, second = self.frameworks
        tried = f"{len(self.operations)} operations and {self.programs} programs"
        if self:
            return f"{first} and {second} agree in {tried}"
        lines = [f"{first} and {second} differ in {len(self.differences)} ways in {tried}"]
        return "\n".join(lines + [f"  {d.describe(self.frameworks)}" for d in self.differences])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


@checked
def compare_frameworks(
    first: str,
    second: str,
    *,
    operations: Sequence[str] | None = None,
    programs: Size = 50,
    dtypes: Sequence[str] = ("float64", "float32"),
    seed: Size = 0,
    raise_exception: bool = True,
) -> Comparison:
    """Compare values and gradients of two frameworks: "torch", "jax", "autograd", "mygrad" or "tinygrad_dl".

    Each elementwise operation that both have by one name (or those in `operations`) at 0, -0, infinities, nan, tiny and
    huge numbers, the kinks, poles and ends of its domain, and at pairs of these; then random programs, of which the
    smallest that differs is shown. Where finite differences tell which derivative is right, they are given. Raises
    FrameworkDifferenceError, unless `raise_exception=False`; ValueRangeError.

    >>> bool(compare_frameworks("tinygrad_dl", "tinygrad_dl", operations=["sin"], programs=2))
    True
    """
    for name in (first, second):
        if name not in PLACES:
            raise ValueRangeError(
                f"compare_frameworks: expected one of {', '.join(map(repr, PLACES))}, got {name!r}"
            )
    result = Comparison(first, second)
    with journal.paused(), np.errstate(all="ignore"):
        for op in _common(first, second, operations):
            result.operations.append(op.name)
            for dtype in dtypes:
                result.differences += _operation(op, dtype, first, second)
        if programs:
            result.programs = programs
            result.differences += _programs(first, second, programs, seed)
    journal.note("compare_frameworks", f"{first} and {second}", bool(result), str(result))
    if not result and raise_exception:
        raise FrameworkDifferenceError(result)
    return result


def function_of(framework: str, name: str) -> Callable[..., Any] | None:
    """The function that a framework calls so, None where it has none."""
    for place in PLACES[framework]:
        try:
            module = import_module(place)
        except ModuleNotFoundError:
            if framework in FRAMEWORKS and place == PLACES[framework][0]:
                module_of(framework)  # the error that names what to install
            continue
        found = getattr(module, name, None)
        if callable(found) and not isinstance(found, type):
            return found
    return None


def _common(first: str, second: str, names: Sequence[str] | None) -> Iterator[Op]:
    """The elementwise operations of the registry that two frameworks have by the same name."""
    for name in names or ():
        if name not in OPS:
            raise ValueRangeError(
                f"compare_frameworks: operations: expected names of operations, got {name!r}"
            )
    for op in OPS.values():
        wanted = op.name in names if names is not None else op.ufunc is not None and op.differentiable
        simple = len(op.inputs) in (1, 2) and not op.variadic
        if not wanted or not simple or op.forward.__module__.partition(".")[0] != "tinygrad_dl":
            continue
        if function_of(first, op.name) is not None and function_of(second, op.name) is not None:
            yield op


def _points(op: Op) -> list[tuple[float, ...]]:
    """The values at which an operation is tried, the plainest first."""
    domains = op.domain if isinstance(op.domain, tuple) else (op.domain,) * len(op.inputs)
    each = []
    for domain in domains:
        within = domain if isinstance(domain, Domain) else Domain()
        more = [x for x in (*within.avoid, within.low, within.high) if np.isfinite(x) and x not in POINTS]
        each.append([*POINTS, *more])
    return list(product(*each))


def _operation(op: Op, dtype: str, first: str, second: str) -> Iterator[Difference]:
    points = _points(op)
    inputs = [np.array(column, dtype) for column in zip(*points)]
    sides = []
    for framework in (first, second):
        f = function_of(framework, op.name)
        assert f is not None
        try:
            sides.append(_computed(framework, f, inputs))
        except Exception:  # one of them refuses these inputs, such as an argument that the other lacks
            return
    (value, gradients), (other, others) = sides
    if value.shape != other.shape:
        return
    exact = TOLERANCE.get(dtype, 1e-2)
    bad = _apart(value, other, exact)
    if bad.any():
        k = _plainest(points, bad)
        yield Difference(
            op.name, "value", dtype, points[k], float(value[k]), float(other[k]), "", int(bad.sum())
        )
    for number, (g, h) in enumerate(zip(gradients, others)):
        # Where the values differ, so may the gradients.
        wrong = _apart(g, h, exact) & ~bad
        if wrong.any():
            k = _plainest(points, wrong)
            what = "gradient" if len(gradients) == 1 else f"gradient in {op.inputs[number]}"
            expected = _expected(first, op, points[k], number) if dtype == "float64" else ""
            yield Difference(
                op.name, what, dtype, points[k], float(g[k]), float(h[k]), expected, int(wrong.sum())
            )  # fmt: skip


def _computed(
    framework: str, f: Callable[..., Any], inputs: Sequence[NDArray]
) -> tuple[NDArray, list[NDArray]]:
    module = module_of(framework, "compare_frameworks")
    adapter = module.adapter(f, [module.asarray(x) for x in inputs])
    (value,) = adapter.value(*inputs)
    given = adapter.vjp(np.ones_like(value), *inputs)
    return value, [np.zeros_like(x) if d is None else np.asarray(d) for d, x in zip(given, inputs)]


def _apart(a: NDArray, b: NDArray, exact: float) -> NDArray:
    close = np.abs(a - b) <= exact * np.maximum(np.abs(a), np.abs(b)) + float(np.finfo(a.dtype).tiny)
    return np.asarray(~(close | (a == b) | (np.isnan(a) & np.isnan(b))))


def _plainest(points: Sequence[tuple[float, ...]], bad: NDArray) -> int:
    """The first of some points, finite ones before others."""
    where = np.flatnonzero(bad).tolist()
    return next((k for k in where if np.isfinite(points[k]).all()), where[0])


def _expected(framework: str, op: Op, point: tuple[float, ...], number: int) -> str:
    """What finite differences of the values say of a derivative."""
    if not np.isfinite(point).all():
        return ""
    f = function_of(framework, op.name)
    assert f is not None

    def line(h: float) -> NDArray:
        moved = [np.array([x + h * (k == number)]) for k, x in enumerate(point)]
        return _computed(framework, f, moved)[0]

    evidence = examine(line, point[number])
    if evidence.reason[0]:
        return f"tell nothing, as {evidence.reason[0]}"
    low, high, _ = evidence.interval(0)
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def _programs(first: str, second: str, count: int, seed: int) -> Iterator[Difference]:
    """The smallest random program in whose value or gradient two frameworks differ."""
    import hypothesis
    from hypothesis.errors import NoSuchExample

    from tinygrad_dl.testing.random_programs import programs

    def differs(program: Any) -> tuple[str, float, float] | None:
        sides = []
        for framework in (first, second):
            module = module_of(framework, "compare_frameworks")
            written = program.to(framework)
            adapter = module.adapter(written, [module.asarray(np.array(x)) for x in program.inputs])
            (value,) = adapter.value(*program.inputs)
            given = adapter.vjp(np.ones_like(value), *program.inputs)
            sides.append(
                (value, [np.zeros_like(x) if d is None else d for d, x in zip(given, program.inputs)])
            )
        (value, gradients), (other, others) = sides
        # Sums in another order are rounded otherwise.
        scale = reduce(max, (float(np.max(np.abs(g), initial=0.0)) for g in (*gradients, value)), 1.0)
        for what, a, b in (("value", value, other), *(("gradient", g, h) for g, h in zip(gradients, others))):
            off = ~(np.abs(a - b) <= 1e-9 * scale)
            if off.any():
                return what, float(a[off].flat[0]), float(b[off].flat[0])
        return None

    settings = hypothesis.settings(
        max_examples=count, database=None, deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list[Any](hypothesis.HealthCheck),
    )  # fmt: skip
    drawn = programs(assignments="autograd" not in (first, second))
    try:
        found = hypothesis.find(
            drawn, lambda program: differs(program) is not None, settings=settings, random=Random(seed)
        )
    except NoSuchExample:
        return
    said = differs(found)
    if said is not None:
        name = f"the program\n{found.to(first).source}\n"
        yield Difference(name, said[0], "float64", tuple(found.inputs), said[1], said[2], "", 1)
