"""Colours of diagrams: one a kind of node, and scales for gradients; the colour-blind can tell all apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinygrad_dl.viz.picture import Picture, PictureNode

# kind -> (fill, border, shape in DOT, what the legend says). Form and words repeat what the colour says.
KINDS = {
    "op": ("#ffffff", "#5b6770", "box", "operation"),
    "parameter": ("#cfe4f5", "#1f6fa8", "box", "parameter"),
    "leaf": ("#d5efe3", "#0b7a57", "ellipse", "input with gradient"),
    "constant": ("#f0f0ee", "#8a8a86", "box", "constant"),
    "number": ("none", "#8a8a86", "plaintext", "number"),
    "failed": ("#fbdcc9", "#b23b00", "octagon", "failed here"),
    "module": ("#ece5f4", "#6b4a9a", "box3d", "folded module"),
    "elided": ("#f0f0ee", "#8a8a86", "box", "folded operations"),
}
OUTPUT_BORDER = "#b8860b"

# From pale to dark in even steps of lightness, so that it also reads in grey.
SEQUENTIAL = ("#f7fbff", "#d6e6f4", "#abcfe6", "#6aaed6", "#3787c0", "#105ba4", "#08306b")
# Blue below, white at 1, orange above: the pair that all common forms of colour blindness keep apart.
DIVERGING = ("#08519c", "#3f8fc5", "#a6cee3", "#ffffff", "#fdc98c", "#f08a24", "#a84c00")

STATUS = {
    "added": ("#d5efe3", "#0b7a57"),
    "removed": ("#fbdcc9", "#b23b00"),
    "changed": ("#fdf0c2", "#a27500"),
}
BAD = {"origin": ("#b23b00", "#6e2400"), "path": ("#fbdcc9", "#b23b00")}


def dark(color: str) -> bool:
    """Whether white text reads better on a colour than black text."""
    if not color.startswith("#"):
        return False
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


class Coloring:
    """The fill of each node under `color`: "grad", "gain", "nan", or None for the kinds alone."""

    def __init__(self, picture: Picture, color: str | None) -> None:
        self.color = color
        values = [v for v in (self._measure(node) for node in picture.nodes) if v is not None and v > 0]
        finite = [math.log10(v) for v in values if math.isfinite(v)]
        self.low = min(finite, default=0.0)
        # A scale of less than a factor of ten would make noise look like a difference.
        self.high = max(max(finite, default=0.0), self.low + 1)

    def _measure(self, node: PictureNode) -> float | None:
        if self.color == "grad":
            return None if node.grad is None else float(node.grad["norm"])
        return node.gain if self.color == "gain" else None

    def fill(self, node: PictureNode) -> str:
        """The fill of a node, as #rrggbb."""
        return self.measured(node) or KINDS[node.kind][0]

    def measured(self, node: PictureNode) -> str:
        """The fill that a node's status or numbers ask for; nothing if its kind alone decides."""
        return self._special(node, 0) or self._scaled(node)

    def border(self, node: PictureNode) -> str:
        """The colour of a node's outline."""
        return self._special(node, 1) or (OUTPUT_BORDER if node.output else KINDS[node.kind][1])

    def _special(self, node: PictureNode, which: int) -> str:
        if node.status:
            return STATUS[node.status][which]
        if self.color == "nan" and node.bad:
            return BAD[node.bad][which]
        return ""

    def _scaled(self, node: PictureNode) -> str:
        value = self._measure(node)
        if value is None:
            return ""
        scale: Sequence[str] = SEQUENTIAL if self.color == "grad" else DIVERGING
        if value == 0:
            return scale[0]
        if not math.isfinite(value):
            return scale[-1]
        at = math.log10(value)
        if self.color == "grad":
            part = (at - self.low) / (self.high - self.low)
        else:
            part = (max(-3.0, min(3.0, at)) + 3) / 6
        return scale[min(len(scale) - 1, max(0, int(part * (len(scale) - 1) + 0.5)))]

    def legend(self) -> list[tuple[str, str]]:
        """The scale in use: (colour, what it means), from low to high."""
        if self.color == "grad":
            ends = f"{10**self.low:.2g}", f"{10**self.high:.2g}"
            return [(SEQUENTIAL[0], f"gradient norm {ends[0]}"), (SEQUENTIAL[-1], ends[1])]
        if self.color == "gain":
            words = "gain 1/1000 or less: vanishes", "1", "1000 or more: explodes"
            return [(DIVERGING[0], words[0]), (DIVERGING[3], words[1]), (DIVERGING[-1], words[2])]
        if self.color == "nan":
            return [
                (BAD["origin"][0], "first value that is not finite"),
                (BAD["path"][0], "spread from there"),
            ]
        return []
