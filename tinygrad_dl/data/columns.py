"""Columns of a table as arrays, by what was fitted: this text also stands in the files that predict with NumPy only.

A column is a dict: its "name", its "kind" ("number", "category", "codes" or "date") and what was fitted. A missing
number becomes the fill; numbers are standardized. A category has a 1 at its level, or, as codes, the number of its
level counted from 1; an unknown one has zeros, and the code 0. A date becomes standardized parts: year, month, day, ...
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "#na", "<na>", "nan", "null", "none", "-nan", "nat"))


def is_missing(value: Any) -> bool:
    """Whether a cell has no value."""
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in MISSING)


def as_number(value: Any, thousands: str = "", decimal: str = ".") -> float:
    """The number of a cell; nan for a missing one. Raises ValueError for text."""
    if is_missing(value):
        return float("nan")
    if isinstance(value, str):
        text = value.strip().replace(thousands, "") if thousands else value.strip()
        text = text.replace(decimal, ".") if decimal != "." else text
        return {"true": 1.0, "false": 0.0}[text.lower()] if text.lower() in ("true", "false") else float(text)
    return float(value)


def as_level(value: Any) -> str:
    """The level of a cell as text; "" for a missing one. A whole number reads the same as an int and as a float."""
    if is_missing(value):
        return ""
    if not isinstance(value, (str, bool, np.bool_)) and float(value) == int(value):
        return str(int(value))
    return str(value).strip()


def date_parts(value: Any, form: str = "") -> list[float]:
    """Year, month, day, day of the week and hour of a cell; nan for a missing one. Raises ValueError."""
    if is_missing(value):
        return [float("nan")] * 5
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[s]").item()
    if isinstance(value, str):
        text = value.strip()
        value = datetime.strptime(text, form) if form else datetime.fromisoformat(text.replace("Z", "+00:00"))
    if not hasattr(value, "weekday"):
        raise ValueError(f"expected a date, got {value!r}")
    hour = getattr(value, "hour", 0) + getattr(value, "minute", 0) / 60
    return [value.year, value.month, value.day, value.weekday(), hour]


def column_values(column: dict[str, Any], cells: Any) -> Any:
    """One column as a matrix: (N, 1) of a number, (N, levels) of a category, (N,) of codes, (N, parts) of a date."""
    kind, name = column["kind"], column["name"]
    if kind in ("category", "codes"):
        places = {level: i for i, level in enumerate(column["levels"])}
        found = np.array([places.get(as_level(cell), -1) for cell in cells], np.int64)
        if kind == "codes":
            return found + 1
        return (found[:, None] == np.arange(len(places))).astype(np.float64)
    rows = []
    for i, cell in enumerate(cells):
        try:
            if kind == "date":
                rows.append([date_parts(cell, column["form"])[k] for k in column["parts"]])
            else:
                rows.append([as_number(cell, column["thousands"], column["decimal"])])
        except (ValueError, TypeError, AttributeError):
            expected = "a date" if kind == "date" else "a number"
            raise ValueError(f"{name}: row {i}: expected {expected}, got {cell!r}") from None
    values = np.array(rows, np.float64).reshape(len(rows), len(column["mean"]))
    values = np.where(np.isfinite(values), values, np.array(column["fill"]))
    return (values - np.array(column["mean"])) / np.array(column["scale"])


def prepared(columns: list[dict[str, Any]], cells: dict[str, Any]) -> list[Any]:
    """The inputs of the model: numbers (N, features), float32, and codes (N, columns) of columns to embed."""
    absent = [column["name"] for column in columns if column["name"] not in cells]
    if absent:
        raise ValueError(f"expected the columns {', '.join(absent)}, got {', '.join(map(str, cells))}")
    made = [(column["kind"], column_values(column, cells[column["name"]])) for column in columns]
    count = len(next(iter(cells.values()), ()))
    numbers = [values for kind, values in made if kind != "codes"]
    codes = [values for kind, values in made if kind == "codes"]
    found = [np.concatenate([np.empty((count, 0)), *numbers], axis=1).astype(np.float32)]
    return [*found, np.stack(codes, axis=1)] if codes else found


def predictions(target: dict[str, Any], outputs: Any) -> Any:
    """What outputs of the model say: names of classes, or numbers in the target's own unit."""
    outputs = np.asarray(outputs)
    if target["levels"] is not None:
        many = outputs.ndim > 1 and outputs.shape[-1] > 1
        at = outputs.argmax(axis=-1) if many else (outputs.reshape(len(outputs)) > 0).astype(int)
        return np.array(target["levels"])[at]
    outputs = outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
    return outputs * target["scale"] + target["mean"]


def columns_of(rows: Any) -> dict[str, Any]:
    """Rows as dicts, or a dict of columns, as columns."""
    if isinstance(rows, dict):
        return {name: list(cells) if np.ndim(cells) else [cells] for name, cells in rows.items()}
    rows = list(rows)
    return {name: [row.get(name) for row in rows] for name in (rows[0] if rows else ())}
