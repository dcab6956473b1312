"""The mistakes that a wrong gradient shows by itself: factors, signs, transposes, sums, lost terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Guess:
    """A likely mistake: its kind, words for it, the inputs whose gradients it explains, its rank."""

    def __init__(self, kind: str, words: str, inputs: list[str], rank: float) -> None:
        self.kind, self.words, self.inputs, self.rank = kind, words, inputs, rank

    def __str__(self) -> str:
        return f"{self.kind} ({', '.join('d' + n for n in self.inputs)}): {self.words}"

    __repr__ = __str__


class Context:
    """What is known: the learner's gradients, the right ones, the inputs' values, and all sizes."""

    def __init__(
        self,
        given: Mapping[str, Any],
        truth: Mapping[str, np.ndarray],
        values: Mapping[str, np.ndarray],
        everything: Sequence[Any],
    ) -> None:
        self.given, self.truth, self.values = given, truth, values
        self.sizes = {n for v in everything for n in np.shape(v)} | {np.size(v) for v in everything}
        self.wrong = [n for n, right in truth.items() if not close(given.get(n), right)]


def close(a: Any, b: Any, tolerance: float = 1e-5) -> bool:
    """Whether two gradients have one shape and agree up to the error of differences."""
    if a is None or b is None or np.shape(a) != np.shape(b):
        return False
    scale = float(np.linalg.norm(a)) + float(np.linalg.norm(b))
    return bool(float(np.linalg.norm(np.asarray(a) - np.asarray(b))) <= tolerance * scale + 1e-9)


def local(context: Context) -> list[Guess]:
    """Mistakes in the gradient of one input, or the same one in several."""
    found: dict[tuple[str, str], Guess] = {}
    for name in context.wrong:
        for rank, (kind, words) in enumerate(_of_one(context, name)):
            last = kind in ("wrong shape", "scale")  # true of any mistake that cannot be named better
            guess = found.setdefault((kind, words), Guess(kind, words, [], 8 if last else rank * 0.1))
            guess.inputs.append(name)
    return list(found.values())


def best(guesses: Sequence[Guess], wrong: Sequence[str]) -> list[Guess]:
    """The guesses that explain most of the wrong gradients first, among those the simplest."""
    return sorted(guesses, key=lambda guess: (-len(set(guess.inputs) & set(wrong)), guess.rank))[:5]


def _of_one(context: Context, name: str) -> list[tuple[str, str]]:
    a, n = context.given.get(name), context.truth[name]
    if a is None:
        return [("missing gradient", "backward returns no gradient of this input")]
    if not np.all(np.isfinite(a)):
        return [("not finite", "the gradient holds nan or inf where differences are finite")]
    out: list[tuple[str, str]] = []
    if a.shape == n.shape:
        out += _factor(a, n, context)
    out += _swapped(a, n, context, name)
    if a.shape == n.shape[::-1] and n.ndim == 2 and close(a.T, n):
        out.append(("transpose", "the gradient is transposed"))
    out += _sums(a, n)
    if a.shape == n.shape:
        out += _penalty(a, n, context.values[name])
    if not out and a.shape != n.shape:
        out.append(("wrong shape", f"the gradient has the shape {a.shape}; the input has {n.shape}"))
    return out


def _factor(a: np.ndarray, n: np.ndarray, context: Context) -> list[tuple[str, str]]:
    if not np.linalg.norm(a) > 1e-12:
        return [("zero gradient", "the gradient is 0 everywhere")] if np.linalg.norm(n) > 1e-9 else []
    ratio = float(np.sum(a * n) / np.sum(n * n)) if np.sum(n * n) else 0.0
    if not ratio or not close(a, ratio * n):
        return []
    size = abs(ratio)
    out = []
    sign = ratio < 0
    if abs(size - 1) < 1e-4:
        return [("sign", "the sign is the opposite")]
    for m in sorted(context.sizes - {0, 1}):
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
    out.sort(
        key=lambda guess: (
            not guess[0].startswith("factor 2") if context.sizes & {2} and len(context.sizes) > 3 else 0
        )
    )
    if not out:
        out = [("scale", f"the gradient is {ratio:.6g} times what it should be, everywhere")]
    return [("sign", f"the sign is the opposite, and {words}") for _, words in out] if sign else out


def _swapped(a: np.ndarray, n: np.ndarray, context: Context, name: str) -> list[tuple[str, str]]:
    return [
        ("wrong layer", f"this is the gradient of {other}")
        for other, right in context.truth.items()
        if other != name and np.linalg.norm(right) > 1e-9 and close(a, right)
    ]


def _sums(a: np.ndarray, n: np.ndarray) -> list[tuple[str, str]]:
    """Sums over broadcast axes: left out, or a mean in their place."""
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
            ("shape", f"the values are right, but the shape is {a.shape} and not {n.shape} (keepdims?)")
        )
    return out


def _axes(a: np.ndarray, n: np.ndarray) -> list[tuple[int, ...]]:
    lead = a.ndim - n.ndim
    stretched = [i + lead for i, size in enumerate(n.shape) if size == 1 and a.shape[i + lead] != 1]
    own = [(*range(lead), *stretched)]
    return [axes for axes in own + [(i,) for i in range(a.ndim)] if axes]


def _penalty(a: np.ndarray, n: np.ndarray, value: np.ndarray) -> list[tuple[str, str]]:
    """A difference that is a multiple of the input itself: the L2 term."""
    if value.shape != n.shape or value.size < 3:
        return []
    lost = n - a
    c = float(np.sum(lost * value) / np.sum(value * value)) if np.sum(value * value) else 0.0
    if c and close(lost, c * value, 1e-4) and not close(n, c * value, 1e-3):
        words = f"{c:.4g} times the input is missing" if c > 0 else f"{-c:.4g} times the input is too much"
        return [("L2 term", f"{words}: the derivative of lambda/(2m) * sum(W**2) is lambda/m * W")]
    return []
