"""What all plots share: axes to draw on, colors, and matplotlib, which is imported on first use."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from tinygrad_dl import markup
from tinygrad_dl.arguments import Bounds
from tinygrad_dl.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

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
    if markup.in_notebook():
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, layout="constrained", FigureClass=_shown_once(library))
    return library.figure.Figure(figsize=size, layout="constrained")


def _shown_once(library: Any) -> type[Figure]:
    """The class of figures that a cell displays once.

    Matplotlib displays all new figures at the end of a cell. One that is also the cell's last value would be
    displayed a second time.
    """

    class ShownOnce(library.figure.Figure):
        def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
            import matplotlib.pyplot as plt

            plt.close(self)  # it is displayed now, so no longer at the end of the cell
            return {}

    ShownOnce.__name__ = ShownOnce.__qualname__ = "Figure"  # which its text shows
    return ShownOnce


def axes_for(what: str, ax: Axes | None, size: tuple[float, float] = (6.4, 4.2)) -> Axes:
    """The given axes, or new ones on a figure of their own."""
    return ax if ax is not None else new_figure(what, size).add_subplot()


#: Points along an axis of a plot: a grid of more would take gigabytes.
Resolution: TypeAlias = Annotated[int, Bounds(least=2, most=4000)]
MOST_CLASSES = 10_000  # a matrix of more would take gigabytes


def plain(*texts: Text | None) -> None:
    """Show names as they are: a dollar sign in the text of a user begins no formula."""
    for text in texts:
        if text is not None:
            text.set_parse_math(False)


def legend(ax: Axes, names: Collection[str] = (), **how: Any) -> None:
    """A legend of what has a label; of labels that begin with _, which matplotlib leaves out, those in `names`."""
    shown = [
        artist
        for artist in (*ax.lines, *ax.patches, *ax.collections)
        if (label := str(artist.get_label())) and (label in names or not label.startswith("_"))
    ]
    made = ax.legend(shown, [str(artist.get_label()) for artist in shown], **{"fontsize": "small", **how})
    plain(*made.get_texts())


def plain_labels(figure: Figure) -> None:
    """Show the titles, labels and legends of a figure as they are."""
    for ax in figure.axes:
        box = ax.get_legend()
        plain(ax.title, ax.xaxis.label, ax.yaxis.label, *(box.get_texts() if box is not None else ()))


def tidy(ax: Axes) -> None:
    """A light grid and no box."""
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
