"""check_backward: check a forward and backward written by hand in NumPy, and name the likely mistake."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ShapeError, TinygradError, ValueRangeError
from tinygrad_dl.testing import finite_differences
from tinygrad_dl.testing.gradient_mistakes import Context, Guess, close, gradient_guesses, ranked
from tinygrad_dl.testing.graph_mistakes import Trace, variants
from tinygrad_dl.typing import NDArray

# A relative error below this is rounding: central differences in float64 are good to about 1e-10.
CLOSE = 1e-6


class BackwardError(TinygradError, AssertionError):
    """A hand-written backward is wrong; `diagnosis` says where and what the likely mistake is."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(str(diagnosis))
        self.diagnosis = diagnosis


class Diagnosis:
    """The result of check_backward; true if the backward is correct.

    `errors` (input -> |a - n| / (|a| + |n|)), `wrong` (names of the inputs), `guesses` (most likely first),
    `traced` (whether autograd could follow the forward), `note`.
    """

    def __init__(self) -> None:
        self.errors: dict[str, float] = {}
        self.wrong: list[str] = []
        self.guesses: list[Guess] = []
        self.traced = False
        self.note = ""

    def __bool__(self) -> bool:
        return not self.wrong and not self.guesses

    @property
    def mistake(self) -> str | None:
        """The kind of the most likely mistake, such as "missing 1/m"; None if nothing matches."""
        return self.guesses[0].kind if self.guesses else None

    def __str__(self) -> str:
        if self:
            worst = max(self.errors.values(), default=0.0)
            count = len(self.errors)
            return f"backward is correct: all {count} gradients agree with finite differences (error {worst:.2g})"
        lines = [f"backward is wrong for {', '.join(self.wrong)}" if self.wrong else "backward is wrong"]
        for name, error in self.errors.items():
            verdict = "wrong" if name in self.wrong else "correct"
            lines.append(f"  d{name}: {verdict}, |a-n| / (|a|+|n|) = {error:.2g}")
        if self.guesses:
            lines.append(f"  likely mistake: {self.guesses[0]}")
            lines += [f"  or: {guess}" for guess in self.guesses[1:3]]
        else:
            lines.append("  no known mistake explains it")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


class Pair:
    """A forward and a backward function, called as the courses write them."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any], inputs: Any) -> None:
        self.forward, self.backward = forward, backward
        self.by_name = isinstance(inputs, Mapping)  # forward takes one dictionary of parameters
        if isinstance(inputs, Mapping):
            self.names, values = [str(n) for n in inputs], list(inputs.values())
        else:
            values = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
            self.names = _names(forward, len(values))
        self.values = [
            np.array(v) if isinstance(v, (np.ndarray, list, float, np.floating)) else v for v in values
        ]
        # Positions of the inputs to differentiate: the floating-point arrays.
        self.live = [
            k for k, v in enumerate(self.values) if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        ]
        if not self.live:
            raise DTypeError(
                "check_backward: expected at least one floating-point array among the inputs, got none: there is no "
                "gradient to check"
            )
        for k in self.live:
            self.values[k] = self.values[k].astype(np.float64)
        self.state = np.random.get_state()  # noqa: NPY002

    def pack(self, values: Sequence[Any]) -> list[Any]:
        """Return the arguments of forward: one dictionary of parameters, or the inputs one by one."""
        return [dict(zip(self.names, values))] if self.by_name else list(values)

    def run(self, values: Sequence[Any]) -> tuple[Any, Any, bool]:
        """Return the output, the cache, and whether there is one; NumPy's global generator draws the same each time."""
        with _random_state(self.state):
            result = self.forward(*self.pack(values))
        cached = isinstance(result, tuple) and len(result) == 2
        return (result[0], result[1], True) if cached else (result, None, False)

    def value(self, arrays: Sequence[NDArray]) -> NDArray:
        """Return the output as a flat array, at other values of the inputs to differentiate."""
        values = list(self.values)
        for k, array in zip(self.live, arrays):
            values[k] = array
        return np.asarray(self.run(values)[0], np.float64).reshape(-1)

    def gradients(self, g: NDArray, values: Sequence[Any]) -> dict[str, Any]:
        """Return the learner's gradients by the name of the input, without the missing ones."""
        # Copies, since a backward may write into its inputs or its cache.
        copies = [np.array(v) if isinstance(v, np.ndarray) else v for v in values]
        output, cache, cached = self.run(copies)
        seed = g.reshape(np.shape(output)) if np.ndim(output) else float(g.reshape(()))
        choices = (
            [[seed, cache], [cache]] if cached else [[seed, *self.pack(copies)], self.pack(copies), [seed]]
        )
        with _random_state(self.state):
            result = self.backward(*_matching_arguments(self.backward, choices))
        return self._by_name(result)

    def _by_name(self, result: Any) -> dict[str, Any]:
        live = [self.names[k] for k in self.live]
        if isinstance(result, Mapping):
            found = {}
            for name in live:
                for key in (f"d{name}", name, f"grad_{name}", f"grad{name}", f"{name}_grad"):
                    if key in result:
                        found[name] = np.asarray(result[key], np.float64)
                        break
            return found
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        # One result per input, None for the integers, or one per input to differentiate.
        names = self.names if len(results) == len(self.names) else live
        if len(results) != len(names):
            raise ShapeError(
                f"check_backward: expected backward to return the gradients of {', '.join(live)}, got {len(results)} "
                "results"
            )
        return {n: np.asarray(r, np.float64) for n, r in zip(names, results) if r is not None and n in live}


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    *,
    seed: int = 0,
    raise_exception: bool = False,
) -> Diagnosis:
    """Check a backward written by hand in NumPy, and name the likely mistake.

    `inputs`: arrays, or a dictionary of parameters. `forward(*inputs)` or `forward(parameters)` returns the
    output, or (output, cache). `backward(g, cache)`, `backward(cache)`, `backward(g, *inputs)` or
    `backward(*inputs)` returns the gradients in order, or by name: {"dW1": ...}; `g` is the gradient of the
    output. Raises DTypeError, ShapeError, ValueRangeError, and BackwardError only with `raise_exception=True`.

    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> check_backward(lambda x: (x**2).mean(), lambda x: 2 * x, x).mistake
    'missing 1/m'
    """
    pair = Pair(forward, backward, inputs)
    diagnosis = Diagnosis()
    arrays = [pair.values[k] for k in pair.live]
    output = pair.value(arrays)
    if not np.array_equal(output, pair.value(arrays), equal_nan=True):
        raise ValueRangeError(
            "check_backward: expected forward to be deterministic, but two calls with the same inputs differ. "
            "Call np.random.seed(...) inside forward, or pass the mask as an argument."
        )
    # A random gradient of the output distinguishes the elements of the output; a cost has the gradient 1.
    g = np.ones(1) if output.size == 1 else np.random.default_rng(seed).standard_normal(output.size)
    with np.errstate(all="ignore"):
        truth = _differences(pair, arrays, g)
        before = [a.copy() for a in arrays]
        given = pair.gradients(g, pair.values)
        for name, error in _errors(given, truth).items():
            diagnosis.errors[name] = error
            if not error < CLOSE:
                diagnosis.wrong.append(name)
        trace = Trace.of(pair, g)
        diagnosis.traced = trace is not None and trace.agrees(truth)
        stale = _stale(pair, g, before, given, truth)
        if stale is not None:
            diagnosis.wrong = diagnosis.wrong or stale.inputs
            diagnosis.guesses = [stale]
        elif diagnosis.wrong:
            values = dict(zip((pair.names[k] for k in pair.live), arrays))
            everything = [*pair.values, *_arrays_in(pair.run(pair.values)[1]), output]
            context = Context(given, truth, values, everything)
            guesses = gradient_guesses(context)
            if diagnosis.traced and trace is not None:
                guesses += variants(trace, context)
            diagnosis.guesses = ranked(guesses, diagnosis.wrong)
        if not diagnosis.traced:
            diagnosis.note = (
                "autograd could not trace the forward, which uses more than NumPy functions: "
                "finite differences only"
            )
    if not diagnosis and raise_exception:
        raise BackwardError(diagnosis)
    return diagnosis


def _differences(pair: Pair, arrays: Sequence[NDArray], g: NDArray) -> dict[str, NDArray]:
    truth = {}
    for position, k in enumerate(pair.live):
        columns = finite_differences.columns(pair.value, arrays, position)
        gradient = [float(g @ column) for column in columns]
        truth[pair.names[k]] = np.array(gradient).reshape(arrays[position].shape)
    return truth


def _errors(given: Mapping[str, Any], truth: Mapping[str, NDArray]) -> dict[str, float]:
    errors = {}
    for name, correct in truth.items():
        a = given.get(name)
        if a is None or np.shape(a) != correct.shape:
            errors[name] = float("inf")
        elif np.linalg.norm(correct) < 1e-9 and np.linalg.norm(a) < 1e-9:
            # Both are 0 up to the error of the differences, whose relative error says nothing.
            errors[name] = 0.0
        else:
            errors[name] = finite_differences.relative_error(a, correct)
            if np.isnan(errors[name]):
                errors[name] = float("inf")
    return errors


def _arrays_in(cache: Any) -> Iterator[NDArray]:
    """Yield the arrays in a cache of nested tuples, lists and dictionaries."""
    stack = [cache]
    while stack:
        item = stack.pop()
        if isinstance(item, np.ndarray):
            yield item
        elif isinstance(item, Mapping):
            stack += list(item.values())
        elif isinstance(item, (tuple, list)):
            stack += list(item)


def _stale(
    pair: Pair,
    g: NDArray,
    first: list[NDArray],
    given: Mapping[str, Any],
    truth: Mapping[str, NDArray],
) -> Guess | None:
    """Detect a cache that forward does not update: at other inputs, backward returns the same gradients."""
    # Small relative changes: the inputs stay in the domain of the forward.
    moved = list(pair.values)
    rng = np.random.default_rng(1)
    for k, array in zip(pair.live, first):
        moved[k] = array * (1 + 0.1 * rng.uniform(-1, 1, array.shape)) + 0.01
    try:
        again = pair.gradients(g, moved)
    except Exception:
        return None
    original, pair.values = pair.values, moved
    other = _differences(pair, [moved[k] for k in pair.live], g)
    pair.values = original
    wrong = [n for n, e in _errors(again, other).items() if not e < CLOSE]
    same = [n for n in wrong if n in given and close(again.get(n), given[n])]
    stale = [n for n in same if not close(other[n], truth[n])]
    correct_before = [n for n in stale if close(given[n], truth[n])]
    if wrong and correct_before and len(stale) == len(wrong):
        words = "the gradients do not change with the inputs: backward reads values of an earlier forward"
        return Guess("stale cache", words, wrong, 0)
    return None


@contextmanager
def _random_state(state: Any) -> Iterator[None]:
    """Set NumPy's global random state in a block and restore it: courses draw dropout masks from it."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _names(forward: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return plain[:count] if len(plain) >= count else [f"x{i}" for i in range(count)]


def _matching_arguments(function: Callable[..., Any], choices: Sequence[list[Any]]) -> list[Any]:
    """Return the first list of arguments that the signature of the function accepts."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return choices[0]
    for arguments in choices:
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return arguments
    raise DTypeError(
        f"check_backward: expected backward to take (g, cache) or (cache) when forward returns (output, cache), "
        f"otherwise (g, *inputs) or (*inputs), got {signature}"
    )
