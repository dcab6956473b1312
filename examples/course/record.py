"""There beside here: a figure printed in a notebook, the one measured now, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One figure: `there` as the notebook prints it ("" for none), `here` as measured."""

    what: str
    there: str
    here: float
    chaotic: float = 0.0

    @property
    def shown(self) -> str:
        """`here`, to the digits of `there`; percents to two digits."""
        number, _, unit = self.there.partition(" ")
        if not self.there:
            return f"{self.here:.2f}" if self.what.endswith("%") else f"{self.here:.6g}"
        if "e" in number:
            return f"{self.here:.1e}"
        if unit:
            return f"{self.here:.2f} {unit}"
        return f"{self.here:.{len(number.partition('.')[2])}f}"

    @property
    def agrees(self) -> bool:
        """Equal in every digit printed; 1e-9: of that size; percents, which notebooks round or cut off, to less
        than one of the last digit.
        """
        if not self.there:
            return True
        number, _, unit = self.there.partition(" ")
        if "e" in number:
            return 0.1 < self.here / float(number) < 10
        off = abs(self.here - float(number))
        if unit:
            return off < max(10.0 ** -len(number.partition(".")[2]), self.chaotic)
        return self.shown == number or off < self.chaotic

    @property
    def verdict(self) -> str:
        """What the last column says."""
        if not self.there:
            return ""
        if not self.agrees:
            return "DIFFERS"
        if self.chaotic:
            return "same" if self._replace(chaotic=0.0).agrees else "chaotic: close"
        return "same"


def beside(
    published: Mapping[str, str], here: Mapping[str, float], chaotic: Mapping[str, float] | None = None
) -> list[Row]:
    """The rows of an experiment: the published figures that were measured, then what has no counterpart.

    `chaotic`: figures that rounding decides, and how far from the published ones they may be.
    """
    rows = [
        Row(what, there, here[what], (chaotic or {}).get(what, 0.0))
        for what, there in published.items()
        if what in here
    ]
    return rows + [Row(what, "", value) for what, value in here.items() if what not in published]


def table(rows: Iterable[Row]) -> str:
    """The rows as text in columns."""
    cells = [("", "there", "here", ""), *((r.what, r.there, r.shown, r.verdict) for r in rows)]
    if not any(there for _, there, _, _ in cells[1:]):
        cells[0] = ("", "", "", "")
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    lines = (
        f"{what:<{widths[0]}}  {there:>{widths[1]}}  {here:>{widths[2]}}  {verdict}".rstrip()
        for what, there, here, verdict in cells
    )
    return "\n".join(line for line in lines if line)


def show(script: Mapping[str, Any]) -> None:
    """Run a script, given its names, and print its rows: what `python FILE.py` does."""
    import inspect
    import sys
    from pathlib import Path

    given = {"data": Path(sys.argv[1])} if len(sys.argv) > 1 else {}
    if "data" in inspect.signature(script["run"]).parameters and not given:
        sys.exit(f"say where the course's data are: python {sys.argv[0]} FOLDER")
    print(table(beside(script.get("THERE", {}), script["run"](**given), script.get("CHAOTIC"))))
