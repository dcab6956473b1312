"""Activations in pieces of lines; their fast rules choose by multiplying with masks.

np.where costs ten times as much on data whose signs follow no pattern.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.elementwise import where

APART = Domain(avoid=(0,))
WIDE = Domain(-9, 9, avoid=(-6, -3, -1, -0.5, 0, 0.5, 1, 3, 6))


def _between(x: Any, low: float, high: float) -> Any:
    """Whether x lies strictly inside; nan counts, so that it stays visible in gradients."""
    return ~((x <= low) | (x >= high))


def chosen(mask: np.ndarray, where_true: Any, where_false: Any) -> np.ndarray:
    """where_true where the mask holds and where_false elsewhere, both finite."""
    out = np.multiply(where_true, mask)
    out += np.multiply(where_false, ~mask)
    return out


@op(
    lambda g, x, slope: g * where(x > 0, 1, slope),
    fast=(lambda g, x, slope: chosen(x > 0, g, g * slope),),
    domain=APART,
    cases=(Case((2, 3)), Case((3,), 0.2)),
    kinks="the slope at 0",
)
def leaky_relu(x: Any, /, slope: float = 0.01) -> Any:
    """The positive part, and a small multiple of the negative part.

    out = x where x > 0, slope * x elsewhere.   Shape: same as x.   Source: Maas and others 2013.
    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return np.maximum(x, 0) + np.minimum(x, 0) * slope


@op(
    lambda g, x, w: g * where(x > 0, 1, w),
    lambda g, x: g * where(x > 0, 0, x),
    fast=(lambda g, x, w: chosen(x > 0, g, g * w), lambda g, x: g * np.minimum(x, 0)),
    domain=(APART, Domain()),
    cases=(Case((2, 3), (3,)), Case((2, 3, 2), (3, 1)), Case((3,), (1,))),
    kinks="w at 0",
)
def prelu(x: Any, w: Any, /) -> Any:
    """The positive part, and a learnt multiple of the negative part.

    out = x where x > 0, w * x elsewhere.   w broadcasts to x.   Source: He and others 2015.
    >>> prelu(np.array([-1.0, 2.0]), np.array([0.25]))
    array([-0.25,  2.  ])
    """
    return np.maximum(x, 0) + np.minimum(x, 0) * w


@op(
    lambda g, x, low, high: g * _between(x, low, high),
    domain=WIDE,
    cases=(Case((4, 3)), Case((4, 3), 0.0, 6.0), Case((4, 3), low=-0.5, high=0.5)),
    kinks="0 at both bounds",
)
def hardtanh(x: Any, /, low: float = -1.0, high: float = 1.0) -> Any:
    """The value held between two bounds; with 0 and 6 it is relu6.

    out = min(max(x, low), high).   Shape: same as x. Raises ValueRangeError unless low <= high.
    >>> hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    if low > high:
        raise ValueRangeError(f"hardtanh: the lower bound {low} lies above the upper bound {high}")
    return np.minimum(np.maximum(x, low), high)


@op(
    lambda g, x: g * _between(x, -3, 3) / 6,
    domain=WIDE,
    cases=(Case((4, 3)),),
    kinks="0 at -3 and 3",
)
def hardsigmoid(x: Any, /) -> Any:
    """The logistic function in three lines.

    out = min(max(x / 6 + 1/2, 0), 1).   Shape: same as x.
    >>> hardsigmoid(np.array([-3.0, 0.0, 3.0]))
    array([0. , 0.5, 1. ])
    """
    return np.minimum(np.maximum(x + 3, 0), 6) / 6


@op(
    lambda g, x: g * where(x <= -3, 0, where(x >= 3, 1, x / 3 + 0.5)),
    fast=(lambda g, x: g * ((x / 3 + 0.5) * _between(x, -3, 3) + (x >= 3)),),
    domain=WIDE,
    cases=(Case((4, 3)),),
    kinks="0 at -3, 1 at 3",
)
def hardswish(x: Any, /) -> Any:
    """The value times its hardsigmoid.

    out = x * min(max(x + 3, 0), 6) / 6.   Shape: same as x.   Source: Howard and others 2019.
    >>> hardswish(np.array([1.5, 3.0]))
    array([1.125, 3.   ])
    """
    return x * np.minimum(np.maximum(x + 3, 0), 6) / 6


@op(
    lambda g, x, lambd: g * ~((x >= -lambd) & (x <= lambd)),
    domain=WIDE,
    cases=(Case((4, 3)), Case((4, 3), 1)),
    kinks="0 at both bounds",
)
def hardshrink(x: Any, /, lambd: float = 0.5) -> Any:
    """Zero near zero, the value itself elsewhere.

    out = x where |x| > lambd, 0 elsewhere.   Shape: same as x.
    >>> hardshrink(np.array([-1.0, 0.2]))
    array([-1.,  0.])
    """
    return x * ~((x >= -lambd) & (x <= lambd))


@op(
    lambda g, x, lambd: g * ~((x >= -lambd) & (x <= lambd)),
    domain=WIDE,
    cases=(Case((4, 3)), Case((4, 3), 1)),
    kinks="0 at both bounds",
)
def softshrink(x: Any, /, lambd: float = 0.5) -> Any:
    """The value moved towards zero, and zero near zero.

    out = x - lambd where x > lambd, x + lambd where x < -lambd, 0 elsewhere.   Shape: same as x.
    >>> softshrink(np.array([-1.0, 0.2]))
    array([-0.5,  0. ])
    """
    if lambd < 0:
        raise ValueRangeError(f"softshrink: lambd is at least 0; {lambd!r} came")
    return x - np.clip(x, -lambd, lambd)


@op(
    lambda g, x, threshold: where(x <= threshold, 0, g),
    domain=WIDE,
    cases=(Case((4, 3), 1.0, 2.0), Case((4, 3), -1.0, 0.0)),
    kinks="0 at the threshold",
)
def threshold(x: Any, /, threshold: float, value: float) -> Any:
    """The value where it lies above a threshold, another one elsewhere.

    out = x where x > threshold, value elsewhere.   Shape: same as x.
    >>> threshold(np.array([0.5, 2.0]), 1.0, -1.0)
    array([-1.,  2.])
    """
    return np.where(x <= threshold, x.dtype.type(value), x)
