"""Draw computation graphs, and plot what happens in training and inside models."""

from tinygrad_dl.viz.draw import diff, draw
from tinygrad_dl.viz.formats.graphviz import LayoutError
from tinygrad_dl.viz.graph.recording import Recording as record
from tinygrad_dl.viz.plots.confusion import confusion, plot_confusion, plot_mistakes
from tinygrad_dl.viz.plots.decision_boundary import plot_decision_boundary
from tinygrad_dl.viz.plots.filters import plot_filters
from tinygrad_dl.viz.plots.layer_statistics import (
    plot_activations,
    plot_dead_units,
    plot_gradients,
    plot_norms,
    plot_updates,
)
from tinygrad_dl.viz.plots.learning_curves import plot_history
from tinygrad_dl.viz.plots.loss_surface import plot_loss_surface
from tinygrad_dl.viz.plots.range_test import plot_rates
from tinygrad_dl.viz.plots.schedules import plot_schedule
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
