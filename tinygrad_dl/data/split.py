"""split: parts of a data set for training, for choosing, and for the final test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.data.dataset import Subset, TensorDataset
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError

PARTS = {1: ("train",), 2: ("train", "test"), 3: ("train", "dev", "test")}


def split(
    data: Any,
    sizes: Sequence[float] | Mapping[str, float] = (0.6, 0.2, 0.2),
    *,
    stratify: bool | Any = False,
    duplicates: str = "together",
    groups: Any = None,
    rng: np.random.Generator | int | None = None,
) -> tuple[Any, ...]:
    """Cut a data set (or a tuple of arrays) at random into parts: train and test, or train, dev and test.

    `sizes`: fractions that sum to 1, or counts; a dict names the parts. `stratify`: True keeps the shares
    of y's classes, labels (N,) theirs. `duplicates`: rows with equal x stay "together" in one part, so that
    none leaks from train into test; "refuse" raises, "allow" does not look. `groups` (N,): equal values
    stay together as well. Raises ValueRangeError, ShapeError.

    >>> train, test = split((np.arange(10.0), np.arange(10) % 2), (0.8, 0.2), stratify=True, rng=0)
    >>> len(train), sorted(test.y.tolist())
    (8, [0, 1])
    """
    if isinstance(data, tuple):
        data = TensorDataset(*data)
    if not hasattr(data, "__len__"):
        raise DTypeError(f"split: a data set or a tuple of arrays is needed; {type(data).__name__} came")
    n = len(data)
    names, counts = _counts(sizes, n)
    rng = default_rng(rng)
    labels = _labels(data, stratify, n)
    unit = _units(data, duplicates, groups, n)
    order = _order(n, labels, unit, rng)
    # Units stay whole: each goes to the part in which its middle lies.
    starts = np.flatnonzero(np.r_[True, unit[order][1:] != unit[order][:-1]]) if n else np.empty(0, int)
    ends = np.r_[starts[1:], n][: len(starts)]
    part_of_unit = np.searchsorted(np.cumsum(counts), (starts + ends - 1) / 2, side="right")
    part = np.repeat(part_of_unit, ends - starts)
    parts: list[Any] = []
    for i, name in enumerate(names):
        chosen = order[part == i]
        if counts[i] and not len(chosen):
            raise ValueRangeError(
                f"split: {name} would be empty: too many rows are duplicates or of one group to give it "
                f"{counts[i]}"
            )
        chosen = rng.permutation(chosen)
        if isinstance(data, TensorDataset):
            taken = data.take(chosen)
            taken.part = name
            parts.append(taken)
        else:
            parts.append(Subset(data, chosen, part=name))
    return tuple(parts)


def _counts(sizes: Sequence[float] | Mapping[str, float], n: int) -> tuple[Sequence[str], list[int]]:
    """Names and numbers of examples of the parts."""
    values = list(sizes.values() if isinstance(sizes, Mapping) else sizes)
    if isinstance(sizes, Mapping):
        names: Sequence[str] = tuple(sizes)
    else:
        names = PARTS.get(len(values), tuple(f"part{i}" for i in range(len(values))))
    if not values or any(not np.isreal(v) or not v >= 0 for v in values):
        raise ValueRangeError(f"split: sizes: fractions or counts of at least 0 are needed; {sizes!r} came")
    if all(isinstance(v, (int, np.integer)) for v in values) and sum(values) != 1:
        if sum(values) != n:
            raise ValueRangeError(
                f"split: sizes: the counts {values} sum to {sum(values)}, the data set has {n}"
            )
        return names, [int(v) for v in values]
    if abs(sum(values) - 1) > 1e-9:
        raise ValueRangeError(
            f"split: sizes: the fractions {values} sum to {sum(values):g}; they must sum to 1"
        )
    # Rounded at the borders, so that the counts sum to n.
    borders = np.round(np.cumsum([0, *values]) * n).astype(int)
    counts = np.diff(borders).tolist()
    for name, value, count in zip(names, values, counts):
        if value and not count:
            raise ValueRangeError(f"split: {name} would be empty: {value} of {n} examples is less than one")
    return names, counts


def _labels(data: Any, stratify: Any, n: int) -> np.ndarray:
    """A class number an example; all 0 without stratification."""
    if stratify is False or stratify is None:
        return np.zeros(n, int)
    if stratify is True:
        if not isinstance(data, TensorDataset) or len(data.arrays) < 2:
            raise ValueRangeError(
                "split: stratify=True needs y in the data set; give stratify=labels instead"
            )
        stratify = data.y
    values = np.asarray(stratify)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        raise ShapeError(f"split: stratify: one label an example, ({n},), is needed; {values.shape} came")
    if values.dtype.kind == "f" and len(np.unique(values)) > max(20, n // 2):
        raise ValueRangeError(
            "split: stratify: classes are needed; these labels are real numbers (regression?)"
        )
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _units(data: Any, duplicates: str, groups: Any, n: int) -> np.ndarray:
    """A number an example; examples with equal numbers go to the same part."""
    if duplicates not in ("together", "refuse", "allow"):
        raise ValueRangeError(
            f'split: duplicates: "together", "refuse" or "allow" is needed; {duplicates!r} came'
        )
    unit = np.arange(n)
    if duplicates != "allow" and isinstance(data, TensorDataset) and n:
        rows = np.ascontiguousarray(data.x.reshape(n, -1))
        if rows.shape[1] and rows.dtype.kind != "O":
            rows = rows + 0 if rows.dtype.kind in "fc" else rows  # -0.0 and 0.0 are the same value
            keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
            _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
            unit = unit.reshape(-1)
            if duplicates == "refuse" and len(first) < n:
                twice = np.flatnonzero(np.bincount(unit) > 1)[0]
                i, j = np.flatnonzero(unit == twice)[:2]
                raise ValueRangeError(
                    f"split: rows {i} and {j} are the same, {n - len(first)} rows are repeated: they "
                    "could leak from "
                    'train into test. Drop them, or use duplicates="together".'
                )
    if groups is not None:
        values = np.asarray(groups)
        if values.shape != (n,):
            raise ShapeError(f"split: groups: one value an example, ({n},), is needed; {values.shape} came")
        unit = _joined(unit, np.unique(values, return_inverse=True)[1].reshape(-1))
    return unit


def _joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Numbers that are equal wherever a or b are, over any chain of equalities: the smallest one spreads."""
    unit = np.arange(len(a))
    while True:
        before = unit
        for labels in (a, b):
            smallest = np.full(labels.max(initial=-1) + 1, len(a))
            np.minimum.at(smallest, labels, unit)
            unit = smallest[labels]
        if np.array_equal(unit, before):
            return unit


def _order(n: int, labels: np.ndarray, unit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order in which each class is spread evenly, so that each stretch has each class's share.

    An example's place is that of its unit: (rank among the units of its class, plus a half) / their number.
    """
    units, first, inverse = np.unique(unit, return_index=True, return_inverse=True)
    shuffled = rng.permutation(len(units))
    classes = labels[first][shuffled]
    place = np.empty(len(units))
    for c in np.unique(classes):
        members = shuffled[classes == c]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    tie = rng.permutation(len(units))
    ranks = np.empty(len(units), int)
    ranks[np.lexsort((tie, place))] = np.arange(len(units))
    return np.argsort(ranks[inverse.reshape(-1)], kind="stable")
