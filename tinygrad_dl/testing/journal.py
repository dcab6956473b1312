"""What checks were made and how they ended: read by the pytest plugin for its summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Entry(NamedTuple):
    """One check: the function that made it, what was checked, "correct", "wrong" or "cannot tell", and the report."""

    check: str
    subject: str
    verdict: str
    report: str


#: The entries since the plugin last took them; None while nobody reads them.
entries: list[Entry] | None = None
# A test may check in a loop: what is kept of correct ones is their number.
REPORT = 2000


def note(check: str, subject: str, verdict: str | bool, report: str) -> None:
    """Keep the result of a check, where somebody reads it."""
    if entries is not None:
        words = verdict if isinstance(verdict, str) else "correct" if verdict else "wrong"
        entries.append(Entry(check, subject, words, "" if words == "correct" else report[:REPORT]))


@contextmanager
def paused() -> Iterator[None]:
    """Checks inside are parts of another one."""
    global entries
    before, entries = entries, None
    try:
        yield
    finally:
        entries = before
