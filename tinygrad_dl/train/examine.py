"""Where a model of a table errs: by column value, by column shuffled, and its residuals or calibration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.data.tables import Table, as_frame
from tinygrad_dl.errors import DTypeError, ValueRangeError, missing_extra
from tinygrad_dl.train.trainer import Trainer
from tinygrad_dl.typing import RandomLike

BINS = 5  # of a column of numbers, and twice as many of probabilities
SHOWN = 20  # bars of a chart


class Examination(NamedTuple):
    """What `examine` found, as pandas frames.

    `by_value`: column, value, rows and error; `importance`: by how much the error of all rows grows when a column is
    shuffled, and how much that varies; `predictions`: the target, what was predicted and the error of each row.
    """

    by_value: Any
    importance: Any
    predictions: Any


class _OfTable:
    """The model as scikit-learn sees it: rows of the table in, the mean error out."""

    def __init__(self, trainer: Trainer, table: Table) -> None:
        self.trainer, self.table = trainer, table

    def fit(self, x: Any, y: Any) -> None:
        raise DTypeError("examine: the model is already trained")

    def outputs(self, x: Any) -> Any:
        inputs = self.table.transform(x)
        return self.trainer.predict((*inputs, np.zeros(len(x))) if isinstance(inputs, tuple) else inputs)

    def errors(self, x: Any, y: Any) -> Any:
        """1 for a wrong class; the size of the difference for numbers."""
        found = self.table.predictions(self.outputs(x))
        if self.table.classes is not None:
            return (found != np.array(self.table.classes)[np.asarray(y)]).astype(float)
        return np.abs(found - np.asarray(y, float))

    def score(self, x: Any, y: Any) -> float:
        return -float(self.errors(x, y).mean())


def examine(
    trainer: Trainer,
    table: Table,
    rows: Any,
    folder: str | os.PathLike[str] | None = None,
    *,
    repeats: int = 5,
    rng: RandomLike = 0,
) -> Examination:
    """Examine a trained model on rows that it was not trained on: a frame with the target, such as the test part.

    The error of a row is the size of the difference, or 1 for a wrong class. The importance of a column is
    scikit-learn's permutation importance. With `folder`, that of a run, the pictures residuals.png or calibration.png,
    importance.png and errors.png are written there, which `tinygrad-dl report` shows. Raises DTypeError,
    ValueRangeError.
    """
    if not isinstance(trainer, Trainer) or not isinstance(table, Table):
        raise DTypeError(
            "examine: expected a Trainer and the Table that prepared its data, got "
            f"{type(trainer).__name__} and {type(table).__name__}"
        )
    try:
        import pandas
        from sklearn.inspection import permutation_importance
    except ImportError:
        raise missing_extra("scikit-learn", "data", "examine") from None
    frame = as_frame("examine", rows)
    if table.target not in frame.columns:
        raise ValueRangeError(
            f"examine: rows: expected the column {table.target!r} to compare with, got none"
        )
    model = _OfTable(trainer, table)
    prepared = table.dataset(frame)
    y = prepared.y if table.classes is not None else table.predictions(prepared.y)
    names = [c["name"] for c in table.columns]
    x = frame.loc[frame[table.target].notna(), names].reset_index(drop=True)
    errors = model.errors(x, y)
    outputs = model.outputs(x)
    found: Any = permutation_importance(
        model, x, y, n_repeats=repeats, random_state=int(np.random.default_rng(rng).integers(2**31))
    )
    importance = pandas.DataFrame(
        {"importance": found.importances_mean, "deviation": found.importances_std}, index=names
    ).sort_values("importance", ascending=False)
    parts = []
    for column in table.columns:
        values: Any = x[column["name"]]
        if column["kind"] == "number" and values.nunique() > BINS:
            values = pandas.qcut(values.astype(float), BINS, duplicates="drop")
        elif column["kind"] == "date":
            values = pandas.to_datetime(values, format=column["form"] or None).dt.year
        shown = values.astype(object).where(values.notna(), "missing").map(str)
        of = pandas.DataFrame({"value": shown, "error": errors}).groupby("value")["error"]
        parts.append(of.agg(rows="size", error="mean").reset_index().assign(column=column["name"]))
    together: Any = pandas.concat(parts)
    by_value = together[["column", "value", "rows", "error"]].sort_values("error", ascending=False)
    actual = np.array(table.classes)[y] if table.classes is not None else y
    predictions = pandas.DataFrame(
        {table.target: actual, "predicted": table.predictions(outputs), "error": errors}
    )
    made = Examination(by_value.reset_index(drop=True), importance, predictions)
    if folder is not None:
        _draw(Path(folder), made, table, outputs, y)
    return made


def _draw(folder: Path, found: Examination, table: Table, outputs: Any, y: Any) -> None:
    """Write the pictures."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "viz", "examine") from None
    folder.mkdir(parents=True, exist_ok=True)

    def canvas(height: float = 3.6) -> tuple[Any, Any]:
        figure = Figure(figsize=(6.4, height), layout="constrained")
        return figure, figure.subplots()

    figure, ax = canvas()
    if table.classes is None:
        ax.scatter(found.predictions["predicted"], y - found.predictions["predicted"], s=8)
        ax.axhline(0, color="gray", linewidth=1)
        ax.set(xlabel=f"predicted {table.target}", ylabel="actual less predicted")
        figure.savefig(folder / "residuals.png", dpi=120)
    else:
        sure, right = _confidence(np.asarray(outputs), np.asarray(y))
        edges = np.linspace(0, 1, 2 * BINS + 1)
        at = np.clip(np.digitize(sure, edges) - 1, 0, 2 * BINS - 1)
        used = [b for b in range(2 * BINS) if (at == b).any()]
        ax.plot([0, 1], [0, 1], color="gray", linewidth=1)
        ax.plot([sure[at == b].mean() for b in used], [right[at == b].mean() for b in used], marker="o")
        ax.set(
            xlabel="probability of the predicted class",
            ylabel="share that is correct",
            xlim=(0, 1),
            ylim=(0, 1.02),
        )
        figure.savefig(folder / "calibration.png", dpi=120)
    most = found.importance.head(SHOWN)[::-1]
    figure, ax = canvas(1.2 + 0.25 * len(most))
    ax.barh([str(n) for n in most.index], most["importance"], xerr=most["deviation"])
    ax.set_xlabel("error added by shuffling the column")
    figure.savefig(folder / "importance.png", dpi=120)
    worst = found.by_value.head(SHOWN)[::-1]
    figure, ax = canvas(1.2 + 0.25 * len(worst))
    ax.barh(
        [f"{c}: {v} ({n})" for c, v, n in zip(worst["column"], worst["value"], worst["rows"])], worst["error"]
    )
    ax.set_xlabel("mean error")
    figure.savefig(folder / "errors.png", dpi=120)


def _confidence(outputs: Any, y: Any) -> tuple[Any, Any]:
    """The probability of each predicted class, and whether it is the right one."""
    if outputs.ndim == 1 or outputs.shape[-1] == 1:
        p = 1 / (1 + np.exp(-outputs.reshape(len(outputs))))
        return np.maximum(p, 1 - p), (p > 0.5) == y
    e = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p.max(axis=-1), p.argmax(axis=-1) == y
