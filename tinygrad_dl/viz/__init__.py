"""Draw graphs, and plot what training and models do."""

from tinygrad_dl.viz.boundary import plot_decision_boundary
from tinygrad_dl.viz.compare import diff
from tinygrad_dl.viz.curves import plot_history
from tinygrad_dl.viz.draw import draw
from tinygrad_dl.viz.inside import plot_activations, plot_dead_units, plot_gradients, plot_norms, plot_updates
from tinygrad_dl.viz.layout import LayoutError
from tinygrad_dl.viz.record import Recording as record
from tinygrad_dl.viz.results import confusion, plot_confusion, plot_mistakes
from tinygrad_dl.viz.schedules import plot_schedule
from tinygrad_dl.viz.surface import plot_filters, plot_loss_surface, plot_rates
from tinygrad_dl.viz.view import GraphView

__all__ = [
    "GraphView",
    "LayoutError",
    "confusion",
    "diff",
    "draw",
    "plot_activations",
    "plot_confusion",
    "plot_dead_units",
    "plot_decision_boundary",
    "plot_filters",
    "plot_gradients",
    "plot_history",
    "plot_loss_surface",
    "plot_mistakes",
    "plot_norms",
    "plot_rates",
    "plot_schedule",
    "plot_updates",
    "record",
]
