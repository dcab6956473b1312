"""Your own files: CSV, NPZ, HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.layout import ROOT
from tinygrad_dl.data import datasets
from tinygrad_dl.errors import FileFormatError, ValueRangeError

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
    with pytest.raises(FileNotFoundError, match="comes with the course"):
        datasets.load_cats(tmp_path / "nothing.h5")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not distributed with the package")
def test_the_real_cats_are_read() -> None:
    pytest.importorskip("h5py", reason="the cats are HDF5 files")
    assert len(datasets.load_cats(REAL / "train_catvnoncat.h5")) == 209
    assert datasets.load_cats(REAL / "test_catvnoncat.h5").y.sum() == 33
