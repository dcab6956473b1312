"""Printed results, compared digit by digit except where machines round differently."""

from __future__ import annotations

import doctest
import re

import numpy as np

NUMBER = re.compile(
    r"-?\d+\.\d*(?:e[+-]?\d+)? *"
)  # with the spaces that pad it to the width of an array's column
SHORT = 6  # so many digits are a rounded figure or an exact value: rounding in the last bits does not show
SINGLE = 9  # so many digits tell all float32 numbers apart; float64 arrays print 8


def digits(number: str) -> int:
    """How many significant digits are printed."""
    return len(re.sub(r"e.*|\D", "", number).lstrip("0"))


def agree(expected: str, got: str) -> bool:
    """Whether two printed numbers differ by a few units of the last bits at most."""
    most = max(digits(expected), digits(got))
    dtype = np.float32 if most <= SINGLE else np.float64
    tolerance = 0 if most <= SHORT else 8 * float(np.finfo(dtype).eps)
    return abs(float(got) - float(expected)) <= tolerance * abs(float(expected))


def with_expected_digits(expected: str, got: str) -> str:
    """`got`, with the digits of `expected` in the place of those of each number that agrees."""
    numbers = NUMBER.findall(expected)
    if len(numbers) != len(NUMBER.findall(got)):
        return got
    each = iter(numbers)
    return NUMBER.sub(lambda found: number if agree(number := next(each), found[0]) else found[0], got)


class Checker(doctest.OutputChecker):
    """doctest's comparison, for numbers that may differ in their last bits."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(want, with_expected_digits(want, got), optionflags)
