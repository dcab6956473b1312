"""Layer statistics of a training run: activations, gradients, updates and dead units, measured by train.Monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.viz.plots.axes import COLORS, axes_for, legend, new_figure, plain, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Monitor(Protocol):
    """What is read of a train.Monitor: name -> measurements, one per step."""

    @property
    def steps(self) -> Sequence[int]: ...
    @property
    def activations(self) -> Mapping[str, Sequence[Mapping[str, Any]]]: ...
    @property
    def gradients(self) -> Mapping[str, Sequence[Mapping[str, Any]]]: ...


@checked
def plot_activations(monitor: Monitor, layers: Sequence[str] | None = None, columns: Count = 4) -> Figure:
    """Plot the distribution of each layer's outputs over the steps, dark where many are. Returns the figure."""
    _require_monitor("plot_activations", monitor)
    return _distributions(
        "plot_activations", monitor.steps, monitor.activations, layers, columns, symmetric=False
    )


@checked
def plot_gradients(monitor: Monitor, parameters: Sequence[str] | None = None, columns: Count = 4) -> Figure:
    """Plot the distribution of each parameter's gradients over the steps, dark where many are. Returns the figure."""
    _require_monitor("plot_gradients", monitor)
    return _distributions(
        "plot_gradients", monitor.steps, monitor.gradients, parameters, columns, symmetric=True
    )


@checked
def plot_updates(monitor: Monitor, ax: Axes | None = None) -> Axes:
    """Plot the ratio of update norm to weight norm for each weight over the steps; about 0.001 is usual.

    Returns the axes.
    """
    _require_monitor("plot_updates", monitor)
    series = {
        name: [f["ratio"] for f in figures]
        for name, figures in monitor.gradients.items()
        if name.endswith("weight")
    }
    ax = _lines("plot_updates", monitor.steps, series, ax)
    ax.axhspan(3e-4, 3e-3, color="0.5", alpha=0.15, linewidth=0, label="usual")
    ax.set(yscale="log", ylabel="update / weight")
    legend(ax, series, frameon=False)
    return ax


@checked
def plot_norms(monitor: Monitor, ax: Axes | None = None) -> Axes:
    """Plot the gradient norm of each weight over the steps, on a logarithmic axis; it shows vanishing and exploding.

    Returns the axes.
    """
    _require_monitor("plot_norms", monitor)
    series = {
        name: [f["norm"] for f in figures]
        for name, figures in monitor.gradients.items()
        if name.endswith("weight")
    }
    ax = _lines("plot_norms", monitor.steps, series, ax)
    ax.set(yscale="log", ylabel="norm of the gradient")
    legend(ax, series, frameon=False)
    return ax


@checked
def plot_dead_units(monitor: Monitor, ax: Axes | None = None) -> Axes:
    """Plot, for each layer, the fraction of units whose output is 0 for a whole batch. Returns the axes."""
    _require_monitor("plot_dead_units", monitor)
    series = {
        name: [100 * f["dead"] for f in figures]
        for name, figures in monitor.activations.items()
        if np.isfinite([f["dead"] for f in figures]).any()
    }
    if not series:
        raise ValueRangeError(
            "plot_dead_units: expected a layer whose outputs are at least 0, such as ReLU, got none"
        )
    ax = _lines("plot_dead_units", monitor.steps, series, ax)
    ax.set(ylabel="dead units, %", ylim=(-2, 102))
    legend(ax, series, frameon=False)
    return ax


def _require_monitor(what: str, monitor: object) -> None:
    """Raise DTypeError for what is no monitor."""
    if isinstance(monitor, type) or not all(
        hasattr(monitor, n) for n in ("steps", "activations", "gradients")
    ):
        raise DTypeError(
            f"{what}: monitor: expected a train.Monitor, got {describe(monitor)}. Train with callbacks=[monitor]"
        )


def _require_measurements(what: str, steps: Sequence[int]) -> None:
    """Raise ValueRangeError for a monitor that was never called."""
    if not len(steps):
        raise ValueRangeError(
            f"{what}: expected a monitor with measurements, got an empty one. Train with callbacks=[monitor]"
        )


def _lines(what: str, steps: Sequence[int], series: Mapping[str, Sequence[float]], ax: Axes | None) -> Axes:
    """One line per name over the steps, on the given axes or new ones."""
    _require_measurements(what, steps)
    ax = axes_for(what, ax)
    for i, (name, values) in enumerate(series.items()):
        ax.plot(
            steps[: len(values)],
            values,
            label=name,
            color=COLORS[i % len(COLORS)],
            marker="." if len(values) < 3 else None,
        )
    ax.set_xlabel("step")
    tidy(ax)
    return ax


def _distributions(
    what: str,
    steps: Sequence[int],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    chosen: Sequence[str] | None,
    columns: int,
    symmetric: bool,
) -> Figure:
    """One heatmap per name: a column per step, dark where many values are."""
    _require_measurements(what, steps)
    names = list(chosen if chosen is not None else measured)
    unknown = [name for name in names if name not in measured]
    if unknown or not names:
        raise ValueRangeError(
            f"{what}: expected names among {', '.join(measured)}, got {unknown[0] if unknown else 'none'!r}"
        )
    columns = max(1, min(columns, len(names)))
    rows = -(-len(names) // columns)
    figure = new_figure(what, (3.1 * columns, 2.3 * rows + 0.2))
    for i, name in enumerate(names):
        ax = figure.add_subplot(rows, columns, i + 1)
        _heatmap(ax, steps, [f["histogram"] for f in measured[name]], symmetric)
        plain(ax.set_title(name, fontsize="small"))
        ax.tick_params(labelsize="x-small")
    figure.supxlabel("step", fontsize="small")
    return figure


def _heatmap(ax: Axes, steps: Sequence[int], histograms: Sequence[Any], symmetric: bool) -> None:
    """Histograms with different bins, resampled to common ones, as the columns of a heatmap."""
    low = min(edges[0] for _, edges in histograms)
    high = max(edges[-1] for _, edges in histograms)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    bins = np.linspace(low, high, 61) if high > low else np.linspace(low - 0.5, low + 0.5, 61)
    heat = np.zeros((60, len(histograms)))
    for j, (counts, edges) in enumerate(histograms):
        shares = np.interp(bins, edges, np.r_[0.0, np.cumsum(counts)] / max(counts.sum(), 1))
        heat[:, j] = np.diff(shares)
    # The square root makes the tails visible beside a peak.
    at = np.asarray(steps[: len(histograms)], float)
    between = (at[1:] + at[:-1]) / 2
    first = at[0] - (between[0] - at[0] if len(between) else 0.5)
    last = at[-1] + (at[-1] - between[-1] if len(between) else 0.5)
    ax.pcolormesh(
        np.r_[first, between, last], bins, np.sqrt(heat), cmap="Blues", shading="flat", rasterized=True
    )
