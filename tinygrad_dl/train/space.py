"""Ranges of hyperparameters, from which a search samples.

Each knows how Optuna samples it, its values in a grid search, and how it narrows around good values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ValueRangeError

if TYPE_CHECKING:
    from optuna import Trial


class Range:
    """Base class: the values that one hyperparameter may take."""

    def suggest(self, trial: Trial, name: str) -> Any:
        """Return a value sampled by the Optuna trial."""
        raise TypeError(f"{type(self).__name__} must define suggest(trial, name)")

    def stored(self, name: str) -> str:
        """Return the name under which Optuna stores and plots the values."""
        return name

    def grid(self) -> list[Any]:
        """Return the values of a grid search, as Optuna stores them."""
        raise TypeError(f"{type(self).__name__} must define grid()")

    def of(self, stored: Any) -> Any:
        """Return the hyperparameter for a value as Optuna stores it."""
        return stored

    def compatible(self, distribution: object) -> bool:
        """Whether a study whose trials drew from an Optuna distribution can go on with this range."""
        return type(distribution).__name__ == "FloatDistribution"

    def __repr__(self) -> str:
        inside = ", ".join(f"{value!r}" for value in vars(self).values())
        return f"{type(self).__name__}({inside})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Uniform(Range):
    """A number, uniformly distributed; `points` values in a grid search. Raises ValueRangeError."""

    def __init__(self, low: float, high: float, points: int = 5) -> None:
        _validate(type(self).__name__, low, high, points, -math.inf)
        self.low, self.high, self.points = float(low), float(high), points

    def suggest(self, trial: Trial, name: str) -> Any:
        return trial.suggest_float(self.stored(name), self.low, self.high)

    def grid(self) -> list[Any]:
        step = (self.high - self.low) / max(self.points - 1, 1)
        return [self.low + step * i for i in range(self.points)]


class LogUniform(Range):
    """A positive number, uniformly distributed on a logarithmic scale: learning rates, penalties.

    >>> [round(value, 6) for value in LogUniform(1e-4, 1.0, points=5).grid()]
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """

    def __init__(self, low: float, high: float, points: int = 5) -> None:
        _validate(type(self).__name__, low, high, points, 0.0)
        self.low, self.high, self.points = float(low), float(high), points

    def suggest(self, trial: Trial, name: str) -> Any:
        return self.of(trial.suggest_float(self.stored(name), self.low, self.high, log=True))

    def grid(self) -> list[Any]:
        # The ends are exact: Optuna rejects a value that rounding puts outside of the range.
        step = math.log(self.high / self.low) / max(self.points - 1, 1)
        inner = [self.low * math.exp(step * i) for i in range(1, self.points - 1)]
        return [self.low, *inner, self.high][: self.points]


class OneMinus(LogUniform):
    """1 - d with d log-uniform between `low` and `high`: momentum and the betas of Adam.

    OneMinus(0.001, 0.1) is between 0.9 and 0.999, as often near 0.99 as near 0.9.
    """

    def __init__(self, low: float, high: float, points: int = 5) -> None:
        super().__init__(low, high, points)
        if high >= 1:
            raise ValueRangeError(
                f"OneMinus: expected bounds of 1 - beta between 0 and 1, got {low!r}, {high!r}"
            )

    def stored(self, name: str) -> str:
        return f"1 - {name}"

    def of(self, stored: Any) -> Any:
        return 1.0 - stored


class Whole(Range):
    """An integer from low to high, both included; `log`: uniformly distributed on a logarithmic scale."""

    def __init__(self, low: int, high: int, log: bool = False, points: int = 5) -> None:
        if not all(isinstance(end, (int, np.integer)) and not isinstance(end, bool) for end in (low, high)):
            raise ValueRangeError(f"Whole: expected integers, got {low!r}, {high!r}")
        if not isinstance(log, (bool, np.bool_)):
            raise DTypeError(f"Whole: log: expected True or False, got {log!r}")
        _validate("Whole", low, high, points, 0 if log else -math.inf)
        self.low, self.high, self.log, self.points = int(low), int(high), bool(log), points

    def compatible(self, distribution: object) -> bool:
        return type(distribution).__name__ == "IntDistribution"

    def suggest(self, trial: Trial, name: str) -> Any:
        return trial.suggest_int(self.stored(name), self.low, self.high, log=self.log)

    def grid(self) -> list[Any]:
        values = (LogUniform if self.log else Uniform)(self.low, self.high, self.points).grid()
        return sorted({round(value) for value in values})


class Choice(Range):
    """One of several values: strings, numbers, bools or None."""

    def __init__(self, *values: str | bool | int | float | None) -> None:
        if not values:
            raise ValueRangeError("Choice: expected at least one value, got none")
        for value in values:
            if value is not None and not isinstance(value, (str, bool, int, float)):
                raise ValueRangeError(
                    f"Choice: expected strings, numbers, bools or None, which a storage can hold, got {value!r}"
                )
        self.values = values

    def compatible(self, distribution: object) -> bool:
        return getattr(distribution, "choices", None) == self.values

    def suggest(self, trial: Trial, name: str) -> Any:
        return trial.suggest_categorical(self.stored(name), list(self.values))

    def grid(self) -> list[Any]:
        return list(self.values)

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.values))})"


def narrowed(part: Range, values: Sequence[Any]) -> Range:
    """Narrow a range to some stored values, with a margin of a quarter of their range on both sides."""
    if isinstance(part, Choice):
        return Choice(*(value for value in part.values if value in values))
    if not isinstance(part, (Uniform, LogUniform, Whole)):
        return part
    log = isinstance(part, LogUniform) or (isinstance(part, Whole) and part.log)
    scale, back = (math.log, math.exp) if log else (float, float)
    first, last = scale(min(values)), scale(max(values))
    # Equal values say nothing about the width: use an eighth of the range on both sides.
    margin = (last - first) / 4 or (scale(part.high) - scale(part.low)) / 8
    low, high = max(back(first - margin), part.low), min(back(last + margin), part.high)
    if isinstance(part, Whole):
        return Whole(math.floor(low), math.ceil(high), part.log, part.points)
    return type(part)(low, high, part.points)


def _validate(name: str, low: float, high: float, points: int, above: float) -> None:
    least = "" if above == -math.inf else f"{above:g} < "
    numbers = all(isinstance(end, (int, float, np.integer, np.floating)) for end in (low, high))
    valid = numbers and above < low <= high < math.inf
    if not valid:
        raise ValueRangeError(f"{name}: expected {least}low <= high, both finite, got {low!r}, {high!r}")
    if isinstance(points, bool) or not isinstance(points, int) or points < 1:
        raise ValueRangeError(f"{name}: points: expected an integer of at least 1, got {points!r}")
