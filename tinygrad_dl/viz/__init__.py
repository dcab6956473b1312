"""Draw graphs, and plot what training and models do."""

from tinygrad_dl.viz.compare import diff
from tinygrad_dl.viz.curves import plot_history
from tinygrad_dl.viz.draw import draw
from tinygrad_dl.viz.layout import LayoutError
from tinygrad_dl.viz.record import Recording as record
from tinygrad_dl.viz.results import confusion, plot_confusion, plot_mistakes
from tinygrad_dl.viz.view import GraphView

__all__ = [
    "GraphView",
    "LayoutError",
    "confusion",
    "diff",
    "draw",
    "plot_confusion",
    "plot_history",
    "plot_mistakes",
    "record",
]
