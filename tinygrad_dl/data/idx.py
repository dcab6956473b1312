"""IDX files, the format of MNIST: read them, and find or download those of MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinygrad_dl import get_default_dtype
from tinygrad_dl.arguments import checked
from tinygrad_dl.data.dataset import TensorDataset
from tinygrad_dl.errors import DTypeError, FileFormatError, TinygradError, ValueRangeError, missing_extra
from tinygrad_dl.typing import DTypeLike, NDArray

# The third byte of an IDX file is its dtype; values are big-endian.
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

MOST_AXES = 64  # of NumPy arrays
DEFLATE_RATIO = 1032  # the most that gzip's compression saves

# The files as their authors published them, with their MD5: it identifies them and finds damage.
MNIST = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
FASHION = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FASHION_MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
PREFIX = {"train": "train", "test": "t10k"}


@checked
def read_idx(path: str | os.PathLike[str]) -> NDArray:
    """Read the array in an IDX file, gzip-compressed or not. Raises FileNotFoundError, FileFormatError."""
    name = os.fspath(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    stored = os.path.getsize(path)
    # What the file may hold: a small file that unpacks without end must not fill the memory.
    most = DEFLATE_RATIO * stored if compressed else stored
    try:
        with (gzip.open if compressed else open)(path, "rb") as file:
            data = file.read(4)
            if len(data) == 4 and data[3] <= MOST_AXES:
                data += file.read(4 * data[3])
                width = np.dtype(DTYPES.get(data[2], "u1")).itemsize
                sizes = [int.from_bytes(data[i : i + 4], "big") for i in range(4, len(data), 4)]
                # One byte more than expected shows a file that is too long.
                data += file.read(min(math.prod(sizes) * width, most) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"read_idx: {name} is damaged: {error}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in DTYPES:
        raise FileFormatError(
            f"read_idx: {name} is not an IDX file: expected the magic number 00 00 and a dtype, got "
            f"{data[:4].hex(' ') or 'an empty file'}"
        )
    if data[3] > MOST_AXES:
        raise FileFormatError(
            f"read_idx: {name} is damaged: expected at most {MOST_AXES} axes, which NumPy has, got {data[3]}"
        )
    dtype, begin = np.dtype(DTYPES[data[2]]), 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, begin, 4))
    size = math.prod(shape) * dtype.itemsize
    if len(data) - begin != size:
        raise FileFormatError(
            f"read_idx: {name} is damaged: expected {size} bytes for the shape {shape}, "
            f"got {max(len(data) - begin, 0)}"
        )
    return np.frombuffer(data, dtype, offset=begin).reshape(shape).astype(dtype.newbyteorder("="))


@checked
def load_mnist(
    folder: str | os.PathLike[str] | None = None,
    part: str = "train",
    dtype: DTypeLike | None = None,
    mirrors: Sequence[str] = MNIST_MIRRORS,
) -> TensorDataset:
    """Handwritten digits: x (60000 or 10000, 1, 28, 28) from 0 to 1, y from 0 to 9; part "train" or "test".

    `folder`: where the IDX files are, or where to download them, by default the user's cache directory. Downloads
    are verified against their published MD5. Raises FileFormatError, ValueRangeError, MissingExtraError.
    Source: LeCun, Cortes, Burges; CC BY-SA 3.0.
    """
    return _load("MNIST", folder, part, dtype, MNIST, mirrors, [str(i) for i in range(10)])


@checked
def load_fashion_mnist(
    folder: str | os.PathLike[str] | None = None,
    part: str = "train",
    dtype: DTypeLike | None = None,
    mirrors: Sequence[str] = FASHION_MIRRORS,
) -> TensorDataset:
    """Images of clothing in ten classes, in the format of MNIST; see load_mnist.

    Source: Xiao, Rasul, Vollgraf 2017; MIT license.
    """
    return _load("Fashion-MNIST", folder, part, dtype, FASHION, mirrors, list(CLOTHES))


def _load(
    name: str,
    folder: str | os.PathLike[str] | None,
    part: str,
    dtype: DTypeLike | None,
    sums: dict[str, str],
    mirrors: Sequence[str],
    classes: list[str],
) -> TensorDataset:
    if np.dtype(dtype or get_default_dtype()).kind != "f":
        raise DTypeError(f"load {name}: dtype: expected a floating one for pixels from 0 to 1, got {dtype!r}")
    if part not in PREFIX:
        raise ValueRangeError(f'load {name}: part: expected "train" or "test", got {part!r}')
    paths = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        file = f"{PREFIX[part]}-{kind}"
        candidates = [] if folder is None else [Path(folder) / file, Path(folder) / f"{file}.gz"]
        local = [path for path in candidates if path.is_file()]
        paths.append(local[0] if local else _download(name, f"{file}.gz", folder, sums, mirrors))
    images, labels = map(read_idx, paths)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise FileFormatError(
            f"load {name}: expected one label per image in {paths[0]} and {paths[1]}, got shapes {images.shape} "
            f"and {labels.shape}"
        )
    x = images[:, None].astype(dtype or get_default_dtype())
    x /= 255
    y = labels.astype(np.int64)
    if y.size and not 0 <= y.min() <= y.max() < len(classes):
        raise FileFormatError(
            f"load {name}: {paths[1]}: expected labels from 0 to {len(classes) - 1}, got {y.min()} to {y.max()}"
        )
    return TensorDataset(x, y, part=part, classes=classes, name=name)


def _download(
    name: str, file: str, folder: str | os.PathLike[str] | None, sums: dict[str, str], mirrors: Sequence[str]
) -> Path:
    """Return the path of a file in the folder or the cache, downloaded from the first mirror that works."""
    try:
        import pooch
    except ImportError:
        raise missing_extra("pooch", "data", f"downloading {name}") from None
    pooch.get_logger().setLevel("ERROR")
    target = os.fspath(folder) if folder is not None else pooch.os_cache("tinygrad_dl") / name
    problems = []
    for mirror in mirrors:
        try:
            # pooch writes a temporary file and renames it once the hash matches: no partial file is left behind.
            path = pooch.retrieve(mirror + file, known_hash=f"md5:{sums[file]}", fname=file, path=target)
            return Path(path)
        except Exception as error:
            problems.append(f"{mirror}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")
    raise UnavailableError(
        f"load {name}: {file} is not in {target} and could not be downloaded: {'; '.join(problems)}. "
        "Copy the file there, or pass the folder that has it as folder=."
    )


class UnavailableError(TinygradError, OSError):
    """A data set is not on this machine and cannot be downloaded."""
