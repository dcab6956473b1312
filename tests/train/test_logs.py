"""Logs in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train.test_trainer import points, trainer
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train import Checkpoint, History, Log


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
