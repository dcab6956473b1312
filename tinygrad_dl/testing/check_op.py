"""check_op: the laws of a differentiable function, tried on random inputs that are shrunk where one is broken."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib import import_module
from random import Random
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.arguments import Count, Size, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, TinygradError, ValueRangeError
from tinygrad_dl.op import Domain
from tinygrad_dl.testing import journal
from tinygrad_dl.testing.calls import random_states_kept
from tinygrad_dl.testing.frameworks import framework_of, module_of
from tinygrad_dl.testing.laws import LAWS, NotApplicable, Subject, broken
from tinygrad_dl.testing.report import NO_VERDICT
from tinygrad_dl.typing import NDArray

# The shapes at which each function of any shape is tried, beside random ones.
EDGES = ((), (0,), (1,), (0, 2), (2, 1))
# An example is shown up to so many numbers for each input.
SHOWN = 24
# The beginning of what is said of a law that fails with an error.
RAISES = "raises"


class OpCheckError(TinygradError, AssertionError):
    """A function breaks a law of differentiable functions; `report` says which, and where."""

    @checked
    def __init__(self, report: OpReport) -> None:
        super().__init__(str(report))
        self.report = report


class Verdict(NamedTuple):
    """What became of one law: "holds", "broken" or "not applicable", why, and the smallest inputs that break it."""

    law: str
    outcome: str
    message: str = ""
    inputs: tuple[NDArray, ...] = ()


class OpReport:
    """The result of check_op; true if no law is broken.

    `verdicts`: one for each law. `notes`: what the function refused.
    """

    @checked
    def __init__(self, name: str, names: Sequence[str] = ()) -> None:
        self.name, self.names = name, list(names)
        self.verdicts: list[Verdict] = []
        self.notes: list[str] = []
        self.examples = 0

    def __bool__(self) -> bool:
        return not self.broken

    @property
    def verdict(self) -> str:
        """ "correct" or "wrong"."""
        return "correct" if self else "wrong"

    @property
    def broken(self) -> list[Verdict]:
        """The verdicts on the laws that are broken."""
        return [v for v in self.verdicts if v.outcome == "broken"]

    def __str__(self) -> str:
        tried = [v for v in self.verdicts if v.outcome != "not applicable"]
        if self:
            held = ", ".join(v.law for v in tried)
            lines = [f"check_op passed: {self.name} keeps {len(tried)} laws ({held})"]
        else:
            lines = [f"check_op failed: {self.name} breaks {len(self.broken)} of {len(tried)} laws"]
        for v in self.broken:
            lines.append(f"  {v.law}: {v.message}")
            lines += [f"    {name} = {_shown(x)}" for name, x in zip(self.names, v.inputs)]
        if not self:
            held = ", ".join(v.law for v in tried if v.outcome == "holds")
            lines += [f"  kept: {held}"] if held else []
        lines += [
            f"  not tried: {v.law}, as {v.message}" for v in self.verdicts if v.outcome == "not applicable"
        ]
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def _shown(x: NDArray) -> str:
    if x.size > SHOWN:
        return f"array of shape {x.shape}: {np.array2string(x.reshape(-1)[:8], separator=', ')[:-1]}, ...]"
    return " ".join(repr(x).split())


@checked
def check_op(
    f: Any,
    domain: Domain | Sequence[Domain] | None = None,
    *,
    shapes: Any = None,
    backward: Callable[..., Any] | None = None,
    framework: str | None = None,
    examples: Count | None = None,
    skip: Sequence[str] = (),
    seed: Size = 0,
    raise_exception: bool = True,
) -> OpReport:
    """Try the laws of differentiable functions on `f`, and show the smallest inputs that break one.

    The gradient beside finite differences, shapes and dtypes, linearity of the vjp, adjointness with the jvp,
    broadcasting, each input alone, determinism, memory, layout, the second derivative, and edges: empty and 0-d
    arrays, the points that `domain` avoids, its ends. `f`: a function of Tensors, of PyTorch, JAX, HIPS autograd or
    MyGrad (`framework=`, where its type does not say), or of NumPy with `backward(g, *inputs)`. `domain`: of all
    inputs or of each. `shapes`: those of the inputs, or a Hypothesis strategy for them; None for a function of any
    shapes, which broadcast. `examples`: by default a quarter of those of the Hypothesis profile. Raises OpCheckError
    with the report, unless `raise_exception=False`; DTypeError, ValueRangeError.

    >>> import tinygrad_dl as tg
    >>> from tinygrad_dl.op import Domain
    >>> check_op(tg.log, Domain(0.1, 5.0), examples=5).broken
    []
    """
    unknown = [name for name in skip if name not in (*LAWS, "edges")]
    if unknown:
        raise ValueRangeError(
            f"check_op: skip: expected some of {', '.join((*LAWS, 'edges'))}, got {unknown[0]!r}"
        )
    with journal.paused(), random_states_kept(), np.errstate(all="ignore"):
        search = Search(f, domain, shapes, backward, framework, examples, seed)
        report = OpReport(search.name, search.names)
        report.verdicts = search.survey([name for name in LAWS if name not in skip])
        if "edges" not in skip and all(v.law != "the call" for v in report.verdicts):
            report.verdicts.append(search.edges(report.notes))
    report.examples = search.examples
    journal.note("check_op", search.name, bool(report), str(report))
    if not report and raise_exception:
        raise OpCheckError(report)
    return report


class Search:
    """Random inputs of a function, and the search for those that break a law."""

    def __init__(
        self,
        f: Any,
        domain: Domain | Sequence[Domain] | None,
        shapes: Any,
        backward: Callable[..., Any] | None,
        framework: str | None,
        examples: int | None,
        seed: int,
    ) -> None:
        from tinygrad_dl.testing import strategies  # first: its error names the extra

        st = import_module("hypothesis.strategies")
        if not callable(f):
            raise DTypeError(f"check_op: f: expected a function, got {describe(f)}")
        self.f, self.backward, self.seed = f, backward, seed
        self.framework = (
            framework or framework_of(f, ()) or ("numpy" if backward is not None else "tinygrad_dl")
        )
        module_of(self.framework, "check_op")
        self.name = str(getattr(f, "__name__", type(f).__name__))
        self.examples = examples or max(10, strategies.settings_of_profile().max_examples // 4)
        fixed = shapes is not None and not isinstance(shapes, st.SearchStrategy)
        known = _parameters(f)
        if fixed:
            shapes = _fixed_shapes(shapes)
            count = len(shapes)
        elif domain is not None and not isinstance(domain, Domain):
            count = len(domain)
        else:
            count = len(known)
        if not count:
            raise ValueRangeError(
                f"check_op: expected a function whose signature says how many inputs it has, got {self.name}. Pass "
                "shapes=, or one domain for each input."
            )
        domains = [Domain()] if domain is None else [domain] if isinstance(domain, Domain) else list(domain)
        if len(domains) not in (1, count):
            raise ValueRangeError(
                f"check_op: domain: expected one, or one for each of {count} inputs, got {len(domains)}"
            )
        self.domains = domains * count if len(domains) == 1 else domains
        self.names = known[:count] if len(known) >= count else [f"input {k}" for k in range(count)]
        self.elementwise = shapes is None
        if fixed:
            drawn: Any = st.just(shapes)
        elif shapes is None:
            # JAX compiles its operations for every new shape, which takes as long as hundreds of calls.
            few = [((),) * count, ((2,),) * count, ((3,), *((1,),) * (count - 1))]
            drawn = (
                st.sampled_from(few)
                if self.framework == "jax"
                else strategies.broadcastable_shapes(count)
                if count > 1
                else strategies.shapes(min_side=1).map(lambda shape: (shape,))
            )
        else:
            drawn = shapes
        self.inputs = drawn.flatmap(self._arrays_of)
        self.usual: tuple[NDArray, ...] | None = None  # inputs of more than one element

    def _arrays_of(self, shapes: Any) -> Any:
        from tinygrad_dl.testing import strategies

        sizes = _fixed_shapes(shapes)
        if len(sizes) != len(self.domains):
            raise ValueRangeError(
                f"check_op: shapes: expected one shape for each of {len(self.domains)} inputs, got {shapes!r}"
            )
        return import_module("hypothesis.strategies").tuples(
            *(strategies.arrays(shape=s, domain=d) for s, d in zip(sizes, self.domains))
        )

    def subject(self, arrays: Sequence[NDArray]) -> Subject:
        """The function at some inputs."""
        return Subject(self.f, arrays, self.framework, self.backward, self.elementwise)

    def survey(self, laws: Sequence[str]) -> list[Verdict]:
        """Try all laws at random inputs, and search for the smallest inputs of those that are broken."""
        suspects: set[str] = set()
        applicable: set[str] = set()
        reasons: dict[str, str] = {}
        failing = False

        def look(arrays: tuple[NDArray, ...]) -> bool:
            nonlocal failing
            self.usual = self.usual or (arrays if all(a.size > 1 for a in arrays) else None)
            if self._failure(arrays):
                failing = True
                return True
            subject = self.subject(arrays)
            for law in laws:
                message, reason = _tried(law, subject)
                if message.startswith(RAISES) and "gradient" in suspects and law != "gradient":
                    message, reason = "", "the gradient cannot be computed"
                if reason:
                    reasons[law] = reason
                else:
                    applicable.add(law)
                if message:
                    suspects.add(law)
            return False

        self._find(look)
        if failing:
            arrays = self._find(lambda arrays: bool(self._failure(arrays)))
            assert arrays is not None
            said = self._failure(arrays)
            if self.elementwise:
                said = said.rstrip(".") + ". Where it takes some shapes only, pass shapes="
            return [Verdict("the call", "broken", said, arrays)]
        verdicts = []
        for law in laws:
            if law in suspects:
                verdicts.append(self._smallest(law))
            elif law in applicable:
                verdicts.append(Verdict(law, "holds"))
            else:
                verdicts.append(Verdict(law, "not applicable", reasons.get(law, "no inputs were found")))
        return verdicts

    def _failure(self, arrays: Sequence[NDArray]) -> str:
        """How the function fails at some inputs, "" where it runs."""
        try:
            with np.errstate(all="ignore"):
                self.subject(arrays)
        except Exception as error:
            said = str(error)
            if isinstance(error, DTypeError) and said.startswith(("gradcheck: ", "arrays: dtype: ")):
                raise DTypeError(f"check_op: {said.partition(': ')[2]}") from None
            where = ", ".join(str(a.shape) for a in arrays)
            said = " ".join(str(error).split())[:300]
            return f"it raises {type(error).__name__} for inputs of shape {where}: {said}"
        return ""

    def _smallest(self, law: str) -> Verdict:
        """The smallest inputs that break a law, and what it says there."""

        def breaks(arrays: tuple[NDArray, ...]) -> bool:
            return not self._failure(arrays) and bool(_tried(law, self.subject(arrays))[0])

        found = self._find(breaks)
        if found is None:  # it was broken once: the function is not deterministic
            return Verdict(
                law, "broken", "it was broken at one call, and kept at the next with the same inputs"
            )
        return Verdict(law, "broken", _tried(law, self.subject(found))[0], found)

    def _find(self, condition: Callable[[tuple[NDArray, ...]], bool]) -> tuple[NDArray, ...] | None:
        """The smallest inputs found that fulfill a condition."""
        import hypothesis
        from hypothesis.errors import NoSuchExample

        phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
        settings = hypothesis.settings(
            max_examples=self.examples, database=None, deadline=None, phases=phases,
            suppress_health_check=list[Any](hypothesis.HealthCheck), derandomize=False,
        )  # fmt: skip
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found: tuple[NDArray, ...] = hypothesis.find(
                    self.inputs, condition, settings=settings, random=Random(self.seed)
                )
        except NoSuchExample:
            return None
        return found

    def edges(self, notes: list[str]) -> Verdict:
        """The edges: small and empty shapes, the points that the domain avoids, and its ends."""
        for arrays, what in self._edge_inputs():
            try:
                with np.errstate(all="ignore"):
                    subject = self.subject(arrays)
            except Exception as error:
                notes.append(
                    f"{what} is refused: {type(error).__name__}: {' '.join(str(error).split())[:100]}"
                )
                continue
            try:
                with np.errstate(all="ignore"):
                    message = self._at_edge(subject)
            except Exception as error:
                message = f"raises {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            if message:
                return Verdict("edges", "broken", f"{what}: {message}", tuple(arrays))
        return Verdict("edges", "holds")

    def _at_edge(self, subject: Subject) -> str:
        for name, a, d in zip(subject.names, subject.arrays, subject.vjp(subject.seeds(0))):
            if d.shape != a.shape:
                return f"the gradient of {name} has the shape {d.shape}, the input {a.shape}"
        if not all(np.isfinite(r).all() for r in subject.results) or not any(a.size for a in subject.arrays):
            return ""
        # Where the derivative is infinite, 0 times it is nan.
        found = [
            f
            for f in subject.check(1).findings
            if f.kind not in NO_VERDICT and not (f.element is not None and np.isnan(f.analytic))
        ]
        return str(found[0]) if found else ""

    def _edge_inputs(self) -> Iterator[tuple[list[NDArray], str]]:
        rng = np.random.default_rng(self.seed)

        def drawn(shapes: Sequence[Any]) -> list[NDArray]:
            return [np.asarray(d.sample(rng, s)) for d, s in zip(self.domains, shapes)]

        if self.elementwise:
            for shape in EDGES:
                yield drawn([shape] * len(self.domains)), f"an input of shape {shape}"
        if self.usual is None:
            return
        shapes = [a.shape for a in self.usual]
        for k, domain in enumerate(self.domains):
            if domain.make is not None or not np.prod(shapes[k]):
                continue
            ends = [x for x in (domain.low, domain.high) if np.isfinite(x)]
            for x in dict.fromkeys((*domain.avoid, *ends)):
                for everywhere in (False, True):
                    arrays = drawn(shapes)
                    arrays[k].reshape(-1)[slice(None) if everywhere else slice(0, 1)] = x
                    yield arrays, f"{self.names[k]} at {x:g}"


def _tried(law: str, subject: Subject) -> tuple[str, str]:
    """What does not hold, and why the law says nothing; both "" where it holds."""
    try:
        return broken(LAWS[law], subject), ""
    except NotApplicable as reason:
        return "", str(reason)
    except Exception as error:
        return f"{RAISES} {type(error).__name__}: {' '.join(str(error).split())[:300]}", ""


def _fixed_shapes(shapes: Any) -> tuple[tuple[int, ...], ...]:
    """The shapes of all inputs; one shape is that of one input."""
    if not isinstance(shapes, (tuple, list)):
        raise DTypeError(f"check_op: shapes: expected shapes or a strategy for them, got {describe(shapes)}")
    sizes = [shapes] if all(isinstance(n, int) for n in shapes) else list(shapes)
    if not all(isinstance(s, (tuple, list)) and all(isinstance(n, int) and n >= 0 for n in s) for s in sizes):
        raise DTypeError(
            f"check_op: shapes: expected a tuple of sizes for each input, got {describe(shapes)}"
        )
    return tuple(tuple(s) for s in sizes)


def _parameters(f: Any) -> list[str]:
    """The names of the inputs that a function requires."""
    function = f.forward if isinstance(f, type) and hasattr(f, "forward") else f
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
    return names[1:] if isinstance(f, type) and names[:1] == ["ctx"] else names
