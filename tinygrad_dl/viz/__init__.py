"""Draw graphs, and plot what training and models do."""

from tinygrad_dl.viz.compare import diff
from tinygrad_dl.viz.draw import draw
from tinygrad_dl.viz.layout import LayoutError
from tinygrad_dl.viz.record import Recording as record
from tinygrad_dl.viz.view import GraphView

__all__ = ["GraphView", "LayoutError", "diff", "draw", "record"]
