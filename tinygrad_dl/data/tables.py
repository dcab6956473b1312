"""Data sets from your own files: CSV and NPZ tables, and the HDF5 files of the course's cats."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Sequence

import numpy as np

from tinygrad_dl import get_default_dtype
from tinygrad_dl.data.dataset import TensorDataset
from tinygrad_dl.errors import FileFormatError, ValueRangeError, missing_extra
from tinygrad_dl.typing import DTypeLike, NDArray


def load_csv(
    path: str | os.PathLike[str],
    target: str | int = -1,
    *,
    classes: bool | None = None,
    delimiter: str | None = None,
    dtype: DTypeLike | None = None,
) -> TensorDataset:
    """Load a CSV table of numbers: one column is y, by name or index, the others are x (N, features).

    A first row that contains text names the columns. `classes`: whether y holds classes, by default if it is
    text or integers with few distinct values; text classes are numbered in alphabetical order. Raises
    FileFormatError naming the line and column of a cell that is not a number, ValueRangeError.
    """
    where = os.fspath(path)
    with open(path, newline="", encoding="utf-8-sig") as file:
        # "utf-8-sig" drops the byte order mark that spreadsheets write.
        sample = file.read(4096)
        file.seek(0)
        if delimiter is None:
            first = sample.split("\n", 1)[0]
            # The delimiter is the one that is most frequent in the first line.
            delimiter = max(",;\t", key=first.count)
        rows = [
            (number, row) for number, row in enumerate(csv.reader(file, delimiter=delimiter), 1) if any(row)
        ]
    if not rows:
        raise FileFormatError(f"load_csv: {where}: expected at least one row, got an empty file")
    header = [cell.strip() for cell in rows[0][1]]
    if any(_number(cell) is None for cell in header) and len(rows) > 1 and _is_header(header, rows[1][1]):
        rows = rows[1:]
    else:
        header = [f"column {i}" for i in range(len(header))]
    width = len(header)
    column = _column(where, target, header)
    for number, row in rows:
        if len(row) != width:
            raise FileFormatError(
                f"load_csv: {where}, line {number}: expected {width} columns as in the first row, got {len(row)}"
            )
    others = [i for i in range(width) if i != column]
    x = np.empty((len(rows), len(others)), dtype or get_default_dtype())
    for k, (number, row) in enumerate(rows):
        for j, i in enumerate(others):
            value = _number(row[i])
            if value is None:
                got = repr(row[i]) if row[i].strip() else "an empty cell"
                raise FileFormatError(
                    f"load_csv: {where}, line {number}, {header[i]}: expected a number, got {got}"
                )
            x[k, j] = value
    y, names = _targets([row[column].strip() for _, row in rows], classes, x.dtype)
    return TensorDataset(x, y, classes=names, name=os.path.basename(where))


def _is_header(first: list[str], second: list[str]) -> bool:
    """Whether the first row names the columns: it is all text, or has text where the second row has a number."""
    text = [_number(cell) is None for cell in first]
    return all(text) or any(is_text and _number(cell) is not None for is_text, cell in zip(text, second))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _column(where: str, target: str | int, header: list[str]) -> int:
    if isinstance(target, str):
        if target not in header:
            raise ValueRangeError(
                f"load_csv: {where}: target: expected one of the columns {', '.join(header)}, got {target!r}"
            )
        return header.index(target)
    if not -len(header) <= target < len(header):
        raise ValueRangeError(
            f"load_csv: {where}: expected the index of one of {len(header)} columns, got target={target}"
        )
    return target % len(header)


def _targets(
    cells: Sequence[str], classes: bool | None, dtype: DTypeLike
) -> tuple[NDArray, list[str] | None]:
    """Return y and the names of its classes, None for regression targets."""
    numbers = [_number(cell) for cell in cells]
    if None in numbers:
        names = sorted(set(cells))
        return np.array([names.index(cell) for cell in cells], np.int64), names
    values = np.array(numbers, dtype=float)
    integers = bool(np.isfinite(values).all()) and bool((values == np.round(values)).all())
    if classes is None:
        # Up to 20 distinct integers, each four times on average, are taken for classes.
        classes = integers and len(np.unique(values)) <= max(2, min(20, len(values) // 4))
    if not classes:
        return values.astype(dtype), None
    found, y = np.unique(values, return_inverse=True)
    names = [str(int(v)) if integers else str(v) for v in found]
    return y.reshape(-1).astype(np.int64), names


def load_npz(path: str | os.PathLike[str], x: str = "x", y: str = "y") -> TensorDataset:
    """Load the arrays named `x` and `y` from an NPZ file. Raises FileFormatError, ValueRangeError if one is missing."""
    where = os.fspath(path)
    try:
        # Opened here because np.load leaves a damaged file open.
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            for name in (x, y):
                if name not in file:
                    raise ValueRangeError(
                        f"load_npz: {where}: expected an array {name!r}, got {', '.join(file.files)}. "
                        "Name the arrays with x= and y=."
                    )
            arrays = file[x], file[y]
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, TypeError, AttributeError) as error:
        if isinstance(error, ValueRangeError):
            raise
        raise FileFormatError(f"load_npz: {where} is damaged or not an NPZ file: {error}") from None
    return TensorDataset(*arrays, name=os.path.basename(where))


def load_cats(path: str | os.PathLike[str], dtype: DTypeLike | None = None) -> TensorDataset:
    """Load the course's cats from one of its HDF5 files: x (N, 64, 64, 3) from 0 to 1, y (N,), 1 for a cat.

    Raises FileNotFoundError, FileFormatError, MissingExtraError. Source: Deep Learning Specialization,
    course 1 (train_catvnoncat.h5, test_catvnoncat.h5); not distributed with this package.
    """
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "data", "load_cats") from None
    where = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_cats: {where} does not exist. The file comes with the course.")
    try:
        with h5py.File(path, "r") as file:
            part = "train" if "train_set_x" in file else "test"
            x, y = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
            classes = [name.decode() for name in file["list_classes"][:]]
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise FileFormatError(
            f"load_cats: {where} is damaged or not one of the course's files: {error}"
        ) from None
    float_dtype = np.dtype(dtype or get_default_dtype())
    return TensorDataset(
        x.astype(float_dtype) / float_dtype.type(255),
        y.astype(np.int64),
        part=part,
        classes=classes,
        name="cats",
    )
