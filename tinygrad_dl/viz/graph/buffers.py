"""The life of a program's buffers as rows of a strip, for every format."""

from __future__ import annotations

from dataclasses import dataclass

from tinygrad_dl.viz.graph.labels import byte_text
from tinygrad_dl.viz.graph.model import GraphBuffer, GraphModel

ROWS = 20  # the largest buffers that a strip shows
COLUMNS = 48  # steps that have a column of their own; more share columns


@dataclass
class Strip:
    """Rows (name, bytes as text, first and last column) over `columns` columns, each of `width` steps."""

    columns: int
    width: int
    rows: list[tuple[str, str, int, int]]
    note: str = ""


def strip(graph: GraphModel) -> Strip | None:
    """The strip of a graph model; None if it has no buffers."""
    if not graph.buffers:
        return None
    width = -(-graph.steps // COLUMNS)
    columns = -(-graph.steps // width)
    shown = sorted(graph.buffers, key=lambda b: -b.bytes)[:ROWS]
    ordered = [b for b in graph.buffers if any(b is s for s in shown)]
    rows = [_row(b, width) for b in ordered]
    more = len(graph.buffers) - len(shown)
    return Strip(columns, width, rows, f"and {more} smaller buffers" if more else "")


def _row(buffer: GraphBuffer, width: int) -> tuple[str, str, int, int]:
    name = f"{buffer.name or 'buffer'}"
    return name, byte_text(buffer.bytes), (buffer.first - 1) // width, (buffer.last - 1) // width


def strip_lines(found: Strip) -> list[str]:
    """The strip in letters: # where a buffer is in use."""
    names = max(len(row[0]) for row in found.rows)
    sizes = max(len(row[1]) for row in found.rows)
    per = "" if found.width == 1 else f", {found.width} steps a column"
    lines = [f"buffers (# from the step that writes to the last that reads{per}):"]
    for name, size, first, last in found.rows:
        marks = "." * first + "#" * (last - first + 1) + "." * (found.columns - last - 1)
        lines.append(f"  {name:{names}} {size:>{sizes}} {marks}")
    return [*lines, *([f"  {found.note}"] if found.note else [])]
