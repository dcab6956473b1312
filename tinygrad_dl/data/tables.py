"""Data sets from your own files: CSV and NPZ tables, and the HDF5 files of the course's cats."""

from __future__ import annotations

import csv
import io
import math
import os
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl import get_default_dtype
from tinygrad_dl.arguments import checked
from tinygrad_dl.data.dataset import TensorDataset
from tinygrad_dl.errors import DTypeError, FileFormatError, ValueRangeError, missing_extra
from tinygrad_dl.typing import DTypeLike, NDArray

DELIMITERS = ",;\t"
# Marks of a missing value, which are neither names of columns nor classes.
MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "-nan"))
BOOLEANS = {"true": 1.0, "false": 0.0}
# A file may unpack to so many times its size; what its header says beyond that is not true.
DEFLATE_RATIO = 1032


class _Table(NamedTuple):
    """The cells of a file: names of the columns, and the rows with their line numbers."""

    where: str
    header: list[str]
    rows: list[tuple[int, list[str]]]

    def error(self, line: int, column: int, expected: str, cell: str, hint: str = "") -> FileFormatError:
        got = repr(cell) if cell else "an empty cell"
        place = f"{self.where}, line {line}, {self.header[column]}"
        return FileFormatError(f"load_csv: {place}: expected {expected}, got {got}{hint}")


@checked
def load_csv(
    path: str | os.PathLike[str],
    target: str | int = -1,
    *,
    classes: bool | None = None,
    delimiter: str | None = None,
    dtype: DTypeLike | None = None,
    header: bool | None = None,
    encoding: str = "utf-8-sig",
) -> TensorDataset:
    """Load a CSV table of numbers: one column is y, by name or index, the others are x (N, features).

    `header`: whether the first row names the columns, by default if all of its cells are text. `classes`: whether
    y holds classes, by default if it is text or integers with few distinct values; text classes are numbered in
    alphabetical order. `delimiter`: by default the comma, semicolon or tab that divides the first row into most
    columns; it may stand in quotes. A first column without a name that counts the rows, as pandas writes, is no
    feature. Missing values and cells that are no numbers raise FileFormatError naming line and column. Raises
    ValueRangeError.
    """
    where = os.fspath(path)
    table = _read(path, where, delimiter, header, encoding)
    column = _column(where, target, table.header)
    index = 0 if _counts_rows(table) and column != 0 else None
    features = [i for i in range(len(table.header)) if i not in (column, index)]
    if not features:
        raise FileFormatError(
            f"load_csv: {where}: expected at least two columns, features and the target, got "
            f"{', '.join(table.header)}. Is the delimiter another one? Pass delimiter=."
        )
    x = _features(table, features, header, np.dtype(dtype or get_default_dtype()))
    y, names = _targets(table, column, classes, header, x.dtype)
    return TensorDataset(x, y, classes=names, name=os.path.basename(where))


def _read(
    path: str | os.PathLike[str], where: str, delimiter: str | None, header: bool | None, encoding: str
) -> _Table:
    if delimiter is not None and len(delimiter) != 1:
        raise ValueRangeError(f"load_csv: delimiter: expected one character, got {delimiter!r}")
    try:
        # "utf-8-sig" drops the byte order mark that spreadsheets write.
        with open(path, newline="", encoding=encoding) as file:
            text = file.read()
    except LookupError:
        raise ValueRangeError(
            f"load_csv: encoding: expected one that Python knows, such as 'cp1252', got {encoding!r}"
        ) from None
    except UnicodeError as error:
        raise FileFormatError(
            f"load_csv: {where}: expected text in {encoding}, got other bytes ({error}). Pass encoding=, such as "
            "'cp1252' or 'utf-16'; save a spreadsheet or a compressed file as CSV first."
        ) from None
    found = _rows(where, text, delimiter or _delimiter(text))
    rows = [(line, row) for line, row in found if any(row)]
    if not rows:
        raise FileFormatError(f"load_csv: {where}: expected at least one row, got an empty file")
    first = rows[0][1]
    names = [f"column {i}" for i in range(len(first))]
    if _is_header(first) if header is None else header:
        names = [cell or names[i] for i, cell in enumerate(first)]
        rows = rows[1:]
        if not rows:
            raise FileFormatError(
                f"load_csv: {where}: expected a row of values, got only the names of columns"
            )
    for line, row in rows:
        if len(row) != len(first):
            raise FileFormatError(
                f"load_csv: {where}, line {line}: expected {len(first)} columns as in the first row, got {len(row)}"
            )
    return _Table(where, names, rows)


def _rows(where: str, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for row in reader:
            rows.append((line, [cell.strip() for cell in row]))
            line = reader.line_num + 1  # a quoted cell may have several lines
    except csv.Error as error:
        raise FileFormatError(
            f"load_csv: {where}, line {line}: expected a row of a CSV table: {error}"
        ) from None
    return rows


def _delimiter(text: str) -> str:
    """The delimiter that divides the first row into most columns; one in quotes does not count."""

    def columns(delimiter: str) -> int:
        try:
            lines = (line for line in io.StringIO(text, newline="") if line.strip())
            return len(next(csv.reader(lines, delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=columns)


def _is_header(first: list[str]) -> bool:
    """Whether the first row can only be names: text in each cell; pandas leaves the name of its index empty."""
    names = first[1:] if not first[0] and len(first) > 1 else first
    return all(_number(cell) is None and cell.lower() not in MISSING for cell in names)


def _counts_rows(table: _Table) -> bool:
    """Whether the first column has no name and numbers the rows, as pandas' index does."""
    unnamed = table.header[0] == "column 0" and any(
        name != f"column {i}" for i, name in enumerate(table.header)
    )
    return unnamed and all(row[0] == str(i) for i, (_, row) in enumerate(table.rows))


def _number(text: str) -> float | None:
    """The number that a cell holds; True and False are 1 and 0. None for text and for missing values."""
    if text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) or "_" in text else value


def _hint(table: _Table, line: int, header: bool | None) -> str:
    first = table.rows[0][0] == line and header is None and table.header[-1].startswith("column ")
    return ". If the first row names the columns, pass header=True." if first else ""


def _features(table: _Table, columns: list[int], header: bool | None, dtype: np.dtype[Any]) -> NDArray:
    if dtype.kind not in "fiub":
        raise DTypeError(f"load_csv: dtype: expected one of numbers, got {dtype}")
    values = np.empty((len(table.rows), len(columns)))
    for k, (line, row) in enumerate(table.rows):
        for j, i in enumerate(columns):
            value = _number(row[i])
            if value is None:
                raise table.error(line, i, "a number", row[i], _hint(table, line, header))
            values[k, j] = value
    with np.errstate(all="ignore"):
        x = values.astype(dtype)
        lost = np.argwhere((x.astype(float) != values) & (dtype.kind != "f"))
    if len(lost):
        k, j = lost[0]
        line, row = table.rows[k]
        raise table.error(line, columns[j], f"a value of {dtype}", row[columns[j]])
    return x


def _column(where: str, target: str | int, header: list[str]) -> int:
    if isinstance(target, str):
        if header.count(target) != 1:
            several = " once" if target in header else ""
            raise ValueRangeError(
                f"load_csv: {where}: target: expected one of the columns {', '.join(header)}{several}, got {target!r}"
            )
        return header.index(target)
    if not -len(header) <= target < len(header):
        raise ValueRangeError(
            f"load_csv: {where}: expected the index of one of {len(header)} columns, got target={target}"
        )
    return int(target) % len(header)


def _targets(
    table: _Table, column: int, classes: bool | None, header: bool | None, dtype: DTypeLike
) -> tuple[NDArray, list[str] | None]:
    """Return y and the names of its classes, None for regression targets."""
    cells = [row[column] for _, row in table.rows]
    numbers = [None if cell.lower() in BOOLEANS else _number(cell) for cell in cells]
    text = any(number is None for number in numbers)
    only_text = all(number is None for number in numbers)
    for (line, _), cell, number in zip(table.rows, cells, numbers):
        if cell.lower() in MISSING:
            raise table.error(line, column, "a target", cell, _hint(table, line, header))
        if number is None and (classes is False or (classes is None and not only_text)):
            hint = "" if classes is False else ". Pass classes=True if the column holds classes."
            raise table.error(line, column, "a number as in other rows", cell, hint)
    if text:
        names = sorted(set(cells))
        codes = {name: code for code, name in enumerate(names)}
        return np.array([codes[cell] for cell in cells], np.int64), names
    values = np.array(numbers, dtype=float)
    integers = bool(np.isfinite(values).all()) and bool((values == np.round(values)).all())
    if classes is None:
        # Up to 20 distinct integers, each four times on average, are taken for classes.
        classes = integers and len(np.unique(values)) <= max(2, min(20, len(values) // 4))
    if not classes:
        return values.astype(dtype if integers or np.dtype(dtype).kind == "f" else get_default_dtype()), None
    found, y = np.unique(values, return_inverse=True)
    names = [str(int(v)) if integers else str(v) for v in found]
    return y.reshape(-1).astype(np.int64), names


@checked
def load_npz(path: str | os.PathLike[str], x: str = "x", y: str = "y") -> TensorDataset:
    """Load the arrays named `x` and `y` from an NPZ file. Raises FileFormatError, ValueRangeError if one is missing."""
    where = os.fspath(path)
    try:
        # Opened here because np.load leaves a damaged file open.
        with open(path, "rb") as handle:
            if handle.read(6) == b"\x93NUMPY":
                raise FileFormatError(
                    f"load_npz: {where}: expected an NPZ file with the arrays {x!r} and {y!r}, got an NPY file of one "
                    "array. Load it with np.load, and pass it to TensorDataset."
                )
            handle.seek(0)
            with np.load(handle, allow_pickle=False) as file:
                for name in (x, y):
                    if name not in file:
                        raise ValueRangeError(
                            f"load_npz: {where}: expected an array {name!r}, got {', '.join(file.files)}. "
                            "Name the arrays with x= and y=."
                        )
                    _refuse_lying_size(file.zip, name, os.path.getsize(path))
                arrays = file[x], file[y]
    except FileNotFoundError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, TypeError, AttributeError, KeyError,
        MemoryError, NotImplementedError, RuntimeError, SyntaxError,
    ) as error:  # fmt: skip
        if isinstance(error, (ValueRangeError, FileFormatError)):
            raise
        raise FileFormatError(f"load_npz: {where} is damaged or not an NPZ file: {error}") from None
    return TensorDataset(*arrays, name=os.path.basename(where))


def _refuse_lying_size(archive: zipfile.ZipFile, name: str, stored: int) -> None:
    """Raise ValueError if an array's header tells of more bytes than the file can hold, before they are allocated."""
    member = next(m for m in archive.namelist() if m in (name, f"{name}.npy"))
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > DEFLATE_RATIO * stored:
        raise ValueError(f"its header tells of an array {shape} of {dtype}, more than the file can hold")


@checked
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
    if np.dtype(dtype or get_default_dtype()).kind != "f":
        raise DTypeError(f"load_cats: dtype: expected a floating one for pixels from 0 to 1, got {dtype!r}")
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_cats: {where} does not exist. The file comes with the course.")
    try:
        with h5py.File(path, "r") as opened:
            file: Any = opened
            part = "train" if "train_set_x" in file else "test"
            x, y = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
            classes = [name.decode() for name in file["list_classes"][:]]
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
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
