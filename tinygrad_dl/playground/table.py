"""A learner's CSV file as rows of numbers with limits, which a configuration holds."""

from __future__ import annotations

import base64
import binascii
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl.data import columns as cells
from tinygrad_dl.data import load_csv
from tinygrad_dl.errors import TinygradError, ValueRangeError
from tinygrad_dl.playground.state import MAX_COLUMNS, MAX_EXAMPLES, MAX_LABELS, Table
from tinygrad_dl.typing import NDArray

ENCODINGS = ("utf-8-sig", "cp932", "cp1252")
FIELDS = 100  # of the file's first line


def read_csv(content: str, target: str = "") -> dict[str, Any]:
    """The table of a CSV file in base64, the names of its columns, and what was decided for each of them.

    `target`: the column to predict, by default the last one. Numbers stay as they are, with gaps filled by the median;
    categories become a column of 0 and 1 per level; dates are left out. Raises ValueRangeError.
    """
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise ValueRangeError("csv: expected a file in base64, got another text") from None
    encoding = next(e for e in ENCODINGS if _reads(data, e))
    lines = data.decode(encoding, "replace").splitlines()
    if sum(bool(line.strip()) for line in lines) > MAX_EXAMPLES + 1:
        raise ValueRangeError(f"csv: expected at most {MAX_EXAMPLES} rows, got {len(lines) - 1}")
    if lines and max(lines[0].count(mark) for mark in ",;\t|") >= FIELDS:
        raise ValueRangeError(f"csv: expected at most {FIELDS} columns, got more")
    table = _read(data, encoding, target)
    if table.classes and len(table.classes) > MAX_LABELS and table.frame[table.target].dtype.kind in "iuf":
        table = _read(data, encoding, target, classes=False)
    columns: list[tuple[str, NDArray]] = []
    for column in table.columns:
        columns += _as_numbers(str(column["name"]), column["kind"], list(table.frame[column["name"]]))
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise ValueRangeError(f"csv: expected 1 to {MAX_COLUMNS} columns of numbers, got {len(columns)}")
    labels = table.classes or []
    if labels and not 2 <= len(labels) <= MAX_LABELS:
        raise ValueRangeError(
            f"csv: {table.target}: expected 2 to {MAX_LABELS} classes, or a number, got {len(labels)}"
        )
    values = list(table.frame[table.target])
    answers = [
        float(labels.index(cells.as_level(v))) if labels else _rounded(cells.as_number(v)) for v in values
    ]
    rows = ((*map(_rounded, row), answer) for *row, answer in zip(*(c for _, c in columns), answers))
    made = Table(
        rows=tuple(rows),
        columns=tuple(name[:40] for name, _ in columns),
        labels=tuple(str(label)[:40] for label in labels),
    )
    return {
        "table": made.as_json(),
        "names": [str(name) for name in table.frame.columns],
        "target": str(table.target),
        "decisions": {str(name): text for name, text in table.decisions.items()},
    }


def _read(data: bytes, encoding: str, target: str, **options: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(data)
        try:
            return load_csv(path, target or -1, encoding=encoding, quiet=True, **options)
        except TinygradError as error:
            text = str(error).replace(f"load_csv: {path}", "csv").replace("load_csv: Table: ", "csv: ")
            raise ValueRangeError(text) from None


def _reads(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return encoding == ENCODINGS[-1]
    return True


def _rounded(value: Any) -> float:
    return float(f"{float(value):.6g}")


def _as_numbers(name: str, kind: str, values: list[Any]) -> list[tuple[str, NDArray]]:
    if kind == "number":
        numbers = np.array([np.nan if cells.is_missing(v) else cells.as_number(v) for v in values], float)
        finite = np.isfinite(numbers)
        numbers[~finite] = np.median(numbers[finite]) if finite.any() else 0.0
        return [(name, numbers)]
    if kind == "category":
        levels = ["" if cells.is_missing(v) else cells.as_level(v) for v in values]
        return [
            (f"{name}={level}", np.array([float(v == level) for v in levels]))
            for level in sorted(set(levels))
        ]
    return []
