"""Tables: what pandas reads becomes columns of numbers, fitted on the training part only, as scikit-learn would."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import data
from tinygrad_dl.data import Table, load_csv
from tinygrad_dl.errors import DTypeError, FileFormatError, GraphError, ValueRangeError

pd = pytest.importorskip("pandas", reason="tables are read with pandas (extra data)")
pytest.importorskip("sklearn", reason="tables are prepared with scikit-learn (extra data)")


def houses(n: int = 40) -> Any:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": rng.normal(80, 20, n).round(1),
            "city": rng.choice(["Kobe", "Nara", "Osaka"], n),
            "sold": pd.date_range("2020-01-20", periods=n, freq="20D").astype(str),
            "new": rng.choice([True, False], n),
            "price": rng.normal(300, 50, n).round(2),
        }
    )
    frame.loc[3, "area"] = np.nan
    frame.loc[5, "city"] = None
    return frame


def written(tmp_path: Path, text: str, **how: Any) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(text, **{"encoding": "utf-8", **how})
    return path


# Reading


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(sep: str, tmp_path: Path) -> None:
    text = "width,kind,height\n1,cat,2.5\n3,ant,-4e1\n5,cat,6\n7,ant,8\n".replace(",", sep)
    table = load_csv(written(tmp_path, text), "kind", quiet=True)
    assert table.classes == ["ant", "cat"] and len(table) == 4
    assert list(table.frame.columns) == ["width", "kind", "height"]
    assert table.y.tolist() == [1, 0, 1, 0]


def test_files_of_other_forms_are_read(tmp_path: Path) -> None:
    text = "größe;preis\n1,5;1.000,5\n2,5;2.000,5\n3,5;500\n"
    path = written(tmp_path, text, encoding="cp1252")
    with pytest.raises(FileFormatError, match="expected text in utf-8-sig.*Pass encoding="):
        load_csv(path, quiet=True)
    table = load_csv(path, "preis", encoding="cp1252", decimal=",", thousands=".", quiet=True)
    assert table.frame["preis"].tolist() == [1000.5, 2000.5, 500.0]
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbfa,b\n1,2\n3,4\n"))
    assert list(load_csv(packed, quiet=True).frame.columns) == ["a", "b"]


def test_a_file_without_names_has_its_target_last(tmp_path: Path) -> None:
    table = load_csv(written(tmp_path, "1,2,0\n3,4,1\n5,6,0\n7,9,1\n"), quiet=True)
    assert table.target == "column 2" and len(table) == 4
    assert load_csv(written(tmp_path, "1,2,0\n3,4,1\n"), 0, header=False, quiet=True).target == "column 0"


@pytest.mark.parametrize(
    "text, message",
    [("", "EmptyData|No columns|no columns"), ("a,b\n1,2,3\n1,2,3,4\n", "Error tokenizing|Expected")],
)
def test_a_damaged_file_is_one_clear_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((FileFormatError, ValueRangeError)):
        load_csv(written(tmp_path, text), quiet=True)
    with pytest.raises(FileNotFoundError, match="load_csv: no such file"):
        load_csv(tmp_path / "absent.csv")


# Decisions


def test_each_decision_is_printed_once_and_can_be_overridden(capsys: pytest.CaptureFixture[str]) -> None:
    frame = houses().assign(one=1, note=[f"a long text {i}" for i in range(40)], zip=np.arange(40) % 4)
    table = Table(frame, "price", drop=["note"], categories=["zip"])
    assert capsys.readouterr().out.splitlines() == [
        "price: target, a number, standardized",
        "area: number, 1 gap filled with the median",
        "city: category of 3 levels, one-hot, gaps are a level of their own",
        "sold: date, as year, month, day, weekday",
        "new: number",
        "one: left out: it is constant",
        "note: left out, as asked for",
        "zip: category of 4 levels, one-hot, as asked for",
    ]
    table.split(rng=0)
    assert capsys.readouterr().out == ""


def test_free_text_is_refused_with_advice() -> None:
    for values, advice in (
        ([f"a house with {i} rooms" for i in range(40)], "it is free text"),
        ([f"id{i}" for i in range(40)], "looks like an identifier"),
        ([f"{i},{100 + i}" for i in range(40)], "thousands=','"),
    ):
        with pytest.raises(
            ValueRangeError, match=f"note: expected numbers, dates.*{advice}.*drop=\\['note'\\]"
        ):
            Table(houses().assign(note=values), "price", quiet=True)


def test_suspicious_columns_are_described() -> None:
    frame = houses().assign(one=1, key=np.arange(40) * 7, again=lambda f: f["price"] * 2)
    about = Table(frame, "price", quiet=True).describe()
    assert about.loc["area", "gaps"] == 1 and about.loc["city", "levels"] == 3
    assert about.loc["one", "suspicious"] == "constant"
    assert about.loc["key", "suspicious"].startswith("identifier-like")
    assert about.loc["again", "suspicious"].startswith("leaks price")
    assert about.loc["city", "suspicious"] == "" and about.loc["price", "kind"] == "target"
    kinds = pd.DataFrame({"a": [1, 2, 3, 4] * 5, "code": list("xyxy") * 5, "kind": ["u", "v"] * 10})
    assert Table(kinds, "kind", quiet=True).describe().loc["code", "suspicious"].startswith("leaks kind")


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0, 1, 2] * 14, ["0", "1", "2"]), ([0.5, 1.5] * 21, None), (list(range(42)), None),
        (["b", "a"] * 21, ["a", "b"]), ([True, False] * 21, ["False", "True"]), ([10, 9] * 21, ["9", "10"]),
    ],
)  # fmt: skip
def test_targets_are_classes_or_numbers(values: list[Any], expected: list[str] | None) -> None:
    table = Table({"x": np.arange(42.0) ** 2, "y": values}, "y", quiet=True)
    assert table.classes == expected
    assert table.y.shape == ((42,) if expected else (42, 1))


def test_rows_without_a_target_are_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table({"x": [1.0, 2.0, 3.0, 4.0], "y": [1.5, None, 2.5, 3.5]}, "y")
    assert len(table) == 3 and "1 row without it left out" in capsys.readouterr().out


# Preparation


def test_the_preparation_is_that_of_scikit_learns_column_transformer() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = houses().drop(columns=["sold", "new"])
    table = Table(frame, "price", quiet=True)
    train, test = table.split((0.6, 0.4), rng=0)
    at = [int(np.flatnonzero(table.targets() == y)[0]) for y in train.y]
    theirs = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["area"]),
            ("c", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
        ]
    )
    filled = frame.assign(city=frame["city"].fillna(""))
    np.testing.assert_allclose(train.x, theirs.fit_transform(filled.iloc[at]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table.transform(frame), theirs.transform(filled), rtol=1e-5, atol=1e-6)
    assert (train.part, test.part, len(train) + len(test)) == ("train", "test", 40)


def test_it_is_fitted_on_the_training_part_only() -> None:
    frame = pd.DataFrame(
        {"t": pd.date_range("2020-01-01", periods=10), "x": [*range(8), 1000, 2000], "y": np.arange(10) / 3}
    )
    table = Table(frame, "y", quiet=True)
    train, test = table.split((0.8, 0.2), by="t")
    np.testing.assert_allclose(train.x[:, table.features.index("x")].mean(), 0, atol=1e-6)
    assert test.x[:, table.features.index("x")].min() > 100
    np.testing.assert_allclose(table.predictions(test.y), [8 / 3, 3], rtol=1e-6)


def test_split_of_data_fits_on_the_training_part_too() -> None:
    table = Table(houses(), "price", quiet=True)
    for ours, theirs in zip(
        data.split(table, (0.7, 0.3), rng=3), table.split((0.7, 0.3), rng=3), strict=True
    ):
        np.testing.assert_array_equal(ours.x, theirs.x)
    with pytest.raises(ValueRangeError, match="with a table"):
        data.split(table, duplicates="allow")


def test_rows_that_are_the_same_are_in_one_part() -> None:
    table = Table({"x": [1, 2, 3, 4, 5] * 8, "y": np.arange(40) / 7}, "y", quiet=True)
    train, test = table.split((0.6, 0.4), rng=0)
    assert not set(train.x[:, 0].tolist()) & set(test.x[:, 0].tolist())


def test_new_rows_are_prepared_from_frames_dicts_and_text() -> None:
    table = Table(houses(), "price", quiet=True).fit()
    row = {"area": 70.5, "city": "Nara", "sold": "2021-03-04", "new": True}
    text = {name: str(value) for name, value in row.items()}
    expected = table.transform(pd.DataFrame([row]))
    for rows in ([row], [text], {name: [value] for name, value in row.items()}, text):
        np.testing.assert_array_equal(table.transform(rows), expected)
    unknown = table.transform([{**row, "city": "Tokyo", "area": None}])
    assert not unknown[0, [table.features.index(f"city={c}") for c in ("Kobe", "Nara", "Osaka")]].any()
    assert np.isfinite(unknown).all()
    with pytest.raises(ValueRangeError, match="expected the columns area, got"):
        table.transform([{k: v for k, v in row.items() if k != "area"}])
    with pytest.raises(ValueRangeError, match="area: row 0: expected a number, got 'big'"):
        table.transform([{**row, "area": "big"}])
    with pytest.raises(DTypeError, match="expected a frame, a dict of columns or a list of dicts"):
        table.transform(3)


def test_categories_can_be_numbered_for_an_embedding() -> None:
    table = Table(houses(), "price", embed=["city"], quiet=True)
    train, _ = table.split((0.8, 0.2), rng=0)
    assert len(train.arrays) == 3 and train.arrays[1].shape == (len(train), 1)
    assert table.levels["city"] >= 4 and train.arrays[1].max() < table.levels["city"]
    row = {"area": 1, "city": "?", "sold": "2020-01-01", "new": 0}
    _, codes = table.transform([row, {**row, "city": "Lima"}])
    assert codes[1, 0] == 0


def test_dates_of_other_forms_are_found() -> None:
    frame = pd.DataFrame(
        {"d": [f"{d:02}/{m:02}/2020" for m in (1, 2, 3) for d in (1, 14, 28)], "y": np.arange(9) / 2}
    )
    table = Table(frame, "y", quiet=True).fit()
    assert table.features == ["d.month", "d.day", "d.weekday"]
    (column,) = table.columns
    assert column["form"] == "%d/%m/%Y"


def test_polars_frames_are_taken() -> None:
    pl = pytest.importorskip("polars", reason="polars is not installed")
    frame = houses()
    columns = {name: [None if v != v else v for v in frame[name]] for name in frame}
    ours = Table(pl.DataFrame(columns), "price", quiet=True).fit()
    theirs = Table(frame, "price", quiet=True).fit()
    np.testing.assert_array_equal(ours.x, theirs.x)


def test_a_table_is_a_data_set() -> None:
    table = Table(houses(), "price", quiet=True)
    assert len(table[0]) == 2 and len(data.DataLoader(table, 8)) == 5
    with pytest.raises(GraphError, match="expected a fitted preparation"):
        Table(houses(), "price", quiet=True).transform(houses())


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((3,), DTypeError, "expected a pandas or polars frame"), (({"a": [1], "b": [1, 2]},), ValueError, "one length"),
        (({},), ValueRangeError, "at least one row"), ((houses(), "cost"), ValueRangeError, "expected one of area"),
        ((houses(), 9), ValueRangeError, "the index of one of 5 columns"),
        (({"y": [1, 2]}, "y"), ValueRangeError, "beside the target"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_clear_error(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Table(*arguments, quiet=True)
    with pytest.raises(ValueRangeError, match="categories: expected columns other than the target"):
        Table(houses(), "price", categories=["price"], quiet=True)
