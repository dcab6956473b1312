"""Numerical derivatives: central differences in float64, with steps that fit the values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

# Central differences have the error h**2 |f'''| / 6 + eps |f| / h, least at h of about eps ** (1/3).
STEP = float(np.finfo(np.float64).eps) ** (1 / 3)

Function = Callable[[Sequence[np.ndarray]], np.ndarray]


def step_for(value: float, step: float = STEP) -> float:
    """A step that is scaled to the value and exactly representable next to it."""
    h = step * max(abs(value), 1.0)
    return float((value + h) - value)


def moved(arrays: Sequence[np.ndarray], k: int, i: int, h: float) -> list[np.ndarray]:
    """The arrays with element `i` (flat) of array `k` moved by `h`."""
    copies = [a.copy() for a in arrays]
    copies[k].reshape(-1)[i] += h
    return copies


def column(f: Function, arrays: Sequence[np.ndarray], k: int, i: int, step: float = STEP) -> np.ndarray:
    """The derivative of all outputs with respect to one input element, by a central difference."""
    h = step_for(float(arrays[k].reshape(-1)[i]), step)
    return (f(moved(arrays, k, i, h)) - f(moved(arrays, k, i, -h))) / (2 * h)


def columns(f: Function, arrays: Sequence[np.ndarray], k: int, step: float = STEP) -> Iterator[np.ndarray]:
    """The derivative with respect to each element of array `k`, one after the other, on one working copy."""
    work = [a.copy() for a in arrays]
    flat = work[k].reshape(-1)
    for i in range(flat.size):
        before = flat[i]
        h = step_for(float(before), step)
        flat[i] = before + h
        above = f(work)
        flat[i] = before - h
        below = f(work)
        flat[i] = before
        yield (above - below) / (2 * h)


def along(
    f: Function, arrays: Sequence[np.ndarray], k: int, direction: np.ndarray, step: float = STEP
) -> np.ndarray:
    """The derivative of all outputs along a direction in array `k`."""
    scale = step * max(1.0, float(np.max(np.abs(arrays[k]), initial=0.0)))
    above, below = [a.copy() for a in arrays], [a.copy() for a in arrays]
    above[k] = arrays[k] + scale * direction
    below[k] = arrays[k] - scale * direction
    return (f(above) - f(below)) / (2 * scale)


def one_sided(
    f: Function, arrays: Sequence[np.ndarray], k: int, i: int, h: float
) -> tuple[np.ndarray, np.ndarray]:
    """The slopes to the right and to the left of an input element, with the step `h`."""
    here = f(arrays)
    right, left = f(moved(arrays, k, i, h)), f(moved(arrays, k, i, -h))
    return (right - here) / h, (here - left) / h


def relative_error(a: Any, b: Any) -> float:
    """The courses' measure of two gradients: |a - b| / (|a| + |b|) in Euclidean norms; 0 if both are 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    total = float(np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / total if total else 0.0
