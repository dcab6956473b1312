"""Loss surfaces with the paths of optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tinygrad_dl.arguments import Finite, checked
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.typing import NDArray
from tinygrad_dl.viz.plots.axes import COLORS, Resolution, axes_for, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@checked
def plot_loss_surface(
    f: Callable[[Any, Any], Any],
    paths: Mapping[str, npt.ArrayLike] | None = None,
    *,
    xlim: tuple[Finite, Finite] = (-2.0, 2.0),
    ylim: tuple[Finite, Finite] = (-2.0, 2.0),
    resolution: Resolution = 120,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Plot contour lines of f(x, y) over a part of the plane, and the path of each optimizer. Returns the axes.

    f takes two arrays, or is called point by point if it cannot. `paths`: name -> points (steps, 2).
    `log`: contours of log(f - min f), for narrow valleys. Raises ShapeError for other paths,
    ValueRangeError, DTypeError.

    >>> ax = plot_loss_surface(lambda x, y: x**2 + y**2, {"SGD": [(1, 1), (0.5, 0.5)]})
    >>> [line.get_label() for line in ax.lines][0]
    'SGD'
    """
    for name, (low, high) in (("xlim", xlim), ("ylim", ylim)):
        if low == high:
            raise ValueRangeError(
                f"plot_loss_surface: {name}: expected two different numbers, got {low}, {high}"
            )
    x, y = np.meshgrid(np.linspace(*xlim, resolution), np.linspace(*ylim, resolution))
    z = _values(f, x, y)
    if not np.isfinite(z).any():
        raise ValueRangeError(
            "plot_loss_surface: f: expected finite numbers, got none in this part of the plane"
        )
    z = np.where(np.isfinite(z), z, np.nan)
    ax = axes_for("plot_loss_surface", ax, (5.4, 4.6))
    lowest, highest = np.nanmin(z), np.nanmax(z)
    height = np.log10(z - lowest + 1e-6 * max(highest - lowest, 1e-12)) if log else z
    ax.contourf(x, y, height, levels=24, cmap="Blues_r", alpha=0.8)
    ax.contour(x, y, height, levels=24, colors="white", linewidths=0.3)
    for i, (name, path) in enumerate((paths or {}).items()):
        points = np.asarray(path, float)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise ShapeError(
                f"plot_loss_surface: paths: expected {name!r} as (steps, 2) with at least 1 step, got {points.shape}"
            )
        color = COLORS[(i + 1) % len(COLORS)]
        ax.plot(points[:, 0], points[:, 1], ".-", color=color, linewidth=1.2, markersize=3, label=name)
        ax.plot(*points[-1], "o", color=color, markersize=6)
    ax.set(xlim=xlim, ylim=ylim, xlabel="x", ylabel="y")
    if paths:
        legend(ax, paths)
    return ax


def _values(f: Callable[[Any, Any], Any], x: NDArray, y: NDArray) -> NDArray:
    """f over a grid: in one call if f takes arrays, else point by point."""
    try:
        z = f(x, y)
        z = np.asarray(getattr(z, "data", z) if hasattr(z, "requires_grad") else z, float)
        if z.shape == x.shape:
            return z
    except (TypeError, ValueError):
        z = None  # f takes numbers only
    return np.array([float(f(a, b)) for a, b in zip(x.ravel(), y.ravel())]).reshape(x.shape)
