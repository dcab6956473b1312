"""Resizing: interpolation, adaptive and fractional pooling, pixel shuffle."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import floor, prod
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import Count, Counts, Positive
from tinygrad_dl.convert import beside
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.pooling import avg_pool, avg_pool_spread
from tinygrad_dl.ops.reduce import mean
from tinygrad_dl.ops.shape import moveaxis, permute_dims, reshape
from tinygrad_dl.typing import Array, NDArray

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
_MODES = ("nearest", "nearest-exact", *LINEAR, "bicubic", "area")


def _tent(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - abs(x))


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    # Source: Keys 1981; a = -0.75 in PyTorch's bicubic, -0.5 when it smooths (antialias).
    x = abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


@lru_cache(maxsize=256)
def resize_matrix(
    size: int,
    out: int,
    mode: str,
    align_corners: bool = False,
    factor: float | None = None,
    antialias: bool = False,
) -> np.ndarray:
    """The matrix (out, size), float64, that maps an axis to another size; do not write to it."""
    step = 1 / factor if factor else size / out
    if mode in ("nearest", "nearest-exact"):
        half = 0.5 if mode == "nearest-exact" else 0.0
        # PyTorch steps in float32, and so chooses between two neighbors
        at = np.floor((np.arange(out, dtype=np.float32) + np.float32(half)) * np.float32(step))
        return np.eye(size)[np.minimum(at, size - 1).astype(int)]
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    corners = align_corners and not antialias
    centers = np.arange(out) * step if corners else (np.arange(out) + 0.5) * step - 0.5
    reach = 1 if mode != "bicubic" else 2
    if antialias:
        return _smoothing(size, out, centers, max(step, 1.0), mode, reach)
    if mode != "bicubic" and not align_corners:
        centers = np.maximum(centers, 0)
    matrix = np.zeros((out, size))
    base = np.floor(centers).astype(int)
    for tap in range(1 - reach, reach + 1):
        weight = _tent(centers - base - tap) if mode != "bicubic" else _cubic(centers - base - tap, -0.75)
        np.add.at(matrix, (np.arange(out), (base + tap).clip(0, size - 1)), weight)
    return matrix


def _smoothing(size: int, out: int, centers: np.ndarray, scale: float, mode: str, reach: int) -> np.ndarray:
    """Weights as wide as a step, so that a smaller size leaves out no element; each row sums to 1."""
    distance = (np.arange(size) - centers[:, None]) / scale
    weights = _tent(distance) if mode != "bicubic" else _cubic(distance, -0.5)
    support = reach * scale
    low = np.maximum((centers + 0.5 - support + 0.5).astype(int), 0)[:, None]
    high = np.minimum((centers + 0.5 + support + 0.5).astype(int), size)[:, None]
    weights = np.where((np.arange(size) >= low) & (np.arange(size) < high), weights, 0)
    return weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=256)
def region_matrix(size: int, out: int) -> np.ndarray:
    """The matrix (out, size) that averages the regions of adaptive pooling; do not write to it."""
    matrix = np.zeros((out, size))
    for i in range(out):
        start, stop = i * size // out, -(-(i + 1) * size // out)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


def along(x: Array, matrix: NDArray, axis: int) -> Any:
    """A matrix (out, size) applied along one axis of x."""
    if matrix.shape[0] == matrix.shape[1] and (matrix == np.eye(len(matrix))).all():
        return x
    matrix = matrix.astype(x.dtype if x.dtype.kind == "f" else np.float64, copy=False)
    if axis == x.ndim - 2:
        return matmul(beside(x, matrix), x)
    turned = beside(x, matrix.T)
    if axis == x.ndim - 1:
        return matmul(x, turned)
    return moveaxis(matmul(moveaxis(x, axis, -1), turned), -1, axis)


def _target(x: Array, size: Any, scale_factor: Any) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    n = x.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueRangeError("interpolate: give either size or scale_factor")
    given = size if size is not None else scale_factor
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * n
    if len(values) != n:
        raise ShapeError(f"interpolate: x {x.shape} has {n} spatial dimensions; got {given!r}")
    if size is not None:
        target, factors = tuple(int(v) for v in values), None
    else:
        factors = tuple(float(v) for v in values)
        target = tuple(floor(s * f) for s, f in zip(x.shape[2:], factors))
    if any(t < 1 for t in target) or any(s < 1 for s in x.shape[2:]):
        raise ShapeError(f"interpolate: from the sizes {x.shape[2:]} to {target}: each must be at least 1")
    return target, factors


def interpolate(
    input: Array,
    size: Counts | None = None,
    scale_factor: Positive | Sequence[Positive] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Space at another size; modes: nearest, nearest-exact, linear, bilinear, trilinear, bicubic, area.

    input (N, C, *S) -> (N, C, *size), or with sizes floor(S * scale_factor). align_corners: the outermost
    elements keep their positions; else element i covers [i, i + 1]. antialias: weights as wide as a step.
    Raises ShapeError, ValueRangeError.
    >>> interpolate(np.array([[[1.0, 2.0]]]), scale_factor=2)
    array([[[1., 1., 2., 2.]]])
    """
    x, n = input, input.ndim - 2
    if mode not in _MODES:
        raise ValueRangeError(f"interpolate: expected a mode of {', '.join(_MODES)}, got {mode!r}")
    if n < 1 or LINEAR.get(mode, n) != n or (mode == "bicubic" and n != 2):
        fitting = {1: "linear", 2: "bilinear or bicubic", 3: "trilinear"}.get(n, "nearest")
        raise ShapeError(f"interpolate: mode={mode!r} does not fit x {x.shape}, which takes {fitting}")
    smooth = mode in LINEAR or mode == "bicubic"
    if align_corners is not None and not smooth:
        raise ValueRangeError(f"interpolate: align_corners is for the linear and cubic modes, not {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueRangeError(f"interpolate: antialias is for bilinear and bicubic, not {mode!r}")
    target, factors = _target(x, size, scale_factor)
    if recompute_scale_factor or factors is None:
        factors = None
    if mode == "area":
        return adaptive_avg_pool(x, target)
    ratios = tuple(t // s for t, s in zip(target, x.shape[2:]))
    if mode == "nearest" and all(t == s * r for t, s, r in zip(target, x.shape[2:], ratios)):
        if factors is None or all(f == r for f, r in zip(factors, ratios)):
            # Every element repeated is what the sums over windows that do not overlap send back.
            return avg_pool_spread(x, target, ratios, divisor_override=1)
    for i, (s, t) in enumerate(zip(x.shape[2:], target)):
        factor = factors[i] if factors is not None and not align_corners else None
        if s != t or factor not in (None, 1.0):
            x = along(x, resize_matrix(s, t, mode, bool(align_corners), factor, antialias), i + 2)
    return x


# Pooling to a given size

#: One size per spatial dimension, or one for all of them; None keeps a size.
OutputSize = int | None | Sequence[int | None]


def _adaptive_size(x: Array, size: Any, name: str) -> tuple[int, ...]:
    n = x.ndim - 2
    values = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else (size,) * n
    if len(values) != n or n < 1:
        raise ShapeError(
            f"{name}: output_size={size!r} does not fit x {x.shape}, with {n} spatial dimensions"
        )
    return tuple(s if v is None else int(v) for v, s in zip(values, x.shape[2:]))


def adaptive_avg_pool(x: Array, size: OutputSize) -> Any:
    """The means of as many regions, evenly spread, as `size` says; regions overlap where sizes do not divide.

    Region i of an axis of size S: floor(i * S / out) to ceil((i + 1) * S / out). None in `size` keeps a size.
    x (N, C, *S) -> (N, C, *size).
    >>> adaptive_avg_pool(np.array([[[1.0, 2.0, 3.0]]]), 2)
    array([[[1.5, 2.5]]])
    """
    target = _adaptive_size(x, size, "adaptive_avg_pool")
    if all(t == 1 for t in target) and all(x.shape[2:]):
        return mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)
    if all(t and s and s % t == 0 for s, t in zip(x.shape[2:], target)):
        return avg_pool(x, tuple(s // t for s, t in zip(x.shape[2:], target)))
    for i, t in enumerate(target):
        x = along(x, region_matrix(x.shape[i + 2], t), i + 2)
    return x


@op(None, inputs=1, cases=(Case((1, 2, 5), size=2), Case((2, 1, 3, 4), size=(2, 3))), batch=batching.folded)
def adaptive_max_indices(x: NDArray, size: OutputSize) -> Any:
    """The position of the first maximum of each region of adaptive pooling, as a flattened index.

    x (N, C, *S) -> (N, C, *size), int64.   See adaptive_avg_pool for the regions.
    >>> adaptive_max_indices(np.array([[[1.0, 3.0, 2.0]]]), 2)
    array([[[1, 1]]])
    """
    target = _adaptive_size(x, size, "adaptive_max_pool")
    sizes = x.shape[2:]
    out = np.zeros((*x.shape[:2], *target), np.int64)
    positions = np.arange(prod(sizes)).reshape(sizes)
    region: Any
    for cell in np.ndindex(*target):
        region = tuple(slice(i * s // t, -(-(i + 1) * s // t)) for i, s, t in zip(cell, sizes, target))
        best = x[(..., *region)].reshape(*x.shape[:2], -1).argmax(axis=2)
        out[(..., *cell)] = positions[region].ravel()[best]
    return out


@op(
    None,
    None,
    cases=(Case((1, 2, 5, 6), np.array([[[0.1, 0.7], [0.5, 0.3]]]), kernel=2, size=(2, 3)),),
    batch=batching.folded,
)
def fractional_max_indices(
    x: NDArray, samples: NDArray, kernel: int | tuple[int, ...], size: int | tuple[int, ...]
) -> Any:
    """The positions of the maxima of windows whose steps vary at random between two whole numbers.

    Window i of an axis begins at floor((i + u) * a) - floor(u * a), a = (S - K) / (out - 1).
    x (N, C, *S), samples u in [0, 1) (N, C, n) -> (N, C, *size), int64.   Source: Graham 2014.
    >>> fractional_max_indices(np.array([[[1.0, 3.0, 2.0]]]), np.array([[[0.5]]]), 1, 2)
    array([[[0, 2]]])
    """
    n = x.ndim - 2
    kernel = kernel if isinstance(kernel, tuple) else (kernel,) * n
    size = size if isinstance(size, tuple) else (size,) * n
    flat: Any = 0
    for i, (s, k, t) in enumerate(zip(x.shape[2:], kernel, size)):
        if s < k + t - 1:
            raise ShapeError(f"fractional_max_pool: {t} windows of {k} do not fit axis {i + 2} of size {s}")
        # PyTorch's samples name the last axis first
        u = samples[..., n - 1 - i if n == 2 else i][..., None]
        step = (s - k) / (t - 1) if t > 1 else 0.0
        start = ((np.arange(t) + u) * step).astype(int) - (u * step).astype(int)
        start[..., -1] = s - k
        offsets = start[..., None] + np.arange(k)  # (N, C, t, k)
        shape = (
            *x.shape[:2],
            *(t if j == i else 1 for j in range(n)),
            *(k if j == i else 1 for j in range(n)),
        )
        flat = flat * s + offsets.reshape(shape)
    flat = flat.reshape(*x.shape[:2], prod(size), prod(kernel))
    values = np.take_along_axis(x.reshape(*x.shape[:2], -1), flat.reshape(*x.shape[:2], -1), 2)
    best = values.reshape(flat.shape).argmax(axis=-1)[..., None]
    return np.take_along_axis(flat, best, -1).reshape(*x.shape[:2], *size)


# Channels and space


def pixel_shuffle(input: Array, upscale_factor: Count) -> Any:
    """Channels rearranged into pixels: each block of r * r channels becomes r * r pixels.

    out[..., c, h*r + i, w*r + j] = x[..., c*r*r + i*r + j, h, w].
    x (..., C*r*r, H, W) -> (..., C, H*r, W*r).   Raises ShapeError.   Source: Shi and others 2016.
    >>> pixel_shuffle(np.arange(4).reshape(4, 1, 1), 2)
    array([[[0, 1],
            [2, 3]]])
    """
    x = input
    r = int(upscale_factor)
    if r < 1 or x.ndim < 3 or x.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: x {x.shape} needs the axes (..., C * {r} * {r}, H, W): "
            f"a number of channels divisible by {r * r}"
        )
    *lead, c, h, w = x.shape
    k = len(lead)
    apart = reshape(x, (*lead, c // (r * r), r, r, h, w))
    moved = permute_dims(apart, (*range(k), k, k + 3, k + 1, k + 4, k + 2))
    return reshape(moved, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Array, downscale_factor: Count) -> Any:
    """Space gathered in channels: the inverse of pixel_shuffle.

    x (..., C, H*r, W*r) -> (..., C*r*r, H, W).   Raises ShapeError.
    >>> pixel_unshuffle(np.arange(4).reshape(1, 2, 2), 2).shape
    (4, 1, 1)
    """
    x = input
    r = int(downscale_factor)
    if r < 1 or x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
        raise ShapeError(f"pixel_unshuffle: height and width of x {x.shape} must be divisible by {r}")
    *lead, c, h, w = x.shape
    k = len(lead)
    apart = reshape(x, (*lead, c, h // r, r, w // r, r))
    moved = permute_dims(apart, (*range(k), k, k + 2, k + 4, k + 1, k + 3))
    return reshape(moved, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Array, groups: Count) -> Any:
    """Channels of groups dealt out in turn, so that the next grouped convolution sees all groups.

    out[:, k * groups + g] = x[:, g * (C / groups) + k].   Shape: same as x, (N, C, *S).
    Raises ShapeError.   Source: Zhang and others 2018.
    >>> channel_shuffle(np.arange(4).reshape(1, 4, 1), 2).ravel()
    array([0, 2, 1, 3])
    """
    x = input
    if x.ndim < 3 or x.shape[1] % groups:
        raise ShapeError(f"channel_shuffle: the channels of x {x.shape} must be divisible by groups={groups}")
    n, c, *sizes = x.shape
    apart = reshape(x, (n, groups, c // groups, *sizes))
    return reshape(permute_dims(apart, (0, 2, 1, *range(3, apart.ndim))), x.shape)
