"""Run the programs of docs/gallery.md and save their pictures: python docs/gallery.py (a test compares them)."""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "gallery"


def run(folder: Path) -> list[tuple[str, str]]:
    """Run the page's programs in a folder. Returns (output, the output shown on the page) for each program."""
    programs = re.findall(
        r"```python\n(.*?)```(?:\s+```text\n(.*?)```)?", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    before, names, said = Path.cwd(), {"__name__": "gallery"}, []
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    try:
        for program, shown in programs:
            out = StringIO()
            with redirect_stdout(out):
                exec(compile(program, PAGE.name, "exec"), names)
            said.append((out.getvalue(), shown))
    finally:
        os.chdir(before)
    return said


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    run(PICTURES)
