"""save and load."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tinygrad_dl as tg
from tests.layout import ROOT
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import DTypeError, FileFormatError, ValueRangeError
from tinygrad_dl.files import write_atomically

pytest.importorskip("safetensors", reason="weights are safetensors files")

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | arrays.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=3),
    )
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text("abc.", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(same(*pair) for pair in zip(a, b))
    return type(a) is type(b) and a == b


@given(data=NESTED)
def test_what_is_saved_is_loaded(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    tg.save({"data": data, "": [data]}, path)
    assert same(tg.load(path), {"data": data, "": [data]})


def test_a_dict_of_arrays_is_a_plain_safetensors_file(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    path = tmp_path / "w.safetensors"
    w = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    tg.save({"w": w, "b": tg.Tensor([1.0]), "zero": np.array(2.0)}, path, metadata={"by": "a test"})
    plain = load_file(path)
    np.testing.assert_array_equal(plain["w"], w)
    assert plain["b"].dtype == np.float32 and plain["zero"].shape == ()


def test_a_model_and_its_optimizer_come_back(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters())
    model(tg.ones((1, 3))).sum().backward()
    optimizer.step()
    tg.save(model, tmp_path / "model.safetensors")
    tg.save(optimizer.state_dict(), tmp_path / "optimizer.safetensors")
    twin = nn.Linear(3, 2)
    twin.load_state_dict(tg.load(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(twin.weight.data, model.weight.data)
    twin_optimizer = optim.Adam(twin.parameters())
    twin_optimizer.load_state_dict(tg.load(tmp_path / "optimizer.safetensors"))
    assert same(twin_optimizer.state_dict(), optimizer.state_dict())


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tg.save({"w": np.ones(2)}, tmp_path / name, metadata={str(i): "x" for i in range(10)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_damage_to_data_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    data = {"state": {0: {"m": np.arange(20.0)}}, "n": 3}
    tg.save(data, path)
    whole = path.read_bytes()
    rng = random.Random(0)
    damaged = [whole[:0], whole[:7], whole[: len(whole) // 2], whole[:-1], b"not a file of ours" * 10]
    for _ in range(60):
        place = rng.randrange(len(whole))
        damaged.append(whole[:place] + bytes([whole[place] ^ (1 << rng.randrange(8))]) + whole[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        try:
            loaded = tg.load(path)
        except FileFormatError as error:
            assert "is damaged" in str(error)
        else:  # what was hit is the name under which the checksum stands: the data are whole
            assert content.count(b"tinygrad_dl.sha256") == 0 and same(loaded, data)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"load: no such file: .*nowhere"):
        tg.load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        tg.load(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["w"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"w": np.array([1j])}, "w: complex128 is not a dtype of safetensors files"),
        ({"w": np.array([object()])}, "w: object is not a dtype"),
        ({"a": {"b": object()}}, r"save: a\.b: expected arrays, numbers, strings.*got object"),
        ({"a": {(1, 2): 3}}, "save: a: keys have to be strings or whole numbers"),
        (3j, "got complex"),
    ],
)
def test_what_no_file_holds_is_refused(data: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match=message):
        tg.save(data, tmp_path / "w")
    assert os.listdir(tmp_path) == []


def test_metadata_has_to_be_strings(tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="metadata: expected strings, got 'n': 3"):
        tg.save({"w": np.ones(1)}, tmp_path / "w", metadata={"n": 3})  # type: ignore[dict-item]


def foreign(path: Path, dtype: str = "F32", size: int = 4, **metadata: str) -> Path:
    """A file as another program writes it: one array "w" of one element."""
    header: dict[str, Any] = {"w": {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}}
    text = json.dumps({"__metadata__": metadata, **header} if metadata else header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    return path


@pytest.mark.parametrize(("dtype", "size"), [("BF16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1)])
def test_a_sound_file_of_dtypes_that_numpy_lacks_is_not_called_damaged(
    dtype: str, size: int, tmp_path: Path
) -> None:
    path = foreign(tmp_path / "w", dtype, size)
    with pytest.raises(
        FileFormatError, match=f"load: .*: w: expected a dtype that NumPy has, got {dtype}. Convert"
    ):
        tg.load(path)


@pytest.mark.parametrize(
    "structure",
    [
        "", "[1", "[" * 100_000, '{"dict": 3}', '{"array": "v"}', '{"a": 1, "b": 2}', '{"list": 5}', '{"x": [1]}',
        '{"dict": [[[], 1]]}', '{"tuple": [{"array": []}]}', '{"dict": [1]}', "{}",
    ],
)  # fmt: skip
def test_a_foreign_structure_is_a_damaged_file(structure: str, tmp_path: Path) -> None:
    path = foreign(tmp_path / "w", **{"tinygrad_dl.structure": structure})
    with pytest.raises(
        FileFormatError, match="is damaged: its header tells of no structure that save writes"
    ):
        tg.load(path)


@pytest.mark.parametrize(
    "data",
    [
        {"ema": {"fc.weight": np.ones(2)}, "ema.fc": {"weight": np.zeros(2)}},
        {1: np.ones(2), "1": np.zeros(2)},
        {"a": [np.ones(1), np.zeros(1)], "a.0": np.full(1, 2.0), "a.0#2": np.full(1, 3.0), "n": 1},
        {"__metadata__": np.ones(2)},
        {"a": {"": np.ones(1)}, "a.": np.zeros(1), "": {"a": np.ones(3)}, "n": 1},
    ],
)
def test_names_that_join_alike_lose_no_array(data: Any, tmp_path: Path) -> None:
    tg.save(data, tmp_path / "w")
    assert same(tg.load(tmp_path / "w"), data)


@pytest.mark.parametrize(
    ("data", "metadata", "error", "message"),
    [
        ({"a\ud800": np.ones(1)}, None, ValueRangeError, "save: names: expected text that UTF-8 can hold"),
        (
            {"a": {"b\ud800": np.ones(1)}},
            None,
            ValueRangeError,
            "save: names: expected text that UTF-8 can hold",
        ),
        (
            {"w": np.ones(1)},
            {"a": "\ud800"},
            ValueRangeError,
            "save: metadata: expected text that UTF-8 can hold",
        ),
        (
            {"w": np.ones(1)},
            {"tinygrad_dl.sha256": ""},
            ValueRangeError,
            "metadata: expected a name other than",
        ),
        (
            {"w": np.ones(1)},
            {"tinygrad_dl.structure": ""},
            ValueRangeError,
            "metadata: expected a name other than",
        ),
        ({"w": np.ones(1)}, 3, DTypeError, "save: metadata: expected a Mapping or None, got int 3"),
        ({"a": np.complex64(1)}, None, DTypeError, "save: a: expected arrays, numbers, strings.*got complex"),
        ({"a": np.datetime64("2020")}, None, DTypeError, "save: a: expected arrays, numbers, strings"),
        ({"a": 10**5000}, None, ValueRangeError, "save: data: Exceeds the limit"),
    ],
)
def test_what_a_header_cannot_hold_is_refused(
    data: Any, metadata: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        tg.save(data, tmp_path / "w", metadata)
    assert os.listdir(tmp_path) == []


def test_a_list_that_holds_itself_is_refused(tmp_path: Path) -> None:
    data: list[Any] = [1]
    data.append(data)
    with pytest.raises(ValueRangeError, match="expected dicts and lists that do not hold themselves"):
        tg.save(data, tmp_path / "w")


def test_threads_save_to_one_path_without_disturbing_each_other(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    arrays = [np.full(1000, float(i)) for i in range(4)]

    def work(array: np.ndarray) -> None:
        for _ in range(15):
            tg.save({"w": array}, path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, arrays))
    assert len(set(tg.load(path)["w"])) == 1 and os.listdir(tmp_path) == ["w.safetensors"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "epoch-3.safetensors", tmp_path / "links" / "best.safetensors"
    link.parent.mkdir()
    tg.save({"w": np.zeros(1)}, target)
    link.symlink_to(target)
    tg.save({"w": np.ones(1)}, link)
    assert link.is_symlink() and tg.load(target)["w"].tolist() == [1.0]
    assert os.listdir(link.parent) == ["best.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="only there it can be seen whether a process lives")
def test_the_next_save_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    program = f"""
import os, signal
import numpy as np
import tinygrad_dl as tg
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
tg.save({{"w": np.ones(1000)}}, {str(path)!r})
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -9 and len(os.listdir(tmp_path)) == 1 and not path.exists()
    other = tmp_path / f".w.safetensors.{'0' * 8}-1-0.safetensors"  # of a living process on another machine
    hidden = tmp_path / ".w.safetensors"
    for file in (other, hidden):
        file.write_bytes(b"mine")
    tg.save({"w": np.ones(2)}, path)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, other.name, hidden.name])


def test_errors_name_the_path_that_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nowhere" / "w.safetensors"
    with pytest.raises(FileNotFoundError) as missing:
        tg.save({"w": np.ones(1)}, path)
    assert missing.value.filename == str(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as failed:
        tg.save({"w": np.ones(1)}, tmp_path / "w.safetensors")
    assert failed.value.filename == str(tmp_path / "w.safetensors")
    with pytest.raises(IsADirectoryError, match="save: expected the path of a file, got the folder"):
        tg.save({"w": np.ones(1)}, tmp_path)


def test_a_file_that_may_not_be_read_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tg.save({"w": np.ones(1)}, tmp_path / "w")

    def refuse(path: Any, mode: str = "r") -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        tg.load(tmp_path / "w")


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    tg.save({"w": np.ones(1)}, path)
    assert os.listdir(tmp_path) == [path.name]
