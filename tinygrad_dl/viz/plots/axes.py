"""What all plots share: axes to draw on, colors, and matplotlib, which is imported on first use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tinygrad_dl.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which is distinct under every form of color blindness.
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


def new_figure(what: str, size: tuple[float, float]) -> Figure:
    """A figure without a window; in a notebook one that the cell displays."""
    library = matplotlib(what)
    if "ipykernel" in sys.modules:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    return library.figure.Figure(figsize=size, layout="constrained")


def axes_for(what: str, ax: Axes | None, size: tuple[float, float] = (6.4, 4.2)) -> Axes:
    """The given axes, or new ones on a figure of their own."""
    return ax if ax is not None else new_figure(what, size).add_subplot()


def tidy(ax: Axes) -> None:
    """A light grid and no box."""
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
