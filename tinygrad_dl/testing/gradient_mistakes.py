"""Mistakes recognized from the gradient alone: factors, signs, transposes, sums, missing terms."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from tinygrad_dl.testing.window_mistakes import wrong_positions
from tinygrad_dl.typing import NDArray


class Guess:
    """A likely mistake: kind, description, the inputs whose gradients it explains, rank (lower is likelier).

    `place`: the line of the forward whose derivative is wrong, or "".
    """

    def __init__(self, kind: str, words: str, inputs: list[str], rank: float, place: str = "") -> None:
        self.kind, self.words, self.inputs, self.rank, self.place = kind, words, inputs, rank, place

    def __str__(self) -> str:
        return f"{self.kind} ({', '.join('d' + n for n in self.inputs)}): {self.words}"

    __repr__ = __str__


class Context:
    """The learner's gradients, the correct ones, the values of the inputs, and all sizes that occur."""

    def __init__(
        self,
        given: Mapping[str, Any],
        truth: Mapping[str, NDArray],
        values: Mapping[str, NDArray],
        everything: Sequence[Any],
        wrong: Sequence[str],
    ) -> None:
        self.given, self.truth, self.values = given, truth, values
        # A wrong factor is usually one of the sizes, such as the number of examples.
        self.sizes = {math.prod(part) for v in everything for part in _parts(np.shape(v))}
        self.wrong = list(wrong)
        self.divisors: set[int] = set()  # the numbers that the forward is known to divide by
        self.penalties: Mapping[str, NDArray] = {}  # the L2 term of each gradient, where there is one
        self.jacobians: Mapping[str, NDArray] = {}
        self.g: NDArray = np.ones(1)
        self.output: tuple[int, ...] = ()


def _parts(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All selections of axes: a mean over positions divides by the product of some of them."""
    axes = shape[:6]
    return [part for count in range(1, len(axes) + 1) for part in combinations(axes, count)] + [shape]


def close(a: NDArray | None, b: NDArray | None, tolerance: float = 1e-5) -> bool:
    """Whether two gradients have the same shape and agree up to the error of finite differences."""
    if a is None or b is None or np.shape(a) != np.shape(b):
        return False
    scale = float(np.linalg.norm(a)) + float(np.linalg.norm(b))
    return bool(float(np.linalg.norm(np.asarray(a) - np.asarray(b))) <= tolerance * scale + 1e-300)


def gradient_guesses(context: Context) -> list[Guess]:
    """Return the mistakes that explain the gradient of one input, or the same one in several."""
    found: dict[tuple[str, str], Guess] = {}
    for name in context.wrong:
        for rank, (kind, words) in enumerate(_explanations(context, name)):
            generic = kind in (
                "wrong shape",
                "scale",
                "missing mask",
                "wrong positions",
            )  # true of many mistakes: only if nothing else matches
            # A number that the forward does not divide by is a coincidence more often.
            unlikely = kind in ("missing 1/m", "extra 1/m") and _unknown(context, words)
            likely = Guess(kind, words, [], 8 if generic else rank * 0.1 + 1.3 * unlikely)
            guess = found.setdefault((kind, words), likely)
            guess.inputs += [] if name in guess.inputs else [name]
    return list(found.values())


def _unknown(context: Context, words: str) -> bool:
    numbers = {int(n) for n in re.findall(r"\d+", words)}
    return bool(context.divisors) and "missing" in words and not numbers & context.divisors


def ranked(guesses: Sequence[Guess], wrong: Sequence[str]) -> list[Guess]:
    """Sort guesses: first those that explain most wrong gradients, among these the simplest. At most five."""
    return sorted(guesses, key=lambda guess: (-len(set(guess.inputs) & set(wrong)), guess.rank))[:5]


def _explanations(context: Context, name: str) -> list[tuple[str, str]]:
    a, n = context.given.get(name), context.truth[name]
    if a is None:
        return [("missing gradient", "backward returns no gradient of this input")]
    if not np.all(np.isfinite(n)):
        return []  # at the edge of a domain there is nothing to compare with
    if not np.all(np.isfinite(a)):
        return [("not finite", "the gradient contains nan or inf where finite differences are finite")]
    out = _parts_of(a, n, context, name)
    penalty = context.penalties.get(name)
    if penalty is not None and penalty.shape == a.shape:
        # The mistake may be in what the L2 term was added to.
        more = _parts_of(a - penalty, n - penalty, context, name)
        out += [guess for guess in more if guess not in out]
    jacobian = context.jacobians.get(name)
    if not out and a.shape == n.shape and jacobian is not None:
        words = wrong_positions(a, jacobian, context.g, context.output)
        out += [("wrong positions", words)] if words else []
    if not out and a.shape != n.shape:
        out.append(("wrong shape", f"the gradient has shape {a.shape}, the input {n.shape}"))
    return out


def _parts_of(a: NDArray, n: NDArray, context: Context, name: str) -> list[tuple[str, str]]:
    """What explains a gradient `a` where `n` is correct, in order of likelihood."""
    out: list[tuple[str, str]] = []
    if a.shape == n.shape:
        out += _factor(a, n, context)
        out += _factor_before_penalty(a, n, context, name)
        out += _overwritten(a, context, name)
        out += _mask(a, n)
    # The gradient of a sum is that of both terms, and that of one is the sum of it.
    unsummed = _sums(a, n) if a.size > n.size else []
    out += unsummed + _other_inputs(a, n, context, name)
    if a.shape == n.shape[::-1] and n.ndim == 2 and close(a.T, n):
        out.append(("transpose", "the gradient is transposed"))
    out += [] if unsummed else _sums(a, n)
    if a.shape == n.shape:
        out += _penalty(a, n, context.values[name])
    return out + _padding(a, n)


def _factor(a: NDArray, n: NDArray, context: Context) -> list[tuple[str, str]]:
    if not np.linalg.norm(a) > 1e-300:
        return [("zero gradient", "the gradient is 0 everywhere")] if np.linalg.norm(n) > 0 else []
    ratio = float(np.sum(a * n) / np.sum(n * n)) if np.sum(n * n) else 0.0
    if not ratio or not close(a, ratio * n):
        return []
    return _ratio(ratio, context) or [
        ("scale", f"the gradient is {ratio:.6g} times what it should be, everywhere")
    ]


def _ratio(ratio: float, context: Context) -> list[tuple[str, str]]:
    """What a constant ratio of a gradient to the correct one says."""
    size, negative = abs(ratio), ratio < 0
    if abs(size - 1) < 1e-4:
        return [("sign", "the sign is wrong")] if negative else []
    out = []
    for m in sorted(context.sizes - {0, 1}, key=lambda m: (m not in context.divisors, m)):
        if abs(size / m - 1) < 1e-4:
            out.append(("missing 1/m", f"the gradient is {m} times too large: is the mean's 1/{m} missing?"))
        elif abs(size * m - 1) < 1e-4:
            out.append(("extra 1/m", f"the gradient is {m} times too small: is it divided by {m} twice?"))
    if abs(size - 2) < 1e-4:
        out.append(
            ("factor 2", "the gradient is twice too large: does the cost's 1/2 cancel the 2 of the square?")
        )
    if abs(size - 0.5) < 1e-4:
        out.append(
            ("factor 2", "the gradient is half of what it should be: the square's derivative has a factor 2")
        )
    # Where 2 is a size that the forward does not divide by, a factor of 2 is rather that of a square than 1/m.
    if 2 not in context.divisors and (context.divisors or len(context.sizes) > 3):
        out.sort(key=lambda guess: not guess[0].startswith("factor 2"))
    return [("sign", f"the sign is wrong, and {words}") for _, words in out] if negative else out


def _factor_before_penalty(a: NDArray, n: NDArray, context: Context, name: str) -> list[tuple[str, str]]:
    """A wrong factor of the gradient to which the L2 term was added, that term being right."""
    value = context.values[name]
    if value.shape != n.shape or value.size < 4:
        return []
    columns = np.stack([n.reshape(-1), value.reshape(-1)], axis=1)
    scales = np.linalg.norm(columns, axis=0)
    if not np.all(scales > 0):
        return []
    solution, _, rank, _ = np.linalg.lstsq(columns / scales, a.reshape(-1), rcond=1e-9)
    ratio, shift = (solution / scales).tolist()
    penalty = shift / (1 - ratio) if abs(ratio - 1) > 1e-3 else 0.0
    if rank < 2 or penalty <= 0 or not close(ratio * n + shift * value, a, 1e-6) or close(ratio * n, a):
        return []
    return _ratio(ratio, context)


def _overwritten(a: NDArray, context: Context, name: str) -> list[tuple[str, str]]:
    """A sum over outputs of which one term alone counts."""
    jacobian, g = context.jacobians.get(name), context.g
    if jacobian is None or g.size < 2 or jacobian.shape != (a.size, g.size):
        return []
    terms, flat = jacobian * g, a.reshape(-1)
    words = "only one term of the sum over the outputs counts: is it = where += belongs, in the loop?"
    nonzero = np.abs(jacobian) > 1e-6 * np.max(np.abs(jacobian), initial=0.0)
    last = g.size - 1 - np.argmax(nonzero[:, ::-1], axis=1)
    candidates = [terms[np.arange(a.size), last], terms[np.arange(a.size), np.argmax(nonzero, axis=1)]]
    if math.prod(context.output) == g.size:
        shaped = terms.reshape(a.size, *context.output)
        axes = range(1, shaped.ndim)
        for count in range(1, min(shaped.ndim, 5)):
            for chosen in combinations(axes, count):
                for end in (-1, 0):
                    index = tuple(
                        slice(None) if k not in chosen else slice(end, None if end else 1)
                        for k in range(shaped.ndim)
                    )
                    if shaped[index].size < shaped.size:
                        candidates.append(shaped[index].reshape(a.size, -1).sum(axis=1))
    total = terms.sum(axis=1)
    for candidate in candidates:
        if close(candidate, flat) and not close(candidate, total):
            return [("overwritten", words)]
    return []


def _mask(a: NDArray, n: NDArray) -> list[tuple[str, str]]:
    """A gradient that is right where it is not 0, and not 0 where it should be."""
    active = np.abs(n) > 1e-9 * np.max(np.abs(n), initial=0.0)
    if active.any() and not active.all() and close(a[active], n[active]) and np.any(a[~active] != 0):
        return [
            (
                "missing mask",
                "the gradient is not 0 where it should be, and right elsewhere: is a mask missing?",
            )
        ]
    return []


def _padding(a: NDArray, n: NDArray) -> list[tuple[str, str]]:
    """The gradient of a padded array, not cut to that of the array."""
    if a.ndim != n.ndim or a.shape == n.shape or any(x < y or (x - y) % 2 for x, y in zip(a.shape, n.shape)):
        return []
    inside = tuple(slice((x - y) // 2, (x - y) // 2 + y) for x, y in zip(a.shape, n.shape))
    if close(a[inside], n):
        return [("padding not cut", "this is the gradient of the padded array: cut the padding off")]
    return []


def _other_inputs(a: NDArray, n: NDArray, context: Context, name: str) -> list[tuple[str, str]]:
    return [
        ("wrong layer", f"this is the gradient of {other}")
        for other, correct in context.truth.items()
        if other != name and np.linalg.norm(correct) > 1e-9 and close(a, correct)
    ]


def _sums(a: NDArray, n: NDArray) -> list[tuple[str, str]]:
    """Sums over broadcast axes that are missing, or replaced by a mean."""
    out = []
    if a.ndim >= n.ndim and a.size > n.size:
        for axes in _axes(a, n):
            for kind, reduced in (("sum", np.sum(a, axis=axes)), ("mean", np.mean(a, axis=axes))):
                if reduced.size == n.size and close(reduced.reshape(n.shape), n):
                    out.append(
                        (
                            "missing sum",
                            f"the {kind} over the axes {axes}, along which it was broadcast, is missing",
                        )
                    )
    if a.size == n.size and a.shape != n.shape and close(a.reshape(n.shape), n):
        out.append(
            ("shape", f"the values are correct, but the shape is {a.shape}, not {n.shape} (keepdims?)")
        )
    return out


def _axes(a: NDArray, n: NDArray) -> list[tuple[int, ...]]:
    """Return candidate axes of the missing sum: all broadcast ones together, then each axis alone."""
    leading = a.ndim - n.ndim
    stretched = [i + leading for i, size in enumerate(n.shape) if size == 1 and a.shape[i + leading] != 1]
    broadcast = (*range(leading), *stretched)
    return [axes for axes in (broadcast, *((i,) for i in range(a.ndim))) if axes]


def _penalty(a: NDArray, n: NDArray, value: NDArray) -> list[tuple[str, str]]:
    """An error that is a multiple of the input itself: the L2 term."""
    # Any error is a multiple of an array with one or two elements: that would say nothing.
    if value.shape != n.shape or value.size < 3:
        return []
    error = n - a
    c = float(np.sum(error * value) / np.sum(value * value)) if np.sum(value * value) else 0.0
    if c and close(error, c * value, 1e-4) and not close(n, c * value, 1e-3):
        words = (
            f"{c:.4g} times the input is missing" if c > 0 else f"{-c:.4g} times the input too much is added"
        )
        return [("L2 term", f"{words}: the derivative of lambda/(2m) * sum(W**2) is lambda/m * W")]
    return []
