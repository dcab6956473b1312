"""Sampling at positions that a grid names: spatial transformers. Differentiable in the input and in the grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.arguments import Size
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.ops.elementwise import abs, where
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.pooling import pick_in_space
from tinygrad_dl.ops.shape import expand_dims, reshape
from tinygrad_dl.typing import Array, NDArray

_MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")


def affine_grid(theta: Array, size: Sequence[Size], align_corners: bool = False) -> Any:
    """A grid for grid_sample that maps positions of the result to positions of the input, in [-1, 1], by matrices.

    out[n, p] = theta[n] @ (p, 1), x first.   theta (N, d, d + 1), size (N, C, *S) -> (N, *S, d), d = 2 or 3 axes.
    Raises ShapeError.   Source: Jaderberg and others 2015.
    >>> affine_grid(np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2))
    array([[[[-0.5,  0. ],
             [ 0.5,  0. ]]]])
    """
    space = tuple(int(s) for s in size)[2:]
    d = len(space)
    if d not in (2, 3) or theta.shape != (size[0], d, d + 1):
        raise ShapeError(
            f"affine_grid: expected theta (N, d, d + 1) and size (N, C, *S), d = 2 or 3, "
            f"got {theta.shape} and {tuple(size)}"
        )
    axes = []
    for s in space:
        steps = np.linspace(-1, 1, s) if s > 1 else np.zeros(1)
        axes.append(steps if align_corners else steps * (s - 1) / s)
    positions = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(space)], -1).reshape(-1, d + 1)
    return reshape(matmul(positions.astype(theta.dtype), theta.mT), (size[0], *space, d))


def _inside(at: Array, size: int, mode: str, align_corners: bool) -> Any:
    """Places brought back into the axis, as the padding mode says."""
    if mode == "reflection":
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        span = high - low
        if not span:
            at = at * 0
        else:
            # a triangle wave between the two ends
            turns = np.floor(_plain(abs(at - low)) / (2 * span)) * (2 * span)
            at = low + span - abs(abs(at - low) - turns - span)
    outside_low, outside_high = _plain(at) < 0, _plain(at) > size - 1
    return where(outside_low, 0.0, where(outside_high, float(size - 1), at))


def _plain(x: Array) -> NDArray:
    return x._data if isinstance(x, Value) else x


@each_example
def grid_sample(
    input: Array,
    grid: Array,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """The input at positions that a grid names: by lines ("bilinear") or cubics ("bicubic"), or at the nearest element.

    input (N, C, *S), grid (N, *L, d) in [-1, 1], its last axis in the order x, y, (z) -> (N, C, *L), d = 2 or 3.
    padding_mode, outside: "zeros", "border" or "reflection". align_corners: -1 and 1 are the centers of the
    outermost elements, else their edges. Raises ShapeError, ValueRangeError.   Source: Jaderberg and others 2015.
    >>> grid_sample(np.array([[[[1.0, 3.0]]]]), np.array([[[[0.0, 0.0]]]]))
    array([[[[2.]]]])
    """
    x, d = input, input.ndim - 2
    if d not in (2, 3) or grid.ndim != x.ndim or grid.shape[0] != x.shape[0] or grid.shape[-1] != d:
        raise ShapeError(
            f"grid_sample: expected x (N, C, *S) and grid (N, *L, d) with d = 2 or 3, got {x.shape} and {grid.shape}"
        )
    if mode not in _MODES or padding_mode not in PADDING_MODES:
        raise ValueRangeError(
            f"grid_sample: expected a mode of {', '.join(_MODES)} and a padding_mode of {', '.join(PADDING_MODES)}, "
            f"got mode={mode!r} and padding_mode={padding_mode!r}"
        )
    if mode == "bicubic" and d != 2:
        raise ShapeError(f"grid_sample: bicubic is for two spatial dimensions; x {x.shape} has {d}")
    if not all(x.shape[2:]):
        raise ShapeError(f"grid_sample: x {x.shape} has no elements to sample")
    sizes, align_corners = x.shape[2:], bool(align_corners)
    at = []
    for axis, s in enumerate(sizes):
        position = grid[..., d - 1 - axis]
        position = (position + 1) * ((s - 1) / 2) if align_corners else ((position + 1) * s - 1) / 2
        # Cubics first find their neighbors; those are brought back inside one by one.
        whole = padding_mode == "zeros" or mode == "bicubic"
        at.append(position if whole else _inside(position, s, padding_mode, align_corners))
    if mode == "bicubic":
        return _by_cubics(x, at, padding_mode, align_corners)
    if mode == "nearest":
        return _at_corner(x, [np.rint(_plain(p)) for p in at])
    low = [np.floor(_plain(p)) for p in at]
    total: Any = 0
    for corner in product((0, 1), repeat=d):
        weight: Any = 1
        for bit, p, base in zip(corner, at, low):
            weight = weight * (p - base if bit else base + 1 - p)
        picked = _at_corner(x, [base + bit for base, bit in zip(low, corner)])
        total = total + picked * expand_dims(weight, 1)
    return total


def _by_cubics(x: Array, at: list[Any], padding_mode: str, align_corners: bool) -> Any:
    """The sum over four neighbors along each axis, weighted by the cubic kernel of resizing, a = -0.75."""
    low = [np.floor(_plain(p)) for p in at]
    weights = [[_cubic(abs(p - (base + o))) for o in range(-1, 3)] for p, base in zip(at, low)]
    total: Any = 0
    for corner in product(range(4), repeat=len(at)):
        weight: Any = 1
        for i, each in zip(corner, weights):
            weight = weight * each[i]
        positions = [base + (i - 1) for i, base in zip(corner, low)]
        if padding_mode != "zeros":
            sizes = x.shape[2:]
            positions = [
                np.rint(_inside(p, s, padding_mode, align_corners)) for p, s in zip(positions, sizes)
            ]
        total = total + _at_corner(x, positions) * expand_dims(weight, 1)
    return total


def _cubic(distance: Array, a: float = -0.75) -> Any:
    """Keys' kernel at a distance from 0 to 2."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return where(_plain(distance) <= 1, near, far)


def _at_corner(x: Array, positions: list[np.ndarray]) -> Any:
    """The elements at whole positions, zeros outside."""
    n, c, *sizes = x.shape
    inside = np.ones(positions[0].shape, bool)
    flat = np.zeros(positions[0].shape, np.int64)
    for i, (p, s) in enumerate(zip(positions, sizes)):
        inside &= (p >= 0) & (p <= s - 1)
        flat += np.nan_to_num(p).clip(0, s - 1).astype(np.int64) * prod(sizes[i + 1 :])
    everywhere = np.broadcast_to(flat[:, None], (n, c, *flat.shape[1:]))
    picked = pick_in_space(x, everywhere)
    return picked if inside.all() else where(inside[:, None], picked, 0.0)
