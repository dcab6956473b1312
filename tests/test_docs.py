"""The pages of the documentation: their examples are true, and the table of operations is fresh."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

from tests.layout import ROOT
from tests.test_doctests import FLAGS

PAGES = sorted((ROOT / "docs").glob("*.md"))


def examples(page: Path) -> str:
    """The examples of a page, which is one session; other lines become blank, so that numbers are right."""
    kept, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        inside = line == "```python" if fence and not inside else inside and not fence
        kept.append(line if inside and not fence else "")
    return "\n".join(kept) + "\n"


@pytest.mark.parametrize("page", [p for p in PAGES if ">>>" in examples(p)], ids=lambda p: p.stem)
def test_the_examples_of_the_page_are_true(page: Path) -> None:
    test = doctest.DocTestParser().get_doctest(
        examples(page), {"__name__": "__main__"}, page.stem, str(page), 0
    )
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert not failed, "".join(said)


def test_the_table_of_operations_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("ops_table", ROOT / "docs" / "ops_table.py")
    assert spec is not None and spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    assert (ROOT / "docs" / "ops.md").read_text(encoding="utf-8") == table.text(), "run `make ops-table`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_to_pages(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_every_page_is_in_the_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w/-]+)$", index, flags=re.MULTILINE))
    assert {p.stem for p in PAGES} - {"index"} <= listed
