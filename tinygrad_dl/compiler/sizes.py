"""Sizes and numbers that follow from the number of rows of a run, where a program otherwise has constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.compiler.program import NotLowered


class Size(int):
    """slope * rows + rest; as an int it is what it comes to at one of the SAMPLES, for choices that only cost time."""

    slope: int
    rest: int
    at: int

    def __new__(cls, slope: int, rest: int, at: int) -> Any:
        self = super().__new__(cls, slope * at + rest)
        self.slope, self.rest, self.at = slope, rest, at
        return self

    def __repr__(self) -> str:
        if (self.slope, self.rest) == (1, 0):
            return "rows"
        return f"({self.slope} * rows + {self.rest})"

    @property
    def rows(self) -> Any:
        """The number of rows itself."""
        return Size(1, 0, self.at)

    def of(self, rows: int) -> int:
        return self.slope * rows + self.rest

    def _made(self, slope: int, rest: int) -> Any:
        return Size(slope, rest, self.at) if slope else rest

    def __add__(self, x: int) -> Any:
        slope, rest = parts_of(x)
        return self._made(self.slope + slope, self.rest + rest)

    __radd__ = __add__

    def __neg__(self) -> Any:
        return self._made(-self.slope, -self.rest)

    def __sub__(self, x: int) -> Any:
        return self + -x

    def __rsub__(self, x: int) -> Any:
        return -self + x

    def __mul__(self, x: int) -> Any:
        if isinstance(x, Size):
            raise NotLowered("a size that grows with the square of the number of rows")
        return self._made(self.slope * x, self.rest * x)

    __rmul__ = __mul__

    def __floordiv__(self, x: int) -> Any:
        if isinstance(x, Size) or self.slope % x or self.rest % x:
            raise NotLowered("a part of the number of rows")
        return self._made(self.slope // x, self.rest // x)

    def __mod__(self, x: int) -> Any:
        return 0 if not isinstance(x, Size) and not (self.slope % x or self.rest % x) else self // x

    def __rmod__(self, x: int) -> Any:
        if x not in (0, -1):
            raise NotLowered("a row that is counted")
        return self + x if x else 0

    def __truediv__(self, x: Any) -> Any:
        raise NotLowered("a part of the number of rows")

    __rtruediv__ = __rfloordiv__ = __truediv__


class Ratio(float):
    """A number that follows from the number of rows, by an expression in `rows`."""

    text: str

    def __new__(cls, text: str, value: float) -> Any:
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __repr__(self) -> str:
        return self.text


class Filled:
    """The values of a constant array whose shape follows from the number of rows: one, everywhere."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Altered:
    """An object of the user's or the package's with other numbers in some of its attributes."""

    def __init__(self, template: Any, attributes: dict[str, Any]) -> None:
        self.template, self.attributes = template, attributes


def parts_of(x: int) -> tuple[int, int]:
    return (x.slope, x.rest) if isinstance(x, Size) else (0, x)


def same_size(x: int, y: int) -> bool:
    """Whether two sizes are the same for every number of rows."""
    return parts_of(x) == parts_of(y)


def depends(x: Any) -> bool:
    """Whether a value depends on the number of rows."""
    return isinstance(x, (Size, Ratio, Altered)) or (isinstance(x, (tuple, list)) and any(map(depends, x)))


def is_rows(x: Any) -> bool:
    """Whether a size is the number of rows itself."""
    return isinstance(x, Size) and (x.slope, x.rest) == (1, 0)


def at_rows(shape: Sequence[int], rows: int) -> tuple[int, ...]:
    """A shape for a number of rows."""
    return tuple(n.of(rows) if isinstance(n, Size) else n for n in shape)
