"""check_backward: a learner's own forward and backward in plain NumPy, and the likely mistake in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ShapeError, TinygradError, ValueRangeError
from tinygrad_dl.testing import finite_differences, gradient_mistakes, graph_mistakes

CLOSE = 1e-6


class BackwardError(TinygradError, AssertionError):
    """A hand-written backward is wrong; `diagnosis` says where and what the likely mistake is."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(str(diagnosis))
        self.diagnosis = diagnosis


class Diagnosis:
    """What the doctor found; true if the backward is right.

    `errors` (input -> |a - n| / (|a| + |n|)), `wrong` (names of the inputs), `guesses` (the likeliest first),
    `traced` (whether autograd could follow the forward too), `note`.
    """

    def __init__(self) -> None:
        self.errors: dict[str, float] = {}
        self.wrong: list[str] = []
        self.guesses: list[gradient_mistakes.Guess] = []
        self.traced = False
        self.note = ""

    def __bool__(self) -> bool:
        return not self.wrong and not self.guesses

    @property
    def mistake(self) -> str | None:
        """The kind of the likeliest mistake, such as "missing 1/m"; None if nothing fits."""
        return self.guesses[0].kind if self.guesses else None

    def __str__(self) -> str:
        if self:
            worst = max(self.errors.values(), default=0.0)
            count = len(self.errors)
            return f"backward is right: all {count} gradients agree with differences (error {worst:.2g})"
        lines = [f"backward is wrong for {', '.join(self.wrong)}" if self.wrong else "backward is wrong"]
        for name, error in self.errors.items():
            mark = "wrong" if name in self.wrong else "right"
            lines.append(f"  d{name}: {mark}, |a-n| / (|a|+|n|) = {error:.2g}")
        if self.guesses:
            lines.append(f"  likely mistake: {self.guesses[0]}")
            lines += [f"  or: {guess}" for guess in self.guesses[1:3]]
        else:
            lines.append("  no known kind of mistake explains it")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


class Pair:
    """A forward and a backward function, called as the courses write them."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any], inputs: Any) -> None:
        self.forward, self.backward = forward, backward
        self.whole = isinstance(inputs, Mapping)
        if isinstance(inputs, Mapping):
            self.names, values = [str(n) for n in inputs], list(inputs.values())
        else:
            values = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
            self.names = _names(forward, len(values))
        self.values = [
            np.array(v) if isinstance(v, (np.ndarray, list, float, np.floating)) else v for v in values
        ]
        self.live = [
            k for k, v in enumerate(self.values) if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        ]
        if not self.live:
            raise DTypeError(
                "check_backward: none of the inputs is a floating array, so there is no gradient to check"
            )
        for k in self.live:
            self.values[k] = self.values[k].astype(np.float64)
        self.state = np.random.get_state()  # noqa: NPY002

    def pack(self, values: Sequence[Any]) -> list[Any]:
        """The arguments of forward: the dictionary of parameters whole, or the inputs one by one."""
        return [dict(zip(self.names, values))] if self.whole else list(values)

    def run(self, values: Sequence[Any]) -> tuple[Any, Any, bool]:
        """The output, the cache, whether there is one; NumPy's old random state is the same each time."""
        with _same_draws(self.state):
            result = self.forward(*self.pack(values))
        cached = isinstance(result, tuple) and len(result) == 2
        return (result[0], result[1], True) if cached else (result, None, False)

    def value(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The output as a flat array, for differences in the floating inputs."""
        values = list(self.values)
        for k, array in zip(self.live, arrays):
            values[k] = array
        return np.asarray(self.run(values)[0], np.float64).reshape(-1)

    def gradients(self, g: np.ndarray, values: Sequence[Any]) -> dict[str, Any]:
        """The learner's gradients by the name of the input; absent ones are left out."""
        copies = [np.array(v) if isinstance(v, np.ndarray) else v for v in values]
        output, cache, cached = self.run(copies)
        seed = g.reshape(np.shape(output)) if np.ndim(output) else float(g.reshape(()))
        choices = (
            [[seed, cache], [cache]] if cached else [[seed, *self.pack(copies)], self.pack(copies), [seed]]
        )
        with _same_draws(self.state):
            result = self.backward(*_fitting(self.backward, choices))
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
        several = list(result) if isinstance(result, (tuple, list)) else [result]
        names = self.names if len(several) == len(self.names) else live
        if len(several) != len(names):
            raise ShapeError(
                f"check_backward: backward gave {len(several)} gradients for the inputs {', '.join(live)}"
            )
        return {n: np.asarray(r, np.float64) for n, r in zip(names, several) if r is not None and n in live}


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    *,
    seed: int = 0,
    raise_exception: bool = False,
) -> Diagnosis:
    """Check a hand-written backward in plain NumPy, and name the likely mistake.

    `inputs`: arrays, or a dictionary of parameters. `forward(*inputs)` or `forward(parameters)` gives the
    output, or (output, cache). `backward(g, cache)`, `backward(cache)`, `backward(g, *inputs)` or
    `backward(*inputs)` gives the gradients in order, or by name: {"dW1": ...}; `g` is the gradient of the
    output. Raises BackwardError only with `raise_exception=True`.
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
            "check_backward: two calls of forward with the same inputs differ. "
            "Fix its random numbers: np.random.seed(...) inside, or pass the mask in."
        )
    g = np.ones(1) if output.size == 1 else np.random.default_rng(seed).standard_normal(output.size)
    with np.errstate(all="ignore"):
        truth = _differences(pair, arrays, g)
        before = [a.copy() for a in arrays]
        given = pair.gradients(g, pair.values)
        for name, error in _errors(given, truth).items():
            diagnosis.errors[name] = error
            if not error < CLOSE:
                diagnosis.wrong.append(name)
        trace = graph_mistakes.Trace.of(pair, g)
        diagnosis.traced = trace is not None and trace.agrees(truth)
        stale = _stale(pair, g, before, given, truth)
        if stale is not None:
            diagnosis.wrong = diagnosis.wrong or stale.inputs
            diagnosis.guesses = [stale]
        elif diagnosis.wrong:
            known = dict(zip((pair.names[k] for k in pair.live), arrays))
            seen = [*pair.values, *_arrays_in(pair.run(pair.values)[1]), output]
            context = gradient_mistakes.Context(given, truth, known, seen)
            ranked = gradient_mistakes.local(context)
            if diagnosis.traced and trace is not None:
                ranked += graph_mistakes.variants(trace, context)
            diagnosis.guesses = gradient_mistakes.best(ranked, diagnosis.wrong)
        if not diagnosis.traced:
            diagnosis.note = (
                "autograd could not follow the forward (it leaves NumPy's functions): differences only"
            )
    if not diagnosis and raise_exception:
        raise BackwardError(diagnosis)
    return diagnosis


def _differences(pair: Pair, arrays: Sequence[np.ndarray], g: np.ndarray) -> dict[str, np.ndarray]:
    truth = {}
    for position, k in enumerate(pair.live):
        slopes = [float(g @ column) for column in finite_differences.columns(pair.value, arrays, position)]
        truth[pair.names[k]] = np.array(slopes).reshape(arrays[position].shape)
    return truth


def _errors(given: Mapping[str, Any], truth: Mapping[str, np.ndarray]) -> dict[str, float]:
    errors = {}
    for name, right in truth.items():
        a = given.get(name)
        if a is None or np.shape(a) != right.shape:
            errors[name] = float("inf")
        elif np.linalg.norm(right) < 1e-9 and np.linalg.norm(a) < 1e-9:
            errors[name] = 0.0
        else:
            errors[name] = finite_differences.relative_error(a, right)
            errors[name] = errors[name] if errors[name] == errors[name] else float("inf")
    return errors


def _arrays_in(cache: Any) -> Iterator[np.ndarray]:
    """The arrays in a cache of nested tuples, lists and dictionaries."""
    stack = [cache]
    while stack:
        found = stack.pop()
        if isinstance(found, np.ndarray):
            yield found
        elif isinstance(found, Mapping):
            stack += list(found.values())
        elif isinstance(found, (tuple, list)):
            stack += list(found)


def _stale(
    pair: Pair,
    g: np.ndarray,
    first: list[np.ndarray],
    given: Mapping[str, Any],
    truth: Mapping[str, np.ndarray],
) -> gradient_mistakes.Guess | None:
    """A cache that forward does not renew: at other inputs, backward still gives the old gradients."""
    moved = list(pair.values)
    rng = np.random.default_rng(1)
    for k, array in zip(pair.live, first):
        moved[k] = array * (1 + 0.1 * rng.uniform(-1, 1, array.shape)) + 0.01
    try:
        again = pair.gradients(g, moved)
    except Exception:
        return None
    held, pair.values = pair.values, moved
    other = _differences(pair, [moved[k] for k in pair.live], g)
    pair.values = held
    wrong = [n for n, e in _errors(again, other).items() if not e < CLOSE]
    same = [n for n in wrong if n in given and gradient_mistakes.close(again.get(n), given[n])]
    differs = [n for n in same if not gradient_mistakes.close(other[n], truth[n])]
    right_before = [n for n in differs if gradient_mistakes.close(given[n], truth[n])]
    if wrong and right_before and len(differs) == len(wrong):
        words = "the gradients do not change when the inputs do: backward reads values of an earlier forward"
        return gradient_mistakes.Guess("stale cache", words, wrong, 0)
    return None


@contextmanager
def _same_draws(state: Any) -> Iterator[None]:
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


def _fitting(function: Callable[..., Any], choices: Sequence[list[Any]]) -> list[Any]:
    """The first list of arguments that the function's signature takes."""
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
        f"check_backward: backward takes {signature}; it should take (g, cache) or (cache) "
        "when forward returns (output, cache), else (g, *inputs) or (*inputs)"
    )
