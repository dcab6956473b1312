"""What an operation says of itself beside its rules: where its inputs may lie, sample calls, derivatives it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Domain:
    """Where an operation's inputs may lie: what tests draw, and what the table of operations shows.

    Values in [low, high]; at least `gap` away from each value in `avoid` (kinks, poles); `distinct` values at
    least `gap` apart (sorting, maxima); `make` turns a drawn array into a valid one (a positive definite matrix).
    """

    def __init__(
        self,
        low: float = -2.0,
        high: float = 2.0,
        avoid: Sequence[float] = (),
        gap: float = 0.1,
        distinct: bool = False,
        make: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.low, self.high, self.avoid, self.gap = low, high, tuple(avoid), gap
        self.distinct, self.make = distinct, make

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """A float64 array of the given shape that lies in the domain."""
        if self.distinct:
            size = int(np.prod(shape))
            x = rng.permutation(np.linspace(self.low, self.high, max(size, 2)))[:size].reshape(shape)
        else:
            x = rng.uniform(self.low, self.high, shape)
        for point in self.avoid:
            x = np.where(abs(x - point) < self.gap, point + np.where(x < point, -self.gap, self.gap), x)
        return x if self.make is None else self.make(x)

    def __repr__(self) -> str:
        text = f"[{self.low:g}, {self.high:g}]"
        return text + (f" without {', '.join(f'{p:g}' for p in self.avoid)}" if self.avoid else "")


class Case:
    """One sample call: an entry an input (a shape to draw, or an array or number as it is), and the options."""

    def __init__(self, *inputs: Any, **options: Any) -> None:
        self.inputs, self.options = inputs, options

    def __repr__(self) -> str:
        shown = [repr(i) for i in self.inputs] + [f"{k}={v!r}" for k, v in self.options.items()]
        return f"Case({', '.join(shown)})"


class Missing:
    """In the place of a rule: the derivative does not exist yet, so asking for it is an error, never a zero."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
