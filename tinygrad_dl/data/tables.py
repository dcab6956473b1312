"""Tables: pandas reads them, scikit-learn fits the preparation of their columns."""

from __future__ import annotations

import os
import pprint
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl.arguments import checked
from tinygrad_dl.convert import describe as described
from tinygrad_dl.data import columns as cells
from tinygrad_dl.data.dataset import Dataset, TensorDataset
from tinygrad_dl.data.split import split
from tinygrad_dl.errors import (
    DTypeError,
    FileFormatError,
    GraphError,
    ShapeError,
    ValueRangeError,
    missing_extra,
)
from tinygrad_dl.nn.architecture import register_preparation
from tinygrad_dl.typing import NDArray, RandomLike

DELIMITERS = ",;\t|"
PARTS = ("year", "month", "day", "weekday", "hour")
#: Text with more levels than this, or with a level for every second row, is no category.
LEVELS = 50
#: Whole numbers with so few different values are taken for classes.
CLASSES = 20


PROGRAM = '''

def predict(rows):
    """Predictions for rows as dicts, such as [{{"area": 80, "city": "Kobe"}}], or for a dict of columns."""
    return predictions(TARGET, outputs(*prepared(COLUMNS, columns_of(rows))))


def main(path):
    """Print the prediction for each row of a CSV file."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file, delimiter={delimiter!r}, skipinitialspace=True) if line]
    named = {header!r}  # whether the first row names the columns
    names = lines[0] if named and lines else [f"column {{i}}" for i in range(len(lines[0]) if lines else 0)]
    rows = [dict(zip(names, line)) for line in lines[named:]]
    try:
        found = predict(rows) if rows else []
    except ValueError as error:
        sys.exit(f"{{path}}: {{error}}")
    print(TARGET["name"])
    for value in found:
        print(value)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python predict.py data.csv: expected the path of one CSV file")
    main(sys.argv[1])
'''


def _pandas(what: str) -> Any:
    try:
        import pandas
    except ImportError:
        raise missing_extra("pandas", "data", what) from None
    return pandas


@checked
def load_csv(
    path: str | os.PathLike[str],
    target: str | int = -1,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8-sig",
    thousands: str | None = None,
    decimal: str = ".",
    usecols: Sequence[str | int] | None = None,
    **options: Any,
) -> Table:
    """Read a CSV file, also a compressed one, with pandas' reader, as a `Table` with the column `target` to predict.

    `delimiter`: by default the comma, semicolon, tab or bar that divides the first line into most parts. `header`:
    whether the first row names the columns, by default unless a cell of it is a number. `thousands`, `decimal`,
    `usecols`: see pandas.read_csv. Further options are those of `Table`. Needs the extra `data`.
    Raises FileNotFoundError, FileFormatError, ValueRangeError.

    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "houses.csv")
    >>> _ = file.write_text("area,city,price\\n50,Kobe,1.5\\n70,Nara,2.5\\n,Kobe,2.0\\n90,Nara,3.5\\n")
    >>> load_csv(file, "price")
    price: target, a number, standardized
    area: number, 1 gap filled with the median
    city: category of 2 levels, one-hot
    Table(houses.csv: 4 rows, area, city -> price)
    """
    pandas, where = _pandas("load_csv"), os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_csv: no such file: {where}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"load_csv: expected the path of a file, got the folder {where}")
    how: dict[str, Any] = {
        "encoding": encoding, "thousands": thousands, "decimal": decimal, "usecols": usecols, "skipinitialspace": True,
        "na_values": ["?"], "keep_default_na": True,
    }  # fmt: skip
    try:
        first = pandas.read_csv(  # whole lines, which hold no such byte; Python 3.10 takes no "\0"
            path, sep="\x01", header=None, nrows=1, encoding=encoding, dtype=str, engine="python"
        )
        line = str(first.iloc[0, 0])
        how["sep"] = delimiter or max(DELIMITERS, key=line.count)
        names = pandas.read_csv(path, header=None, nrows=1, dtype=str, **{**how, "usecols": None})
        if header is None:
            header = not any(_is_number(name) for name in names.iloc[0])
        frame = pandas.read_csv(path, header=0 if header else None, **how)
    except LookupError as error:
        raise ValueRangeError(f"load_csv: {where}: {error}") from None
    except UnicodeError as error:
        raise FileFormatError(
            f"load_csv: {where}: expected text in {encoding}, got other bytes ({error}). Pass encoding=, such as "
            "'cp1252' or 'cp932'."
        ) from None
    except (ValueError, OSError, EOFError) as error:  # pandas' own are ValueErrors
        raise FileFormatError(f"load_csv: {where}: {error}") from None
    if not header:
        frame.columns = [f"column {i}" for i in range(frame.shape[1])]
    options = {"thousands": thousands or "", "decimal": decimal, "header": header, **options}
    return Table(frame, target, name=os.path.basename(where), delimiter=how["sep"], **options)


def _is_number(cell: Any) -> bool:
    try:
        return not cells.is_missing(cell) and np.isfinite(cells.as_number(cell))
    except ValueError:
        return False


@register_preparation
class Table(Dataset):
    """A table with a column to predict, and the preparation of the others: `split` fits it on the training part only.

    Numbers are imputed with the median and standardized, categories one-hot encoded, or with `embed` numbered for an
    nn.Embedding, dates divided into parts. What each column becomes is printed once; `categories`, `numbers`, `dates`,
    `embed` and `drop` name columns to decide otherwise, `classes` whether the target holds classes, and `quiet=True`
    prints nothing. Free text is refused. `frame`: a pandas or polars frame, or a dict of columns.
    Raises ValueRangeError, DTypeError.

    >>> table = Table({"age": [20, 30, None, 40], "y": ["no", "yes", "no", "yes"]}, "y", quiet=True)
    >>> train, test = table.split((0.5, 0.5), rng=0)
    >>> train.x.shape, table.classes
    ((2, 1), ['no', 'yes'])
    """

    @checked
    def __init__(
        self,
        frame: Any,
        target: str | int = -1,
        *,
        categories: str | Sequence[str] = (),
        numbers: str | Sequence[str] = (),
        dates: str | Sequence[str] = (),
        embed: str | Sequence[str] = (),
        drop: str | Sequence[str] = (),
        classes: bool | None = None,
        quiet: bool = False,
        name: str = "",
        thousands: str = "",
        decimal: str = ".",
        delimiter: str = ",",
        header: bool = True,
    ) -> None:
        self.frame = as_frame("Table", frame)
        self.name, self.quiet = name, quiet
        self.form = {"thousands": thousands, "decimal": decimal, "delimiter": delimiter, "header": header}
        self.target = self._target(target)
        chosen = {
            "category": ("categories", categories), "number": ("numbers", numbers), "date": ("dates", dates),
            "codes": ("embed", embed), "drop": ("drop", drop),
        }  # fmt: skip
        self._chosen = {
            c: kind for kind, (option, names) in chosen.items() for c in self._known(option, names)
        }
        #: What was decided for each column, in words.
        self.decisions: dict[str, str] = {}
        self.columns: list[dict[str, Any]] = []
        self._answer = self._decide_target(classes)
        for column in self.frame.columns:
            if column != self.target:
                self._decide(column)
        if not self.columns:
            raise ValueRangeError(f"Table: expected a column beside the target {self.target}, got none")
        self._fitted = False
        self._prepared: TensorDataset | None = None
        if not quiet:
            for column, text in self.decisions.items():
                print(f"{column}: {text}")

    # Decisions

    def _target(self, target: str | int) -> str:
        names = list(self.frame.columns)
        if isinstance(target, (int, np.integer)) and target not in names:
            if not -len(names) <= target < len(names):
                raise ValueRangeError(
                    f"Table: target: expected the index of one of {len(names)} columns, got {target}"
                )
            return names[target]
        if target not in names:
            raise ValueRangeError(
                f"Table: target: expected one of {', '.join(map(str, names))}, got {target!r}"
            )
        if not self.frame.columns.is_unique:
            raise ValueRangeError("Table: expected columns with different names")
        return str(target)

    def _known(self, what: str, names: str | Sequence[str]) -> list[str]:
        found = [names] if isinstance(names, str) else list(names)
        for name in found:
            if name not in self.frame.columns or name == self.target:
                raise ValueRangeError(
                    f"Table: {what}: expected columns other than the target, "
                    f"{', '.join(map(str, self._features()))}, got {name!r}"
                )
        return found

    def _features(self) -> list[str]:
        return [c for c in self.frame.columns if c != self.target]

    def _decide_target(self, classes: bool | None) -> dict[str, Any]:
        missing = np.array([cells.is_missing(v) for v in self.frame[self.target]], bool)
        if missing.all():
            raise ValueRangeError(f"Table: target: expected values in {self.target}, got none")
        dropped = ""
        if missing.any():
            self.frame = self.frame[~missing].reset_index(drop=True)
            dropped = f"; {_rows(missing.sum())} without it left out"
        values = self.frame[self.target]
        numbers = [_is_number(v) for v in values]
        if classes is None:
            only = all(numbers) and values.dtype.kind in "iuf"
            whole = only and bool((values.astype(float) % 1 == 0).all())
            few = values.nunique() <= max(2, min(CLASSES, len(values) // 4))
            classes = not only or (whole and few)
            if classes and not only and values.nunique() > max(CLASSES, len(values) // 4):
                bad = next((v for v, number in zip(values, numbers) if not number), values.iloc[0])
                raise ValueRangeError(
                    f"Table: target: {self.target}: expected numbers or a few classes, got {values.nunique()} "
                    f"different values such as {bad!r}. Pass classes=True if they are classes."
                )
        if classes:
            levels = [cells.as_level(v) for v in values]
            order = sorted(set(levels), key=_sort_key)
            self.decisions[self.target] = f"target, one of {len(order)} classes{dropped}"
            return {"name": self.target, "levels": order, "mean": 0.0, "scale": 1.0}
        if not all(numbers):
            bad = next(v for v, number in zip(values, numbers) if not number)
            raise ValueRangeError(f"Table: target: {self.target}: expected numbers, got {bad!r}")
        self.decisions[self.target] = f"target, a number, standardized{dropped}"
        return {"name": self.target, "levels": None, "mean": 0.0, "scale": 1.0}

    def _decide(self, column: str) -> None:
        values = self.frame[column]
        kind = self._chosen.get(column)
        gaps = int(sum(map(cells.is_missing, values)))
        own = "" if kind is None else ", as asked for"
        if kind == "drop":
            self.decisions[column] = "left out, as asked for"
            return
        levels = values.nunique()
        if kind is None and str(column).startswith("Unnamed:") and _counts(values):
            self.decisions[column] = "left out: it numbers the rows"
            return
        if kind is None and levels == 0:
            self.decisions[column] = "left out: it has no values"
            return
        if kind is None and levels == 1 and not gaps:
            self.decisions[column] = "left out: it is constant"
            return
        if kind is None:
            kind = self._kind(column, values, levels)
        about: dict[str, Any] = {"name": column, "kind": kind}
        filled = f", {gaps} gap{'s' if gaps != 1 else ''} filled with the median" if gaps else ""
        if kind == "number":
            about |= {"thousands": self.form["thousands"], "decimal": self.form["decimal"]}
            self.decisions[column] = f"number{filled}{own}"
        elif kind == "date":
            about["form"], about["parts"] = self._date_form(column, values)
            parts = ", ".join(PARTS[i] for i in about["parts"])
            self.decisions[column] = f"date, as {parts}{filled}{own}"
        else:
            how = "numbered for an embedding" if kind == "codes" else "one-hot"
            own_level = ", gaps are a level of their own" if gaps else ""
            self.decisions[column] = (
                f"category of {levels} level{'s' if levels != 1 else ''}, {how}{own_level}{own}"
            )
        self.columns.append(about)

    def _kind(self, column: str, values: Any, levels: int) -> str:
        if values.dtype.kind in "biuf":
            return "number"
        if values.dtype.kind == "M":
            return "date"
        known = [v for v in values if not cells.is_missing(v)]
        if all(isinstance(v, (bool, np.bool_, int, float)) for v in known):
            return "number"
        if self._looks_like_dates(known):
            return "date"
        if levels <= LEVELS and levels <= max(2, len(known) // 2):
            return "category"
        advice = (
            "it looks like an identifier" if levels == len(known) and _words(known) < 2 else "it is free text"
        )
        numeric = [v for v in known if isinstance(v, str) and _is_number(v.replace(",", ""))]
        if len(numeric) > 0.9 * len(known):
            advice = "most of it are numbers; if they are written as 1,234, pass thousands=','"
        raise ValueRangeError(
            f"Table: {column}: expected numbers, dates or at most {LEVELS} levels, got {levels} different texts such "
            f"as {str(known[0])[:40]!r}: {advice}. Pass drop=[{column!r}], or categories=[{column!r}] or "
            f"embed=[{column!r}] if it is a category, or replace it by columns of your own."
        )

    def _looks_like_dates(self, known: list[Any]) -> bool:
        if not all(isinstance(v, str) for v in known):
            return all(hasattr(v, "weekday") for v in known)
        return all(any(c.isdigit() for c in v) and len(v) >= 6 for v in known[:20]) and (
            self._form_of(known) is not None
        )

    def _form_of(self, known: list[Any]) -> str | None:
        """The form of dates written as text: "" for ISO's, one for strptime, None if they are no dates."""
        try:
            for v in known:
                cells.date_parts(v)
            return ""
        except ValueError:
            pass
        pandas = _pandas("Table")
        for day_first in (False, True):
            with np.errstate(all="ignore"):
                form = pandas.tseries.api.guess_datetime_format(str(known[0]), dayfirst=day_first)
            try:
                for v in known if form else ():
                    cells.date_parts(v, form)
            except ValueError:
                continue
            if form:
                return str(form)
        return None

    def _date_form(self, column: str, values: Any) -> tuple[str, list[int]]:
        known = [v for v in values if not cells.is_missing(v)]
        form = self._form_of([v for v in known if isinstance(v, str)]) if known else ""
        if form is None:
            raise ValueRangeError(f"Table: dates: {column}: expected dates, got {known[0]!r}")
        found = np.array([cells.date_parts(v, form) for v in known]).reshape(-1, len(PARTS))
        changing = [i for i in range(len(PARTS)) if len(np.unique(found[:, i])) > 1]
        return form, changing or [0]

    def describe(self) -> Any:
        """A pandas frame with a row for each column: what it becomes, its type, gaps, levels, and what is suspicious.

        Suspicious are columns that are constant, number the rows or have another value in each row, and those that
        give the target away.
        """
        pandas = _pandas("Table.describe")
        kinds = {c["name"]: c["kind"] for c in self.columns} | {self.target: "target"}
        rows = {}
        for column in self.frame.columns:
            values = self.frame[column]
            gaps = int(sum(map(cells.is_missing, values)))
            rows[column] = {
                "kind": kinds.get(column, "left out"), "dtype": str(values.dtype), "gaps": gaps,
                "levels": int(values.nunique()), "example": values.dropna().iloc[0] if gaps < len(values) else None,
                "suspicious": self._suspicion(column, values),
            }  # fmt: skip
        return pandas.DataFrame.from_dict(rows, orient="index")

    def _suspicion(self, column: str, values: Any) -> str:
        levels, known = values.nunique(), values.notna().sum()
        if column == self.target:
            return ""
        if levels <= 1:
            return "constant"
        target = np.asarray(self._codes())
        whole = values.dtype.kind in "iu" or values.dtype.kind not in "fMb"
        if whole and levels == known and known > 10:
            return "identifier-like: another value in each row"
        if values.dtype.kind in "iufb":
            pair = np.stack([values.astype(float), target])[:, values.notna().to_numpy()]
            if pair.shape[1] > 2 and pair.std(axis=1).all() and abs(np.corrcoef(pair)[0, 1]) > 0.999:
                return f"leaks {self.target}: nearly the same"
        if levels <= max(2, known // 2):
            of_level: dict[Any, set[float]] = {}
            for v, t in zip(values, target):
                of_level.setdefault(cells.as_level(v) if not hasattr(v, "weekday") else v, set()).add(
                    float(t)
                )
            if len(set(target.tolist())) > 1 and all(len(found) == 1 for found in of_level.values()):
                return f"leaks {self.target}: each level has one value of it"
        return ""

    # Preparation

    def split(
        self,
        sizes: Sequence[float] | Mapping[str, float] = (0.6, 0.2, 0.2),
        *,
        by: str | None = None,
        stratify: bool = False,
        rng: RandomLike = None,
    ) -> tuple[TensorDataset, ...]:
        """Train, dev and test parts, prepared by what is fitted on the first one only.

        `by`: a column in whose order the rows are divided, such as a date: the latest are the test part. Otherwise
        they are divided at random, rows with equal features together.
        """
        n = len(self.frame)
        rows = np.arange(n)
        if by is not None:
            if by not in self.frame.columns:
                raise ValueRangeError(f"Table.split: by: expected one of the columns, got {by!r}")
            order = np.argsort(self._sortable(by), kind="stable")
            parts = split(rows, sizes, duplicates="allow", rng=0)
            ends = np.cumsum([len(part) for part in parts])
            chosen = [order[end - len(part) : end] for end, part in zip(ends, parts)]
        else:
            groups = self.frame.groupby(self._features(), dropna=False, sort=False).ngroup().to_numpy()
            labels = np.asarray(self._codes()) if stratify else False
            parts = split(rows, sizes, duplicates="allow", groups=groups, stratify=labels, rng=rng)
            chosen = [part.x for part in parts]
        self.fit(chosen[0])
        return tuple(self._part(at, part.part) for at, part in zip(chosen, parts))

    def _sortable(self, by: str) -> Any:
        about = next((c for c in self.columns if c["name"] == by and c["kind"] == "date"), None)
        if about is None:
            return self.frame[by].to_numpy()
        return _pandas("Table.split").to_datetime(self.frame[by], format=about["form"] or None).to_numpy()

    def _part(self, at: NDArray, part: str | None) -> TensorDataset:
        x = self.transform(self.frame.iloc[at])
        inputs = x if isinstance(x, tuple) else (x,)
        return TensorDataset(*inputs, self.targets(at), part=part, classes=self.classes, name=self.name)

    def fit(self, rows: Any = None) -> Table:
        """Fit the preparation on the rows with these numbers, by default on all; returns the table."""
        frame = self.frame if rows is None else self.frame.iloc[np.asarray(rows)]
        if not len(frame):
            raise ValueRangeError("Table.fit: expected at least one row, got none")
        try:
            from sklearn.impute import SimpleImputer
            from sklearn.preprocessing import OrdinalEncoder, StandardScaler
        except ImportError:
            raise missing_extra("scikit-learn", "data", "Table") from None
        for column in self.columns:
            values = list(frame[column["name"]])
            if column["kind"] in ("category", "codes"):
                levels = np.array([cells.as_level(v) for v in values], object)[:, None]
                column["levels"] = [str(v) for v in OrdinalEncoder().fit(levels).categories_[0]]
                continue
            # The formula with nothing fitted gives the raw numbers.
            width = len(column["parts"]) if column["kind"] == "date" else 1
            raw = {**column, "fill": [np.nan] * width, "mean": [0.0] * width, "scale": [1.0] * width}
            try:
                matrix = cells.column_values(raw, values)
            except ValueError as error:
                raise ValueRangeError(f"Table: {error}") from None
            imputer: Any = SimpleImputer(strategy="median", keep_empty_features=True).fit(matrix)
            scaler: Any = StandardScaler().fit(imputer.transform(matrix))
            column["fill"], column["mean"] = imputer.statistics_.tolist(), scaler.mean_.tolist()
            column["scale"] = scaler.scale_.tolist()
        if self._answer["levels"] is None:
            values = frame[self.target].astype(float).to_numpy()
            scale = float(values.std())
            self._answer |= {"mean": float(values.mean()), "scale": scale if scale > 0 else 1.0}
        self._fitted, self._prepared = True, None
        return self

    def transform(self, rows: Any) -> Any:
        """The inputs of the model for rows with these columns: a frame, a dict of columns or a list of dicts.

        x (N, features) of float32; with `embed` the tuple (x, codes). Raises ValueRangeError for what does not fit.
        """
        self._need_fit()
        try:
            made = cells.prepared(self.columns, _cells(rows))
        except ValueError as error:
            raise ValueRangeError(f"Table.transform: {error}") from None
        return tuple(made) if len(made) > 1 else made[0]

    def _codes(self, at: Any = slice(None)) -> Any:
        values = self.frame[self.target].iloc[at]
        if self._answer["levels"] is None:
            return values.astype(float).to_numpy()
        places = {level: i for i, level in enumerate(self._answer["levels"])}
        levels = [cells.as_level(v) for v in values]
        unknown = next((v for v in levels if v not in places), None)
        if unknown is not None:
            raise ValueRangeError(
                f"Table: {self.target}: expected one of {', '.join(places)}, got {unknown!r}"
            )
        return np.array([places[v] for v in levels], np.int64)

    def targets(self, at: Any = slice(None)) -> NDArray:
        """The targets of rows: numbers of classes, or standardized numbers, float32 of the shape (N, 1)."""
        self._need_fit()
        codes = self._codes(at)
        if self._answer["levels"] is not None:
            return codes
        return ((codes - self._answer["mean"]) / self._answer["scale"]).astype(np.float32)[:, None]

    def predictions(self, outputs: Any) -> NDArray:
        """What outputs of a model say: names of classes, or numbers in the unit of the target."""
        self._need_fit()
        return cells.predictions(self._answer, getattr(outputs, "_data", outputs))

    @property
    def classes(self) -> list[str] | None:
        """The names of the classes; None if the target is a number."""
        return self._answer["levels"]

    @property
    def features(self) -> list[str]:
        """The names of the columns of x: "area", "city=Kobe", "date.year"."""
        self._need_fit()
        found = []
        for c in self.columns:
            if c["kind"] == "category":
                found += [f"{c['name']}={level}" for level in c["levels"]]
            elif c["kind"] == "date":
                found += [f"{c['name']}.{PARTS[i]}" for i in c["parts"]]
            elif c["kind"] == "number":
                found.append(c["name"])
        return found

    @property
    def levels(self) -> dict[str, int]:
        """How many rows an nn.Embedding of each embedded column needs: its levels, and one for unknown ones."""
        self._need_fit()
        return {c["name"]: len(c["levels"]) + 1 for c in self.columns if c["kind"] == "codes"}

    def _need_fit(self) -> None:
        if not self._fitted:
            raise GraphError("Table: expected a fitted preparation, got none. Call split() or fit() first.")

    def dataset(self, rows: Any = None) -> TensorDataset:
        """The prepared inputs and targets of the table's rows, or of a frame with the same columns."""
        self._need_fit()
        if rows is None:
            return self._part(np.arange(len(self.frame)), None)
        frame = as_frame("Table.dataset", rows)
        if self.target not in frame.columns:
            raise ValueRangeError(
                f"Table.dataset: expected the column {self.target!r}, got none of that name"
            )
        missing = np.array([cells.is_missing(v) for v in frame[self.target]], bool)
        other = Table.restored(*self.saved())
        other.frame = frame[~missing].reset_index(drop=True)
        return other._part(np.arange(len(other.frame)), None)

    # As a data set, whose training part is the whole table

    def _all(self) -> TensorDataset:
        if self._prepared is None:
            if not self._fitted:
                self.fit()
            self._prepared = self._part(np.arange(len(self.frame)), None)
        return self._prepared

    @property
    def x(self) -> NDArray:
        """The prepared inputs of all rows; fitted on all of them if `split` was not called."""
        return self._all().x

    @property
    def y(self) -> NDArray:
        """The targets of all rows."""
        return self._all().y

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: Any) -> Any:
        return self._all()[index]

    def __repr__(self) -> str:
        names = ", ".join(c["name"] for c in self.columns[:6]) + (", ..." if len(self.columns) > 6 else "")
        title = f"{self.name}: " if self.name else ""
        return f"Table({title}{_rows(len(self.frame))}, {names} -> {self.target})"

    # As the part of a program that predicts

    def example(self, rows: int) -> tuple[Any, ...]:
        """Prepared inputs of zeros for a number of rows."""
        self._need_fit()
        x: tuple[Any, ...] = (np.zeros((rows, len(self.features)), np.float32),)
        return (*x, np.zeros((rows, len(self.levels)), np.int64)) if self.levels else x

    def program(self) -> str:
        """The text that a file of `compile(model).save(path, preprocess=...)` has around the model."""
        self._need_fit()
        text = Path(cells.__file__).read_text(encoding="utf-8").partition("import numpy as np\n")[2].strip()
        settings = {"COLUMNS": self.columns, "TARGET": self._answer}
        written = "\n".join(
            f"{name} = {pprint.pformat(value, width=110, compact=True, sort_dicts=False)}"
            for name, value in settings.items()
        )
        return f"# What the columns become\n{text}\n\n\n{written}\n{PROGRAM.format(**self.form)}"

    # What a file of a model keeps: the columns, and none of the rows

    def saved(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The fitted preparation as JSON can hold it, and no arrays."""
        self._need_fit()
        settings = {"columns": self.columns, "target": self._answer, "form": self.form, "name": self.name}
        return settings, {}

    @classmethod
    def restored(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Table:
        """The preparation of what `saved` returned; it has no rows."""
        made = object.__new__(cls)
        made.columns, made._answer = list(settings["columns"]), dict(settings["target"])
        made.form, made.name, made.quiet = dict(settings["form"]), settings["name"], True
        made.target, made.decisions, made._chosen = made._answer["name"], {}, {}
        made.frame, made._fitted, made._prepared = _NoRows(), True, None
        for column in made.columns:
            cells.column_values(column, [])  # a damaged column fails here
        return made


class _NoRows:
    """The frame of a preparation that came from a file."""

    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return 0


def _sort_key(level: str) -> tuple[bool, float, str]:
    """Numbers by their size, before text."""
    number = _is_number(level)
    return not number, cells.as_number(level) if number else 0.0, level


def _rows(n: Any) -> str:
    return f"{n} row{'' if n == 1 else 's'}"


def _words(known: list[Any]) -> float:
    return float(np.mean([len(str(v).split()) for v in known[:100]]))


def _counts(values: Any) -> bool:
    return values.dtype.kind in "iu" and bool((np.diff(values.to_numpy()) == 1).all())


def is_frame(x: Any) -> bool:
    """Whether an object is a frame of pandas or polars."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy") and not isinstance(x, np.ndarray)


def as_frame(called: str, x: Any) -> Any:
    """A pandas or polars frame, or a dict of columns, as a pandas frame with numbered rows."""
    pandas = _pandas(called)
    if isinstance(x, pandas.DataFrame):
        frame = x.reset_index(drop=True)
    elif is_frame(x):
        frame = pandas.DataFrame({name: x[name].to_list() for name in x.columns})
    elif isinstance(x, Mapping):
        try:
            frame = pandas.DataFrame({str(k): list(v) for k, v in x.items()})
        except (ValueError, TypeError) as error:
            raise ShapeError(f"{called}: frame: expected columns of one length: {error}") from None
    else:
        raise DTypeError(
            f"{called}: frame: expected a pandas or polars frame, or a dict of columns, got {described(x)}"
        )
    if not len(frame.columns) or not len(frame):
        raise ValueRangeError(f"{called}: frame: expected at least one row and one column, got {frame.shape}")
    frame.columns = [str(c) for c in frame.columns]
    return frame


def _cells(rows: Any) -> dict[str, Any]:
    """The columns of a frame, a dict of columns, or rows as dicts."""
    if is_frame(rows):
        return {str(name): list(rows[name]) for name in rows.columns}
    if isinstance(rows, Mapping):
        return cells.columns_of(dict(rows))
    if isinstance(rows, (list, tuple)) and all(isinstance(row, Mapping) for row in rows):
        return cells.columns_of(rows)
    raise DTypeError(
        f"Table.transform: expected a frame, a dict of columns or a list of dicts, got {described(rows)}"
    )
