"""What all plots share: axes to draw on, colors, and matplotlib imported when it is first needed."""

from __future__ import annotations

import sys
from typing import Any

from tinygrad_dl.errors import missing_extra

# Okabe and Ito's colors, which people with any color vision can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)


def matplotlib(what: str) -> Any:
    """The module matplotlib. Raises MissingExtraError."""
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError:
        raise missing_extra("matplotlib", "viz", what) from None
    return matplotlib


def new_figure(what: str, size: tuple[float, float]) -> Any:
    """A figure that no window shows; in a notebook one that the cell shows."""
    library = matplotlib(what)
    if "ipykernel" in sys.modules:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    return library.figure.Figure(figsize=size, layout="constrained")


def axes_for(what: str, ax: Any, size: tuple[float, float] = (6.4, 4.2)) -> Any:
    """The axes given, or new ones on a figure of their own."""
    return ax if ax is not None else new_figure(what, size).add_subplot()


def tidy(ax: Any) -> None:
    """A light grid and no box."""
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
