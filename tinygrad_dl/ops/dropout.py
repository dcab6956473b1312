"""Dropout with one mask for the forward and the backward pass."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.op import Case, op


def _at_least(p: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Where `rng.random` draws p or more, in float32."""
    source, size = rng.bit_generator, prod(shape)
    if size % 2 or not isinstance(source, np.random.PCG64):
        return rng.random(shape, dtype=np.float32) >= p
    # The same draws in half the time: the numbers are the first 24 bits, and these are compared as they come.
    halves = source.random_raw(size // 2).view(np.uint32).reshape(shape)
    return halves >= ceil(float(np.float32(p)) * 2**24) << 8


@op(
    lambda g, mask: g * mask,
    cached=("mask",),
    cases=(Case((4, 5), 0.5, rng=0), Case((2, 3, 4), 0.2, rng=1, shape=(2, 3, 1)), Case((3,), 1.0, rng=0)),
)
def dropout(x: Any, /, p: float = 0.5, *, shape: Any = None, rng: Any = None) -> Any:
    """Each element set to 0 with the probability p, the others scaled up so that the mean stays.

    out = x * m / (1 - p), with m one draw of 0 or 1 an element, or of the given `shape` that broadcasts to x.
    Shape: same as x. Raises ValueRangeError unless 0 <= p <= 1. Source: Srivastava and others 2014 (inverted).
    >>> dropout(np.ones(3), p=0.0)
    array([1., 1., 1.])
    """
    if not 0 <= p <= 1:
        raise ValueRangeError(f"dropout: p is a probability, from 0 to 1; {p!r} came")
    kept = _at_least(p, x.shape if shape is None else shape, default_rng(rng))
    dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.dtype(np.float32)
    mask = kept.astype(dtype)
    mask *= 1 / (1 - p) if p < 1 else 0
    return x * mask, mask
