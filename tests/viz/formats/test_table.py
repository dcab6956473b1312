"""The table of formats: everything that depends on the formats reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.viz.examples import NASTY, named
from tinygrad_dl import cli
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.viz import GraphView
from tinygrad_dl.viz.formats import FORMATS, Format, description, endings, graphviz, html, text


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_can_be_saved_in_every_text_format(name: str, tmp_path: Path) -> None:
    view = named(name)
    view.engine = "viz.js"
    for format in ("dot", "json", "txt", "mmd", "html"):
        content = view.save(tmp_path / f"graph.{format}").read_text(encoding="utf-8")
        assert "\ud800" not in content and "\0" not in content
        assert format != "html" or "<script>alert" not in content.lower()


@given(st.text(max_size=80))
def test_a_name_never_breaks_a_text_format(name: str) -> None:
    view = named(name)
    assert len(view.text().splitlines()) == len(view.text().split("\n")) - 1
    assert view.mermaid().count("\n  n") >= 3
    assert json.loads(view.json())["nodes"]


@pytest.fixture
def shouted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format of our own: the outline in capitals."""
    monkeypatch.setitem(FORMATS, "loud", Format(lambda diagram: text.content(diagram).upper(), "capitals"))


@pytest.mark.usefixtures("shouted")
def test_a_new_line_in_the_table_is_a_format_for_save_and_its_message(tmp_path: Path) -> None:
    view = named("a")
    assert view.save(tmp_path / "graph.loud").read_text(encoding="utf-8") == view.text().upper()
    with pytest.raises(ValueRangeError, match=r"save: expected a path .* \.mmd, \.loud, got 'graph\.jpg'"):
        view.save(tmp_path / "graph.jpg")
    assert ".loud: capitals" in description()
    assert ".loud" in endings(without_engine=True) and ".svg" not in endings(without_engine=True)


@pytest.mark.usefixtures("shouted")
def test_a_new_line_in_the_table_is_a_format_for_the_message_about_engines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graphviz, "available", list)
    monkeypatch.delenv(graphviz.VARIABLE, raising=False)
    with pytest.raises(graphviz.LayoutError, match=r"that needs none: \.dot, .*\.loud"):
        named("a").svg()


@pytest.mark.usefixtures("shouted")
def test_a_new_line_in_the_table_is_a_format_for_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("click", reason="click is not installed")
    (tmp_path / "model.py").write_text("from tinygrad_dl import nn\nnet = nn.Linear(2, 3)\n")
    target, out = f"{tmp_path / 'model.py'}:net", tmp_path / "graph.loud"
    assert cli.main(["draw", target, "--input", "1,2", "--out", str(out)]) == 0
    assert "LINEAR" in out.read_text(encoding="utf-8")
    assert cli.main(["draw", "--help"]) == 0
    assert "mmd, loud." in " ".join(capsys.readouterr().out.split())
    assert cli.main(["draw", target, "--input", "1,2", "--out", str(tmp_path / "graph.jpg")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("tinygrad-dl draw: --out: expected a path that ends in one of .svg")
    assert ".loud, got 'graph.jpg'" in message and message.count("\n") == 1


def test_the_documentation_of_save_lists_every_format() -> None:
    for ending, entry in FORMATS.items():
        assert f".{ending}: {entry.description}" in (GraphView.save.__doc__ or "")


@pytest.mark.parametrize("ending", [ending for ending, entry in FORMATS.items() if not entry.needs_engine])
def test_a_format_that_needs_no_engine_does_without(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = named("a")
    view.engine = "viz.js"  # the page then lays itself out
    monkeypatch.setattr(graphviz, "render", lambda *given: pytest.fail("a layout engine ran"))
    monkeypatch.setattr(html, "render", graphviz.render)
    assert view.save(tmp_path / f"graph.{ending}").stat().st_size > 50
