"""Data sets larger than memory: examples in blocks, which are read when they are needed, and shuffled by blocks."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from tinygrad_dl import Tensor, asarray
from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.data.dataset import Dataset, Index, _positions
from tinygrad_dl.errors import DTypeError, FileFormatError, ShapeError, ValueRangeError
from tinygrad_dl.typing import NDArray

NUMBERS = "biufc"  # kinds of dtypes that become Tensors
SAMPLED = 256  # rows of a file that tell it from another
TAIL = 1 << 16  # bytes at the end of a file, where archives and Parquet keep checksums and statistics

#: shape and dtype of one example's part
Kind = tuple[tuple[int, ...], np.dtype]


class BlockDataset(Dataset):
    """Examples that are read in blocks of consecutive ones; a subclass defines `read(block)`, the arrays of one.

    `lengths`: of the blocks; `kinds`: shape and dtype of each part of an example. A DataLoader with shuffle=True takes
    the blocks in a random order, and shuffles those of at least `buffer_size` examples together: see `windows`. At most
    twice as many examples, and two blocks, are in memory.
    """

    def __init__(self, lengths: Sequence[int], kinds: Sequence[Kind], buffer_size: int) -> None:
        self.starts: NDArray = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self.kinds, self.buffer_size = tuple(kinds), buffer_size
        self.blocks_read = 0
        self._limit = 2 * (buffer_size + max(lengths))
        self._forget()

    def _forget(self) -> None:
        self._blocks: OrderedDict[int, tuple[NDArray, ...]] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_blocks", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def read(self, block: int) -> tuple[NDArray, ...]:
        """The arrays of a block. Raises FileFormatError."""
        raise DTypeError(
            f"{type(self).__name__} must define read(block), which returns the arrays of a block"
        )

    def checksums(self) -> list[Any]:
        """What tells these data from others: processes that train together compare it."""
        return []

    def rows(self, indices: NDArray) -> tuple[NDArray, ...]:
        """The arrays of the examples at indices (N,), in that order: copies."""
        found = tuple(np.empty((len(indices), *shape), dtype) for shape, dtype in self.kinds)
        blocks = np.searchsorted(self.starts, indices, side="right") - 1
        for block in np.unique(blocks).tolist():
            here = np.flatnonzero(blocks == block)
            within = indices[here] - self.starts[block]
            for array, part in zip(found, self._block(block)):
                array[here] = part[within]
        return found

    def _block(self, block: int) -> tuple[NDArray, ...]:
        with self._lock:  # a loader's thread reads, too
            if block in self._blocks:
                self._blocks.move_to_end(block)
                return self._blocks[block]
            arrays = self._blocks[block] = self.read(block)
            self.blocks_read += 1
            while sum(len(kept[0]) for kept in self._blocks.values()) > self._limit:
                self._blocks.popitem(last=False)
            return arrays

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: Index) -> tuple[Tensor, ...]:
        positions = _positions(type(self).__name__, index, len(self))
        selected = np.arange(len(self))[positions] if isinstance(positions, slice) else np.asarray(positions)
        rows = self.rows(np.atleast_1d(selected) % max(len(self), 1))
        return tuple(asarray(array if selected.ndim else array[0]) for array in rows)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _examples(self) -> str:
        """Number and parts of the examples in words."""
        parts = ", ".join(f"{dtype}{shape}" for shape, dtype in self.kinds)
        return f"{len(self):,} examples of {parts} in {len(self.starts) - 1:,} blocks"


def windows(
    data: BlockDataset,
    indices: NDArray | None,
    rng_of: Callable[..., np.random.Generator],
    first: int = 0,
) -> Iterator[NDArray]:
    """The indices of all examples, or of those at `indices`, in random order from the `first` one on: piece by piece.

    Blocks are permuted; those that follow each other until they have `buffer_size` examples are a window, whose
    examples are permuted, by `rng_of(number)`. `rng_of()` permutes the blocks. Windows before `first` cost nothing.
    """
    members = None if indices is None else np.sort(indices)
    ends: Any = data.starts if members is None else np.searchsorted(members, data.starts)
    blocks = rng_of().permutation(len(ends) - 1)
    counts = np.cumsum(np.diff(ends)[blocks])
    begin = number = 0
    while begin < len(blocks):
        before = int(counts[begin - 1]) if begin else 0
        end = min(int(np.searchsorted(counts, before + data.buffer_size)) + 1, len(blocks))
        after = int(counts[end - 1])
        if after > max(first, before):
            window = np.concatenate([np.arange(ends[b], ends[b + 1]) for b in blocks[begin:end]])
            order = rng_of(number).permutation(window)[max(first - before, 0) :]
            yield order if members is None else members[order]
        begin, number = end, number + 1


def batches_of(windows: Iterator[NDArray], size: int) -> Iterator[NDArray]:
    """Batches of so many of the indices, the last one of what is left.

    Within a batch they are sorted: the parts of the ranks lie in different blocks, so that each reads few of them.
    """
    rest: NDArray = np.empty(0, np.int64)
    for window in windows:
        rest = np.concatenate([rest, window])
        whole = len(rest) // size * size
        for begin in range(0, whole, size):
            yield np.sort(rest[begin : begin + size])
        rest = rest[whole:]
    if len(rest):
        yield np.sort(rest)


class MemmapDataset(BlockDataset):
    """Examples in `.npy` files, which stay on disk: x (N, ...), y (N,), ..., one file for each.

    The files are memory-mapped, and only the rows of a batch are read. `block_size`: rows that lie together, and are
    shuffled together with other blocks of at least `buffer_size` rows in all; the order is as random as the file's
    own where that is 1 block. Raises FileNotFoundError, FileFormatError, ShapeError, DTypeError.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.npy")
    >>> np.save(path, np.arange(6).reshape(3, 2))
    >>> MemmapDataset(path)[1]
    (Tensor([2, 3]),)
    """

    @checked
    def __init__(
        self, *paths: str | os.PathLike[str], block_size: Count = 1024, buffer_size: Count = 10_000
    ) -> None:
        if not paths:
            raise ValueRangeError(
                'MemmapDataset: expected at least one file, such as MemmapDataset("x.npy", "y.npy"), got none'
            )
        self.paths = [Path(path) for path in paths]
        self._open()
        lengths = [len(array) for array in self.arrays]
        if len(set(lengths)) > 1:
            found = ", ".join(f"{path.name} {array.shape}" for path, array in zip(self.paths, self.arrays))
            raise ShapeError(f"MemmapDataset: expected first axes of equal length, got {found}")
        if not lengths[0]:
            raise ValueRangeError(f"MemmapDataset: {self.paths[0]}: expected at least one row, got none")
        self.block_size = int(block_size)
        starts = range(0, lengths[0], self.block_size)
        kinds = [(a.shape[1:], a.dtype.newbyteorder("=")) for a in self.arrays]
        super().__init__([min(self.block_size, lengths[0] - s) for s in starts], kinds, int(buffer_size))

    def _open(self) -> None:
        self.arrays = tuple(_mapped(path) for path in self.paths)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "arrays"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._open()  # files are not copied into a pickle

    def read(self, block: int) -> tuple[NDArray, ...]:
        begin, end = self.starts[block : block + 2]
        return tuple(array[begin:end] for array in self.arrays)

    def checksums(self) -> list[Any]:
        rows = slice(None, None, max(1, len(self) // SAMPLED))
        return [(array.shape, zlib.crc32(np.ascontiguousarray(array[rows]).data)) for array in self.arrays]

    def __repr__(self) -> str:
        return f"MemmapDataset({', '.join(path.name for path in self.paths)}: {self._examples()})"


def _mapped(path: Path) -> NDArray:
    """A file's array, memory-mapped. Raises FileNotFoundError, FileFormatError, DTypeError."""
    if not path.is_file():
        raise FileNotFoundError(f"MemmapDataset: expected a .npy file, got {path}, which does not exist")
    with open(path, "rb") as file:
        magic = file.read(6)
    if magic != b"\x93NUMPY":
        archive = magic.startswith(b"PK")
        hint = " Archives of several arrays are read by ShardedDataset." if archive else ""
        raise FileFormatError(
            f"MemmapDataset: {path}: expected a .npy file, got {'an .npz archive' if archive else 'another format'}."
            f"{hint}"
        )
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError) as error:
        raise FileFormatError(f"MemmapDataset: {path} is damaged: {error}") from None
    if array.dtype.kind not in NUMBERS:
        raise DTypeError(f"MemmapDataset: {path}: expected an array of numbers, got {array.dtype}")
    if not array.ndim:
        raise ShapeError(f"MemmapDataset: {path}: expected one row for each example, got a single number")
    return np.asarray(array)
