"""The table of formats: everything that depends on the formats reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.viz.examples import NASTY, named


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_can_be_saved_in_every_text_format(name: str, tmp_path: Path) -> None:
    view = named(name)
    view.engine = "viz.js"
    for format in ("dot", "json", "txt", "mmd", "html"):
        text = view.save(tmp_path / f"graph.{format}").read_text(encoding="utf-8")
        assert "\ud800" not in text and "\0" not in text
        assert format != "html" or "<script>alert" not in text.lower()


@given(st.text(max_size=80))
def test_a_name_never_breaks_a_text_format(name: str) -> None:
    view = named(name)
    assert len(view.text().splitlines()) == len(view.text().split("\n")) - 1
    assert view.mermaid().count("\n  n") >= 3
    assert json.loads(view.json())["nodes"]
