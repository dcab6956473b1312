"""im2col and col2im on an image of 4 by 4 (course 4; Deep Learning from Scratch, chapter 7).

Windows of 3 by 3 become columns, so that convolution is one matrix product; adding the columns back at the
positions of their windows counts each pixel as often as it was in a window.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn
from tinygrad_dl.course.digits import FIGURES, saved_figure
from tinygrad_dl.course.record import show

TITLE = "im2col and col2im on a small image"


def run(out: Path = FIGURES) -> dict[str, float]:
    """The convolution as a matrix product compared with nn's, and how often each pixel is counted."""
    image = np.arange(16.0).reshape(1, 1, 4, 4)
    columns = nn.functional.unfold(tg.asarray(image), 3)
    kernel = np.random.default_rng(0).normal(size=(2, 1, 3, 3))
    product = (kernel.reshape(2, 9) @ columns.data[0]).reshape(1, 2, 2, 2)
    convolved = nn.functional.conv2d(tg.asarray(image), tg.asarray(kernel)).data
    back = nn.functional.fold(nn.functional.unfold(tg.asarray(np.ones_like(image)), 3), (4, 4), 3).data
    shown = (
        ("image", image[0, 0]),
        ("im2col: one column per window", columns.data[0]),
        ("col2im of ones", back[0, 0]),
    )
    with saved_figure(out, "im2col", 1, 3, size=3) as axes:
        for ax, (title, array) in zip(axes, shown):
            ax.matshow(array, cmap="Blues", vmax=2 * array.max())
            ax.set(title=title, xticks=[], yticks=[])
            for (i, j), value in np.ndenumerate(array):
                ax.text(j, i, f"{value:g}", ha="center", va="center", fontsize=8)
    return {
        "rows of the columns: numbers in a window": float(columns.shape[1]),
        "columns: windows": float(columns.shape[2]),
        "largest difference of product and convolution": float(np.abs(product - convolved).max()),
        "windows with a corner pixel": float(back[0, 0, 0, 0]),
        "windows with an inner pixel": float(back[0, 0, 1, 1]),
    }


if __name__ == "__main__":
    show(globals())
