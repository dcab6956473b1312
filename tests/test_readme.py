"""What the README and CONTRIBUTING show is what happens."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from tests.layout import ROOT
from tests.printed import with_expected_digits

README = (ROOT / "README.md").read_text(encoding="utf-8")


def texts_of(picture: Path) -> list[str]:
    """What can be read in a picture; where it stands depends on the version of the layout engine."""
    return sorted(re.findall(r"<text[^>]*>([^<]*)<", picture.read_text(encoding="utf-8")))


def test_the_programs_print_what_stands_below_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # they write files
    programs = re.findall(r"```python\n(.*?)```(?:\s+```text\n(.*?)```)?", README, flags=re.DOTALL)
    assert programs
    names: dict[str, object] = {}
    for program, shown in programs:
        said = StringIO()
        with redirect_stdout(said):
            exec(compile(program, "README.md", "exec"), names)
        assert with_expected_digits(shown.rstrip(), said.getvalue().rstrip()) == shown.rstrip()
    drawn, picture = (tmp_path / "graph.svg"), (ROOT / "docs" / "images" / "graph.svg")
    assert texts_of(drawn) == texts_of(picture), "make the README's picture anew with its program"


def test_the_japanese_readme_shows_the_same_programs_and_links_to_files_that_are_there() -> None:
    japanese = (ROOT / "README.ja.md").read_text(encoding="utf-8")
    blocks = r"```(?:python|text)\n.*?```"
    assert re.findall(blocks, japanese, flags=re.DOTALL) == re.findall(blocks, README, flags=re.DOTALL)
    assert [t for t in re.findall(r"\]\((?!https?:)([^)#]+)", japanese) if not (ROOT / t).exists()] == []


def test_the_first_lines_say_what_the_project_is_not() -> None:
    assert "no relation to the project tinygrad" in " ".join(README.split())[:400]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_links_lead_to_files_of_the_repository(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"^make (\w+)|`make (\w+)`", README, flags=re.MULTILINE)))
)
def test_commands_are_targets_of_the_makefile(target: tuple[str, str]) -> None:
    makefile = Path(ROOT / "Makefile").read_text(encoding="utf-8")
    name = "".join(target)
    assert re.search(rf"^{name}:", makefile, flags=re.MULTILINE)


def test_the_operation_that_contributing_shows_is_the_one_in_the_source() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", contributing, flags=re.DOTALL)
    assert block in (ROOT / "tinygrad_dl" / "ops" / "elementwise.py").read_text(encoding="utf-8")
