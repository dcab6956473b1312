"""The programs of docs/moving-weights.md that need PyTorch run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.layout import ROOT

pytest.importorskip("torch", reason="PyTorch, from which weights are moved, is not installed")
pytest.importorskip("safetensors", reason="files are written with the package safetensors")


def test_the_programs_with_pytorch_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # they write files
    page = (ROOT / "docs" / "moving-weights.md").read_text(encoding="utf-8")
    programs = [p for p in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if ">>>" not in p]
    assert len(programs) == 3
    names: dict[str, Any] = {}
    for program in programs:
        exec(compile(program, "moving-weights.md", "exec"), names)
    state = names["our_optimizer"].state_dict()
    assert state["param_groups"][0]["lr"] == 0.01 and len(state["state"]) == 6
