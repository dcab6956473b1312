"""docs/courses.md is what docs/courses_table.py writes, with the results that the scripts compare with."""

from __future__ import annotations

import importlib.util
import re
from importlib import import_module
from types import ModuleType

import pytest

from tests.layout import ROOT
from tinygrad_dl.course import EXPERIMENTS, PUBLISHED, gradient_checking
from tinygrad_dl.course.record import Row, compare

PAGE = (ROOT / "docs" / "courses.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("courses_table", ROOT / "docs" / "courses_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(name: str) -> list[list[str]]:
    """The rows of the experiment's table on the page."""
    section = PAGE.split(f"### {import_module(f'tinygrad_dl.course.{name}').TITLE}\n")[1].split("\n#")[0]
    rows = [re.split(r" \| ", line.strip("| ")) for line in section.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_the_page_has_every_experiment_in_order_below_the_head(writer: ModuleType) -> None:
    assert PAGE.startswith(writer.HEAD)
    titles = [import_module(f"tinygrad_dl.course.{name}").TITLE for name in EXPERIMENTS]
    assert re.findall(r"^### (.+)$", PAGE, re.M) == titles
    assert all(table(name) for name in EXPERIMENTS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_page_shows_the_published_results_of_the_script(name: str) -> None:
    script = import_module(f"tinygrad_dl.course.{name}")
    rows = table(name)[: len(script.PUBLISHED)]
    assert [(key, published) for key, published, *_ in rows] == list(script.PUBLISHED.items())
    for key, published, measured, verdict in rows:
        row = Row(key, published, float(measured.split()[0]), getattr(script, "CHAOTIC", {}).get(key, 0.0))
        assert row.agrees and row.verdict == verdict


def test_fast_results_measured_again_are_those_on_the_page() -> None:
    rows = compare(gradient_checking.PUBLISHED, gradient_checking.run())[:3]
    for row, (name, published, measured, verdict) in zip(rows, table("gradient_checking")[:3], strict=True):
        assert (row.name, row.published, row.verdict) == (name, published, verdict)
        # In every digit; what is rounding alone, such as 1e-9, in its size.
        assert row._replace(published=measured).agrees
