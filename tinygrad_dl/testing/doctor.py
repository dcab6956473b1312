"""check_backward: check a forward and backward written by hand in NumPy, and name the likely mistake."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, cast

import numpy as np

from tinygrad_dl.arguments import Size, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, TinygradError, ValueRangeError
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing import finite_differences
from tinygrad_dl.testing.calls import refuse_call
from tinygrad_dl.testing.gradient_mistakes import Context, Guess, close, gradient_guesses, ranked
from tinygrad_dl.testing.graph_mistakes import Trace, variants
from tinygrad_dl.typing import ArrayLike, NDArray

# A relative error below this is rounding: central differences in float64 are good to about 1e-10.
CLOSE = 1e-6
# What backward calls the gradient of the output, if that is its only parameter.
GRADIENT = re.compile(
    r"g|up(stream)?|delta|grad\w*|d|d_?(out\w*|loss|score|scores|pred|[A-Za-z]\d?|[A-Z]\w*)|\w+_grad"
)


class BackwardError(TinygradError, AssertionError):
    """A hand-written backward is wrong; `diagnosis` says where and what the likely mistake is."""

    @checked
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
        verdict = "forward changes its input" if self.mistake == "input modified" else "backward is wrong"
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
        else:
            lines.append("  no known mistake explains it")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


class Pair:
    """A forward and a backward function, called as the courses write them."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        inputs: Mapping[str, Any] | Sequence[Any] | ArrayLike,
    ) -> None:
        self.forward, self.backward = forward, backward
        self.by_name = isinstance(inputs, Mapping)  # forward takes one dictionary of parameters
        if isinstance(inputs, Mapping):
            self.names, values = [str(n) for n in inputs], list(inputs.values())
        else:
            values = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
            self.names = _names(forward, len(values))
        # Methods of one object, which caches what backward needs: backward takes the gradient of the output.
        owner = getattr(forward, "__self__", None)
        self.layer = owner is not None and owner is getattr(backward, "__self__", None)
        self.given = values
        self.captured = False  # whether forward uses the arrays themselves, and not its arguments
        self.values = [_as_array(v) for v in values]
        for name, v in zip(self.names, self.values):
            _refuse_complex(name, v, "a real input")
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
            if not np.isfinite(self.values[k]).all():
                raise ValueRangeError(
                    f"check_backward: {self.names[k]}: expected finite numbers, got nan or infinity"
                )
        expected = "the dictionary of parameters" if self.by_name else "one per input"
        refuse_call("check_backward: forward", forward, self.pack(self.values), expected)
        self.state = np.random.get_state()  # noqa: NPY002
        self.modified: list[str] = []  # the inputs that forward wrote into

    def pack(self, values: Sequence[Any]) -> list[Any]:
        """Return the arguments of forward: one dictionary of parameters, or the inputs one by one."""
        return [dict(zip(self.names, values))] if self.by_name else list(values)

    def run(self, values: Sequence[Any]) -> tuple[Any, Any, bool]:
        """Return the output, the cache, and whether there is one; NumPy's global generator draws the same each time."""
        with _random_state(self.state):
            result = self.forward(*self.pack(values))
        cached = isinstance(result, tuple) and len(result) == 2
        output, cache = result if cached else (result, None)
        if not isinstance(output, Tensor) and not _is_numeric(output):
            raise DTypeError(
                "check_backward: forward: expected it to return the output as an array or a number, or "
                f"(output, cache), got {_outline(result)}. Put everything else into the cache."
            )
        return output, cache, cached

    def value(self, arrays: Sequence[NDArray]) -> NDArray:
        """Return the output as a flat array, at other values of the inputs to differentiate."""
        values = list(self.values)
        for k, array in zip(self.live, arrays):
            values[k] = array.copy()
        with self._placed(arrays):
            flat = np.array(_plain(self.run(values)[0]), np.float64).reshape(-1)
        for k, array in zip(self.live, arrays):
            if self.names[k] not in self.modified and not np.array_equal(values[k], array, equal_nan=True):
                self.modified.append(self.names[k])
        return flat

    def gradients(self, g: NDArray, values: Sequence[Any]) -> dict[str, Any]:
        """Return the learner's gradients by the name of the input, without the missing ones."""
        with self._placed([values[k] for k in self.live]):
            return self._gradients(g, values)

    def _gradients(self, g: NDArray, values: Sequence[Any]) -> dict[str, Any]:
        # Copies, since forward and backward may write into their arguments and the cache.
        output, cache, cached = self.run(_copies(values))
        copies = _copies(values)
        seed = g.reshape(np.shape(output)).copy() if np.ndim(output) else float(g.reshape(()))
        if cached:
            choices = [[seed, cache], [cache]]
        elif self._takes_gradient(output):
            choices = [[seed, *self.pack(copies)], [seed], self.pack(copies), []]
        else:
            choices = [[seed, *self.pack(copies)], self.pack(copies), [seed]]
        with _random_state(self.state):
            result = self.backward(*_matching_arguments(self.backward, choices))
        return self._by_name(result)

    def may_be_captured(self) -> bool:
        """Whether the arrays that were given can be moved in place."""
        given = [self.given[k] for k in self.live]
        return all(isinstance(x, np.ndarray) and x.dtype == np.float64 and x.flags.writeable for x in given)

    @contextmanager
    def _placed(self, arrays: Sequence[NDArray]) -> Iterator[None]:
        """Write values into the arrays that were given, if forward uses these, and restore them."""
        given = [cast(NDArray, self.given[k]) for k in self.live] if self.captured else []
        before = [x.copy() for x in given]
        try:
            for x, array in zip(given, arrays):
                x[...] = array
            yield
        finally:
            for x, array in zip(given, before):
                x[...] = array

    def _takes_gradient(self, output: Any) -> bool:
        """Whether the only parameter of a backward is the gradient of the output, and not the input."""
        if self.layer or np.size(output) != 1:
            return True
        names = _parameters(self.backward)
        return len(names) == 1 and names[0] not in self.names and GRADIENT.fullmatch(names[0]) is not None

    def _by_name(self, result: object) -> dict[str, Any]:
        live = [self.names[k] for k in self.live]
        if isinstance(result, Mapping):
            found = {}
            for name in live:
                for key in (f"d{name}", name, f"grad_{name}", f"grad{name}", f"{name}_grad"):
                    if result.get(key) is not None:
                        found[name] = _gradient(result[key])
                        break
            return found
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        if self.layer and len(results) == 1:
            live = live[:1]  # a loss layer gives the gradient of its scores, and none of the labels
        # One result per input, None for the integers, or one per input to differentiate.
        names = self.names if len(results) == len(self.names) else live
        if len(results) != len(names):
            raise ShapeError(
                f"check_backward: expected backward to return the gradients of {', '.join(live)}, got {len(results)} "
                "results"
            )
        return {n: _gradient(r) for n, r in zip(names, results) if r is not None and n in live}


@checked
def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    *,
    seed: Size = 0,
    raise_exception: bool = True,
) -> Diagnosis:
    """Check a backward written by hand in NumPy, and name the likely mistake.

    `inputs`: arrays, or a dictionary of parameters. `forward(*inputs)` or `forward(parameters)` returns the
    output, or (output, cache). `backward(g, cache)`, `backward(cache)`, `backward(g, *inputs)`,
    `backward(*inputs)` or `backward(g)` returns the gradients in order, or by name: {"dW1": ...}; `g` is the
    gradient of the output. Raises BackwardError with the diagnosis, unless `raise_exception=False`; DTypeError,
    ShapeError, ValueRangeError.

    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> check_backward(lambda x: (x**2).mean(), lambda x: 2 * x, x, raise_exception=False).mistake
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
        before = [a.copy() for a in arrays]
        given = pair.gradients(g, pair.values)
        if pair.layer and len(given) == 1 and len(pair.live) > 1:
            pair.live = [k for k in pair.live if pair.names[k] in given]
            arrays = [pair.values[k] for k in pair.live]
            before = [a.copy() for a in arrays]
        differences = _differences(pair, arrays, g)
        ignored = _is_constant(differences) and any(np.any(a != 0) for a in given.values())
        if ignored and pair.may_be_captured():
            # A method of a network uses its own parameters, whatever it is given: move these.
            pair.captured = True
            differences = _differences(pair, arrays, g)
            ignored = _is_constant(differences)
            pair.captured = not ignored
        trace = Trace.of(pair, g)
        by_autograd = trace.gradients() if trace is not None else {}
        diagnosis.traced = trace is not None and not _wrong(by_autograd, differences)
        for name, numeric in differences.items():
            diagnosis.errors[name] = numeric.error(given.get(name))
        diagnosis.wrong = _wrong(given, differences)
        # At a kink every derivative between the two sides is correct: mistakes are looked for beside autograd's.
        truth = {
            name: numeric.nearest((by_autograd if diagnosis.traced else given).get(name))
            for name, numeric in differences.items()
        }
        stale = _stale(pair, g, before, given, truth)
        if pair.modified:
            words = "forward changes this input in place: compute a new array, x = x - m instead of x -= m"
            diagnosis.guesses = [Guess("input modified", words, pair.modified, 0)]
        elif ignored:
            words = "the result of forward is the same at other inputs: it does not use them"
            diagnosis.guesses = [Guess("no dependence", words, list(differences), 0)]
        elif stale is not None:
            diagnosis.wrong = diagnosis.wrong or stale.inputs
            diagnosis.guesses = [stale]
        elif diagnosis.wrong:
            values = dict(zip((pair.names[k] for k in pair.live), arrays))
            everything = [*pair.values, *_arrays_in(pair.run(pair.values)[1]), output]
            everything += trace.constants if trace is not None else []
            context = Context(given, truth, values, everything, diagnosis.wrong)
            guesses = gradient_guesses(context)
            if diagnosis.traced and trace is not None:
                guesses += variants(trace, context)
            diagnosis.guesses = ranked(guesses, diagnosis.wrong)
        if pair.captured:
            diagnosis.note = "forward uses the arrays from outside, which were moved: finite differences only"
        elif not diagnosis.traced:
            diagnosis.note = (
                "autograd could not trace the forward, which uses more than NumPy functions: "
                "finite differences only"
            )
        if pair.layer:
            pair.run(_copies(pair.values))  # the object keeps arrays, and not the Tensors of the trace
    if not diagnosis and raise_exception:
        raise BackwardError(diagnosis)
    return diagnosis


class Differences:
    """The gradient of one input by finite differences: from the left, from the right, their mean and their noise."""

    def __init__(self, f: Callable[[Sequence[NDArray]], float], arrays: Sequence[NDArray], k: int) -> None:
        self.f, self.arrays, self.k = f, arrays, k
        self.value, shape = f(arrays), arrays[k].shape
        steps = [finite_differences.step_for(float(x)) for x in arrays[k].reshape(-1)]
        self.steps = np.array(steps).reshape(shape)
        sides = [self.sides(i, h) for i, h in enumerate(steps)]
        self.right = np.array([right for right, _ in sides]).reshape(shape)
        self.left = np.array([left for _, left in sides]).reshape(shape)
        self.central = (self.right + self.left) / 2
        # The values are rounded, and the difference divides their rounding error by the step.
        self.scale = 8 * np.finfo(np.float64).eps * max(abs(self.value), 1e-12)
        self.noise = self.scale / self.steps
        self.looked_at: set[int] = set()

    def sides(self, i: int, h: float) -> tuple[float, float]:
        """The derivatives in one element on its right and its left, with the step `h`."""
        values = list(self.arrays)
        values[self.k] = moved = values[self.k].copy()
        x = moved.reshape(-1)[i]
        moved.reshape(-1)[i] = x + h
        above = self.f(values)
        moved.reshape(-1)[i] = x - h
        return (above - self.value) / h, (self.value - self.f(values)) / h

    def nearest(self, a: NDArray | None) -> NDArray:
        """The gradient that is nearest to `a` among the correct ones: at a kink there is an interval of them."""
        if a is None or np.shape(a) != self.central.shape:
            return self.central
        correct = self.central.copy().reshape(-1)
        flat, noise = np.asarray(a, np.float64).reshape(-1), self.noise.reshape(-1)
        for i in np.flatnonzero(~(np.abs(flat - correct) <= CLOSE * np.abs(correct) + noise)):
            self._look_closer(int(i))
            low, high = sorted((self.left.reshape(-1)[i], self.right.reshape(-1)[i]))
            slack = noise[i] + 1e-4 * max(abs(low), abs(high))
            if self._is_kink(int(i)) and low - slack <= flat[i] <= high + slack:
                correct[i] = flat[i]
            else:
                correct[i] = self.central.reshape(-1)[i]
        return correct.reshape(self.central.shape)

    def _is_kink(self, i: int) -> bool:
        right, left = float(self.right.reshape(-1)[i]), float(self.left.reshape(-1)[i])
        return abs(right - left) > 1e-3 * max(abs(right), abs(left)) + 4 * float(self.noise.reshape(-1)[i])

    def _look_closer(self, i: int) -> None:
        """Where the sides differ, take a smaller step: the kink may be beside the element, or it is curvature."""
        if i in self.looked_at or not self._is_kink(i):
            return
        self.looked_at.add(i)
        h = float(self.steps.reshape(-1)[i]) / 100
        self.right.reshape(-1)[i], self.left.reshape(-1)[i] = right, left = self.sides(i, h)
        self.central.reshape(-1)[i] = (right + left) / 2
        self.noise.reshape(-1)[i] = self.scale / h

    def error(self, a: NDArray | None) -> float:
        """The courses' relative error, against the nearest correct gradient; infinite where there is none."""
        if a is None or np.shape(a) != self.central.shape:
            return float("inf")
        correct = self.nearest(a)
        if np.linalg.norm(correct) < 1e-9 and np.linalg.norm(a) < 1e-9:
            # Both are 0 up to the error of the differences, whose relative error says nothing.
            return 0.0
        error = finite_differences.relative_error(a, correct)
        return float("inf") if np.isnan(error) else error

    def agrees(self, a: NDArray | None) -> bool:
        """Whether `a` is a correct gradient, up to the error of the differences."""
        error = self.error(a)
        if error < CLOSE:
            return True
        return error < float("inf") and bool(
            np.linalg.norm(np.asarray(a) - self.nearest(a)) <= np.linalg.norm(self.noise)
        )


def _differences(pair: Pair, arrays: Sequence[NDArray], g: NDArray) -> dict[str, Differences]:
    def projected(values: Sequence[NDArray]) -> float:
        return float(g @ pair.value(values))

    return {pair.names[k]: Differences(projected, arrays, position) for position, k in enumerate(pair.live)}


def _is_constant(differences: Mapping[str, Differences]) -> bool:
    return not any(np.any(d.left) or np.any(d.right) for d in differences.values())


def _wrong(given: Mapping[str, Any], differences: Mapping[str, Differences]) -> list[str]:
    return [name for name, numeric in differences.items() if not numeric.agrees(given.get(name))]


def _arrays_in(cache: object) -> Iterator[NDArray]:
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
    wrong = _wrong(again, other)
    pair.values = original
    same = [n for n in wrong if n in given and close(again.get(n), given[n])]
    stale = [n for n in same if not close(other[n].central, truth[n])]
    correct_before = [n for n in stale if close(given[n], truth[n])]
    if wrong and correct_before and len(stale) == len(wrong):
        words = "the gradients do not change with the inputs: backward reads values of an earlier forward"
        return Guess("stale cache", words, wrong, 0)
    return None


@contextmanager
def _random_state(state: dict[str, Any] | tuple[Any, ...]) -> Iterator[None]:
    """Set NumPy's global random state in a block and restore it: courses draw dropout masks from it."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _as_array(x: object) -> Any:
    """An input as an array where it is one; anything else as it is."""
    if isinstance(x, Tensor):
        return x.detach().numpy().copy()
    if not isinstance(x, (np.ndarray, list, float, np.floating)):
        return x
    try:
        return np.array(x)
    except (ValueError, TypeError, RecursionError):  # ragged: it is no array
        return x


def _copies(values: Sequence[Any]) -> list[Any]:
    return [np.array(v) if isinstance(v, np.ndarray) else v for v in values]


def _plain(x: object) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else x


def _is_numeric(x: object) -> bool:
    if isinstance(x, (list, tuple, Mapping, str, bytes)) or x is None:
        return False
    try:
        return np.asarray(x).dtype.kind in "biuf"
    except (ValueError, TypeError):
        return False


def _outline(x: object) -> str:
    if isinstance(x, (tuple, list)):
        return f"a {type(x).__name__} of {len(x)} ({', '.join(type(part).__name__ for part in x[:4])})"
    return describe(x)


def _refuse_complex(what: str, x: object, expected: str) -> None:
    if isinstance(x, complex) or getattr(getattr(x, "dtype", None), "kind", None) == "c":
        raise DTypeError(
            f"check_backward: {what}: expected {expected}, got {describe(x)}. Pass real and imaginary parts as two "
            "arrays, or check an operation for complex values with gradcheck."
        )


def _gradient(x: object) -> NDArray:
    _refuse_complex("backward", x, "real gradients")
    if _is_numeric(_plain(x)) or isinstance(x, list):
        try:
            return np.asarray(_plain(x), np.float64)
        except (ValueError, TypeError):
            pass
    raise DTypeError(f"check_backward: backward: expected gradients as arrays, got {_outline(x)}")


def _names(forward: Callable[..., Any], count: int) -> list[str]:
    names = _parameters(forward)
    return names[:count] if len(names) >= count else [f"x{i}" for i in range(count)]


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


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
        f"otherwise (g, *inputs), (*inputs) or (g), got {signature}"
    )
