"""Data sets from files of the user: CSV and NPZ tables, and the HDF5 files of the course's cats."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl import get_default_dtype
from tinygrad_dl.data.dataset import TensorDataset
from tinygrad_dl.errors import FileFormatError, ValueRangeError, missing_extra


def load_csv(
    path: str | os.PathLike[str],
    target: str | int = -1,
    *,
    classes: bool | None = None,
    delimiter: str | None = None,
    dtype: Any = None,
) -> TensorDataset:
    """A CSV table of numbers: one column is y, by name or place, the others are x (N, features).

    A first row with a word in it names the columns. `classes`: whether y is classes, by default if it is
    text or whole numbers from few values; text classes are numbered in order of the alphabet. Raises
    FileFormatError naming the line and column of what is no number, ValueRangeError.
    """
    where = os.fspath(path)
    with open(path, newline="", encoding="utf-8-sig") as file:
        sample = file.read(4096)
        file.seek(0)
        if delimiter is None:
            first = sample.split("\n", 1)[0]
            delimiter = max(",;\t", key=first.count)
        rows = [
            (number, row) for number, row in enumerate(csv.reader(file, delimiter=delimiter), 1) if any(row)
        ]
    if not rows:
        raise FileFormatError(f"load_csv: {where} is empty")
    header = [cell.strip() for cell in rows[0][1]]
    if any(_number(cell) is None for cell in header) and len(rows) > 1 and _named(header, rows[1][1]):
        rows = rows[1:]
    else:
        header = [f"column {i}" for i in range(len(header))]
    width = len(header)
    column = _column(where, target, header)
    for number, row in rows:
        if len(row) != width:
            raise FileFormatError(
                f"load_csv: {where}, line {number}: {len(row)} columns, the first row has {width}"
            )
    others = [i for i in range(width) if i != column]
    x = np.empty((len(rows), len(others)), dtype or get_default_dtype())
    for place, (number, row) in enumerate(rows):
        for j, i in enumerate(others):
            value = _number(row[i])
            if value is None:
                what = f"{row[i]!r} is no number" if row[i].strip() else "there is no number"
                raise FileFormatError(f"load_csv: {where}, line {number}, {header[i]}: {what}")
            x[place, j] = value
    y, names = _targets([row[column].strip() for _, row in rows], classes, x.dtype)
    return TensorDataset(x, y, classes=names, name=os.path.basename(where))


def _named(header: list[str], below: list[str]) -> bool:
    """Whether the first row names the columns: somewhere it has a word above a number, or words only."""
    words = [_number(cell) is None for cell in header]
    return all(words) or any(word and _number(cell) is not None for word, cell in zip(words, below))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _column(where: str, target: str | int, header: list[str]) -> int:
    if isinstance(target, str):
        if target not in header:
            raise ValueRangeError(
                f"load_csv: {where} has no column {target!r}; there are {', '.join(header)}"
            )
        return header.index(target)
    if not -len(header) <= target < len(header):
        raise ValueRangeError(f"load_csv: {where} has {len(header)} columns; target={target} came")
    return target % len(header)


def _targets(cells: Sequence[str], classes: bool | None, dtype: Any) -> tuple[np.ndarray, list[str] | None]:
    numbers = [_number(cell) for cell in cells]
    if None in numbers:
        names = sorted(set(cells))
        return np.array([names.index(cell) for cell in cells], np.int64), names
    values = np.array(numbers, dtype=float)
    whole = bool(np.isfinite(values).all()) and bool((values == np.round(values)).all())
    if classes is None:
        classes = whole and len(np.unique(values)) <= max(2, min(20, len(values) // 4))
    if not classes:
        return values.astype(dtype), None
    found, y = np.unique(values, return_inverse=True)
    names = [str(int(v)) if whole else str(v) for v in found]
    return y.reshape(-1).astype(np.int64), names


def load_npz(path: str | os.PathLike[str], x: str = "x", y: str = "y") -> TensorDataset:
    """The arrays of these names in an NPZ file. Raises FileFormatError, ValueRangeError for names it lacks."""
    where = os.fspath(path)
    try:
        # Opened here: of a damaged file NumPy would leave it open.
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            for name in (x, y):
                if name not in file:
                    raise ValueRangeError(
                        f"load_npz: {where} has no array {name!r}; there are {', '.join(file.files)}. "
                        "Say which with x= and y=."
                    )
            arrays = file[x], file[y]
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, TypeError, AttributeError) as error:
        if isinstance(error, ValueRangeError):
            raise
        raise FileFormatError(f"load_npz: {where} is damaged or no NPZ file: {error}") from None
    return TensorDataset(*arrays, name=os.path.basename(where))


def load_cats(path: str | os.PathLike[str], dtype: Any = None) -> TensorDataset:
    """The course's cats from one of its HDF5 files: x (N, 64, 64, 3) from 0 to 1, y (N,), 1 for a cat.

    Raises FileNotFoundError, FileFormatError, MissingExtraError. Source: Deep Learning Specialization,
    course 1 (train_catvnoncat.h5, test_catvnoncat.h5); not distributed with this package.
    """
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "data", "load_cats") from None
    where = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_cats: there is no file {where}; it comes with the course")
    try:
        with h5py.File(path, "r") as file:
            part = "train" if "train_set_x" in file else "test"
            x, y = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
            classes = [name.decode() for name in file["list_classes"][:]]
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise FileFormatError(
            f"load_cats: {where} is damaged or not one of the course's files: {error}"
        ) from None
    kind = np.dtype(dtype or get_default_dtype())
    return TensorDataset(
        x.astype(kind) / kind.type(255), y.astype(np.int64), part=part, classes=classes, name="cats"
    )
