"""Padding: elements around the axes of an array, constant, mirrored, repeated or from the other end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.arguments import Offset, explained
from tinygrad_dl.batching import Call
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import Array, NDArray, Scalar

Widths = tuple[tuple[int, int], ...]


def _checked(name: str, x: NDArray, widths: Widths) -> Widths:
    pairs = tuple((int(lo), int(hi)) for lo, hi in widths)
    if len(pairs) != x.ndim:
        raise ShapeError(
            f"{name}: expected {x.ndim} pairs of widths for the axes of {x.shape}, got {len(pairs)}"
        )
    for axis, (size, (lo, hi)) in enumerate(zip(x.shape, pairs)):
        if size + min(lo, 0) + min(hi, 0) < 0 or size + lo + hi < 0:
            raise ShapeError(f"{name}: widths ({lo}, {hi}) cut more from axis {axis} than its size {size}")
    return pairs


def _pad_all(call: Call) -> Any:
    return call.run(*call.inputs, widths=((0, 0), *call.options["widths"]))


def _opposite(widths: Widths) -> Widths:
    return tuple((-lo, -hi) for lo, hi in widths)


def _grown(widths: Widths) -> Widths:
    """What is added, without what is cut."""
    return tuple((max(lo, 0), max(hi, 0)) for lo, hi in widths)


def _inside(shape: tuple[int, ...], widths: Widths) -> Any:
    """The index of what is between the widths, which count from both ends of each axis."""
    return tuple(slice(lo, size - hi) for size, (lo, hi) in zip(shape, _grown(widths)))


@op(
    lambda g, widths: pad_constant(g, _opposite(widths)),
    cases=(
        Case((2, 3), ((1, 0), (0, 2))), Case((4, 2), ((-1, 2), (1, -1)), value=1.5), Case((), ()),
        Case((3,), ((-1, -1),)),
    ),
    inputs=1,
    batch=_pad_all, jvp=(lambda t, widths: pad_constant(t, widths),),
    math=(r"\begin{cases} x_i & \text{inside} \\ c & \text{else} \end{cases}", r"g_i \text{ inside}"),
)  # fmt: skip
def pad_constant(x: NDArray, /, widths: Widths, value: Scalar = 0) -> Any:
    """A constant added in front of and behind each axis; a negative width cuts that many elements.

    Shape: x's sizes plus the two widths of each axis; `widths` holds a pair an axis. Raises ShapeError.
    >>> pad_constant(np.array([1, 2, 3]), ((2, -1),))
    array([0, 0, 1, 2])
    """
    pairs = _checked("pad_constant", x, widths)
    taken = x[_inside(x.shape, _opposite(pairs))]
    grown = _grown(pairs)
    if not any(map(any, grown)):
        return taken.copy()
    out = np.full(tuple(s + lo + hi for s, (lo, hi) in zip(x.shape, pairs)), value, x.dtype)
    out[_inside(out.shape, grown)] = taken
    return out


def _borders(size: int, lo: int, hi: int, mode: str) -> Iterator[tuple[int, int]]:
    """Each position that is added around an axis, with that of the element it repeats."""
    last = size - 1
    for place in (*range(-lo, 0), *range(size, size + hi)):
        if mode == "replicate":
            source = min(max(place, 0), last)
        elif mode == "circular":
            source = place % size
        else:
            source = last - abs(last - abs(place))
        yield lo + place, lo + source


_MODES = {"reflect": "the size minus 1", "replicate": "any number", "circular": "the size"}


def _check_mode(size: int, axis: int, lo: int, hi: int, mode: str) -> None:
    if mode not in _MODES:
        raise ValueRangeError(f"pad: mode={mode!r}: 'constant', {', '.join(map(repr, _MODES))} are known")
    most = max(lo, hi)
    if most > 0 and (
        size == 0 or (mode == "reflect" and most > size - 1) or (mode == "circular" and most > size)
    ):
        raise ShapeError(
            f"pad: {mode} of ({lo}, {hi}) around axis {axis} of size {size}: at most {_MODES[mode]} can be "
            "added, and nothing to an empty axis"
        )


@op(
    lambda g, widths, mode: pad_fold(g, widths, mode),
    cases=(
        Case((3, 4), ((1, 2), (0, 3)), "reflect"), Case((2, 3), ((1, 3), (0, 1)), "replicate"),
        Case((3, 4), ((2, 3), (1, 0)), "circular"), Case((5,), ((-1, 2),), "reflect"),
        Case((2, 1), ((0, 0), (0, 0)), "reflect"),
    ),
    inputs=1,
    batch=_pad_all, jvp="linear",
    math=(r"x_{\pi(i)}", r"\sum_{i \, : \, \pi(i) = j} g_i"),
)  # fmt: skip
def pad_with(x: NDArray, /, widths: Widths, mode: str) -> Any:
    """Elements of x added around each axis: "reflect" (without the edge), "replicate" (the edge), "circular".

    [1 2 3] with (1, 1): 2 1 2 3 2; 1 1 2 3 3; 3 1 2 3 1.   Shape: x's sizes plus the two widths of each axis;
    a negative width cuts. Raises ShapeError if more is added than there is.
    >>> pad_with(np.array([1, 2, 3]), ((2, 1),), "reflect")
    array([3, 2, 1, 2, 3, 2])
    """
    pairs = _checked("pad", x, widths)
    grown = _grown(pairs)
    for axis, (lo, hi) in enumerate(pairs):
        _check_mode(x.shape[axis], axis, lo, hi, mode)
    out = np.empty(tuple(s + lo + hi for s, (lo, hi) in zip(x.shape, grown)), x.dtype)
    out[_inside(out.shape, grown)] = x
    for axis, (lo, hi) in enumerate(grown):
        front: Any = (slice(None),) * axis
        for place, source in _borders(x.shape[axis], lo, hi, mode):
            out[(*front, place)] = out[(*front, source)]
    return out if grown == pairs else out[_inside(out.shape, _opposite(pairs))].copy()


@op(
    lambda g, widths, mode: pad_with(g, widths, mode),
    cases=(
        Case((6, 7), ((1, 2), (0, 3)), "reflect"), Case((4, 3), ((1, 1), (0, 2)), "replicate"),
        Case((4,), ((-1, 2),), "circular"),
    ),
    inputs=1,
    batch=_pad_all, jvp="linear",
    math=(r"\sum_{i \, : \, \pi(i) = j} x_i", r"g_{\pi(i)}"),
)  # fmt: skip
def pad_fold(x: NDArray, /, widths: Widths, mode: str) -> Any:
    """The border of each axis added to the elements that pad_with took it from: its transpose.

    Shape: x's sizes minus the two widths of each axis.
    >>> pad_fold(np.array([1, 1, 10, 1]), ((1, 1),), "reflect")
    array([ 2, 11])
    """
    grown = _grown(widths)
    out = pad_constant(x, _grown(_opposite(widths)))  # a copy, with zeros where something had been cut
    for axis in reversed(range(x.ndim)):
        lo, hi = grown[axis]
        front: Any = (slice(None),) * axis
        for place, source in _borders(out.shape[axis] - lo - hi, lo, hi, mode):
            out[(*front, source)] += out[(*front, place)]
    return out[_inside(out.shape, grown)]


@composed
@explained
def pad(
    input: Array, pad: Sequence[Offset], mode: str = "constant", value: float | complex | None = None
) -> Any:
    """Elements added around the last axes, in PyTorch's order: (last lo, last hi, second to last lo, ...).

    Modes: "constant" (with `value`, 0 by default), "reflect", "replicate", "circular"; a negative width cuts.
    Shape: x's sizes plus the two widths of each axis named. Raises ShapeError, ValueRangeError.
    >>> pad(np.array([[1, 2]]), (1, 0))
    array([[0, 1, 2]])
    """
    x = input
    numbers = tuple(map(int, pad))
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim:
        raise ShapeError(
            f"pad: expected two numbers for each axis to pad, the last axis first, got pad={numbers}; "
            f"x has the shape {x.shape}"
        )
    named = tuple(zip(numbers[::2], numbers[1::2]))[::-1]
    widths = ((0, 0),) * (x.ndim - len(named)) + named
    if mode == "constant":
        return pad_constant(x, widths, 0 if value is None else value)
    if value is not None and value != 0:
        raise ValueRangeError(
            f"pad: value={value!r} is for mode='constant'; mode={mode!r} takes elements of x"
        )
    if mode == "circular" and any(p < 0 for p in numbers):  # what is cut does not come back at the other end
        x = pad_constant(x, tuple((min(lo, 0), min(hi, 0)) for lo, hi in widths))
        widths = tuple((max(lo, 0), max(hi, 0)) for lo, hi in widths)
    return pad_with(x, widths, mode)
