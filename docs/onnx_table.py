"""Write the table of docs/onnx.md, every module of nn, from the samples of the tests: `make onnx-table`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.onnx.modules import CONTAINERS, SAMPLES  # noqa: E402  found by the line above

PAGE = ROOT / "docs" / "onnx.md"
MARK = "<!-- The table is made by `make onnx-table`. -->\n"


def text() -> str:
    """The page with a new table behind the mark."""
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    lines = ["| module | in ONNX |", "|---|---|"]
    for name, sample in sorted(SAMPLES.items()):
        lines.append(f"| `{name}` | {f'refused: {sample.reason}' if sample.reason else 'exported'} |")
    lines += [f"| `{name}` | a container: what is in it counts |" for name in CONTAINERS]
    return head + MARK + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
