"""A line search: how far to go along a direction, so that the strong Wolfe conditions hold."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan, sqrt
from typing import NamedTuple

import numpy as np

from tinygrad_dl.typing import NDArray


class Point(NamedTuple):
    """A point on the line: its distance t, the loss, the gradient, and the loss's slope along the line."""

    t: float
    loss: float
    g: NDArray
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], tuple[float, NDArray]],
    d: NDArray,
    t: float,
    start: Point,
    max_calls: int,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance: float = 1e-9,
) -> tuple[Point, int]:
    """The best point found along d, trying t first, and how often `evaluate` was called.

    Wanted: loss(t) <= loss(0) + c1 * t * slope(0) and |slope(t)| <= c2 * |slope(0)|. `max_calls`: at most so
    many calls after the first; `evaluate`: loss and gradient at a distance. The interval is widened until it
    contains such a point, then narrowed by cubic interpolation. Source: Nocedal, Wright 2006, algorithms 3.5 and 3.6.
    """

    def point_at(t: float) -> Point:
        loss, g = evaluate(t)
        return Point(t, loss, g, float(g @ d))

    def too_high(point: Point) -> bool:
        return not point.loss <= start.loss + c1 * point.t * start.slope  # nan is too high

    def is_flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    previous, current, calls = start, point_at(t), 0
    while calls < max_calls:
        if too_high(current) or (calls > 1 and current.loss >= previous.loss):
            ends = [previous, current]
            break
        if is_flat(current):
            return current, calls + 1
        if current.slope >= 0:
            ends = [previous, current]
            break
        bounds = current.t + 0.01 * (current.t - previous.t), current.t * 10
        previous, current = current, point_at(cubic_minimum(previous, current, bounds))
        calls += 1
    else:
        ends = [start, current]

    ends.sort(key=lambda point: inf if isnan(point.loss) else point.loss)  # the better end first
    width = float(np.abs(d).max(initial=0.0))
    stuck = False
    while calls < max_calls and abs(ends[1].t - ends[0].t) * width >= tolerance:
        left, right = sorted(point.t for point in ends)
        t = cubic_minimum(ends[0], ends[1])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Twice in a row at an end, or outside: the interval would hardly shrink.
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        current = point_at(t)
        calls += 1
        low, high = ends
        if too_high(current) or not current.loss < low.loss:
            ends = [low, current] if low.loss <= current.loss else [current, low]
        elif is_flat(current):
            ends = [current, high]
            break
        elif current.slope * (high.t - low.t) >= 0:
            ends = [current, low]
        else:
            ends = [current, high]
    return ends[0], calls + 1


def cubic_minimum(x: Point, y: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic with the values and slopes of two points is lowest, within bounds, by default between them."""
    left, right = (x, y) if x.t <= y.t else (y, x)
    low, high = bounds or (left.t, right.t)
    if left.t == right.t:
        return (low + high) / 2
    a = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.t - right.t)
    square = a * a - left.slope * right.slope
    if not square >= 0:
        return (low + high) / 2
    root = sqrt(square)
    below = right.slope - left.slope + 2 * root
    t = right.t - (right.t - left.t) * ((right.slope + root - a) / below) if below else float("nan")
    return (low + high) / 2 if isnan(t) else min(max(t, low), high)
