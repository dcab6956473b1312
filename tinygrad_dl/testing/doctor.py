"""check_backward: check a forward and backward written by hand in NumPy, and name the likely mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from tinygrad_dl.arguments import Size, checked
from tinygrad_dl.errors import TinygradError, ValueRangeError
from tinygrad_dl.testing import finite_differences, forms, journal
from tinygrad_dl.testing.calls import random_states_kept
from tinygrad_dl.testing.forms import Objects, Pair
from tinygrad_dl.testing.frameworks.handwritten import converted
from tinygrad_dl.testing.gradient_mistakes import Context, Guess, close, gradient_guesses, ranked
from tinygrad_dl.testing.graph_mistakes import Trace, penalties, variants
from tinygrad_dl.testing.numeric_gradient import NumericGradient
from tinygrad_dl.testing.source_lines import gradient_line
from tinygrad_dl.typing import NDArray

MISSING = object()


class BackwardError(TinygradError, AssertionError):
    """A hand-written backward is wrong; `diagnosis` says where and what the likely mistake is."""

    @checked
    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(str(diagnosis))
        self.diagnosis = diagnosis


class Diagnosis:
    """The result of check_backward; true if the backward is correct.

    `errors` (input -> |a - n| / (|a| + |n|)), `wrong` (names of the inputs), `unclear` (input -> why it cannot be told
    here), `guesses` (most likely first), `lines` (input -> the line of backward that computes its gradient), `form`
    (how the functions were read), `traced` (whether autograd could follow the forward), `note`.
    """

    def __init__(self) -> None:
        self.errors: dict[str, float] = {}
        self.wrong: list[str] = []
        self.unclear: dict[str, str] = {}
        self.guesses: list[Guess] = []
        self.lines: dict[str, str] = {}
        self.form = ""
        self.traced = False
        self.note = ""
        self.doubtful: list[str] = []  # inputs whose gradients agree here, as those of a wrong backward might

    def __bool__(self) -> bool:
        return not self.wrong and not self.guesses and not self.unclear

    @property
    def verdict(self) -> str:
        """ "correct", "wrong" or "cannot tell"."""
        return "correct" if self else "wrong" if self.wrong or self.guesses else "cannot tell"

    @property
    def mistake(self) -> str | None:
        """The kind of the most likely mistake, such as "missing 1/m"; None if nothing matches."""
        return self.guesses[0].kind if self.guesses else None

    def __str__(self) -> str:
        notes = "".join(
            f"\n  {note}" for note in (self.note, f"read as: {self.form}" if self.form else "") if note
        )
        if self:
            worst = max(self.errors.values(), default=0.0)
            count = len(self.errors)
            agree = "the gradient agrees" if count == 1 else f"all {count} gradients agree"
            verdict = f"backward is correct: {agree} with finite differences"
            return f"{verdict} (error {worst:.2g}){notes}"
        if not self.wrong and not self.guesses:
            lines = [f"cannot tell whether backward is correct for {', '.join(self.unclear)}"]
            return "\n".join(lines + [f"  d{name}: {why}" for name, why in self.unclear.items()]) + notes
        verdict = "backward is wrong"
        if self.mistake == "input modified":
            verdict = f"{self.guesses[0].words.split()[0]} changes its input"
        lines = [f"backward is wrong for {', '.join(self.wrong)}" if self.wrong else verdict]
        for name, error in self.errors.items():
            verdict = "wrong" if name in self.wrong else "correct"
            lines.append(f"  d{name}: {verdict}, |a-n| / (|a|+|n|) = {error:.2g}")
        if self.guesses:
            lines.append(f"  likely mistake: {self.guesses[0]}")
            explained = set(self.guesses[0].inputs)
            for guess in self.guesses[1:3]:
                # What explains another gradient is a second mistake, not another reading of the first.
                lines.append(f"  {'or' if explained & set(guess.inputs) else 'and'}: {guess}")
                explained |= set(guess.inputs)
            if self.guesses[0].place:
                lines.append(f"  in the derivative of {self.guesses[0].place}")
        else:
            lines.append("  no known mistake explains it")
        lines += [f"  d{name} is computed in {line}" for name, line in list(self.lines.items())[:4]]
        return "\n".join(lines) + notes

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


@checked
def check_backward(
    forward: Any,
    backward: Any = MISSING,
    inputs: Any = MISSING,
    *,
    seed: Size = 0,
    raise_exception: bool = True,
) -> Diagnosis:
    """Check a backward written by hand in NumPy, and name the likely mistake.

    `forward(*inputs)` or `forward(parameters)` returns the output, or (output, cache). `backward(g, cache)`,
    `backward(cache)`, `backward(g, *inputs)`, `backward(*inputs)` or `backward(g)` returns the gradients in order,
    or by name: {"dW1": ...}; `g` is the gradient of the output. Or check_backward(layer, x) of an object with
    forward and backward, of a list of them, or of a network with loss and gradient: its parameters are checked,
    too; or check_backward(f, x) of an autograd.Function class or a custom_vjp. Functions may take PyTorch's tensors
    or JAX's arrays: pass these as inputs. Raises BackwardError with the diagnosis, unless `raise_exception=False`;
    DTypeError, ShapeError, ValueRangeError.

    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> check_backward(lambda x: (x**2).mean(), lambda x: 2 * x, x, raise_exception=False).mistake
    'missing 1/m'
    """
    subject = forward
    forward, backward, inputs = converted(forward, backward, inputs, MISSING)
    pair = forms.read(forward, backward, inputs, MISSING)
    try:
        with random_states_kept(), np.errstate(all="ignore"):
            diagnosis = _diagnose(pair, seed)
            if diagnosis and diagnosis.doubtful:
                diagnosis = _diagnose_elsewhere(pair, seed, diagnosis)
    finally:
        pair.restore()
    if diagnosis.wrong:
        functions = _functions_of(pair, backward)
        found = {name: gradient_line(f, name) for name in diagnosis.wrong for f in functions}
        diagnosis.lines = {name: line for name, line in found.items() if line}
    name = str(getattr(subject, "__name__", type(subject).__name__))
    journal.note("check_backward", name, diagnosis.verdict, str(diagnosis))
    if not diagnosis and raise_exception:
        raise BackwardError(diagnosis)
    return diagnosis


def _functions_of(pair: Pair, backward: Any) -> list[Callable[..., Any]]:
    if not isinstance(pair, Objects):
        return [backward]
    return [layer.gradient if pair.network else layer.backward for layer in pair.layers]


def _diagnose(pair: Pair, seed: int) -> Diagnosis:
    diagnosis = Diagnosis()
    output = pair.value(pair.arrays)
    if not np.array_equal(output, pair.value(pair.arrays), equal_nan=True):
        raise ValueRangeError(
            "check_backward: expected forward to be deterministic, but two calls with the same inputs differ. "
            "Call np.random.seed(...), or make the generator, np.random.default_rng(...), inside forward, or pass the "
            "mask as an argument."
        )
    g = _output_gradient(output, seed)
    given = pair.gradients(g, pair.arrays)
    differences = _differences(pair, g)
    ignored = _is_constant(differences) and any(np.any(a != 0) for a in given.values())
    if ignored and pair.may_be_captured():
        # A method of a network uses its own parameters, whatever it is given: move these.
        pair.captured = True
        differences = _differences(pair, g)
        ignored = _is_constant(differences)
        pair.captured = not ignored
    ignored = ignored and _ignores(pair)
    trace = Trace.of(pair, g)
    by_autograd = trace.gradients() if trace is not None else {}
    diagnosis.traced = trace is not None and not _wrong(by_autograd, differences)
    if diagnosis.traced:
        for name, a in by_autograd.items():
            differences[name].trust(a)
    for name, numeric in differences.items():
        diagnosis.errors[name] = numeric.error(given.get(name))
    diagnosis.wrong, diagnosis.unclear = _judge(given, differences)
    # Two independent derivations agree: it is the differences that are wrong, by the rounding of the output.
    doubted = _doubted(diagnosis.wrong, given, by_autograd, differences)
    if doubted and not pair.modified:
        diagnosis.unclear |= doubted
        diagnosis.wrong = [n for n in diagnosis.wrong if n not in doubted]
    if diagnosis.unclear and not diagnosis.wrong and not ignored:
        _judge_elsewhere(pair, g, diagnosis)
    diagnosis.doubtful = _doubtful(given, differences, by_autograd if diagnosis.traced else {})
    # At a kink every derivative between the two sides is correct: mistakes are looked for beside autograd's, which has
    # no error of differences either.
    truth = {}
    for name, numeric in differences.items():
        exact, a = by_autograd.get(name) if diagnosis.traced else None, given.get(name)
        truth[name] = exact if exact is not None else numeric.nearest(a)
        if a is not None and a.size == numeric.central.size and a.shape != numeric.central.shape:
            # A gradient of another shape whose values are correct, at a kink others than those of autograd.
            reshaped = a.reshape(numeric.central.shape)
            truth[name] = reshaped if numeric.agrees(reshaped) else truth[name]
    stale = _stale(pair, g, given, truth)
    if pair.modified:
        words = "forward changes this input in place: compute a new array, x = x - m instead of x -= m"
        diagnosis.guesses = [Guess("input modified", words, pair.modified, 0)]
    elif ignored:
        words = "the result of forward is the same at other inputs: it does not use them"
        diagnosis.guesses = [Guess("no dependence", words, list(differences), 0)]
    elif pair.spoiled:
        words = "backward changes this input in place: compute a new array, W = W - d instead of W -= d"
        diagnosis.guesses = [Guess("input modified", words, pair.spoiled, 0)]
    elif stale is not None:
        diagnosis.wrong = diagnosis.wrong or stale.inputs
        diagnosis.guesses = [stale]
    elif diagnosis.wrong:
        values = dict(zip(pair.names, pair.arrays))
        everything = [*pair.seen(), *(trace.constants if trace is not None else [])]
        context = Context(given, truth, values, everything, diagnosis.wrong)
        context.jacobians = {name: numeric.jacobian for name, numeric in differences.items()}
        if diagnosis.traced and trace is not None:
            context.penalties = penalties(trace, truth)
        context.divisors = trace.divisors() if diagnosis.traced and trace is not None else set()
        context.g, context.output = g, np.shape(pair.seen()[-1])
        guesses = gradient_guesses(context)
        if diagnosis.traced and trace is not None:
            guesses += variants(trace, context)
        diagnosis.guesses = ranked(guesses, diagnosis.wrong)
    notes = [diagnosis.note] if diagnosis.note else []
    if pair.writes_into_g:
        notes.append(
            "backward writes into dout, the gradient that it is given: work on a copy, dx = dout.copy()"
        )
    if pair.captured:
        notes.append("forward uses the arrays from outside, which were moved: finite differences only")
    elif trace is not None and not diagnosis.traced:
        notes.append(
            "autograd gives another gradient, of a part or of rounded values: finite differences only"
        )
    elif not diagnosis.traced:
        notes.append(
            "autograd could not trace the forward, which uses more than NumPy functions: finite differences only"
        )
    diagnosis.note = "\n  ".join(notes)
    diagnosis.form = pair.form
    return diagnosis


# Two derivations of a gradient in float64 differ by less.
ROUNDED = 1e-9
# An error above this is no rounding, in float32 either.
CERTAIN = 1e-4
HIDDEN = "the gradient is too small to be told beside the rounding of the output"


# The random numbers of a check are others than those of default_rng(0), which the inputs are often drawn from.
OWN = (26, 1)


def _output_gradient(output: NDArray, seed: int) -> NDArray:
    # A random gradient of the output distinguishes the elements of the output; a cost has the gradient 1.
    return (
        np.ones(1) if output.size == 1 else np.random.default_rng([seed, *OWN]).standard_normal(output.size)
    )


def _differences(pair: Pair, g: NDArray) -> dict[str, NumericGradient]:
    return {name: NumericGradient(pair.value, pair.arrays, k, g) for k, name in enumerate(pair.names)}


def _doubted(
    wrong: Sequence[str],
    given: Mapping[str, Any],
    by_autograd: Mapping[str, NDArray],
    differences: Mapping[str, NumericGradient],
) -> dict[str, str]:
    """The inputs whose gradients autograd agrees with, and differences do not, with the reason."""
    found = [
        n for n in wrong if n in by_autograd and _contradict(given.get(n), by_autograd[n], differences[n])
    ]
    return dict.fromkeys(found, "differences of the output are off by its rounding around it")


def _contradict(a: NDArray | None, exact: NDArray, numeric: NumericGradient) -> bool:
    """Whether a gradient is that of autograd rather than that of differences, up to the rounding of each.

    Where the output saturates, as log(1 - a) does for a next to 1, it is a staircase, and autograd's is rounded, too.
    """
    if a is None or a.shape != exact.shape:
        return False
    apart = finite_differences.relative_error(a, exact)
    return apart < 1e-6 or apart < 0.2 * min(numeric.error(a), numeric.error(exact))


def _ignores(pair: Pair) -> bool:
    """Whether the output is the same at inputs far away."""
    rng, start = np.random.default_rng(3), pair.value(pair.arrays)
    moved = ([a + scale * rng.standard_normal(a.shape) for a in pair.arrays] for scale in (0.5, 3.0))
    return all(np.array_equal(pair.value(arrays), start) for arrays in moved)


def _is_constant(differences: Mapping[str, NumericGradient]) -> bool:
    return not any(np.any(d.left) or np.any(d.right) for d in differences.values())


def _wrong(given: Mapping[str, Any], differences: Mapping[str, NumericGradient]) -> list[str]:
    return [name for name, numeric in differences.items() if numeric.agrees(given.get(name)) is False]


def _judge(
    given: Mapping[str, Any], differences: Mapping[str, NumericGradient]
) -> tuple[list[str], dict[str, str]]:
    """The inputs with a wrong gradient, and those of which nothing can be told, with the reason."""
    wrong, unclear = [], {}
    largest = max((float(np.max(np.abs(d.central), initial=0.0)) for d in differences.values()), default=0.0)
    for name, numeric in differences.items():
        a = given.get(name)
        verdict = numeric.agrees(a)
        if verdict is False:
            wrong.append(name)
        elif numeric.unclear:
            i, reason = next(iter(numeric.unclear.items()))
            index = np.unravel_index(i, numeric.central.shape)
            where = f"[{', '.join(str(int(n)) for n in index)}]" if index else ""
            unclear[name] = f"{reason} the value of {name}{where}. Move it away from there."
        elif verdict is None and np.max(np.abs(np.asarray(a)), initial=0.0) > 1e-13 * max(
            largest, numeric.scale
        ):
            unclear[name] = HIDDEN
    return wrong, unclear


def _doubtful(
    given: Mapping[str, Any], differences: Mapping[str, NumericGradient], by_autograd: Mapping[str, NDArray]
) -> list[str]:
    """The inputs whose gradients would agree here with those of many a wrong backward, too.

    Units at a kink allow every derivative between the two sides, a gradient of zeros has the same sum, sign and factor
    whatever backward does, and near 0 a wrong function may be close to the right one.
    """
    found = []
    for name, numeric in differences.items():
        a, exact = given.get(name), by_autograd.get(name)
        off = a is not None and exact is not None and not close(a, exact, ROUNDED)
        if numeric.kinks or off or not np.any(a):
            found.append(name)
    return found


def _diagnose_elsewhere(pair: Pair, seed: int, here: Diagnosis) -> Diagnosis:
    """The diagnosis at other inputs where a gradient that is doubtful here is wrong for certain; `here` if none is."""
    rng, start = np.random.default_rng(4), pair.arrays
    g = _output_gradient(pair.value(start), seed)
    given, before = pair.gradients(g, start), set[str]()
    for keep, scale in ((1.0, 0.1), (1.0, 0.5), (0.0, 0.5)):
        moved = [keep * a + scale * rng.standard_normal(a.shape) for a in start]
        try:
            pair.arrays, pair.placing = moved, True
            if not np.isfinite(pair.value(moved)).all():
                continue
            again = pair.gradients(g, moved)
            # A gradient that does not depend on the inputs may have been computed for these alone.
            moving = [
                n for n in here.doubtful if not np.any(given[n]) or not np.array_equal(again[n], given[n])
            ]
            other = {n: NumericGradient(pair.value, moved, pair.names.index(n), g) for n in moving}
            wrong, unclear = _judge(again, other)
            if unclear:
                continue
            certain = {n for n in wrong if not other[n].kinks and other[n].error(again.get(n)) > CERTAIN}
            trace = Trace.of(pair, g)
            if trace is None:
                # Two points have to show it.
                certain, before = certain & before, certain
            else:
                # Where autograd contradicts the differences, these are off by the rounding of the output.
                by_autograd = trace.gradients()
                certain = {n for n in certain if other[n].agrees(by_autograd.get(n))}
            if not certain:
                continue
            found = _diagnose(pair, seed)
        except Exception:  # outside the domain of the forward
            continue
        finally:
            pair.arrays, pair.placing = start, False
        if certain & set(found.wrong):
            words = f"{keep:g} times the inputs plus normal random numbers times {scale:g}"
            note = f"the gradients agree at the inputs, where a wrong backward may, too; these are those at {words}"
            found.note = "\n  ".join(part for part in (note, found.note) if part)
            return found
    return here


def _judge_elsewhere(pair: Pair, g: NDArray, diagnosis: Diagnosis) -> None:
    """Judge gradients of which nothing can be told here at other inputs: smaller ones, and random ones."""
    rng = np.random.default_rng(2)
    start = pair.arrays
    for keep, scale in ((0.3, 0.1), (1.0, 0.5), (1.0, 2.0), (0.0, 0.5)):
        names = list(diagnosis.unclear)
        moved = [keep * a + scale * rng.standard_normal(a.shape) for a in start]
        try:
            pair.arrays, pair.placing = moved, True
            if not np.isfinite(pair.value(moved)).all():
                continue
            again, other = pair.gradients(g, moved), _differences(pair, g)
            wrong, unclear = _judge({n: again.get(n) for n in names}, {n: other[n] for n in names})
            trace = Trace.of(pair, g)
            exact = trace.gradients() if trace is not None and wrong else {}
            doubted = _doubted(wrong, again, exact, other)
            wrong, unclear = [n for n in wrong if n not in doubted], unclear | doubted
        except Exception:  # outside the domain of the forward
            continue
        finally:
            pair.arrays, pair.placing = start, False
        words = f"judged at {keep:g} times the inputs plus normal random numbers times {scale:g}"
        if wrong:
            why = diagnosis.unclear[wrong[0]]
            diagnosis.note = f"d{wrong[0]} cannot be told here ({why}), and was {words}"
            diagnosis.wrong, diagnosis.unclear = wrong, {}
            return
        for name in [n for n in names if n not in unclear]:
            diagnosis.errors[name] = other[name].error(again.get(name))
            diagnosis.note = f"d{name} cannot be told here ({diagnosis.unclear.pop(name)}), and was {words}"
        if not diagnosis.unclear:
            return


def _stale(pair: Pair, g: NDArray, given: Mapping[str, Any], truth: Mapping[str, NDArray]) -> Guess | None:
    """Detect a cache that forward does not update: at other inputs, backward returns the same gradients."""
    # Small relative changes: the inputs stay in the domain of the forward.
    rng = np.random.default_rng(1)
    start = pair.arrays
    moved = [array * (1 + 0.1 * rng.uniform(-1, 1, array.shape)) + 0.01 for array in start]
    try:
        pair.placing = True
        again = pair.gradients(g, moved)
        if not any(n in given and close(again.get(n), given[n]) for n in truth):
            return None
        pair.arrays = moved
        other = _differences(pair, g)
        wrong = _wrong(again, other)
    except Exception:
        return None
    finally:
        pair.arrays, pair.placing = start, False
    same = [n for n in wrong if n in given and close(again.get(n), given[n])]
    stale = [n for n in same if not close(other[n].central, truth[n])]
    correct_before = [n for n in stale if close(given[n], truth[n])]
    if wrong and correct_before and len(stale) == len(wrong):
        words = "the gradients do not change with the inputs: backward reads values of an earlier forward"
        return Guess("stale cache", words, wrong, 0)
    return None
