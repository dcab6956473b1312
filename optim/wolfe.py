"""A line search: how far to go along a direction, so that the strong Wolfe conditions hold."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan, sqrt
from typing import NamedTuple

import numpy as np


class Place(NamedTuple):
    """A place along the line: its distance t, the loss there, the gradient, and the slope along the line."""

    t: float
    loss: float
    g: np.ndarray
    slope: float


def strong_wolfe(
    at: Callable[[float], tuple[float, np.ndarray]],
    d: np.ndarray,
    t: float,
    start: Place,
    most: int,
    enough: float = 1e-4,
    flat: float = 0.9,
    tolerance: float = 1e-9,
) -> tuple[Place, int]:
    """The best place found along d, first trying t, and how often the loss was computed.

    Wanted: loss(t) <= loss(0) + enough * t * slope(0) and |slope(t)| <= flat * |slope(0)|. `most`: how often
    to look after the first time; `at`: loss and gradient at a distance. An interval that holds such a place is
    widened, then narrowed by cubic interpolation. Source: Nocedal, Wright 2006, algorithms 3.5 and 3.6.
    """

    def look(t: float) -> Place:
        loss, g = at(t)
        return Place(t, loss, g, float(g @ d))

    def too_high(place: Place) -> bool:
        return not place.loss <= start.loss + enough * place.t * start.slope  # nan is too high

    def is_flat(place: Place) -> bool:
        return abs(place.slope) <= -flat * start.slope

    before, now, tries = start, look(t), 0
    while tries < most:
        if too_high(now) or (tries > 1 and now.loss >= before.loss):
            ends = [before, now]
            break
        if is_flat(now):
            return now, tries + 1
        if now.slope >= 0:
            ends = [before, now]
            break
        bounds = now.t + 0.01 * (now.t - before.t), now.t * 10
        before, now = now, look(lowest(before, now, bounds))
        tries += 1
    else:
        ends = [start, now]

    ends.sort(key=lambda place: inf if isnan(place.loss) else place.loss)  # the better end first
    width = float(np.abs(d).max(initial=0.0))
    stuck = False
    while tries < most and abs(ends[1].t - ends[0].t) * width >= tolerance:
        left, right = sorted(place.t for place in ends)
        t = lowest(ends[0], ends[1])
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
        now = look(t)
        tries += 1
        low, high = ends
        if too_high(now) or not now.loss < low.loss:
            ends = [low, now] if low.loss <= now.loss else [now, low]
        elif is_flat(now):
            ends = [now, high]
            break
        elif now.slope * (high.t - low.t) >= 0:
            ends = [now, low]
        else:
            ends = [now, high]
    return ends[0], tries + 1


def lowest(x: Place, y: Place, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two places with their slopes is lowest, within bounds, by default between them."""
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
