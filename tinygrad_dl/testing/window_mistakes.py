"""Windows at wrong positions: a stride or an offset that the backward pass of a convolution or pooling lacks.

Where windows move by `s` from one output to the next, the Jacobian depends on y - s * h, with y along an axis of the
input and h along one of the output; that of the filters depends on y + s * h.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from tinygrad_dl.typing import NDArray

STRIDES = (1, 2, 3, 4)
SHIFTS = (-2, -1, 1, 2)
# Jacobians with more numbers are not searched.
LARGEST = 2**19


class Move(NamedTuple):
    """An axis of the input, one of the output, and by how much windows move from one output to the next, signed."""

    input: int
    output: int
    step: int


def wrong_positions(a: NDArray, jacobian: NDArray, g: NDArray, output: Sequence[int]) -> str:
    """How windows have to be misplaced to give the gradient `a`, in words; "" if they cannot be."""
    shape = (*a.shape, *output)
    if jacobian.size > LARGEST or int(np.prod(shape)) != jacobian.size or not np.any(a) or len(shape) > 10:
        return ""
    whole = jacobian.reshape(shape)
    size = float(np.linalg.norm(a))
    for moves, step, shift in _hypotheses(whole, a.ndim):
        moved: NDArray | None = whole
        for move in moves:
            if moved is not None:
                moved = _replaced(moved, move, int(np.copysign(step, move.step)), shift)
        if moved is None:  # along the second axis nothing moves any more
            continue
        if np.linalg.norm(moved.reshape(jacobian.shape) @ g - a.reshape(-1)) < 1e-6 * size:
            if not shift:
                before = abs(moves[0].step)
                return (
                    f"backward places the windows {step} apart, and forward {before} apart: is the stride missing in "
                    "the positions, h * stride?"
                )
            return f"backward places the windows {abs(shift)} off: do its positions count the padding?"
    return ""


def _hypotheses(whole: NDArray, ndim: int) -> Iterator[tuple[tuple[Move, ...], int, int]]:
    """Yield the moves to change, the step in place of theirs, and a shift."""
    moves = [
        Move(i, j, sign * stride)
        for i in range(ndim)
        for j in range(ndim, whole.ndim)
        for stride in STRIDES
        for sign in (-1, 1)
        if min(whole.shape[i], whole.shape[j]) > 1
    ]
    moves = [m for m in moves if _replaced(whole, m, m.step, 0) is not None]
    # Both spatial dimensions at once are likelier than one.
    both = [
        (m, n)
        for m, n in combinations(moves, 2)
        if m.step == n.step and m.input < n.input and m.output < n.output
    ]
    chosen: list[tuple[Move, ...]] = [*both, *((m,) for m in moves)]
    for some in chosen:
        stride = abs(some[0].step)
        yield from ((some, step, 0) for step in STRIDES if step != stride)
    for some in chosen:
        yield from ((some, abs(some[0].step), shift) for shift in SHIFTS)


def _replaced(whole: NDArray, move: Move, step: int, shift: int) -> NDArray | None:
    """A Jacobian with another step along two of its axes, None if it is none of windows that move along these."""
    m = np.moveaxis(whole, (move.input, move.output), (0, 1))
    y, h = np.ogrid[: m.shape[0], : m.shape[1]]
    place = y + move.step * h
    low = int(place.min())
    values = np.zeros((int(place.max()) - low + 1, *m.shape[2:]))
    values[place - low] = m
    if np.max(np.abs(values[place - low] - m), initial=0.0) > 1e-6 * np.max(np.abs(m), initial=0.0):
        return None
    other = y + step * h + shift - low
    inside = (other >= 0) & (other < len(values))
    found = np.where(
        inside.reshape(*inside.shape, *(1,) * (m.ndim - 2)), values[np.clip(other, 0, len(values) - 1)], 0.0
    )
    return np.moveaxis(found, (0, 1), (move.input, move.output))
