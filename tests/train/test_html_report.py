"""report.html from damaged and foreign files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tinygrad_dl.errors import FileFormatError, ValueRangeError
from tinygrad_dl.train.html_report import write_report


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([1], r"expected a JSON object such as .*got \[1\]"),
        (3, "expected a JSON object"),
        ({"test": 0.93}, "test: expected a JSON object, got 0.93"),
        ({"test": {"accuracy": "high"}}, 'accuracy: expected a number, got "high"'),
        ({"timing": 3}, "timing: expected a JSON object"),
        ({"timing": {"training_seconds": "3 s"}}, "training_seconds: expected a number"),
        (
            {"data": "digits"},
            "expected parameters, mistakes, seed, epochs, lr, batch_size for the data digits",
        ),
        ({"interrupted": True}, "expected epochs and epochs_done for an interrupted run"),
        ({"lr": "fast"}, 'lr: expected a number, got "fast"'),
        ({"versions": []}, "versions: expected a JSON object"),
    ],
)
def test_other_metrics_are_a_damaged_file(metrics: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(FileFormatError, match=f"report: .*metrics.json: {message}"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "metrics", [{"test": {"accuracy": 0.93}}, {"test": {"accuracy": None, "loss": None}}, {"mine": [1, None]}]
)
def test_metrics_of_ones_own_make_a_page(metrics: Any, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert "<!doctype html>" in write_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_link_to_what_is_no_image_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("my password")
    run = tmp_path / "run"
    run.mkdir()
    (run / "curves.png").symlink_to(secret)
    with pytest.raises(ValueRangeError, match="expected metrics.json, history.csv or images"):
        write_report(run)
