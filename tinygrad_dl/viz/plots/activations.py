"""Inside a network while it learns: activations, gradients, updates and dead units, as train.Monitor measured them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.viz.plots.axes import COLORS, axes_for, new_figure, tidy


def plot_activations(monitor: Any, layers: Sequence[str] | None = None, columns: int = 4) -> Any:
    """How the outputs of each layer are spread, step by step: dark where many are. Returns the figure."""
    return _spread("plot_activations", monitor.steps, monitor.activations, layers, columns, symmetric=False)


def plot_gradients(monitor: Any, parameters: Sequence[str] | None = None, columns: int = 4) -> Any:
    """How the gradients of each parameter are spread, step by step: dark where many are. Returns the figure."""
    return _spread("plot_gradients", monitor.steps, monitor.gradients, parameters, columns, symmetric=True)


def plot_updates(monitor: Any, ax: Any = None) -> Any:
    """The norm of each weight's update over the norm of the weight, step by step; about 0.001 is usual.

    Returns the axes.
    """
    series = {
        name: [f["ratio"] for f in figures]
        for name, figures in monitor.gradients.items()
        if name.endswith("weight")
    }
    ax = _lines("plot_updates", monitor.steps, series, ax)
    ax.axhspan(3e-4, 3e-3, color="0.5", alpha=0.15, linewidth=0, label="usual")
    ax.set(yscale="log", ylabel="update / weight")
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_norms(monitor: Any, ax: Any = None) -> Any:
    """The norm of each weight's gradient, step by step, on a logarithmic axis: vanishing and exploding ones show.

    Returns the axes.
    """
    series = {
        name: [f["norm"] for f in figures]
        for name, figures in monitor.gradients.items()
        if name.endswith("weight")
    }
    ax = _lines("plot_norms", monitor.steps, series, ax)
    ax.set(yscale="log", ylabel="norm of the gradient")
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_dead_units(monitor: Any, ax: Any = None) -> Any:
    """The share of units that gave 0 for a whole batch, layer by layer. Returns the axes."""
    series = {
        name: [100 * f["dead"] for f in figures]
        for name, figures in monitor.activations.items()
        if np.isfinite([f["dead"] for f in figures]).any()
    }
    if not series:
        raise ValueRangeError("plot_dead_units: no layer has a least output of 0, as ReLU has")
    ax = _lines("plot_dead_units", monitor.steps, series, ax)
    ax.set(ylabel="dead units, %", ylim=(-2, 102))
    ax.legend(frameon=False, fontsize="small")
    return ax


def _lines(what: str, steps: Sequence[int], series: Mapping[str, Sequence[float]], ax: Any) -> Any:
    if not len(steps):
        raise ValueRangeError(f"{what}: the monitor has measured nothing yet; train with callbacks=[monitor]")
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


def _spread(
    what: str,
    steps: Sequence[int],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    chosen: Sequence[str] | None,
    columns: int,
    symmetric: bool,
) -> Any:
    if not len(steps):
        raise ValueRangeError(f"{what}: the monitor has measured nothing yet; train with callbacks=[monitor]")
    names = list(chosen if chosen is not None else measured)
    unknown = [name for name in names if name not in measured]
    if unknown or not names:
        raise ValueRangeError(
            f"{what}: {unknown[0] if unknown else 'nothing'!r} was not measured; there are {', '.join(measured)}"
        )
    columns = max(1, min(columns, len(names)))
    rows = -(-len(names) // columns)
    figure = new_figure(what, (3.1 * columns, 2.3 * rows + 0.2))
    for i, name in enumerate(names):
        ax = figure.add_subplot(rows, columns, i + 1)
        _heat(ax, steps, [f["histogram"] for f in measured[name]], symmetric)
        ax.set_title(name, fontsize="small")
        ax.tick_params(labelsize="x-small")
    figure.supxlabel("step", fontsize="small")
    return figure


def _heat(ax: Any, steps: Sequence[int], histograms: Sequence[Any], symmetric: bool) -> None:
    """Histograms with bins of their own, brought to common ones and put side by side."""
    low = min(edges[0] for _, edges in histograms)
    high = max(edges[-1] for _, edges in histograms)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    bins = np.linspace(low, high, 61) if high > low else np.linspace(low - 0.5, low + 0.5, 61)
    heat = np.zeros((60, len(histograms)))
    for j, (counts, edges) in enumerate(histograms):
        shares = np.interp(bins, edges, np.r_[0.0, np.cumsum(counts)] / max(counts.sum(), 1))
        heat[:, j] = np.diff(shares)
    # The root: beside a peak the tails would not be seen.
    at = np.asarray(steps[: len(histograms)], float)
    between = (at[1:] + at[:-1]) / 2
    first = at[0] - (between[0] - at[0] if len(between) else 0.5)
    last = at[-1] + (at[-1] - between[-1] if len(between) else 0.5)
    ax.pcolormesh(
        np.r_[first, between, last], bins, np.sqrt(heat), cmap="Blues", shading="flat", rasterized=True
    )
