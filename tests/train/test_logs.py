"""Logs in files."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.train.test_trainer import points, trainer
from tinygrad_dl.errors import MissingExtraError, ValueRangeError
from tinygrad_dl.train import Checkpoint, History, Log, TensorBoard


def test_each_epoch_is_a_row_or_a_line_as_soon_as_it_ends(tmp_path: Path) -> None:
    logs = [Log(tmp_path / "deep" / "log.csv"), Log(tmp_path / "deep" / "log.jsonl")]
    t = trainer(callbacks=logs)
    t.fit(points(), epochs=3)
    assert History.load(logs[0].path).epochs == t.history.epochs
    assert [json.loads(line) for line in logs[1].path.read_text().splitlines()] == t.history.epochs


def test_a_resumed_run_logs_its_full_history(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="checkpoints are safetensors files")
    for epochs in (2, 4):
        t = trainer(callbacks=[Checkpoint(tmp_path / "c"), Log(tmp_path / "log.jsonl")])
        t.fit(points(), epochs=epochs, rng=0)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_nan_is_null_in_json(tmp_path: Path) -> None:
    bad = points(4)
    bad.x[0, 0] = float("nan")
    trainer(callbacks=[Log(tmp_path / "log.jsonl")], allow_nan=True).fit(bad, epochs=1)
    assert json.loads((tmp_path / "log.jsonl").read_text())["loss"] is None


def test_another_suffix_is_refused() -> None:
    with pytest.raises(ValueRangeError, match=r"ending in \.csv or \.jsonl, got 'log.txt'"):
        Log("log.txt")


def test_tensorboard_gets_the_values_of_both_parts_in_one_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            written.append((folder,))

        def add_scalar(self, *what: Any) -> None:
            written.append(what)

        def close(self) -> None:
            written.append(("closed",))

    module = types.ModuleType("tensorboardX")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    t = trainer(callbacks=[TensorBoard("runs/x")])
    t.fit(points(), points(), epochs=1)
    names = [what[0] for what in written]
    assert names[0] == "runs/x" and names[-1] == "closed"
    assert {"loss/train", "loss/dev", "accuracy/train", "accuracy/dev", "lr/train"} <= set(names)


def test_without_tensorboard_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match="pip install tensorboardX"):
        trainer(callbacks=[TensorBoard("x")]).fit(points(), epochs=1)
