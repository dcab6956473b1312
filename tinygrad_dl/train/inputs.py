"""What people hand to a Trainer (frames, dicts of arrays, generators) as data sets and loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import GeneratorType
from typing import Any

import numpy as np

from tinygrad_dl.data import Dataset, TensorDataset
from tinygrad_dl.data.tables import Table, is_frame
from tinygrad_dl.errors import DTypeError, ValueRangeError


class Batches:
    """The batches of a generator function, made again for each epoch, or those that a generator gave, kept."""

    def __init__(self, source: Callable[..., Any] | Iterator[Any]) -> None:
        self._again = source if callable(source) else None
        self._kept = [] if callable(source) else list(source)
        self._count = len(self._kept) if self._again is None else sum(1 for _ in self)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return iter(self._kept if self._again is None else self._again())


def is_series(x: Any) -> bool:
    """Whether an object is a column of pandas or polars."""
    return hasattr(x, "to_numpy") and not hasattr(x, "columns")


def as_array(x: Any) -> Any:
    """A column or a frame of numbers as an array; anything else as it is."""
    if is_series(x) or is_frame(x):
        array = x.to_numpy()
        return array if array.dtype != object else np.array(array.tolist())
    return x


def arrays_of(called: str, given: Mapping[str, Any], target: str) -> tuple[tuple[Any, ...], list[str]]:
    """A dict of arrays as inputs, in their order, and targets; the names of the inputs."""
    if target not in given:
        raise ValueRangeError(
            f"{called}: target: expected one of the keys {', '.join(map(str, given))}, got {target!r}"
        )
    names = [name for name in given if name != target]
    if not names:
        raise ValueRangeError(f"{called}: expected an array beside the target {target!r}, got none")
    return (*(as_array(given[name]) for name in names), as_array(given[target])), names


def training_data(called: str, data: Any, y: Any, target: str | None) -> tuple[Any, Table | None]:
    """What `fit` was given as a data set or a loader, and the preparation of a frame.

    Raises DTypeError, which names the call that fits.
    """
    if is_frame(data) and target is not None:
        table = Table(data, target).fit()
        return table, table
    if isinstance(data, Table):
        return data, data
    if isinstance(data, Mapping):
        if target is None:
            names = ", ".join(map(repr, data))
            raise DTypeError(
                f"{called}: expected the name of the targets beside a dict of arrays: fit(arrays, target=...), one of "
                f"{names}"
            )
        return TensorDataset(*arrays_of(called, data, target)[0]), None
    if target is not None:
        raise DTypeError(
            f"{called}: target: expected with a frame or a dict of arrays only, got {type(data).__name__}. Write "
            "fit(x, y)."
        )
    if is_frame(data) and y is None:
        raise DTypeError(
            f"{called}: expected the column to predict beside a frame: fit(frame, target=...), one of "
            f"{', '.join(map(repr, data.columns))}; or arrays, fit(x, y)"
        )
    if isinstance(data, GeneratorType):
        return Batches(data), None
    if callable(data) and not isinstance(data, Dataset) and not hasattr(data, "__len__"):
        return Batches(data), None
    return data, None


def evaluation_data(called: str, data: Any, y: Any, target: str | None, table: Table | None) -> Any:
    """The same for `evaluate` and the dev part, with the preparation that `fit` made."""
    if is_frame(data) and table is not None and y is None:
        return table.dataset(data)
    if is_frame(data) and y is not None:
        return as_array(data), as_array(y)
    if isinstance(data, Mapping) or (is_frame(data) and y is None):
        return training_data(called, data, y, target)[0]
    if isinstance(data, GeneratorType) or (callable(data) and not hasattr(data, "__len__")):
        return Batches(data)
    if y is not None:
        return as_array(data), as_array(y)
    return data


def prediction_inputs(data: Any, table: Table | None) -> Any:
    """The same for `predict`, which needs no targets."""
    if table is not None and (is_frame(data) or isinstance(data, Mapping)):
        x = table.transform(data)
        return TensorDataset(*x, np.zeros(len(x[0]))) if isinstance(x, tuple) else x
    if is_frame(data) or is_series(data):
        return as_array(data)
    return data


def refuse_text(called: str, x: Any, y: Any = None) -> None:
    """Raise DTypeError for an array of text, with the call that prepares it."""
    if isinstance(y, np.ndarray) and y.dtype.kind in "OUS":
        raise DTypeError(
            f"{called}: y: expected numbers, got an array of {y.dtype}. Number the classes with "
            "y = np.unique(labels, return_inverse=True)[1]; train.Classifier takes labels as they are"
        )
    if isinstance(x, np.ndarray) and x.dtype.kind in "OUSM":
        raise DTypeError(
            f"{called}: x: expected numbers, got an array of {x.dtype}. Text and dates are prepared by a table: "
            "fit(frame, target=...), or data.Table(frame, target).split()"
        )
