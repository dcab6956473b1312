"""Data sets larger than memory: memory-mapped arrays, archives and Parquet files, shuffled by blocks."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.distributed.test_one_process import Rank
from tinygrad_dl import nn, optim, train
from tinygrad_dl.data import DataLoader, MemmapDataset, ShardedDataset, Subset, TensorDataset, split
from tinygrad_dl.data.blocks import BlockDataset
from tinygrad_dl.errors import (
    DTypeError,
    FileFormatError,
    MissingExtraError,
    ShapeError,
    ValueRangeError,
)


class Counting(BlockDataset):
    """The numbers from 0, in blocks of given lengths."""

    def __init__(self, lengths: list[int], buffer_size: int) -> None:
        super().__init__(lengths, [((), np.dtype(np.int64))], buffer_size)

    def read(self, block: int) -> tuple[np.ndarray, ...]:
        return (np.arange(self.starts[block], self.starts[block + 1]),)


def numbers(loader: Any) -> list[list[int]]:
    return [batch.tolist() for (batch,) in loader]


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    buffer=st.integers(1, 30),
    size=st.integers(1, 12),
    ranks=st.integers(1, 4),
    chosen=st.none() | st.sets(st.integers(0, 71)),
    shuffle=st.booleans(),
    data=st.data(),
)
def test_every_example_comes_once_in_an_epoch_also_on_several_ranks_and_resumed(
    lengths: list[int], buffer: int, size: int, ranks: int, chosen: Any, shuffle: bool, data: Any
) -> None:
    blocks: Any = Counting(lengths, buffer)
    members = list(range(len(blocks)))
    if chosen is not None:
        members = sorted(i for i in chosen if i < len(blocks))
        blocks = Subset(blocks, members)

    def loader(**options: Any) -> DataLoader:
        return DataLoader(blocks, size, shuffle, rng=3, **options)

    epochs = loader()
    whole = [numbers(epochs) for _ in range(2)]
    for epoch in whole:
        assert sorted(sum(epoch, [])) == members
        assert [len(batch) for batch in epoch[:-1]] == [size] * (len(epoch) - 1)
        if not shuffle:
            assert sum(epoch, []) == members
    parts = [numbers(loader(shard=Rank(rank, ranks))) for rank in range(ranks)]
    assert [sum(batch, []) for batch in zip(*parts, strict=True)] == whole[0]
    # Broken off after some batches, on one number of ranks, and resumed on another.
    begun = iter(first := loader(shard=Rank(ranks - 1, ranks)))
    stop = data.draw(st.integers(0, len(first)))
    for _ in range(stop):
        next(begun)
    state = first.state_dict()
    resumed = loader(prefetch=data.draw(st.integers(0, 2)))
    resumed.load_state_dict(state)
    assert numbers(resumed) == whole[0][stop:] and numbers(resumed) == whole[1]


def test_a_rank_reads_the_blocks_of_its_part_only() -> None:
    read = []
    for rank in range(4):
        data = Counting([100] * 64, buffer_size=3200)
        for _ in DataLoader(data, 160, shuffle=True, rng=0, shard=Rank(rank, 4)):
            pass
        read.append(data.blocks_read)
    # 16 each if the 32 blocks of a window were divided exactly; each batch is divided a little differently.
    assert max(read) < 40, read


def test_shuffling_by_blocks_mixes_the_blocks_of_a_buffer() -> None:
    data = Counting([10] * 20, buffer_size=50)
    first = sum(numbers(DataLoader(data, 25, shuffle=True, rng=0))[:2], [])
    assert len({i // 10 for i in first}) == 5  # the first 50 examples are those of five blocks
    batches = numbers(DataLoader(data, 25, shuffle=True, rng=0))
    assert len({i // 10 for i in batches[0]}) > 3 and batches != numbers(DataLoader(data, 25, True, rng=1))


def test_what_is_in_memory_is_bounded(tmp_path: Path) -> None:
    x = np.zeros((1000, 250))  # 2 MB
    for i in range(20):
        np.savez(tmp_path / f"{i}.npz", x=x)
    data = ShardedDataset(tmp_path, "x", buffer_size=2000)
    tracemalloc.start()
    try:
        count = sum(len(batch) for (batch,) in DataLoader(data, 500, shuffle=True, rng=0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < (2 * (2000 + 1000) + 3 * 1000) * 250 * 8, f"{peak / 1e6:.0f} MB of the data's 40"


# Files


def write_npz(folder: Path, lengths: tuple[int, ...] = (5, 7, 3), **changed: Any) -> Path:
    folder.mkdir(exist_ok=True)
    begin = 0
    for i, n in enumerate(lengths):
        rows = np.arange(begin, begin + n)
        arrays = {"x": np.stack([rows, -rows], axis=1).astype(np.float32), "y": rows % 3}
        arrays.update(changed if i == 1 else {})
        (np.savez if i % 2 else np.savez_compressed)(folder / f"part-{i}.npz", **arrays)
        begin += n
    return folder


def write_parquet(folder: Path, lengths: tuple[int, ...] = (5, 7, 3), change: Any = None) -> Path:
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow (extra parquet)")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow (extra parquet)")
    folder.mkdir(exist_ok=True)
    begin = 0
    for i, n in enumerate(lengths):
        rows = np.arange(begin, begin + n)
        a, b = rows.astype(np.float32), -rows.astype(np.float32)
        pairs = arrow.array(np.stack([a, b], axis=1).tolist(), arrow.list_(arrow.float32()))
        columns = {"a": a, "b": b, "pairs": pairs, "y": rows % 3, "name": list("q" * n)}
        columns = change(columns) if i == 1 and change else columns
        parquet.write_table(arrow.table(columns), folder / f"part-{i}.parquet", row_group_size=4)
        begin += n
    return folder


def write_npy(folder: Path, n: int = 15) -> list[Path]:
    folder.mkdir(exist_ok=True)
    rows = np.arange(n)
    np.save(folder / "x.npy", np.stack([rows, -rows], axis=1).astype(">f4"))  # of another byte order
    np.save(folder / "y.npy", rows % 3)
    return [folder / "x.npy", folder / "y.npy"]


FORMATS: dict[str, Any] = {
    "npy": lambda folder: MemmapDataset(*write_npy(folder), block_size=4, buffer_size=6),
    "npz": lambda folder: ShardedDataset(write_npz(folder), buffer_size=6),
    "parquet": lambda folder: ShardedDataset(write_parquet(folder), ["a", "b"], "y", buffer_size=6),
    "lists": lambda folder: ShardedDataset(
        sorted(write_parquet(folder).iterdir()), "pairs", "y", buffer_size=6
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_files_are_read_as_their_arrays(kind: str, tmp_path: Path) -> None:
    data = FORMATS[kind](tmp_path)
    rows = np.arange(15)
    expected = TensorDataset(np.stack([rows, -rows], axis=1).astype(np.float32), rows % 3)
    again = pickle.loads(pickle.dumps(data))
    for found in (data, again):
        assert len(found) == 15 and f"{len(found):,} examples" in repr(found)
        for index in (0, -1, slice(2, 9, 3), [14, 0, 0], rows % 2 == 0, []):
            for a, b in zip(found[index], expected[index], strict=True):
                np.testing.assert_array_equal(a.data, b.data)
                assert a.dtype == b.dtype and a.data.flags.writeable
    assert [y.item() for _, y in data] == expected.y.tolist()
    training, test = split(data, (10, 5), rng=0)
    seen = [x.data[:, 0].tolist() for part in (training, test) for x, _ in DataLoader(part, 4, shuffle=True)]
    assert sorted(sum(seen, [])) == rows.tolist() and data.checksums() == again.checksums()
    with pytest.raises(IndexError, match="expected an index below 15, the number of examples, got 15"):
        data[15]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_trainer_takes_them_as_other_data(kind: str, tmp_path: Path) -> None:
    data = FORMATS[kind](tmp_path)
    model = nn.Linear(2, 3)
    trainer = train.Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.001), progress="off"
    )
    trainer.fit(data, data, epochs=2, batch_size=4, rng=0)
    assert trainer.history["loss"][1] < trainer.history["loss"][0]
    assert trainer.evaluate(data)["loss"] == pytest.approx(trainer.history["dev_loss"][-1], rel=1e-5)
    x, _ = data[:]
    np.testing.assert_allclose(trainer.predict(data), model(x).data, rtol=1e-4, atol=1e-5)


def damage(path: Path, how: str) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"")
    return path


def nulls(columns: dict[str, Any]) -> dict[str, Any]:
    import pyarrow

    return {**columns, "a": pyarrow.array([None, *columns["a"][1:].tolist()], pyarrow.float32())}


def ragged(columns: dict[str, Any]) -> dict[str, Any]:
    import pyarrow

    return {**columns, "pairs": pyarrow.array([[1.0, 2.0]] * 3 + [[1.0]] * 4, columns["pairs"].type)}


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "no folder": (lambda p: ShardedDataset(p / "no"), FileNotFoundError, "expected a folder of .npz or"),
    "empty folder": (lambda p: ShardedDataset(p), FileFormatError, "or .parquet files, got none"),
    "both kinds": (
        lambda p: ShardedDataset(
            [damage(write_npz(p) / "part-1.npz", ""), p / "part-0.npz", _empty(p / "a.parquet")]
        ),
        FileFormatError,
        "got both. Pass a list",
    ),
    "no file": (lambda p: ShardedDataset([p / "a.npz"]), FileNotFoundError, "a.npz, which does not exist"),
    "truncated": (
        lambda p: ShardedDataset([damage(write_npz(p) / "part-1.npz", "truncated")]),
        FileFormatError,
        "part-1.npz is damaged or not a .npz file",
    ),
    "empty file": (
        lambda p: ShardedDataset([damage(write_parquet(p) / "part-1.parquet", "")]),
        FileFormatError,
        "part-1.parquet is damaged or not a .parquet file",
    ),
    "no array": (
        lambda p: ShardedDataset(write_npz(p), "x", "label"),
        ValueRangeError,
        "part-0.npz: expected an array 'label', got x, y",
    ),
    "no column": (
        lambda p: ShardedDataset(write_parquet(p), ["a", "c"], "y"),
        ValueRangeError,
        "expected a column 'c', got a, b, pairs, y, name",
    ),
    "another shape": (
        lambda p: ShardedDataset(write_npz(p, x=np.ones((7, 3), np.float32))),
        ShapeError,
        r"part-1.npz: expected examples whose 'x' is float32\(2,\), as in part-0.npz, got float32\(3,\)",
    ),
    "another dtype": (
        lambda p: ShardedDataset(write_npz(p, x=np.ones((7, 2)))),
        DTypeError,
        r"'x' is float32\(2,\), as in part-0.npz, got float64\(2,\)",
    ),
    "another type": (
        lambda p: ShardedDataset(write_parquet(p, change=lambda c: {**c, "y": c["a"]}), "a", "y"),
        DTypeError,
        "part-1.parquet: expected examples whose 'y' is int64, as in part-0.parquet, got float",
    ),
    "unequal lengths": (
        lambda p: ShardedDataset(write_npz(p, y=np.arange(4))),
        ShapeError,
        r"part-1.npz: expected first axes of equal length, got x \(7, 2\), y \(4,\)",
    ),
    "text": (
        lambda p: ShardedDataset(write_npz(p, y=np.array(["a"] * 7))),
        DTypeError,
        "part-1.npz: 'y': expected an array of numbers, got <U1",
    ),
    "column of text": (
        lambda p: ShardedDataset(write_parquet(p), "a", "name"),
        DTypeError,
        "column 'name': expected numbers, or lists of them, got string",
    ),
    "empty archive": (
        lambda p: ShardedDataset(write_npz(p, (5, 0, 3))),
        FileFormatError,
        "part-1.npz: expected at least one example, got none. Remove the file.",
    ),
    "empty table": (
        lambda p: ShardedDataset(write_parquet(p, (5, 0, 3)), "a", "y"),
        FileFormatError,
        "part-1.parquet: expected at least one example, got none",
    ),
    "missing values": (
        lambda p: ShardedDataset(write_parquet(p, change=nulls), "a", "y"),
        FileFormatError,
        "part-1.parquet: column 'a': expected a number in each row, got 1 missing values",
    ),
    "missing lists": (
        lambda p: ShardedDataset(write_parquet(p, change=lambda c: {**c, "pairs": [None] * 7}), "pairs"),
        DTypeError,
        "part-1.parquet: column 'pairs': expected numbers, or lists of them, got null",
    ),
    "lists of two lengths": (
        lambda p: ShardedDataset(write_parquet(p, change=ragged), "pairs")[5:],
        ShapeError,
        "part-1.parquet: column 'pairs': expected lists of one length, got 1 and 2",
    ),
    "lists of another length": (
        lambda p: ShardedDataset(write_parquet(p, change=ragged), "pairs")[9:],
        FileFormatError,
        "part-1.parquet: expected ",
    ),
    "numbers for names": (
        lambda p: ShardedDataset(write_npz(p), ["x"], "y"),
        DTypeError,
        "names of arrays with .npz",
    ),
    "no npy": (lambda p: MemmapDataset(p / "x.npy"), FileNotFoundError, "x.npy, which does not exist"),
    "npy of npz": (
        lambda p: MemmapDataset(write_npz(p) / "part-0.npz"),
        FileFormatError,
        "expected a .npy file, got an .npz archive. Archives of several arrays are read by ShardedDataset",
    ),
    "truncated npy": (
        lambda p: MemmapDataset(damage(write_npy(p, 1000)[0], "truncated")),
        FileFormatError,
        "x.npy is damaged: ",
    ),
    "unequal npy": (
        lambda p: MemmapDataset(write_npy(p)[0], write_npy(p / "b", 14)[1]),
        ShapeError,
        r"equal length, got x.npy \(15, 2\), y.npy \(14,\)",
    ),
    "empty npy": (lambda p: MemmapDataset(*write_npy(p, 0)), ValueRangeError, "expected at least one row"),
    "no paths": (lambda p: MemmapDataset(), ValueRangeError, "expected at least one file"),
}


def _empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_files_is_one_error_that_names_them(what: str, tmp_path: Path) -> None:
    make, error, message = WRONG[what]
    with pytest.raises(error, match=message) as caught:
        make(tmp_path)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_file_that_is_damaged_meanwhile_is_named_when_it_is_read(tmp_path: Path) -> None:
    data = ShardedDataset(write_npz(tmp_path))
    damage(tmp_path / "part-2.npz", "truncated")
    assert len(data[:12][0]) == 12
    with pytest.raises(FileFormatError, match="part-2.npz is damaged"):
        data[12]
    write_npz(tmp_path, (5, 6, 4))
    with pytest.raises(
        FileFormatError, match=r"part-2.npz: expected 'x' as float32\(3, 2\), got float32\(4, 2\)"
    ):
        data[12]


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    _empty(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        MissingExtraError, match=r"Parquet files needs the package pyarrow.*tinygrad_dl\[parquet\]"
    ):
        ShardedDataset(tmp_path, "a")
