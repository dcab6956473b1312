"""Notebooks: whether there is one, and HTML for it, which reads as well on a dark page as on a light one.

Tables, bars and line charts.

A notebook's theme is not the browser's: the page sets a color of text, and what is drawn here takes it over. Every
color is the text's own, or a hue mixed with it, which is darker on light pages and lighter on dark ones.
"""

from __future__ import annotations

import html
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

# The palette of Okabe and Ito, which is distinct under every form of color blindness.
BLUE, RED, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#808080"
MOST_POINTS = 300  # of a line: more do not show
LARGE_RANGE = 30  # a value axis is logarithmic where the largest value is so many times the smallest
MOST_CELLS = 100  # of an array: one with more elements is summed up
MOST_SAMPLES = 1_000_000  # elements of which statistics are computed
LETTERS = 12  # pixels: the size of text in charts
FREE = 14.0  # pixels from the middle of letters within which there is no curve


def in_notebook() -> bool:
    """Whether a front end displays HTML: in Jupyter, VS Code or Colab, not in a terminal, even IPython's."""
    shell = _shell()
    # The publisher of IPython itself prints, or records what a test or %%capture asks for.
    publisher: Any = getattr(shell, "display_pub", None)
    return publisher is not None and not type(publisher).__module__.startswith("IPython.")


def cell() -> int | None:
    """The number of the cell that runs, None outside of a notebook."""
    number = getattr(_shell(), "execution_count", None)
    return number if isinstance(number, int) else None


def _shell() -> Any:
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def text(value: object) -> str:
    """A value as HTML text."""
    return html.escape(str(value))


def mixed(hue: str, share: int = 65) -> str:
    """A color as CSS: the hue mixed with the color of the text around it."""
    return f"color-mix(in srgb,{hue} {share}%,currentColor)"


def colored(content: str, hue: str) -> str:
    """A piece of HTML in a color, and bold, since not everyone sees colors."""
    return f'<b style="color:{mixed(hue)}">{content}</b>'


def block(*parts: str) -> str:
    """What a notebook displays: parts side by side where there is room, else one below the other.

    It scrolls sideways by itself, so that the notebook does not.
    """
    inside = "".join(f'<div style="max-width:100%;overflow-x:auto">{part}</div>' for part in parts if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 24px;align-items:flex-start">{inside}</div>'


def paragraph(content: str) -> str:
    """A line of HTML."""
    return f'<p style="margin:0 0 4px">{content}</p>'


def soft(content: str) -> str:
    """A piece of HTML that is less important."""
    return f'<span style="opacity:.8">{content}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int] = ()) -> str:
    """A table of HTML cells; the columns `left` are aligned to the left, numbers are not."""
    aligned = set(left)
    style = "padding:2px 8px;white-space:nowrap;font-variant-numeric:tabular-nums;text-align:"

    def cells(row: Sequence[str], tag: str) -> str:
        if len(row) == 1 < len(head):
            return f'<{tag} colspan="{len(head)}" style="{style}left">{row[0]}</{tag}>'
        sides = ("left" if i in aligned else "right" for i in range(len(row)))
        return "".join(f'<{tag} style="{style}{side}">{cell}</{tag}>' for side, cell in zip(sides, row))

    heading = f"<thead><tr>{cells(head, 'th')}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<table style="border-collapse:collapse;margin:0">{heading}<tbody>{body}</tbody></table>'


def bar(share: float, label: str, width: int = 80) -> str:
    """A bar that is filled to a share between 0 and 1, followed by its label."""
    filled = min(max(share, 0.0), 1.0) if share == share else 0.0
    edge = f"border:1px solid {mixed(GRAY, 70)}"
    inner = f"width:{100 * filled:.1f}%;height:100%;background:{mixed(BLUE)}"
    box = f"display:inline-block;vertical-align:middle;width:{width}px;height:9px;{edge}"
    return f'<span style="{box}"><span style="display:block;{inner}"></span></span> {label}'


def elided(items: Sequence[Any], first: int, last: int) -> list[Any]:
    """The first and the last items, with None between them where some are left out."""
    return [*items] if len(items) <= first + last else [*items[:first], None, *items[len(items) - last :]]


class Line(NamedTuple):
    """A line of a chart: its points, nan where there is none, and its color."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    hue: str = BLUE


class Mark(NamedTuple):
    """A point of a chart with a name."""

    name: str
    x: float
    y: float
    hue: str = GREEN


def chart(
    lines: Sequence[Line],
    what: str,
    marks: Sequence[Mark] = (),
    *,
    x_label: str = "",
    log_x: bool = False,
    log_y: bool | None = None,
    width: int = 340,
    height: int = 190,
) -> str:
    """A line chart as SVG; "" if no line has a finite point. `log_y`: None decides by the range of the values."""
    points = [
        (x, y)
        for line in lines
        for x, y in zip(line.x, line.y)
        if math.isfinite(x) and math.isfinite(y) and not (log_x and x <= 0)
    ]
    if not points:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    if log_y is None:
        log_y = low > 0 and high > LARGE_RANGE * low
    across = _Axis(min(x for x, _ in points), max(x for x, _ in points), log_x)
    up = _Axis(low, high, log_y)
    labels = [(up(value), _short(value)) for value in up.ticks()]
    left = 10 + 7 * max(len(label) for _, label in labels)
    right, top, bottom = width - 10, 26, height - (36 if x_label else 22)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + across(x) * (right - left), bottom - up(y) * (bottom - top)

    thin = f'stroke="{mixed(GRAY, 70)}"'
    parts = []
    for share, label in labels:
        y = bottom - share * (bottom - top)
        parts.append(f'<path d="M{left} {y:.1f}H{right}" {thin} stroke-width=".6"/>')
        parts.append(_letters(left - 5, y + 4, label, "end"))
    for value in across.ticks():
        x = left + across(value) * (right - left)
        parts.append(f'<path d="M{x:.1f} {bottom}v4" {thin}/>')
        label = _short(value)
        half = 3.5 * len(label)
        parts.append(_letters(min(max(x, half), width - half), bottom + 16, label, "middle"))
    if x_label:
        parts.append(_letters((left + right) / 2, height - 5, x_label, "middle"))
    legend = float(left)
    curves = []
    for line in lines:
        color = mixed(line.hue)
        placed = [place(x, y) if _shown(x, y, log_x) else None for x, y in _thinned(line)]
        path = _path(placed)
        curves.append(np.array([point for point in placed if point is not None]).reshape(-1, 2))
        parts.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>')
        if line.name:
            parts.append(f'<path d="M{legend:.0f} 11h14" stroke="{color}" stroke-width="2.5"/>')
            parts.append(_letters(legend + 18, 15, line.name, "start"))
            legend += 34 + 7 * len(line.name)
    for mark in marks:
        if _shown(mark.x, mark.y, log_x):
            x, y = place(mark.x, mark.y)
            color = mixed(mark.hue)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>')
            x, y, anchor = _free_place(x, y, 7 * len(mark.name), (left, right, top, bottom), curves)
            parts.append(_letters(x, y, mark.name, anchor, color))
    return _svg(parts, what, width, height)


def _free_place(
    x: float, y: float, length: float, area: tuple[float, float, float, float], curves: Sequence[np.ndarray]
) -> tuple[float, float, str]:
    """Where letters about a point are farthest from all curves: beside it, or above or below, near it or further."""
    left, right, top, bottom = area
    starts = {"start": x + 7, "end": x - 7 - length, "middle": x - length / 2}

    def clearance(anchor: str, middle: float) -> float:
        start = starts[anchor]
        if start < left or start + length > right or not top + 4 <= middle <= bottom - 6:
            return -1.0
        under = np.linspace(start, start + length, 16)
        heights = [np.interp(under, c[:, 0], c[:, 1], left=np.nan, right=np.nan) for c in curves if len(c)]
        away = np.abs(np.array(heights) - middle)
        return float(np.nanmin(away, initial=FREE))

    places = [(anchor, y + down) for down in (-10, 12, -24, 26, -40, 42, -56, 58) for anchor in starts]
    anchor, middle = max(places, key=lambda place: clearance(*place))  # the first of several that are free
    return {"start": x + 7, "end": x - 7, "middle": x}[anchor], middle + 4, anchor


def histogram(
    counts: Sequence[int], low: float, high: float, what: str, width: int = 260, height: int = 96
) -> str:
    """The bars of a histogram over [low, high] as SVG."""
    most = max([*counts, 1])
    step = (width - 20) / max(len(counts), 1)
    top, bottom = 6, height - 22
    parts = [
        f'<rect x="{10 + i * step:.1f}" y="{bottom - (bottom - top) * n / most:.1f}" width="{max(step - 1, 0.5):.1f}" '
        f'height="{(bottom - top) * n / most:.1f}" fill="{mixed(BLUE)}"/>'
        for i, n in enumerate(counts)
    ]
    parts.append(f'<path d="M10 {bottom}H{width - 10}" stroke="{mixed(GRAY, 70)}"/>')
    parts.append(_letters(10, height - 7, _short(low), "start"))
    parts.append(_letters(width - 10, height - 7, _short(high), "end"))
    return _svg(parts, what, width, height)


def array(values: np.ndarray, title: str) -> str:
    """The elements of a small array; of a large one its statistics, a histogram and the first elements."""
    heading = paragraph(f"<b>{text(title)}</b>")
    if values.size == 0:
        return heading + paragraph("no elements")
    if values.size <= MOST_CELLS and values.ndim <= 2:
        rows = [[_cell(value) for value in row] for row in np.atleast_2d(values).tolist()]
        return heading + block(table([""] * len(rows[0]), rows))
    corner = np.array2string(values, separator=", ", threshold=MOST_CELLS, edgeitems=3)
    elements = f'<pre style="margin:0;background:none;color:inherit">{text(corner)}</pre>'
    return heading + block(elements, _statistics(values) if values.size > MOST_CELLS else "")


def _statistics(values: np.ndarray) -> str:
    """The statistics and the histogram of an array of numbers."""
    if values.dtype.kind not in "biufc":
        return ""
    if values.dtype.kind == "b":
        share = float(values.mean())
        return paragraph(bar(share, f"{100 * share:.4g} % True"))
    numbers = np.abs(values) if values.dtype.kind == "c" else values
    # A large array is looked at in part, so that its display takes no time that is noticed.
    sample = numbers.reshape(-1)[:: max(1, values.size // MOST_SAMPLES)]
    sample = sample.astype(np.float64)
    finite = sample[np.isfinite(sample)]
    lines = [f"of {finite.size:,} elements" if sample.size < values.size else ""]
    if sample.size > finite.size:
        bad = [
            f"{count:,} {what}"
            for what, count in (
                ("nan", int(np.isnan(sample).sum())),
                ("infinite", int(np.isinf(sample).sum())),
            )
            if count
        ]
        lines.append(colored(", ".join(bad), RED))
    picture = ""
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        if low < high and np.isfinite(high - low):
            counts = np.histogram(finite, bins=32, range=(low, high))[0].tolist()
            picture = histogram(counts, low, high, f"Histogram from {low:.4g} to {high:.4g}")
        scale = max(abs(low), abs(high)) or 1.0  # so that sums and squares do not overflow
        mean, std = float((finite / scale).mean()) * scale, float((finite / scale).std()) * scale
        what = "absolute value: " if values.dtype.kind == "c" else ""
        lines.append(f"{what}mean {mean:.4g}, std {std:.4g}, min {low:.4g}, max {high:.4g}")
    return picture + "".join(map(paragraph, filter(None, lines)))


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else text(value)


class _Axis:
    """Values on an axis as shares of its length."""

    def __init__(self, low: float, high: float, log: bool) -> None:
        self.log = log
        self.low, self.high = low, high
        self._low, self._high = self._scaled(low), self._scaled(high)

    def _scaled(self, value: float) -> float:
        # Half of the value: the difference of the largest numbers would be infinite.
        return math.log10(value) if self.log else value / 2

    def __call__(self, value: float) -> float:
        span = self._high - self._low
        return (self._scaled(value) - self._low) / span if span > 0 else 0.5

    def ticks(self) -> list[float]:
        """Three to six round numbers in the range of the axis, its ends where there are none."""
        if self._high <= self._low:
            return [self.low]
        if self.log:
            first, last = math.ceil(self._low - 1e-9), math.floor(self._high + 1e-9)
            step = max(1, math.ceil((last - first + 1) / 6))
            found = [10.0**power for power in range(first, last + 1, step)]
            return found if len(found) > 1 else [self.low, self.high]
        rough = (self._high - self._low) / 2  # a quarter of the range, which is twice that difference
        if not rough or not math.isfinite(rough):
            return [self.low, self.high]
        unit = 10.0 ** math.floor(math.log10(rough))
        if not unit:
            return [self.low, self.high]
        width = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * 0.75)
        begin = math.ceil(self.low / width)
        found = [i * width for i in range(begin, begin + 8) if i * width <= self.high * (1 + 1e-12)]
        return found if len(found) > 1 else [self.low, self.high]


def _shown(x: float, y: float, log_x: bool) -> bool:
    return math.isfinite(x) and math.isfinite(y) and not (log_x and x <= 0)


def _thinned(line: Line) -> list[tuple[float, float]]:
    """The points of a line, every n-th and the last of a long one."""
    points = list(zip(line.x, line.y))
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return points[::step] + (points[-1:] if (len(points) - 1) % step else [])


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """An SVG path that is broken where a point is missing; a point alone becomes a dot."""
    path = ""
    before = None
    for i, place in enumerate(places):
        if place is not None:
            alone = before is None and (i + 1 == len(places) or places[i + 1] is None)
            path += f"{'M' if before is None else 'L'}{place[0]:.1f} {place[1]:.1f}" + ("h2" if alone else "")
        before = place
    return path


def _letters(x: float, y: float, content: str, anchor: str, color: str = "currentColor") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{text(content)}</text>'


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _svg(parts: Iterable[str], what: str, width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{text(what)}" font-family="system-ui,sans-serif" font-size="{LETTERS}">'
        + "".join(parts)
        + "</svg>"
    )
