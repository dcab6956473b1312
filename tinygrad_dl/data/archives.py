"""Data sets from your own files: NPZ archives, and the HDF5 files of the course's cats."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from typing import Any

import numpy as np

from tinygrad_dl import get_default_dtype
from tinygrad_dl.arguments import checked
from tinygrad_dl.data.dataset import TensorDataset
from tinygrad_dl.errors import DTypeError, FileFormatError, ValueRangeError, missing_extra
from tinygrad_dl.typing import DTypeLike

# A file may unpack to so many times its size; what its header says beyond that is not true.
DEFLATE_RATIO = 1032

# What reading a damaged archive raises.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, TypeError, AttributeError, KeyError,
    MemoryError, NotImplementedError, RuntimeError, SyntaxError,
)  # fmt: skip


@checked
def load_npz(path: str | os.PathLike[str], x: str = "x", y: str = "y") -> TensorDataset:
    """Load the arrays named `x` and `y` from an NPZ file. Raises FileFormatError, ValueRangeError if one is missing."""
    where = os.fspath(path)
    try:
        # Opened here because np.load leaves a damaged file open.
        with open(path, "rb") as handle:
            if handle.read(6) == b"\x93NUMPY":
                raise FileFormatError(
                    f"load_npz: {where}: expected an NPZ file with the arrays {x!r} and {y!r}, got an NPY file of one "
                    "array. Load it with np.load, and pass it to TensorDataset."
                )
            handle.seek(0)
            with np.load(handle, allow_pickle=False) as file:
                for name in (x, y):
                    if name not in file:
                        raise ValueRangeError(
                            f"load_npz: {where}: expected an array {name!r}, got {', '.join(file.files)}. "
                            "Name the arrays with x= and y=."
                        )
                    header_of(file.zip, name, os.path.getsize(path))
                arrays = file[x], file[y]
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        if isinstance(error, (ValueRangeError, FileFormatError)):
            raise
        raise FileFormatError(f"load_npz: {where} is damaged or not an NPZ file: {error}") from None
    return TensorDataset(*arrays, name=os.path.basename(where))


def header_of(archive: zipfile.ZipFile, name: str, stored: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an archive's array. Raises ValueError if the file of `stored` bytes cannot hold so many."""
    member = next(m for m in archive.namelist() if m in (name, f"{name}.npy"))
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > DEFLATE_RATIO * stored:
        raise ValueError(f"its header tells of an array {shape} of {dtype}, more than the file can hold")
    return shape, dtype


@checked
def load_cats(path: str | os.PathLike[str], dtype: DTypeLike | None = None) -> TensorDataset:
    """Load the course's cats from one of its HDF5 files: x (N, 64, 64, 3) from 0 to 1, y (N,), 1 for a cat.

    Raises FileNotFoundError, FileFormatError, MissingExtraError. Source: Deep Learning Specialization,
    course 1 (train_catvnoncat.h5, test_catvnoncat.h5); not distributed with this package.
    """
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "data", "load_cats") from None
    where = os.fspath(path)
    if np.dtype(dtype or get_default_dtype()).kind != "f":
        raise DTypeError(f"load_cats: dtype: expected a floating one for pixels from 0 to 1, got {dtype!r}")
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_cats: {where} does not exist. The file comes with the course.")
    try:
        with h5py.File(path, "r") as opened:
            file: Any = opened
            part = "train" if "train_set_x" in file else "test"
            x, y = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
            classes = [name.decode() for name in file["list_classes"][:]]
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise FileFormatError(
            f"load_cats: {where} is damaged or not one of the course's files: {error}"
        ) from None
    float_dtype = np.dtype(dtype or get_default_dtype())
    return TensorDataset(
        x.astype(float_dtype) / float_dtype.type(255),
        y.astype(np.int64),
        part=part,
        classes=classes,
        name="cats",
    )
