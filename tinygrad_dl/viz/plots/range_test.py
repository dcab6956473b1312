"""The learning-rate range test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.viz.plots.axes import COLORS, axes_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_rates(result: Any, ax: Axes | None = None) -> Axes:
    """Plot the loss against the learning rate of a range test (train.find_rate), the suggested rate marked.

    Returns the axes.
    """
    ax = axes_for("plot_rates", ax)
    ax.plot(result.rates, result.losses, color="0.7", linewidth=0.8, label="loss")
    ax.plot(result.rates, result.smooth, color=COLORS[0], label="smoothed")
    ax.axvline(
        result.suggestion, color=COLORS[1], linestyle="--", label=f"suggested: {result.suggestion:.2g}"
    )
    finite = np.asarray(result.smooth)[np.isfinite(result.smooth)]
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    ax.set_ylim(
        finite.min() - 0.1 * np.ptp(finite), min(finite.max(), 3 * finite[0]) + 0.1 * np.ptp(finite) + 1e-9
    )
    tidy(ax)
    ax.legend(frameon=False, fontsize="small")
    return ax
