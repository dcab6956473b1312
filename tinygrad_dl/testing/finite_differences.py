"""Finite differences: numerical derivatives in float64, with steps scaled to the values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tinygrad_dl.typing import NDArray

EPS = float(np.finfo(np.float64).eps)
# The error of a central difference, h**2 |f'''| / 6 + eps |f| / h, is smallest at about h = eps ** (1/3).
STEP = EPS ** (1 / 3)

Function = Callable[[Sequence[NDArray]], NDArray]


def step_for(value: float, step: float = STEP) -> float:
    """Return a step scaled to the value such that value + step is exact."""
    h = step * max(abs(value), 1.0)
    return float((value + h) - value)


def moved(arrays: Sequence[NDArray], k: int, i: int, h: float) -> list[NDArray]:
    """Return copies of the arrays with element `i` (flat index) of array `k` moved by `h`."""
    copies = [a.copy() for a in arrays]
    copies[k].reshape(-1)[i] += h
    return copies


def line(f: Function, arrays: Sequence[NDArray], k: int, i: int) -> Callable[[float], NDArray]:
    """The function along element `i` of array `k`, by the distance from its value."""
    return lambda h: f(moved(arrays, k, i, h))


def columns(f: Function, arrays: Sequence[NDArray], k: int, step: float = STEP) -> Iterator[NDArray]:
    """Yield the derivative with respect to each element of array `k`, on one copy of the arrays."""
    copies = [a.copy() for a in arrays]
    flat = copies[k].reshape(-1)
    for i in range(flat.size):
        value = flat[i]
        h = step_for(float(value), step)
        flat[i] = value + h
        above = f(copies)
        flat[i] = value - h
        below = f(copies)
        flat[i] = value
        yield (above - below) / (2 * h)


def along(f: Function, arrays: Sequence[NDArray], k: int, direction: NDArray, step: float = STEP) -> NDArray:
    """Return the directional derivative of all outputs in array `k`."""
    # One step for the whole array, scaled to its largest element.
    scale = step * float(np.max(np.abs(arrays[k]), initial=1.0))
    above, below = [a.copy() for a in arrays], [a.copy() for a in arrays]
    above[k] = arrays[k] + scale * direction
    below[k] = arrays[k] - scale * direction
    return (f(above) - f(below)) / (2 * scale)


def relative_error(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the courses' difference of two gradients, |a - b| / (|a| + |b|) in Euclidean norms; 0 if both are 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    largest = max(float(np.max(np.abs(a), initial=0.0)), float(np.max(np.abs(b), initial=0.0)))
    if 0 < largest < np.inf and not 1e-150 < largest < 1e150:  # whose squares are not representable
        a, b = a / largest, b / largest
    total = float(np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / total if total else 0.0
