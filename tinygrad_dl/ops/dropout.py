"""Dropout with one mask for the forward and the backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.batching import Call
from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.typing import NDArray, RandomLike, Shape


def _dropout_all(call: Call) -> Any:
    shape = call.options["shape"]
    if call.randomness == "different":
        return call.run(call.full(0), shape=None if shape is None else (call.size, *shape))
    x = call.full(0)
    return x * call.run(np.ones(call.shape(), x.dtype))


@op(
    lambda g, mask: g * mask,
    cached=("mask",),
    cases=(Case((4, 5), 0.5, rng=0), Case((2, 3, 4), 0.2, rng=1, shape=(2, 3, 1)), Case((3,), 1.0, rng=0)),
    batch=_dropout_all,
    jvp="symmetric",
    math=(r"\frac{m}{1 - p} \cdot x", r"\frac{m}{1 - p} \cdot g"),
)
def dropout(x: NDArray, /, p: float = 0.5, *, shape: Shape | None = None, rng: RandomLike = None) -> Any:
    """Each element set to 0 with the probability p, the others scaled up so that the mean stays.

    out = x * m / (1 - p), with m one draw of 0 or 1 per element, or of the given `shape` that broadcasts to x.
    Shape: same as x. Raises ValueRangeError unless 0 <= p <= 1. Source: Srivastava and others 2014 (inverted).
    >>> dropout(np.ones(3), p=0.0)
    array([1., 1., 1.])
    """
    if not 0 <= p <= 1:
        raise ValueRangeError(f"dropout: expected a probability p from 0 to 1, got {p!r}")
    keep = default_rng(rng).random(x.shape if shape is None else shape, dtype=np.float32) >= p
    dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.dtype(np.float32)
    mask = keep.astype(dtype)
    mask *= 1 / (1 - p) if p < 1 else 0
    return x * mask, mask
