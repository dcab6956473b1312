"""Ranges of hyperparameters, from which a search draws.

Each says how Optuna draws it, which values a grid has, and how it shrinks around good values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_dl.errors import ValueRangeError


class Range:
    """What one hyperparameter may be."""

    def suggest(self, trial: Any, name: str) -> Any:
        """A value drawn by Optuna's trial."""
        raise TypeError(f"{type(self).__name__} does not say how it is drawn")

    def stored(self, name: str) -> str:
        """The name under which Optuna keeps and plots the values."""
        return name

    def grid(self) -> list[Any]:
        """The values of a grid, as Optuna stores them."""
        raise TypeError(f"{type(self).__name__} has no grid")

    def of(self, stored: Any) -> Any:
        """The hyperparameter, from what Optuna stored."""
        return stored

    def __repr__(self) -> str:
        inside = ", ".join(f"{value!r}" for value in vars(self).values())
        return f"{type(self).__name__}({inside})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Uniform(Range):
    """A number, all equally likely; `points` of them in a grid."""

    def __init__(self, low: float, high: float, points: int = 5) -> None:
        _check(type(self).__name__, low, high, points, -math.inf)
        self.low, self.high, self.points = float(low), float(high), points

    def suggest(self, trial: Any, name: str) -> Any:
        return trial.suggest_float(self.stored(name), self.low, self.high)

    def grid(self) -> list[Any]:
        step = (self.high - self.low) / max(self.points - 1, 1)
        return [self.low + step * i for i in range(self.points)]


class LogUniform(Range):
    """A positive number, all orders of magnitude equally likely: learning rates, penalties.

    >>> [round(value, 6) for value in LogUniform(1e-4, 1.0, points=5).grid()]
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """

    def __init__(self, low: float, high: float, points: int = 5) -> None:
        _check(type(self).__name__, low, high, points, 0.0)
        self.low, self.high, self.points = float(low), float(high), points

    def suggest(self, trial: Any, name: str) -> Any:
        return self.of(trial.suggest_float(self.stored(name), self.low, self.high, log=True))

    def grid(self) -> list[Any]:
        # The ends are exact: a value past them by rounding would be refused.
        step = math.log(self.high / self.low) / max(self.points - 1, 1)
        inner = [self.low * math.exp(step * i) for i in range(1, self.points - 1)]
        return [self.low, *inner, self.high][: self.points]


class OneMinus(LogUniform):
    """1 - d with d log-uniform between two bounds: momentum and the betas of Adam.

    OneMinus(0.001, 0.1) is between 0.9 and 0.999, as often near 0.99 as near 0.9.
    """

    def __init__(self, low: float, high: float, points: int = 5) -> None:
        super().__init__(low, high, points)
        if high >= 1:
            raise ValueRangeError(
                f"OneMinus: low and high bound 1 - beta, and lie between 0 and 1; {low!r}, {high!r} came"
            )

    def stored(self, name: str) -> str:
        return f"1 - {name}"

    def of(self, stored: Any) -> Any:
        return 1.0 - stored


class Whole(Range):
    """A whole number from low to high, both included; `log`: all orders of magnitude equally likely."""

    def __init__(self, low: int, high: int, log: bool = False, points: int = 5) -> None:
        if not all(isinstance(end, int) and not isinstance(end, bool) for end in (low, high)):
            raise ValueRangeError(f"Whole: whole numbers are needed; {low!r}, {high!r} came")
        _check("Whole", low, high, points, 0 if log else -math.inf)
        self.low, self.high, self.log, self.points = low, high, log, points

    def suggest(self, trial: Any, name: str) -> Any:
        return trial.suggest_int(self.stored(name), self.low, self.high, log=self.log)

    def grid(self) -> list[Any]:
        along = (LogUniform if self.log else Uniform)(self.low, self.high, self.points).grid()
        return sorted({round(value) for value in along})


class Choice(Range):
    """One of several: strings, numbers, bools or None."""

    def __init__(self, *values: Any) -> None:
        if not values:
            raise ValueRangeError("Choice: at least one value is needed")
        for value in values:
            if value is not None and not isinstance(value, (str, bool, int, float)):
                raise ValueRangeError(
                    f"Choice: strings, numbers, bools or None, which a storage can keep, are needed; {value!r} came"
                )
        self.values = values

    def suggest(self, trial: Any, name: str) -> Any:
        return trial.suggest_categorical(self.stored(name), list(self.values))

    def grid(self) -> list[Any]:
        return list(self.values)

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.values))})"


def narrowed(part: Range, values: Sequence[Any]) -> Range:
    """The part of a range around some stored values, and a quarter of their spread beyond on both sides."""
    if isinstance(part, Choice):
        return Choice(*(value for value in part.values if value in values))
    if not isinstance(part, (Uniform, LogUniform, Whole)):
        return part
    log = isinstance(part, LogUniform) or (isinstance(part, Whole) and part.log)
    scale, back = (math.log, math.exp) if log else (float, float)
    first, last = scale(min(values)), scale(max(values))
    # Values that agree say little about how wide to look: an eighth of the range to both sides then.
    beyond = (last - first) / 4 or (scale(part.high) - scale(part.low)) / 8
    low, high = max(back(first - beyond), part.low), min(back(last + beyond), part.high)
    if isinstance(part, Whole):
        return Whole(math.floor(low), math.ceil(high), part.log, part.points)
    return type(part)(low, high, part.points)


def _check(what: str, low: Any, high: Any, points: Any, above: float) -> None:
    least = "" if above == -math.inf else f"{above:g} < "
    try:
        fits = above < low <= high < math.inf
    except TypeError:
        fits = False
    if not fits:
        raise ValueRangeError(f"{what}: {least}low <= high, both finite, are needed; {low!r}, {high!r} came")
    if isinstance(points, bool) or not isinstance(points, int) or points < 1:
        raise ValueRangeError(f"{what}: points: a whole number of at least 1 is needed; {points!r} came")
