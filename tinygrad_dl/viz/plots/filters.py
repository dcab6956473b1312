"""The weights of a convolution as images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.typing import ArrayLike
from tinygrad_dl.viz.plots.axes import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@checked
def plot_filters(weight: ArrayLike, columns: Count = 8, limit: Count = 64) -> Figure:
    """Show the filters of a convolution (out, in, kh, kw), or rows of a Linear layer (out, kh, kw), as images.

    Blue is negative, red positive, white 0. Filters of three channels are shown in color, of others the first
    channel. Returns the figure. Raises ShapeError.

    >>> len(plot_filters(np.zeros((4, 1, 3, 3))).axes)
    4
    """
    w = np.asarray(getattr(weight, "data", weight) if hasattr(weight, "requires_grad") else weight)
    if w.ndim == 3:
        w = w[:, None]
    if w.ndim != 4 or not w.size:
        raise ShapeError(
            f"plot_filters: expected (out, in, height, width), got {w.shape}. For the rows of a Linear on images: "
            "weight.data.reshape(-1, height, width)."
        )
    shown = w[:limit]
    columns = max(1, min(columns, len(shown)))
    rows = -(-len(shown) // columns)
    figure = new_figure("plot_filters", (columns * 0.9 + 0.2, rows * 0.9 + 0.2))
    largest = np.abs(shown).max() or 1.0
    for i, filter in enumerate(shown):
        ax = figure.add_subplot(rows, columns, i + 1)
        if len(filter) == 3:
            ax.imshow(np.clip(filter.transpose(1, 2, 0) / (2 * largest) + 0.5, 0, 1))
        else:
            ax.imshow(filter[0], cmap="RdBu_r", vmin=-largest, vmax=largest)
        ax.set_xticks([])
        ax.set_yticks([])
    return figure
