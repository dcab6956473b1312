"""split: divide a data set into parts for training, model selection and the final test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from tinygrad_dl import Tensor
from tinygrad_dl.arguments import checked
from tinygrad_dl.config import default_rng
from tinygrad_dl.convert import describe
from tinygrad_dl.data.blocks import BlockDataset
from tinygrad_dl.data.dataset import Dataset, Examples, Subset, TensorDataset
from tinygrad_dl.data.loader import refuse_other_data
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.typing import ArrayLike, NDArray, RandomLike

PARTS = {1: ("train",), 2: ("train", "test"), 3: ("train", "dev", "test")}


@overload
def split(
    data: TensorDataset | tuple[ArrayLike, ...] | NDArray | Tensor,
    sizes: Sequence[float] | Mapping[str, float] = (0.6, 0.2, 0.2),
    *,
    stratify: bool | Examples | None = False,
    duplicates: Literal["together", "refuse", "allow"] = "together",
    groups: Examples | None = None,
    rng: RandomLike = None,
) -> tuple[TensorDataset, ...]: ...


@overload
def split(
    data: Examples,
    sizes: Sequence[float] | Mapping[str, float] = (0.6, 0.2, 0.2),
    *,
    stratify: bool | Examples | None = False,
    duplicates: Literal["together", "refuse", "allow"] = "together",
    groups: Examples | None = None,
    rng: RandomLike = None,
) -> tuple[TensorDataset, ...] | tuple[Subset, ...]: ...


@checked
def split(
    data: Examples,
    sizes: Sequence[float] | Mapping[str, float] = (0.6, 0.2, 0.2),
    *,
    stratify: bool | Examples | None = False,
    duplicates: Literal["together", "refuse", "allow"] = "together",
    groups: Examples | None = None,
    rng: RandomLike = None,
) -> tuple[Any, ...]:
    """Split a data set (or a tuple of arrays) at random into train and test, or train, dev and test.

    `sizes`: fractions that sum to 1, or counts; a dict names the parts. `stratify`: True preserves the class
    proportions of y, labels (N,) theirs. `duplicates`: "together" puts rows with equal x into one part, so that
    none leaks from train into test; "refuse" raises, "allow" does not check. `groups` (N,): examples with equal
    values go to one part, too. Raises ValueRangeError, ShapeError, DTypeError.

    >>> train, test = split((np.arange(10.0), np.arange(10) % 2), (0.8, 0.2), stratify=True, rng=0)
    >>> len(train), sorted(test.y.tolist())
    (8, [0, 1])
    """
    given: object = sizes
    arrays = isinstance(data, (np.ndarray, Tensor)) and isinstance(given, (np.ndarray, Tensor, list))
    if arrays and len(sizes) == len(data) > 3:
        raise DTypeError(
            f"split: sizes: expected fractions or counts, got {describe(sizes)}, as many as there are examples. Pass "
            "arrays that belong together as one tuple: split((X, y), (0.8, 0.2))."
        )
    if isinstance(data, tuple):
        data = TensorDataset(*data)
    elif isinstance(data, (np.ndarray, Tensor)):
        data = TensorDataset(data)
    refuse_other_data("split", data)
    own = getattr(type(data), "split", None)
    if own is not None and isinstance(
        data, Dataset
    ):  # a Table, whose preparation is fitted on the training part
        if groups is not None or duplicates != "together" or not isinstance(stratify, (bool, type(None))):
            raise ValueRangeError(
                "split: expected sizes, stratify=True and rng with a table, got other options"
            )
        return tuple(own(data, sizes, stratify=bool(stratify), rng=rng))
    n = len(data)
    names, counts = _counts(sizes, n)
    rng = default_rng(rng)
    labels = _labels(data, stratify, n)
    unit = _units(data, duplicates, groups, n)
    order = _order(n, labels, unit, rng)
    # A unit is never divided: it goes to the part that contains its midpoint in the order.
    starts = np.flatnonzero(np.r_[True, unit[order][1:] != unit[order][:-1]]) if n else np.empty(0, int)
    ends = np.r_[starts[1:], n][: len(starts)]
    part_of_unit = np.searchsorted(np.cumsum(counts), (starts + ends - 1) / 2, side="right")
    part = np.repeat(part_of_unit, ends - starts)
    parts: list[Any] = []
    for i, name in enumerate(names):
        members = order[part == i]
        if counts[i] and not len(members):
            raise ValueRangeError(
                f"split: expected {counts[i]} examples for {name}, got none: too many rows are duplicates or "
                "belong to one group"
            )
        # Blocks are read one after the other, so their examples stay in order; a loader shuffles them.
        members = np.sort(members) if isinstance(data, BlockDataset) else rng.permutation(members)
        if isinstance(data, TensorDataset):
            subset = data.take(members)
            subset.part = name
            parts.append(subset)
        else:
            parts.append(Subset(data, members, part=name))
    return tuple(parts)


def _counts(sizes: Sequence[float] | Mapping[str, float], n: int) -> tuple[Sequence[str], list[int]]:
    """Return the names of the parts and how many examples each gets."""
    values = list(sizes.values() if isinstance(sizes, Mapping) else sizes)
    if any(isinstance(v, bool) or not isinstance(v, (int, float, np.integer, np.floating)) for v in values):
        raise DTypeError(f"split: sizes: expected fractions or counts, got {sizes!r}")
    if isinstance(sizes, Mapping):
        names: Sequence[str] = tuple(sizes)
    else:
        names = PARTS.get(len(values), tuple(f"part{i}" for i in range(len(values))))
    if not values or any(not v >= 0 for v in values):
        raise ValueRangeError(f"split: sizes: expected fractions or counts of at least 0, got {sizes!r}")
    if all(isinstance(v, (int, np.integer)) for v in values) and sum(values) != 1:
        if sum(values) != n:
            raise ValueRangeError(
                f"split: sizes: expected counts that sum to {n}, the number of examples, got {values}, which sum to "
                f"{sum(values)}"
            )
        return names, [int(v) for v in values]
    if abs(sum(values) - 1) > 1e-9:
        raise ValueRangeError(
            f"split: sizes: expected fractions that sum to 1, got {values}, which sum to {sum(values):g}"
        )
    # The cumulative sums are rounded, not the counts, so that the counts sum to n.
    boundaries = np.round(np.cumsum([0, *values]) * n).astype(int)
    counts = np.diff(boundaries).tolist()
    for name, value, count in zip(names, values, counts):
        if value and not count:
            raise ValueRangeError(
                f"split: sizes: expected at least one example for {name}, got a fraction of {value} of {n} examples"
            )
    return names, counts


def _one_each(option: str, given: Examples, what: str, n: int) -> NDArray:
    """One value per example as an array (N,)."""
    try:
        values = given.data if isinstance(given, Tensor) else np.asarray(given)
    except (ValueError, RecursionError):
        raise ShapeError(
            f"split: {option}: expected one {what} per example, ({n},), got rows of different lengths"
        ) from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        raise ShapeError(f"split: {option}: expected one {what} per example, ({n},), got {values.shape}")
    if values.dtype.kind == "O":
        values = values.astype(str)
    return values


def _labels(data: Examples, stratify: bool | Examples | None, n: int) -> NDArray:
    """Return one class index per example; all 0 without stratification."""
    if stratify is False or stratify is None:
        return np.zeros(n, int)
    if stratify is True:
        known = getattr(data, "y", None) is not None  # a TensorDataset of one array has that as its y
        if not known or len(getattr(data, "arrays", (0, 0))) < 2:
            raise ValueRangeError(
                "split: stratify=True: expected a data set with y, got one without. Pass stratify=labels instead."
            )
    labels: Any = getattr(data, "y", None) if stratify is True else stratify
    values = _one_each("stratify", labels, "label", n)
    # Many different real numbers are regression targets, not classes.
    if values.dtype.kind == "f" and len(np.unique(values)) > max(20, n // 2):
        raise ValueRangeError("split: stratify: expected class labels, got real numbers (regression?)")
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _units(data: Examples, duplicates: str, groups: Examples | None, n: int) -> NDArray:
    """Return one integer per example; examples with equal integers go to the same part."""
    unit = np.arange(n)
    if duplicates != "allow" and isinstance(data, TensorDataset) and n:
        rows = np.ascontiguousarray(data.x.reshape(n, -1))
        if rows.shape[1] and rows.dtype.kind != "O":
            rows = rows + 0 if rows.dtype.kind in "fc" else rows  # -0.0 and 0.0 are the same value
            # Each row becomes one opaque value, so that np.unique compares whole rows.
            keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
            _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
            unit = unit.reshape(-1)
            if duplicates == "refuse" and len(first) < n:
                repeated = np.flatnonzero(np.bincount(unit) > 1)[0]
                i, j = np.flatnonzero(unit == repeated)[:2]
                raise ValueRangeError(
                    f"split: expected distinct rows, got equal rows {i} and {j} ({n - len(first)} rows are repeated), "
                    'which could leak from train into test. Drop them, or use duplicates="together".'
                )
    if groups is not None:
        values = _one_each("groups", groups, "value", n)
        unit = _merge(unit, np.unique(values, return_inverse=True)[1].reshape(-1))
    return unit


def _merge(a: NDArray, b: NDArray) -> NDArray:
    """Return labels of the connected components of "equal in a or equal in b", by propagating the smallest label."""
    unit = np.arange(len(a))
    while True:
        before = unit
        for labels in (a, b):
            smallest = np.full(labels.max(initial=-1) + 1, len(a))
            np.minimum.at(smallest, labels, unit)
            unit = smallest[labels]
        if np.array_equal(unit, before):
            return unit


def _order(n: int, labels: NDArray, unit: NDArray, rng: np.random.Generator) -> NDArray:
    """Return a random order that spreads each class evenly, so that each slice has the proportions of the whole.

    The position of a unit is (its rank among the units of its class + 1/2) / their number.
    """
    units, first, inverse = np.unique(unit, return_index=True, return_inverse=True)
    shuffled = rng.permutation(len(units))
    classes = labels[first][shuffled]
    position = np.empty(len(units))
    for c in np.unique(classes):
        members = shuffled[classes == c]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    tie = rng.permutation(len(units))  # classes of equal size have equal positions
    ranks = np.empty(len(units), int)
    ranks[np.lexsort((tie, position))] = np.arange(len(units))
    return np.argsort(ranks[inverse.reshape(-1)], kind="stable")
