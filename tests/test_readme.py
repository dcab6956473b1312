"""The programs, links and commands of the README and CONTRIBUTING work as shown."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import tinygrad_dl
from tests.layout import ROOT
from tests.printed import with_expected_digits

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def texts_of(picture: Path) -> list[str]:
    """The texts of a drawing. Their positions depend on the version of the layout engine."""
    return sorted(re.findall(r"<text[^>]*>([^<]*)<", picture.read_text(encoding="utf-8")))


def test_the_programs_print_the_output_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert texts_of(drawn) == texts_of(picture), (
        "run the README's program again and copy graph.svg to docs/images"
    )


def test_the_japanese_readme_shows_the_same_programs_and_links_to_existing_files() -> None:
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
    (block,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)
    assert block in (ROOT / "tinygrad_dl" / "ops" / "elementwise.py").read_text(encoding="utf-8")


def test_the_citation_names_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {tinygrad_dl.__version__}\n" in citation


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([\w-]+)", CONTRIBUTING))))
def test_contributing_names_targets_of_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
