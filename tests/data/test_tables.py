"""Your own files: CSV, NPZ, HDF5."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.layout import ROOT
from tinygrad_dl.data import datasets
from tinygrad_dl.errors import DTypeError, FileFormatError, TinygradError, ValueRangeError

REAL = ROOT.parent / "shared" / "data"


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_found_by_name_and_text_classes_are_numbered(tmp_path: Path) -> None:
    path = csv(tmp_path, "\ufeffwidth,kind,height\n1,cat,2.5\n3,ant,-4e1\n\n5,cat,6\n")
    data = datasets.load_csv(path, "kind")
    assert data.x.tolist() == [[1.0, 2.5], [3.0, -40.0], [5.0, 6.0]] and data.x.dtype == np.float32
    assert data.y.tolist() == [1, 0, 1] and data.classes == ["ant", "cat"] and data.name == "t.csv"


def test_a_table_without_names_has_its_target_last(tmp_path: Path) -> None:
    data = datasets.load_csv(csv(tmp_path, "1;2;0\n3;4;1\n5;6;0\n7;8;1\n9;10;7\n" * 4))
    assert (
        data.x.shape == (20, 2) and data.y[:5].tolist() == [0, 1, 0, 1, 2] and data.classes == ["0", "1", "7"]
    )
    assert datasets.load_csv(csv(tmp_path, "1\t2\t0\n"), 0).x.tolist() == [[2.0, 0.0]]


def test_numbers_are_targets_of_a_regression_by_default(tmp_path: Path) -> None:
    path = csv(tmp_path, "x,y\n1,2.5\n2,3.5\n")
    assert datasets.load_csv(path).y.dtype == np.float32 and datasets.load_csv(path).classes is None
    assert datasets.load_csv(path, classes=True).y.tolist() == [0, 1]
    integers = csv(tmp_path, "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    assert datasets.load_csv(integers).y.dtype == np.int64
    assert datasets.load_csv(integers, classes=False).y.dtype == np.float32


def test_text_only_tables_have_names_too(tmp_path: Path) -> None:
    data = datasets.load_csv(csv(tmp_path, "a,b\n1,yes\n2,no\n"))
    assert data.y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected at least one row, got an empty file"),
        ("a,y\n1,0\nx,1\n", "line 3, a: expected a number, got 'x'"),
        ("a,y\n1,0\n,1\n", "line 3, a: expected a number, got an empty cell"),
        ("a,y\n1,0\n1,2,3\n", "line 3: expected 2 columns as in the first row, got 3"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=message):
        datasets.load_csv(csv(tmp_path, text))


@pytest.mark.parametrize("cell", ["", " ", "NA", "nan", "?", "$1.5", '"1,500"', "1_000"])
@pytest.mark.parametrize("rows", [3, 40])
def test_a_target_that_is_no_number_does_not_turn_a_regression_into_classes(
    cell: str, rows: int, tmp_path: Path
) -> None:
    text = "area,price\n" + "".join(f"{i},{i / 7}\n" for i in range(rows)) + f"60,{cell}\n"
    with pytest.raises(
        FileFormatError, match=rf"t.csv, line {rows + 2}, price: expected a (target|number), got|as in"
    ):
        datasets.load_csv(csv(tmp_path, text))


@pytest.mark.parametrize("cell", ["", "NA", "?", "nan"])
@pytest.mark.parametrize("classes", [None, True])
def test_a_missing_class_is_no_class(cell: str, classes: bool | None, tmp_path: Path) -> None:
    path = csv(tmp_path, f"a,y\n1,cat\n2,{cell}\n3,dog\n")
    with pytest.raises(FileFormatError, match="line 3, y: expected a target, got"):
        datasets.load_csv(path, classes=classes)


def test_classes_may_be_numbers_and_text_only_if_one_says_so(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,y\n1,1\n2,2\n3,other\n")
    with pytest.raises(
        FileFormatError, match="line 4, y: .*got 'other'. Pass classes=True if the column holds"
    ):
        datasets.load_csv(path)
    assert datasets.load_csv(path, classes=True).classes == ["1", "2", "other"]
    text = csv(tmp_path, "a,y\n1,cat\n2,dog\n")
    with pytest.raises(FileFormatError, match="line 2, y: expected a number as in other rows, got 'cat'"):
        datasets.load_csv(text, classes=False)


@pytest.mark.parametrize("first", ["?,2,0", "5.1,NA,0", "5.1,,0", "?,?,?", "nan,2,0", "year,2019,2020"])
def test_a_first_row_of_values_is_never_taken_for_names(first: str, tmp_path: Path) -> None:
    with pytest.raises(
        FileFormatError, match="line 1, .*If the first row names the columns, pass header=True"
    ):
        datasets.load_csv(csv(tmp_path, f"{first}\n3,4,1\n5,6,1\n"))


def test_header_says_whether_the_first_row_names_the_columns(tmp_path: Path) -> None:
    path = csv(tmp_path, "1,2,0\n3,4,1\n5,6,1\n")
    assert len(datasets.load_csv(path)) == len(datasets.load_csv(path, header=False)) == 3
    assert datasets.load_csv(path, "2", header=True).x.tolist() == [[3.0, 1.0], [5.0, 1.0]]
    named = csv(tmp_path, "year,2019,2020\n3,4,1\n5,6,1\n")
    assert datasets.load_csv(named, "2019", header=True).x.tolist() == [[3.0, 1.0], [5.0, 1.0]]
    text = csv(tmp_path, "1,2,cat\n3,4,dog\n")
    assert datasets.load_csv(text).classes == ["cat", "dog"]
    with pytest.raises(FileFormatError, match="expected a row of values, got only the names of columns"):
        datasets.load_csv(csv(tmp_path, "a,b\n"))


def test_a_delimiter_in_quotes_is_part_of_a_cell(tmp_path: Path) -> None:
    data = datasets.load_csv(csv(tmp_path, '"size; width; depth",color,y\n1,2,3.5\n4,5,6.5\n'), "y")
    assert data.x.tolist() == [[1.0, 2.0], [4.0, 5.0]] and data.y.tolist() == [3.5, 6.5]
    data = datasets.load_csv(csv(tmp_path, '"a, b";"c, d";e\n"1";2;3.5\n4;5;6.5\n'))
    assert data.x.tolist() == [[1.0, 2.0], [4.0, 5.0]]


@pytest.mark.parametrize("text", ["1 2 3\n3 4 1\n", "a\n1\n2\n", "1|2|3\n3|4|1\n"])
def test_a_table_without_features_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(
        FileFormatError, match="expected at least two columns, features and .*Pass delimiter="
    ):
        datasets.load_csv(csv(tmp_path, text))
    if "|" in text:
        assert datasets.load_csv(csv(tmp_path, text), delimiter="|").x.shape == (2, 2)


def test_rows_that_end_in_a_comma_have_no_target(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="line 1, column 2: expected a target, got an empty cell"):
        datasets.load_csv(csv(tmp_path, "1,2,\n3,4,\n"))


def test_true_and_false_are_numbers_as_features_and_classes_as_targets(tmp_path: Path) -> None:
    data = datasets.load_csv(csv(tmp_path, "a,b,y\nTrue,1,True\nFALSE,2,False\n"))
    assert data.x.tolist() == [[1.0, 1.0], [0.0, 2.0]] and data.classes == ["False", "True"]


def test_the_index_that_pandas_writes_is_no_feature(tmp_path: Path) -> None:
    data = datasets.load_csv(csv(tmp_path, ",a,y\n0,5,1.5\n1,6,2.5\n"))
    assert data.x.tolist() == [[5.0], [6.0]]
    other = datasets.load_csv(csv(tmp_path, ",a,y\n7,5,1.5\n1,6,2.5\n"))
    assert other.x.shape == (2, 2)
    assert datasets.load_csv(csv(tmp_path, "0,5,1.5\n1,6,2.5\n")).x.shape == (2, 2)


def test_a_value_that_the_dtype_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,y\n1,0\n1.9,1\n")
    with pytest.raises(FileFormatError, match="line 3, a: expected a value of int64, got '1.9'"):
        datasets.load_csv(path, dtype="int64")
    with pytest.raises(TinygradError, match="load_csv: dtype: expected .*got .*U3"):
        datasets.load_csv(path, dtype="U3")


@pytest.mark.parametrize(
    ("encoding", "word"), [("cp1252", "Größe"), ("shift_jis", "犬"), ("utf-16", "Größe")]
)
def test_another_encoding_is_named_and_can_be_given(encoding: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"a,y\n1,{word}\n2,cat\n".encode(encoding))
    with pytest.raises(
        FileFormatError, match=r"t.csv: expected text in utf-8-sig, got other bytes.*Pass encoding="
    ):
        datasets.load_csv(path)
    assert sorted(datasets.load_csv(path, encoding=encoding).classes or ()) == sorted(["cat", word])
    with pytest.raises(ValueRangeError, match="load_csv: encoding: expected one that Python knows"):
        datasets.load_csv(path, encoding="latin-99")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,y\n" + "1" * 200_000 + ",0\n",
            "line 2: expected a row of a CSV table: field larger than field limit",
        ),
        ('a,y\n1,"0\n2,1\n', "line 2: expected a row of a CSV table: unexpected end of data"),
        ("PK\x03\x04,\n", "expected"),
    ],
)
def test_a_text_that_is_no_table_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=message):
        datasets.load_csv(csv(tmp_path, text))


def test_a_last_line_of_blanks_is_no_row(tmp_path: Path) -> None:
    assert len(datasets.load_csv(csv(tmp_path, "a,y\n1,0.5\n2,1.5\n   \n"))) == 2


@pytest.mark.parametrize(
    "options", [{"target": 1.5}, {"classes": "yes"}, {"header": "infer"}, {"delimiter": 3}]
)
def test_options_of_other_types_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    (name,) = options
    with pytest.raises(DTypeError, match=f"load_csv: {name}: expected"):
        datasets.load_csv(csv(tmp_path, "a,y\n1,0\n"), **options)


def test_an_npz_file_that_tells_of_terabytes_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones((3, 2)), y=np.arange(3))
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x", "y"):
            with archive.open(f"{name}.npy", "w") as file:
                header = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 8)}
                np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(FileFormatError, match=r"its header tells of an array \(1099511627776, 8\)"):
        datasets.load_npz(path)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(FileFormatError, match="got an NPY file of one array. Load it with np.load"):
        datasets.load_npz(tmp_path / "one.npy")


def test_a_column_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,y\n1,0\n")
    with pytest.raises(ValueRangeError, match="expected one of the columns a, y, got 'z'"):
        datasets.load_csv(path, "z")
    with pytest.raises(ValueRangeError, match="expected the index of one of 2 columns, got target=2"):
        datasets.load_csv(path, 2)


def test_npz_files_are_read_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones((3, 2)), labels=np.arange(3))
    assert datasets.load_npz(path, y="labels").y.tolist() == [0, 1, 2]
    with pytest.raises(ValueRangeError, match="expected an array 'y', got x, labels"):
        datasets.load_npz(path)
    np.savez(path, x=np.array([object()]), y=np.arange(1))
    with pytest.raises(FileFormatError, match="damaged or not an NPZ file"):
        datasets.load_npz(path)
    for content in (b"", b"nonsense", path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="damaged or not an NPZ file"):
            datasets.load_npz(path)
    with pytest.raises(FileNotFoundError):
        datasets.load_npz(tmp_path / "nothing.npz")


def test_cats_are_read_and_damaged_files_named(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the cats are HDF5 files")
    path = tmp_path / "cats.h5"
    with h5py.File(path, "w") as file:
        file["test_set_x"] = np.full((4, 64, 64, 3), 51, np.uint8)
        file["test_set_y"] = np.array([0, 1, 1, 0])
        file["list_classes"] = np.array([b"non-cat", b"cat"])
    data = datasets.load_cats(path)
    assert data.x.shape == (4, 64, 64, 3) and data.classes == ["non-cat", "cat"] and data.part == "test"
    np.testing.assert_allclose(data.x, 0.2, rtol=1e-6)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(FileFormatError, match="damaged or not one of the course's files"):
        datasets.load_cats(path)
    with h5py.File(path, "w") as file:
        file.create_group("test_set_x")
    with pytest.raises(FileFormatError, match="damaged or not one of the course's files"):
        datasets.load_cats(path)
    with pytest.raises(FileNotFoundError, match="comes with the course"):
        datasets.load_cats(tmp_path / "nothing.h5")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not distributed with the package")
def test_the_real_cats_are_read() -> None:
    pytest.importorskip("h5py", reason="the cats are HDF5 files")
    assert len(datasets.load_cats(REAL / "train_catvnoncat.h5")) == 209
    assert datasets.load_cats(REAL / "test_catvnoncat.h5").y.sum() == 33
