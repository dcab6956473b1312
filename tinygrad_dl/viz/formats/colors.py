"""The colors of diagrams: one per kind of node, and scales for gradients, all of them colorblind-safe."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinygrad_dl.viz.graph.model import GraphModel, GraphNode

# kind -> (fill, border, shape in DOT, text in the legend). No information is in the color alone.
KINDS = {
    "op": ("#ffffff", "#5b6770", "box", "operation"),
    "parameter": ("#cfe4f5", "#1f6fa8", "box", "parameter"),
    "leaf": ("#d5efe3", "#0b7a57", "ellipse", "input with gradient"),
    "argument": ("#d5efe3", "#0b7a57", "ellipse", "argument"),
    "constant": ("#f0f0ee", "#8a8a86", "box", "constant"),
    "number": ("none", "#8a8a86", "plaintext", "number"),
    "product": ("#e3ddf3", "#5a3d8f", "box", "matrix product"),
    "call": ("#fde3c4", "#a35b00", "box", "called as it is, not lowered"),
    "failed": ("#fbdcc9", "#b23b00", "octagon", "failed here"),
    "module": ("#ece5f4", "#6b4a9a", "box3d", "collapsed module"),
    "elided": ("#f0f0ee", "#8a8a86", "box", "collapsed operations"),
}
OUTPUT_BORDER = "#b8860b"

# From light to dark in even steps of lightness, so that it also reads in grayscale.
SEQUENTIAL = ("#f7fbff", "#d6e6f4", "#abcfe6", "#6aaed6", "#3787c0", "#105ba4", "#08306b")
# Blue below 1, white at 1, orange above: distinct under all common forms of color blindness.
DIVERGING = ("#08519c", "#3f8fc5", "#a6cee3", "#ffffff", "#fdc98c", "#f08a24", "#a84c00")

STATUS = {
    "added": ("#d5efe3", "#0b7a57"),
    "removed": ("#fbdcc9", "#b23b00"),
    "changed": ("#fdf0c2", "#a27500"),
}
BAD = {"origin": ("#b23b00", "#6e2400"), "path": ("#fbdcc9", "#b23b00")}


def dark(color: str) -> bool:
    """Whether white text reads better on a color than black text: which has the higher contrast."""
    if not color.startswith("#"):
        return False
    return contrast("#ffffff", color) > contrast("#14181b", color)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colors #rrggbb, from 1 to 21, as the Web Content Accessibility Guidelines define it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    shares = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class Coloring:
    """The fill of each node under `color`: "grad", "gain", "nan", or None for the kinds alone."""

    def __init__(self, graph: GraphModel, color: str | None) -> None:
        self.color = color
        values = [v for v in (self._measure(node) for node in graph.nodes) if v is not None and v > 0]
        finite = [math.log10(v) for v in values if math.isfinite(v)]
        self.low = min(finite, default=0.0)
        # At least a factor of ten, or noise would look like a difference.
        self.high = max(max(finite, default=0.0), self.low + 1)

    def _measure(self, node: GraphNode) -> float | None:
        if self.color == "grad":
            return None if node.grad is None else float(node.grad["norm"])
        return node.gain if self.color == "gain" else None

    def fill(self, node: GraphNode) -> str:
        """The fill of a node, as #rrggbb."""
        return self.measured(node) or KINDS[node.kind][0]

    def measured(self, node: GraphNode) -> str:
        """The fill that a node's marks or numbers ask for; "" if its kind alone decides."""
        return self._mark_colors(node)[0] or self._fill_on_scale(node)

    def border(self, node: GraphNode) -> str:
        """The color of a node's outline."""
        return self._mark_colors(node)[1] or (OUTPUT_BORDER if node.output else KINDS[node.kind][1])

    def _mark_colors(self, node: GraphNode) -> tuple[str, str]:
        """Fill and border of a node that is marked: its status in a difference, or a value that is not finite."""
        if node.status:
            return STATUS[node.status]
        if self.color == "nan" and node.bad:
            return BAD[node.bad]
        return "", ""

    def _fill_on_scale(self, node: GraphNode) -> str:
        """The fill for a node's gradient norm or gain, on a logarithmic scale."""
        value = self._measure(node)
        if value is None:
            return ""
        scale: Sequence[str] = SEQUENTIAL if self.color == "grad" else DIVERGING
        if value == 0:
            return scale[0]
        if not math.isfinite(value):
            return scale[-1]
        exponent = math.log10(value)
        if self.color == "grad":
            fraction = (exponent - self.low) / (self.high - self.low)
        else:
            fraction = (max(-3.0, min(3.0, exponent)) + 3) / 6
        return scale[min(len(scale) - 1, max(0, int(fraction * (len(scale) - 1) + 0.5)))]

    def legend(self) -> list[tuple[str, str]]:
        """The scale in use: (color, meaning), from low to high."""
        if self.color == "grad":
            ends = f"{10**self.low:.2g}", f"{10**self.high:.2g}"
            return [(SEQUENTIAL[0], f"gradient norm {ends[0]}"), (SEQUENTIAL[-1], ends[1])]
        if self.color == "gain":
            meanings = "gain 1/1000 or less: vanishes", "1", "1000 or more: explodes"
            return [(DIVERGING[0], meanings[0]), (DIVERGING[3], meanings[1]), (DIVERGING[-1], meanings[2])]
        if self.color == "nan":
            return [
                (BAD["origin"][0], "first value that is not finite"),
                (BAD["path"][0], "reached from there"),
            ]
        return []
