"""save and load."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import DTypeError, FileFormatError
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
