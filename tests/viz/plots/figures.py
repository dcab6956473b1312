"""What the tests of plots share."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def axes() -> Any:
    """Axes on a figure of their own."""
    from matplotlib.figure import Figure  # optional

    return Figure().add_subplot()


def drawn(figure: Any, tmp_path: Path) -> None:
    """Drawing finds what building does not: wrong sizes, missing glyphs."""
    figure.savefig(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000
