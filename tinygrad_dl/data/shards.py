"""ShardedDataset: a folder of .npz archives or Parquet files, of which a few at a time are in memory."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.data.archives import DAMAGED, header_of
from tinygrad_dl.data.blocks import NUMBERS, TAIL, BlockDataset, Kind
from tinygrad_dl.errors import DTypeError, FileFormatError, ShapeError, ValueRangeError, missing_extra
from tinygrad_dl.typing import NDArray

ENDINGS = (".npz", ".parquet")
CALLED = "ShardedDataset"

#: A part of an example: the name of an array or a column, or names of columns that make one array (N, columns).
Part = str | Sequence[str]


class ShardedDataset(BlockDataset):
    """Examples in a folder of `.npz` or `.parquet` files, read a few files at a time.

    `parts`: names of the arrays of an example, "x" and "y" by default; with Parquet names of columns, or lists of them,
    which become one array (N, columns). A column of lists of equal length is an array (N, length). `folder` may also be
    a list of files. A block is an archive, or a row group of a Parquet file, and shuffling is by blocks: with
    shuffle=True a loader takes them in a random order, and shuffles those of at least `buffer_size` examples together.
    All files are looked at first. Parquet needs the extra `parquet`. Raises FileNotFoundError, FileFormatError,
    ShapeError, DTypeError, ValueRangeError, MissingExtraError.

    >>> import tempfile, os
    >>> folder = tempfile.mkdtemp()
    >>> for i in range(3):
    ...     np.savez(os.path.join(folder, f"{i}.npz"), x=np.full((4, 2), i), y=np.arange(4))
    >>> data = ShardedDataset(folder, "x", "y")
    >>> len(data), data[5]
    (12, (Tensor([1, 1]), Tensor(1)))
    """

    @checked
    def __init__(
        self,
        folder: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *parts: Part,
        buffer_size: Count = 10_000,
    ) -> None:
        self.files = _files(folder)
        self.parts: tuple[Part, ...] = parts or ("x", "y")
        self.columns = self.files[0].suffix == ".parquet"
        look = _parquet_file if self.columns else _archive
        if not self.columns and not all(isinstance(part, str) for part in self.parts):
            raise DTypeError(f"{CALLED}: parts: expected names of arrays with .npz files, got {self.parts!r}")
        blocks: list[tuple[int, int]] = []  # the file, and the row group in it
        lengths: list[int] = []
        found: Any = None
        for i, path in enumerate(self.files):
            groups, kinds = _guarded(path, look, self.parts)
            found = kinds if found is None else found
            for part, expected, got in zip(self.parts, found, kinds):
                if expected != got:
                    _refuse_other(part, self.files[0], expected, path, got)
            if not sum(groups):
                raise FileFormatError(
                    f"{CALLED}: {path}: expected at least one example, got none. Remove the file."
                )
            blocks += [(i, group) for group, length in enumerate(groups) if length]
            lengths += [length for length in groups if length]
        self._places = blocks
        if self.columns:  # the types are compared: the shapes are those of the first rows
            found = [
                (a.shape[1:], a.dtype) for a in _guarded(self.files[0], _row_group, self.parts, blocks[0][1])
            ]
        super().__init__(lengths, found, int(buffer_size))

    def read(self, block: int) -> tuple[NDArray, ...]:
        file, group = self._places[block]
        path = self.files[file]
        arrays = _guarded(path, _row_group if self.columns else _arrays, self.parts, group)
        length = self.starts[block + 1] - self.starts[block]
        for part, array, (shape, dtype) in zip(self.parts, arrays, self.kinds):
            if array.shape != (length, *shape) or array.dtype != dtype:
                raise FileFormatError(
                    f"{CALLED}: {path}: expected {part!r} as {dtype}{(int(length), *shape)}, got "
                    f"{array.dtype}{array.shape}"
                )
        return tuple(arrays)

    def checksums(self) -> list[Any]:
        found = []
        for path in self.files:
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL))
                found.append((path.name, size, zlib.crc32(file.read())))
        return found

    def __repr__(self) -> str:
        return f"ShardedDataset({len(self.files):,} files: {self._examples()})"


def _files(folder: Any) -> list[Path]:
    """The files of a folder, or those of a list. Raises FileNotFoundError, FileFormatError."""
    if isinstance(folder, (str, os.PathLike)):
        root = Path(folder)
        if not root.is_dir():
            raise FileNotFoundError(f"{CALLED}: expected a folder of .npz or .parquet files, got {root}")
        files = sorted(p for p in root.iterdir() if p.suffix in ENDINGS and not p.name.startswith((".", "_")))
        where = f"{root}: expected a folder of .npz or .parquet files"
    else:
        files = [Path(path) for path in folder]
        where = "folder: expected .npz or .parquet files"
        for path in files:
            if not path.is_file():
                raise FileNotFoundError(f"{CALLED}: expected a file, got {path}, which does not exist")
    suffixes = {path.suffix for path in files}
    if not files or not suffixes <= set(ENDINGS):
        raise FileFormatError(f"{CALLED}: {where}, got {', '.join(sorted(suffixes)) or 'none'}")
    if len(suffixes) > 1:
        raise FileFormatError(f"{CALLED}: {where}, got both. Pass a list of the files of one kind.")
    return files


def _guarded(path: Path, read: Callable[..., Any], *args: Any) -> Any:
    """Read a file; what goes wrong is an error that names it."""
    try:
        return read(path, *args)
    except (FileFormatError, ValueRangeError, DTypeError, ShapeError, FileNotFoundError, ImportError):
        raise
    except (*DAMAGED, LookupError) as error:
        raise FileFormatError(f"{CALLED}: {path} is damaged or not a {path.suffix} file: {error}") from None


def _refuse_other(part: Part, first: Path, expected: Any, path: Path, got: Any) -> None:
    def text(kind: Any) -> str:
        return f"{kind[1]}{kind[0]}" if isinstance(kind, tuple) else str(kind)

    differ = ShapeError if isinstance(got, tuple) and expected[0] != got[0] else DTypeError
    raise differ(
        f"{CALLED}: {path}: expected examples whose {part!r} is {text(expected)}, as in {first.name}, got {text(got)}"
    )


# .npz


def _archive(path: Path, parts: Sequence[str]) -> tuple[list[int], list[Kind]]:
    """The number of examples, and shape and dtype of their parts, from the headers of an archive's arrays."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        _refuse_missing(path, parts, names, "an array")
        headers = [header_of(archive, part, path.stat().st_size) for part in parts]
    for part, (shape, dtype) in zip(parts, headers):
        if dtype.kind not in NUMBERS:
            raise DTypeError(f"{CALLED}: {path}: {part!r}: expected an array of numbers, got {dtype}")
        if not shape:
            raise ShapeError(
                f"{CALLED}: {path}: {part!r}: expected one row for each example, got a single number"
            )
    if len({shape[0] for shape, _ in headers}) > 1:
        shapes = ", ".join(f"{part} {shape}" for part, (shape, _) in zip(parts, headers))
        raise ShapeError(f"{CALLED}: {path}: expected first axes of equal length, got {shapes}")
    return [headers[0][0][0]], [(shape[1:], dtype.newbyteorder("=")) for shape, dtype in headers]


def _arrays(path: Path, parts: Sequence[str], _: int) -> list[NDArray]:
    with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
        arrays = [file[part] for part in parts]
    return [array.astype(array.dtype.newbyteorder("="), copy=False) for array in arrays]


def _refuse_missing(path: Path, wanted: Iterable[str], names: Iterable[str], what: str) -> None:
    for name in wanted:
        if name not in names:
            raise ValueRangeError(
                f"{CALLED}: {path}: expected {what} {name!r}, got {', '.join(names) or 'none'}"
            )


# Parquet


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("pyarrow", "parquet", "reading Parquet files") from None
    return pyarrow


def _names(parts: Sequence[Part]) -> list[str]:
    """The columns of all parts, each once."""
    return list(dict.fromkeys(chain.from_iterable([p] if isinstance(p, str) else p for p in parts)))


def _parquet_file(path: Path, parts: Sequence[Part]) -> tuple[list[int], list[str]]:
    """The number of rows of each row group, and the types of the columns of each part."""
    arrow = _parquet()
    with arrow.parquet.ParquetFile(path) as file:
        about, schema = file.metadata, file.schema_arrow
    names = _names(parts)
    _refuse_missing(path, names, schema.names, "a column")
    kinds = {name: schema.field(name).type for name in names}
    for name, kind in kinds.items():
        number = kind
        while _is_list(number):
            number = number.value_type
        is_a = arrow.types
        if not (is_a.is_integer(number) or is_a.is_floating(number) or is_a.is_boolean(number)):
            raise DTypeError(
                f"{CALLED}: {path}: column {name!r}: expected numbers, or lists of them, got {kind}"
            )
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    for group in groups:
        for column in map(group.column, range(about.num_columns)):
            known: Any = column.statistics
            if known is None or not known.has_null_count:
                continue
            if column.path_in_schema in names:  # of lists they count other things
                _refuse_nulls(path, column.path_in_schema, known.null_count)
    types = [", ".join(str(kinds[name]) for name in _names([part])) for part in parts]
    return [group.num_rows for group in groups], types


def _is_list(kind: Any) -> bool:
    types = _parquet().types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _refuse_nulls(path: Path, name: str, count: int) -> None:
    if count:
        raise FileFormatError(
            f"{CALLED}: {path}: column {name!r}: expected a number in each row, got {count} missing values"
        )


def _row_group(path: Path, parts: Sequence[Part], group: int) -> list[NDArray]:
    """The arrays of a row group."""
    columns = _names(parts)
    with _parquet().parquet.ParquetFile(path) as file:
        table = file.read_row_group(group, columns)
    arrays = {name: _column(path, name, table.column(name)) for name in columns}
    return [
        arrays[part] if isinstance(part, str) else np.stack([arrays[name] for name in part], axis=1)
        for part in parts
    ]


def _column(path: Path, name: str, column: Any) -> NDArray:
    """A column as an array (N,), or (N, length, ...) for lists."""
    shape = [len(column)]
    column = _parquet().concat_arrays(column.chunks)
    while True:
        _refuse_nulls(path, name, column.null_count)
        if not _is_list(column.type):
            return np.array(column.to_numpy(zero_copy_only=False)).reshape(shape)
        fixed = getattr(column.type, "list_size", None)
        lengths = {fixed} if fixed is not None else set(column.value_lengths().to_pylist())
        if len(lengths) > 1:
            raise ShapeError(
                f"{CALLED}: {path}: column {name!r}: expected lists of one length, got {min(lengths)} and "
                f"{max(lengths)}"
            )
        shape.append(lengths.pop())
        column = column.flatten()
