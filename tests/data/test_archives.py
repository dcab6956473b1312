"""Data sets from files of arrays: NPZ and HDF5."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.layout import ROOT
from tinygrad_dl.data import datasets
from tinygrad_dl.errors import FileFormatError, ValueRangeError

REAL = ROOT.parent / "shared" / "data"


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
