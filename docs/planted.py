"""Writes the table of planted mistakes into docs/doctor.md: python docs/planted.py (a test holds it fresh)."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "doctor.md"
BEGIN, END = "<!-- planted: begin -->\n", "<!-- planted: end -->\n"


def table() -> str:
    """The planted mistakes with the doctor's first guess."""
    from tests.testing.test_doctor import INJECTED
    from tinygrad_dl.testing import check_backward

    rows = ["| planted in | mistake | first guess |", "|---|---|---|"]
    for model, mistake, _ in INJECTED:
        where = getattr(model, "__name__", "").replace("<lambda>", "shallow with L2").replace("_", " ")
        rows.append(
            f"| {where} | {mistake} | {check_backward(*model(mistake), raise_exception=False).mistake} |"
        )
    return "\n".join(rows) + "\n"


def fresh() -> str:
    """The page with the table as it should be."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(fresh())
