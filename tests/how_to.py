"""The programs of a how-to page, run one after the other, and compared with the output that the page shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from tests.printed import with_expected_digits


def run(page: Path, replaced: Mapping[str, str] | None = None) -> None:
    """Run the programs of a page; `replaced`: addresses of servers, and those of the tests."""
    text = page.read_text(encoding="utf-8")
    for address, other in (replaced or {}).items():
        assert address in text
        text = text.replace(address, other)
    programs = re.findall(r"```python\n(.*?)```(?:\s+```text\n(.*?)```)?", text, flags=re.DOTALL)
    assert programs
    names: dict[str, object] = {"__name__": "__main__"}
    for program, shown in programs:
        said = StringIO()
        with redirect_stdout(said):
            exec(compile(program, page.name, "exec"), names)
        assert with_expected_digits(shown.rstrip(), said.getvalue().rstrip()) == shown.rstrip()
