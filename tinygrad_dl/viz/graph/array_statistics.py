"""Statistics of arrays for diagrams, and how numbers, small arrays and shapes are written in them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_dl.typing import NDArray, Scalar, Shape
from tinygrad_dl.viz.graph.model import Stats

SMALL = 8  # arrays of up to so many elements are recorded whole and written out in boxes
SIDE = 8  # matrices of up to so many rows and columns are recorded whole, for the player
BINS = 16  # of a histogram


def statistics(array: npt.ArrayLike, detail: bool = False) -> Stats:
    """Statistics of an array: its norm, how many elements are NaN or infinite, and small arrays whole.

    With `detail` also its range and mean and, above SMALL elements, standard deviation and histogram. Of complex
    arrays they are those of the magnitudes; the text shows the numbers themselves.
    """
    data = np.asarray(array)
    found: Stats
    if data.size == 0:
        return {"norm": 0.0, "size": 0, "text": f"empty {data.shape}"}
    if data.dtype.kind == "c":
        found = statistics(np.abs(data), detail)
        if "whole" in found:
            found["text"] = whole_text(data.tolist())
        return found
    if data.size == 1:
        value = float(data.reshape(()))
        found = {"norm": abs(value), "size": 1, "whole": value, "text": number(value)}
        if not math.isfinite(value):
            found["nan" if value != value else "inf"] = 1
        return found
    found = {"norm": norm(data), "size": data.size}
    finite = data.reshape(-1)
    if not math.isfinite(found["norm"]):
        found["nan"], found["inf"] = int(np.isnan(data).sum()), int(np.isinf(data).sum())
        finite = data[np.isfinite(data)]
    if detail and finite.size:
        found |= _moments(finite)
    if data.size <= SMALL or (data.ndim == 2 and max(data.shape) <= SIDE):
        found["whole"] = data.tolist() if data.dtype.kind != "b" else data.astype(int).tolist()
    if data.size <= SMALL:
        found["text"] = whole_text(found["whole"])
    return found


def _moments(finite: NDArray) -> Stats:
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(all="ignore"):
        found: Stats = {"min": low, "max": high, "mean": float(finite.mean(dtype=np.float64))}
        if finite.size > SMALL:
            found["std"] = float(finite.std(dtype=np.float64))
            found["histogram"] = _histogram(finite, low, high)
    return found


def _histogram(values: NDArray, low: float, high: float) -> list[int]:
    if not high > low or not math.isfinite(high - low):
        return [int(values.size)]
    scaled = (values.astype(np.float64) - low) * (BINS / (high - low))
    return np.bincount(np.minimum(scaled.astype(np.intp), BINS - 1), minlength=BINS).tolist()


def norm(array: npt.ArrayLike) -> float:
    """The Euclidean norm of all elements, in double precision; NaN and infinity propagate."""
    flat = np.asarray(array).reshape(-1)
    flat = (np.abs(flat) if flat.dtype.kind == "c" else flat).astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        squared = float(np.dot(flat, flat))
        if squared == math.inf or (squared < 1e-290 and flat.size):
            # The squares overflow or underflow where the values themselves may not: scale first.
            largest = float(np.abs(flat).max())
            if 0 < largest < math.inf:
                return largest * math.sqrt(np.dot(flat / largest, flat / largest))
            return largest
    return math.sqrt(squared) if squared == squared else math.nan


def number(value: Scalar, digits: int = 4) -> str:
    """A number in a diagram: few significant digits, no trailing zeros.

    A part of a complex number that is rounding beside the other shows as 0.
    """
    if isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, complex):
        rounding = abs(value) * 1e-12 if math.isfinite(abs(value)) else 0.0
        parts = [0.0 if abs(part) < rounding else part for part in (value.real, value.imag)]
        return f"{complex(*parts):.{digits}g}"
    value = float(value)  # NumPy's scalars print with their type otherwise
    return "0" if value == 0 else f"{value:.{digits}g}"


def whole_text(value: Scalar | list[Any]) -> str:
    """A small array in a diagram, in brackets."""
    if isinstance(value, list):
        return "[" + ", ".join(whole_text(v) for v in value) + "]"
    return number(value)


def shape_text(shape: Shape | None) -> str:
    """A shape in a diagram: (2, 3), or "" if it is unknown."""
    return "" if shape is None else str(tuple(shape))
