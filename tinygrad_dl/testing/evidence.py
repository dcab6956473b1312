"""What values of a function along a line tell about its derivative: an interval for it, or why there is none.

The differences are taken with steps from a quarter of the input's scale down to its rounding. Richardson's
extrapolation removes the error of the step, the noise of the function is measured, and the estimate with the smallest
bound is used. C. Ridders, Advances in Engineering Software 4 (1982); J. Moré and S. Wild, SIAM Journal on Scientific
Computing 33 (2011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial
from typing import NamedTuple

import numpy as np

from tinygrad_dl.typing import NDArray

#: A function of arrays, whose result is one flat array.
Function = Callable[[Sequence[NDArray]], NDArray]
#: The values of a function, as a flat array, at a signed distance from the point along a line.
Line = Callable[[float], NDArray]

RATIO = 4.0  # between two steps
LARGEST_STEP = 0.25  # times the scale of the input
SMALLEST_STEP = 1e-11
TINY = 1e-300  # the smallest step beside a subnormal number
EPS = float(np.finfo(np.float64).eps)
# The error of numbers beside 0: twice their spacing, so that half of it is a number.
SUBNORMAL = 2 * float(np.finfo(np.float64).smallest_subnormal)
# The function is sampled at these distances, times the scale, where its noise is measured: above the spacing of float64
# numbers, and so near that a smooth function is a polynomial. The smaller ones are for functions that vary quickly, or
# have many kinks.
SPACINGS = (2.0**-22, 2.0**-32, 2.0**-37)
SAMPLES, ORDER = 9, 4
# For inputs so close to 0 a spacing beside them is tried, too.
NEAR_ZERO, SPACING_NEAR_ZERO = 1e-7, 2.0**-12
# Jumps of at most this part of the values may be those of a coarse dtype; bfloat16 has a spacing of 2**-7. A jump is
# located in so many halvings, and the slope beside it is that of the step 4**-10 of the largest, about a millionth.
COARSEST = 0.05
HALVINGS, LOCAL = 24, 10
# Where several units are at a kink, derivatives are taken at points so near, times the scale of the input.
RADIUS, CLOSER, NEARBY = 1e-6, 1e-6 / 16, 16
# Errors are estimates: they count this many times.
SAFETY = 4.0


class Evidence(NamedTuple):
    """The derivative of each output along a line: what it is on each side, the error of these, and the noise of f.

    `reason` says for each output why nothing can be told, and is empty where something can.
    """

    right: NDArray
    right_error: NDArray
    left: NDArray
    left_error: NDArray
    central: NDArray
    central_error: NDArray
    noise: NDArray
    reason: list[str]

    def is_kink(self, o: int) -> bool:
        """Whether the derivatives of output `o` on both sides differ by more than twice their errors."""
        gap = abs(self.right[o] - self.left[o])
        return bool(gap > 2 * (self.right_error[o] + self.left_error[o]))

    def interval(self, o: int) -> tuple[float, float, float]:
        """The lowest and the highest correct derivative of output `o`, and the error of both."""
        if not self.is_kink(o):
            return float(self.central[o]), float(self.central[o]), float(self.central_error[o])
        low, high = sorted((float(self.right[o]), float(self.left[o])))
        return low, high, float(max(self.right_error[o], self.left_error[o]))


def examine(line: Line, x: float = 0.0, eps: float = EPS) -> Evidence:
    """Look closely at a function along a line from `x`; `eps` is the spacing of the numbers that it computes in."""
    with np.errstate(all="ignore"):
        return _examined(line, x, eps)


def steps(x: float) -> NDArray:
    """The distances from `x` at which a function is sampled, the largest first: x + h - x is h."""
    scale = max(abs(x), 1.0)
    smallest = SMALLEST_STEP * scale
    if (
        x
    ):  # an input close to 0 may be close to the edge of a domain, too: there the steps are small beside it
        smallest = min(smallest, max(abs(x) / 1024, TINY))
    number = int(np.log2(LARGEST_STEP * scale / smallest) / np.log2(RATIO))
    return (x + LARGEST_STEP * scale / RATIO ** np.arange(number + 1)) - x


def _examined(line: Line, x: float, eps: float) -> Evidence:
    h = steps(x)
    start = line(0.0)
    above, below = np.array([line(s) for s in h]), np.array([line(-s) for s in h])
    noise = np.maximum(_noise(line, start, x, eps), _quantum(line, start, above, below, h))
    column = h[:, None]
    after, before = (np.maximum(noise, eps * np.abs(values)) for values in (above, below))
    right, right_error = _extrapolated((above - start) / column, h, after, 1)
    left, left_error = _extrapolated((start - below) / column, h, before, 1)
    central, central_error = _extrapolated(
        (above - below) / (2 * column), h, np.maximum(after, before) / 2, 2
    )
    reasons = [_reason(o, start, above, below, h, noise) for o in range(start.size)]
    return Evidence(right, right_error, left, left_error, central, central_error, noise, reasons)


def nearby(f: Function, arrays: Sequence[NDArray], k: int, i: int) -> tuple[NDArray, NDArray]:
    """The lowest and the highest derivative of each output in element `i` of array `k` at points next to this one, inf
    and -inf where these are those of a smooth function.

    Where a kink follows on another, as in layers of units that are all 0, the derivatives on both sides along one input
    are not all that there are: F. Clarke's generalized gradient has those at all points around.
    """
    scale = max(abs(float(arrays[k].reshape(-1)[i])), 1.0) / 50
    low, high = _around(f, arrays, k, i, RADIUS, RADIUS * scale)
    closer, farther = _around(f, arrays, k, i, CLOSER, CLOSER * scale)
    # Around a kink they differ as much at any distance; by curvature they differ less when closer, by rounding more.
    width, narrow = high - low, farther - closer
    # The function may be 0 here, and its differences are rounded all the same.
    rounding = 16 * EPS * np.abs(f(arrays)) / (CLOSER * scale) + 1e-6 * np.maximum(np.abs(low), np.abs(high))
    kink = (width > 0.3 * narrow) & (narrow > 0.3 * width) & (narrow > rounding)
    low, high = np.minimum(low, closer), np.maximum(high, farther)
    slack = 0.02 * (high - low)  # a few points do not show the extremes
    return np.where(kink, low - slack, np.inf), np.where(kink, high + slack, -np.inf)


def _around(
    f: Function, arrays: Sequence[NDArray], k: int, i: int, radius: float, h: float
) -> tuple[NDArray, NDArray]:
    """The lowest and the highest central difference of step `h` at points within a radius."""
    rng, found = np.random.default_rng(0), []
    for _ in range(NEARBY):
        moved = [a + radius * np.maximum(np.abs(a), 1.0) * rng.uniform(-1, 1, a.shape) for a in arrays]
        flat = moved[k].reshape(-1)
        x = flat[i]
        flat[i] = above_x = x + h
        above = f(moved)
        flat[i] = below_x = x - h
        found.append((above - f(moved)) / (above_x - below_x))
    derivatives = np.array(found)
    finite = np.isfinite(derivatives)
    low = np.min(np.where(finite, derivatives, np.inf), axis=0)
    high = np.max(np.where(finite, derivatives, -np.inf), axis=0)
    return low, high


def _extrapolated(d: NDArray, h: NDArray, noise: NDArray, power: int) -> tuple[NDArray, NDArray]:
    """The limit of differences as the step goes to 0, and its error: the entry of Richardson's table that differs
    least from its neighbors. The error of a difference is a series in h**power; `noise` is that of values at each step.
    """
    # Of the noise at each step; the extrapolation at most doubles that of two values.
    rounding = 4 * noise / h[:, None]
    table, values, errors = d, d.copy(), np.full(d.shape, np.inf)
    for k in range(4):
        change = np.zeros_like(table)
        if k:
            weight = RATIO ** (power * k)
            finer = (weight * table[1:] - table[:-1]) / (weight - 1)
            change, table = np.abs(finer - table[1:]), finer
        # Beside the column before, an entry is compared with the next coarser step.
        error = SAFETY * np.maximum(change[1:], np.abs(table[1:] - table[:-1])) + rounding[k + 1 :]
        error = np.where(np.isfinite(table[1:]) & np.isfinite(error), error, np.inf)
        better = error < errors[k + 1 :]
        values[k + 1 :] = np.where(better, table[1:], values[k + 1 :])
        errors[k + 1 :] = np.where(better, error, errors[k + 1 :])
    # Large steps may agree with each other on what is not the derivative: the other side of a kink, or the mean of many
    # periods. A smaller step contradicts them: their intervals have no point in common.
    best, best_error = values[-1].copy(), np.full(d.shape[1], np.inf)
    low, high = np.full(d.shape[1], -np.inf), np.full(d.shape[1], np.inf)
    for value, error in zip(values[::-1], errors[::-1]):
        lower, upper = np.maximum(low, value - error), np.minimum(high, value + error)
        usable = np.isfinite(error) & (lower <= upper)
        low, high = np.where(usable, lower, low), np.where(usable, upper, high)
        better = usable & (error < best_error)
        best, best_error = np.where(better, value, best), np.where(better, error, best_error)
    return best, best_error


def _noise(line: Line, start: NDArray, x: float, eps: float) -> NDArray:
    """How far values of the function are from a smooth one: differences of fourth order, which a polynomial lacks."""
    gamma = factorial(ORDER) ** 2 / factorial(2 * ORDER)
    spacings = [spacing * max(abs(x), 1.0) for spacing in SPACINGS]
    if 0 < abs(x) < NEAR_ZERO:
        spacings.append(abs(x) * SPACING_NEAR_ZERO)
    found = np.maximum(eps * np.abs(start), SUBNORMAL)
    for sign in (1.0, -1.0):  # not across 0, where there may be a kink
        sigmas = []
        for spacing in spacings:
            values = np.array([line(sign * spacing * j) for j in range(1, SAMPLES + 1)])
            sigmas.append(np.sqrt(gamma * np.mean(np.diff(values, n=ORDER, axis=0) ** 2, axis=0)))
        sigma = np.min(np.nan_to_num(np.array(sigmas), nan=np.inf), axis=0)
        found = np.maximum(found, np.where(np.isfinite(sigma), SAFETY * sigma, 0.0))
    return found


def _quantum(line: Line, start: NDArray, above: NDArray, below: NDArray, h: NDArray) -> NDArray:
    """The height of the stairs of a function that rounds coarsely on the way; 0 where there are none.

    Stairs change by a jump, however near one looks at it; a unit that becomes active changes steadily.
    """
    found = np.zeros(start.size)
    for values, sign in ((above, 1.0), (below, -1.0)):
        for o in range(start.size):
            # What the function would be without a jump: constant on a stair, a line where there is one jump.
            flat = values[-1, o] == start[o]
            slope = 0.0 if flat else (values[LOCAL, o] - start[o]) / h[LOCAL]
            away = np.abs(values[:, o] - start[o] - slope * h)
            least = 0.0 if flat else 1e4 * EPS * abs(start[o])
            sudden = np.flatnonzero(away[:-1] > np.maximum(100 * away[1:], least))
            sudden = sudden if flat else sudden[sudden < LOCAL]
            if not sudden.size:
                continue
            j = int(sudden[-1])
            low, high = h[j + 1], h[j]
            before = 0.0 if flat else away[j] / 4
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                if abs(line(sign * middle)[o] - (start[o] + slope * middle)) <= before:
                    low = middle
                else:
                    high = middle
            inner, outer = line(sign * low)[o], line(sign * high)[o]
            jump = abs(outer - inner)
            # Up to four stairs are between two steps.
            if away[j] / 5 < jump < COARSEST * abs(outer):
                found[o] = max(found[o], jump)
    return found


def _reason(o: int, start: NDArray, above: NDArray, below: NDArray, h: NDArray, noise: NDArray) -> str:
    """Why differences of output `o` tell nothing, or ""."""
    if not np.isfinite(start[o]):
        return "the function is not finite at"
    for values, side in ((below, "below"), (above, "above")):
        near = values[-4:, o]
        if not np.isfinite(near).all():
            return f"the function is not finite {side}"
        first, last = np.abs(near[[0, -1]] - start[o])
        # Next to a jump the values do not approach that at the point, however small the step.
        if last > 64 * noise[o] and last > 0.5 * first:
            return f"the function jumps {side}"
        change = np.abs(values[:, o] - start[o])
        clear = np.flatnonzero(change > 64 * noise[o])[-4:]
        differences = change[clear] / h[clear]
        if (
            len(clear) == 4
            and h[clear[-1]] < 1e-4 * h[0]
            and (differences[1:] > 1.4 * differences[:-1]).all()
        ):
            return f"the differences {side} grow without bound as the step shrinks"
    return ""
