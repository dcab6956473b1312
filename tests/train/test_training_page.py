"""The page on training is a program that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.layout import ROOT

for _package in ("sklearn", "matplotlib", "safetensors"):
    pytest.importorskip(_package, reason=f"the page uses {_package}")


def test_the_code_on_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    for slow, fast in (("epochs=100", "epochs=3"), ("epochs=50", "epochs=2")):
        assert slow in code
        code = code.replace(slow, fast)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/training.md", "exec"), {"__name__": "page"})
    made = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {
        "curves.png", "confusion.png", "activations.png", "gradients.png", "updates.png", "history.csv",
        "epoch-000002.safetensors", "epoch-000003.safetensors",
    }  # fmt: skip
