"""Machine code that is kept from process to process: it is used again, never trusted when damaged, and can be off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl.compiler import stored

llvm = pytest.importorskip("tinygrad_dl.compiler.llvm")
pytest.importorskip("llvmlite")

X = tg.asarray(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(stored.VARIABLE, str(tmp_path))
    monkeypatch.setattr(llvm, "_engines", {})
    return tmp_path / "programs"


def run() -> Any:
    """What a new process would do: compile, with nothing in memory."""
    llvm._engines.clear()
    f = tg.compile(lambda x: tg.tanh(x @ x.T).sum(), fullgraph=True)
    return [f(X).item() for _ in range(4)]


def test_code_that_was_kept_is_used_by_the_next_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run()
    (file,) = cache.iterdir()
    made = []
    monkeypatch.setattr(stored, "store", lambda key, code: made.append(key))
    assert run() == first
    assert made == []
    assert file.stat().st_mode & 0o077 == 0 or os.name == "nt"


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:50] + b"x" + b[51:], lambda b: b"y" * 99]
)
def test_a_damaged_file_is_replaced(cache: Path, damage: Any) -> None:
    first = run()
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert run() == first
    assert stored.load(file.name) == whole[32:]


def test_no_code_is_kept_where_that_is_off_or_not_possible(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run()
    (tmp_path / "file").write_text("")
    for place in ("off", "0", str(tmp_path / "file")):
        monkeypatch.setenv(stored.VARIABLE, place)
        assert stored.folder() is None
        assert run() == first
    assert len([*cache.iterdir()]) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_folder_that_others_may_write_to_is_not_used(cache: Path) -> None:
    first = run()
    cache.chmod(0o777)
    assert stored.folder() is None
    assert stored.load(next(cache.iterdir()).name) is None
    assert run() == first


def test_the_files_that_were_used_the_longest_ago_go_first(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "FILES", 2)
    for age, key in enumerate("abc"):
        stored.store(key, key.encode())
        if (cache / key).exists():
            os.utime(cache / key, (100 - age, 100 - age))
    stored.store("d", b"d")
    assert {file.name for file in cache.iterdir()} == {"a", "d"} or len([*cache.iterdir()]) == 2
    assert stored.load("d") == b"d"


def test_kept_code_has_no_address_of_this_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "small", lambda *_: 0)  # products by BLAS
    texts: list[str] = []
    original = llvm.compiled
    monkeypatch.setattr(llvm, "compiled", lambda text, *others: texts.append(text) or original(text, *others))
    first = run()
    if llvm.blas():
        assert any("@outside.sgemm" in text for text in texts)
    assert not any("inttoptr" in text for text in texts)
    assert run() == first
    np.testing.assert_allclose(first, np.tanh(X.numpy() @ X.numpy().T).sum(), rtol=1e-5)
