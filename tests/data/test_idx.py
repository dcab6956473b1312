"""MNIST and its format, also from a server on this machine and with damaged files."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.layout import ROOT
from tinygrad_dl.data import datasets, idx
from tinygrad_dl.errors import FileFormatError, MissingExtraError, ValueRangeError

REAL = ROOT.parent / "shared" / "data"


def packed(array: np.ndarray) -> bytes:
    codes = {np.dtype(dtype).newbyteorder(">"): code for code, dtype in idx.DTYPES.items()}
    head = bytes([0, 0, codes[array.dtype.newbyteorder(">")], array.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def images_and_labels(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)


def fill(folder: Path, part: str = "t10k", suffix: str = ".gz") -> tuple[np.ndarray, np.ndarray]:
    images, labels = images_and_labels()
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        data = packed(array)
        (folder / f"{part}-{name}-ubyte{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    return images, labels


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 2), ()])
def test_arrays_of_every_dtype_are_read(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.arange(24, dtype=dtype)[: int(np.prod(shape))].reshape(shape)
    path = tmp_path / "a"
    for data in (packed(array), gzip.compress(packed(array))):
        path.write_bytes(data)
        read = idx.read_idx(path)
        assert read.dtype == array.dtype and read.dtype.isnative
        np.testing.assert_array_equal(read, array)


def test_every_damage_is_one_clear_error(tmp_path: Path) -> None:
    content = packed(np.arange(20, dtype=np.uint8))
    zipped = gzip.compress(content)
    path = tmp_path / "a"
    for data in (
        b"",
        b"\0\0",
        b"PK\3\4 zip",
        content[:-1],
        content + b"\0",
        content[:6],
        zipped[:-9],
        zipped[:12] + b"x" * 30,
    ):
        path.write_bytes(data)
        with pytest.raises(FileFormatError, match=r"read_idx: .*a is (damaged|not an IDX file): "):
            idx.read_idx(path)
    with pytest.raises(FileNotFoundError):
        idx.read_idx(tmp_path / "nothing")


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_a_folder_with_the_files_needs_no_download(suffix: str, tmp_path: Path) -> None:
    images, labels = fill(tmp_path, suffix=suffix)
    data = datasets.load_mnist(tmp_path, "test", mirrors=())
    assert data.x.shape == (12, 1, 28, 28) and data.x.dtype == np.float32 and data.part == "test"
    np.testing.assert_allclose(data.x[:, 0], images / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.y, labels)


def test_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(packed(np.arange(3, dtype=np.uint8)))
    with pytest.raises(FileFormatError, match="expected one label per image"):
        datasets.load_mnist(tmp_path, "test", mirrors=())
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(packed(np.full(12, 77, np.uint8)))
    with pytest.raises(FileFormatError, match="expected labels from 0 to 9, got 77 to 77"):
        datasets.load_mnist(tmp_path, "test", mirrors=())
    with pytest.raises(ValueRangeError, match='part: expected "train" or "test"'):
        datasets.load_mnist(tmp_path, "dev")


class Quiet(SimpleHTTPRequestHandler):
    """A file server that writes no log."""

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/", folder
        http.shutdown()
        thread.join()


def test_files_are_downloaded_once_verified_and_cached(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch", reason="pooch fetches")
    url, served = server
    _, labels = fill(served)
    for file in served.iterdir():
        monkeypatch.setitem(idx.MNIST, file.name, hashlib.md5(file.read_bytes()).hexdigest())
    target = tmp_path / "target"
    # The first mirror does not exist: the second one is asked.
    data = datasets.load_mnist(target, "test", mirrors=[f"{url}nowhere/", url])
    np.testing.assert_array_equal(data.y, labels)
    for file in served.iterdir():
        file.unlink()
    assert len(datasets.load_mnist(target, "test", mirrors=[url])) == 12


def test_a_damaged_download_is_refused_and_leaves_nothing(server: tuple[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("pooch", reason="pooch fetches")
    url, served = server
    fill(served)  # not the published files: their sums differ
    target = tmp_path / "target"
    with pytest.raises(
        idx.UnavailableError, match=r"t10k-images.*could not be downloaded: http://127.*hash.*folder="
    ):
        datasets.load_mnist(target, "test", mirrors=[url])
    assert not target.exists() or list(target.iterdir()) == []


def test_without_pooch_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"downloading Fashion-MNIST needs the package pooch"):
        datasets.load_fashion_mnist(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not distributed with the package")
def test_the_real_test_part_is_read() -> None:
    data = datasets.load_mnist(REAL, "test", mirrors=())
    assert data.x.shape == (10000, 1, 28, 28) and np.bincount(data.y).tolist()[:3] == [980, 1135, 1032]
    assert 0 == data.x.min() < data.x.max() == 1


def test_more_axes_than_an_array_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "axes"
    path.write_bytes(bytes([0, 0, 8, 255]) + bytes([0, 0, 0, 1]) * 255 + b"x")
    with pytest.raises(FileFormatError, match="expected at most 64 axes, which NumPy has, got 255"):
        idx.read_idx(path)


def test_a_compressed_file_is_unpacked_as_far_as_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes(10_000_000)))
    with pytest.raises(FileFormatError, match=r"expected 3 bytes for the shape \(3,\), got 4"):
        idx.read_idx(path)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 2]) + b"\xff" * 8 + bytes(100)))
    with pytest.raises(FileFormatError, match=r"for the shape \(4294967295, 4294967295\), got 100"):
        idx.read_idx(path)
