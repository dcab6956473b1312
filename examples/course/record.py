"""Results as the notebooks print them, beside the measured ones, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One result: `published` as the notebook prints it ("" for none), `measured`, and a tolerance `chaotic`."""

    name: str
    published: str
    measured: float
    chaotic: float = 0.0

    @property
    def shown(self) -> str:
        """`measured` with as many digits as `published`; percentages with two decimals."""
        number, _, unit = self.published.partition(" ")
        if not self.published:
            return f"{self.measured:.2f}" if self.name.endswith("%") else f"{self.measured:.6g}"
        if "e" in number:
            return f"{self.measured:.1e}"
        if unit:
            return f"{self.measured:.2f} {unit}"
        return f"{self.measured:.{len(number.partition('.')[2])}f}"

    @property
    def agrees(self) -> bool:
        """Whether the measured result has the printed digits.

        Numbers such as 1e-9 agree within a factor of 10; percentages, which the notebooks round or truncate, within
        one unit of the last digit.
        """
        if not self.published:
            return True
        number, _, unit = self.published.partition(" ")
        if "e" in number:
            return 0.1 < self.measured / float(number) < 10
        error = abs(self.measured - float(number))
        if unit:
            return error < max(10.0 ** -len(number.partition(".")[2]), self.chaotic)
        return self.shown == number or error < self.chaotic

    @property
    def verdict(self) -> str:
        """The text of the last column."""
        if not self.published:
            return ""
        if not self.agrees:
            return "DIFFERS"
        if self.chaotic:
            return "same" if self._replace(chaotic=0.0).agrees else "chaotic: close"
        return "same"


def compare(
    published: Mapping[str, str], measured: Mapping[str, float], chaotic: Mapping[str, float] | None = None
) -> list[Row]:
    """Return the rows of an experiment: the published results that were measured, then the other results.

    `chaotic`: results that depend on rounding errors, and how far from the published ones they may be.
    """
    rows = [
        Row(name, text, measured[name], (chaotic or {}).get(name, 0.0))
        for name, text in published.items()
        if name in measured
    ]
    return rows + [Row(name, "", value) for name, value in measured.items() if name not in published]


def table(rows: Iterable[Row]) -> str:
    """Format the rows as text in columns."""
    cells = [("", "published", "measured", ""), *((r.name, r.published, r.shown, r.verdict) for r in rows)]
    if not any(published for _, published, _, _ in cells[1:]):
        cells[0] = ("", "", "", "")  # nothing to compare with, so no head
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    lines = (
        f"{name:<{widths[0]}}  {published:>{widths[1]}}  {measured:>{widths[2]}}  {verdict}".rstrip()
        for name, published, measured, verdict in cells
    )
    return "\n".join(line for line in lines if line)


def show(script: Mapping[str, Any]) -> None:
    """Run a script, given its globals, and print its rows: what `python FILE.py` does."""
    import inspect
    import sys
    from pathlib import Path

    arguments = {"data": Path(sys.argv[1])} if len(sys.argv) > 1 else {}
    if "data" in inspect.signature(script["run"]).parameters and not arguments:
        sys.exit(f"expected the folder of the course's data: python {sys.argv[0]} FOLDER")
    print(table(compare(script.get("PUBLISHED", {}), script["run"](**arguments), script.get("CHAOTIC"))))
