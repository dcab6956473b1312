"""The learning-rate range test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.arguments import checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.viz.plots.axes import COLORS, axes_for, legend, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@checked
def plot_rates(result: Any, ax: Axes | None = None) -> Axes:
    """Plot the loss against the learning rate of a range test (train.find_rate), the suggested rate marked.

    Returns the axes. Raises DTypeError, ValueRangeError.
    """
    if isinstance(result, type) or not all(
        hasattr(result, name) for name in ("rates", "losses", "smooth", "suggestion")
    ):
        raise DTypeError(f"plot_rates: result: expected what train.find_rate returns, got {describe(result)}")
    if not np.isfinite(result.smooth).any():
        raise ValueRangeError("plot_rates: result: expected a loss that is finite, got none")
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
    legend(ax, frameon=False)
    return ax
