"""Loss surfaces with optimizer paths, learning-rate range tests, filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.viz.axes import COLOURS, axes_for, new_figure, tidy


def plot_loss_surface(
    f: Callable[[np.ndarray, np.ndarray], Any],
    paths: Mapping[str, Any] | None = None,
    *,
    xlim: tuple[float, float] = (-2.0, 2.0),
    ylim: tuple[float, float] = (-2.0, 2.0),
    resolution: int = 120,
    log: bool = False,
    ax: Any = None,
) -> Any:
    """Level lines of f(x, y) over a part of the plane, with the way that each optimizer took. Returns the axes.

    f takes two arrays (or is called point by point if it cannot). `paths`: name -> points (steps, 2).
    `log`: levels of log(f - min f), for narrow valleys. Raises ShapeError for other paths.
    """
    x, y = np.meshgrid(np.linspace(*xlim, resolution), np.linspace(*ylim, resolution))
    z = _values(f, x, y)
    ax = axes_for("plot_loss_surface", ax, (5.4, 4.6))
    height = np.log10(z - np.nanmin(z) + 1e-6 * max(np.ptp(z), 1e-12)) if log else z
    ax.contourf(x, y, height, levels=24, cmap="Blues_r", alpha=0.8)
    ax.contour(x, y, height, levels=24, colors="white", linewidths=0.3)
    for i, (name, path) in enumerate((paths or {}).items()):
        points = np.asarray(path, float)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ShapeError(f"plot_loss_surface: the path {name!r} is (steps, 2); {points.shape} came")
        colour = COLOURS[(i + 1) % len(COLOURS)]
        ax.plot(points[:, 0], points[:, 1], ".-", color=colour, linewidth=1.2, markersize=3, label=name)
        ax.plot(*points[-1], "o", color=colour, markersize=6)
    ax.set(xlim=xlim, ylim=ylim, xlabel="x", ylabel="y")
    if paths:
        ax.legend(fontsize="small")
    return ax


def _values(f: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    try:
        z = f(x, y)
        z = np.asarray(getattr(z, "data", z) if hasattr(z, "requires_grad") else z, float)
        if z.shape == x.shape:
            return z
    except (TypeError, ValueError):
        z = None  # f wants numbers
    return np.array([float(f(a, b)) for a, b in zip(x.ravel(), y.ravel())]).reshape(x.shape)


def plot_rates(result: Any, ax: Any = None) -> Any:
    """The loss against the learning rate of a range test (train.find_rate), the suggested rate marked.

    Returns the axes.
    """
    ax = axes_for("plot_rates", ax)
    ax.plot(result.rates, result.losses, color="0.7", linewidth=0.8, label="loss")
    ax.plot(result.rates, result.smooth, color=COLOURS[0], label="smoothed")
    ax.axvline(
        result.suggestion, color=COLOURS[1], linestyle="--", label=f"suggested: {result.suggestion:.2g}"
    )
    finite = np.asarray(result.smooth)[np.isfinite(result.smooth)]
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    ax.set_ylim(
        finite.min() - 0.1 * np.ptp(finite), min(finite.max(), 3 * finite[0]) + 0.1 * np.ptp(finite) + 1e-9
    )
    tidy(ax)
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_filters(weight: Any, columns: int = 8, limit: int = 64) -> Any:
    """The filters of a convolution (out, in, kh, kw), or the rows of a layer on images (out, kh, kw), as images.

    Blue is negative, red positive, white 0; filters of three channels are shown in colour, of others the
    first channel. Returns the figure. Raises ShapeError.
    """
    w = np.asarray(weight.data if hasattr(weight, "requires_grad") else weight)
    if w.ndim == 3:
        w = w[:, None]
    if w.ndim != 4 or not w.size:
        raise ShapeError(
            f"plot_filters: (out, in, height, width) is needed; {w.shape} came. Rows of a Linear on images: "
            "weight.data.reshape(-1, height, width)."
        )
    shown = w[:limit]
    columns = max(1, min(columns, len(shown)))
    rows = -(-len(shown) // columns)
    figure = new_figure("plot_filters", (columns * 0.9 + 0.2, rows * 0.9 + 0.2))
    reach = np.abs(shown).max() or 1.0
    for i, filter in enumerate(shown):
        ax = figure.add_subplot(rows, columns, i + 1)
        if len(filter) == 3:
            ax.imshow(np.clip(filter.transpose(1, 2, 0) / (2 * reach) + 0.5, 0, 1))
        else:
            ax.imshow(filter[0], cmap="RdBu_r", vmin=-reach, vmax=reach)
        ax.set_xticks([])
        ax.set_yticks([])
    return figure
