"""The decision boundary of a classifier in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import asarray, no_grad
from tinygrad_dl.arguments import checked
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.typing import NDArray
from tinygrad_dl.viz.plots.axes import (
    COLORS,
    MOST_CLASSES,
    Resolution,
    axes_for,
    legend,
    matplotlib,
    plain,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BATCH = 8192  # points per call of the model


@checked
def plot_decision_boundary(
    model: Any,
    X: Any,
    y: Any,
    *,
    resolution: Resolution = 200,
    classes: Sequence[Any] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot the class that a model predicts for each point of the plane, and the points X (N, 2) of classes y (N,).

    `model`: an nn.Module, an object with predict, or a function of an array (M, 2). It may return class
    numbers, logits or probabilities (M,), (M, 1) or (M, classes). y may be one-hot. `resolution`: points per
    axis. Raises ShapeError, also for X of shape (features, examples), ValueRangeError. Returns the axes.

    >>> X = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> ax = plot_decision_boundary(lambda x: x.sum(axis=1) > 1, X, [0, 1])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['0', '1']
    """
    X, labels = _validated_points(X, y)
    low, high = X.min(axis=0), X.max(axis=0)
    margin = np.maximum(0.08 * (high - low), 1e-3)
    sides = [np.linspace(low[i] - margin[i], high[i] + margin[i], resolution) for i in (0, 1)]
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2).astype(X.dtype)
    outputs = np.concatenate([_call(model, grid[i : i + BATCH]) for i in range(0, len(grid), BATCH)])
    regions = _class_numbers(outputs).reshape(resolution, resolution)
    count = int(max(labels.max(), regions.max())) + 1
    if regions.min() < 0 or count > MOST_CLASSES:
        raise ValueRangeError(
            f"plot_decision_boundary: expected class numbers from 0 to {MOST_CLASSES - 1}, got "
            f"{min(labels.min(), regions.min())} to {count - 1}"
        )
    names = [str(classes[i]) if classes is not None and i < len(classes) else str(i) for i in range(count)]
    ax = axes_for("plot_decision_boundary", ax, (5.2, 4.6))
    colors = [COLORS[i % len(COLORS)] for i in range(count)]
    palette = matplotlib("plot_decision_boundary").colors.ListedColormap(colors)
    ax.pcolormesh(
        *sides, regions, cmap=palette, vmin=-0.5, vmax=count - 0.5, alpha=0.25, shading="nearest", linewidth=0
    )
    if regions.min() != regions.max():
        ax.contour(*sides, regions, levels=np.arange(count - 1) + 0.5, colors="0.3", linewidths=0.8)
    for i in range(count):
        members = X[labels == i]
        if len(members):
            ax.scatter(
                members[:, 0],
                members[:, 1],
                s=14,
                color=colors[i],
                edgecolors="white",
                linewidths=0.4,
                label=names[i],
            )
    ax.set(xlabel="x[0]", ylabel="x[1]", title=title, xlim=sides[0][[0, -1]], ylim=sides[1][[0, -1]])
    plain(ax.title)
    tidy(ax)
    ax.grid(False)
    legend(ax, names, frameon=False, title="class", loc="best")
    return ax


def _validated_points(X: Any, y: Any) -> tuple[NDArray, NDArray]:
    """X as floats (N, 2) and y as class numbers (N,). Raises ShapeError, ValueRangeError."""
    X, y = (
        np.asarray(getattr(value, "data", value) if hasattr(value, "requires_grad") else value)
        for value in (X, y)
    )
    if X.ndim == 2 and X.shape[0] == 2 and X.shape[1] != 2:
        raise ShapeError(
            f"plot_decision_boundary: expected X of shape (N, 2), one example per row, got {X.shape}. It looks "
            "like (features, examples), as in the course: pass X.T, and y as (N,)."
        )
    if X.ndim != 2 or X.shape[1] != 2 or not len(X):
        raise ShapeError(
            f"plot_decision_boundary: expected points in the plane, X of shape (N, 2), got {X.shape}"
        )
    if X.dtype.kind not in "biuf" or not np.isfinite(X).all():
        raise ValueRangeError("plot_decision_boundary: X: expected finite numbers, got others")
    if y.dtype.kind not in "biuf":
        raise DTypeError(f"plot_decision_boundary: y: expected class numbers 0, 1, ..., got {y.dtype}")
    if y.ndim == 2 and len(y) == len(X) and y.shape[1] > 1:
        y = y.argmax(axis=1)
    if y.size != len(X):
        raise ShapeError(
            f"plot_decision_boundary: expected one class per point, y of shape ({len(X)},), got {y.shape}"
        )
    y = y.reshape(-1)
    if (y != np.round(y)).any() or y.min() < 0:
        raise ValueRangeError(
            "plot_decision_boundary: expected class numbers 0, 1, ... in y, got other numbers. Is this a regression?"
        )
    return X if X.dtype.kind == "f" else X.astype(np.float32), y.astype(np.int64)


def _call(model: Any, points: NDArray) -> NDArray:
    """The outputs of the model, without a graph and in eval mode; the mode is restored."""
    if hasattr(model, "predict"):
        out = model.predict(points)
    elif hasattr(model, "eval") and hasattr(model, "training"):
        training = model.training
        model.eval()
        try:
            with no_grad():
                out = model(asarray(points))
        finally:
            model.train(training)
    else:
        with no_grad():
            out = model(points)
    array = np.asarray(out.data if hasattr(out, "requires_grad") else out)
    if array.ndim == 0 or len(array) != len(points):
        raise ShapeError(
            f"plot_decision_boundary: expected ({len(points)},) or ({len(points)}, classes) from the model for "
            f"{len(points)} points, got {array.shape}"
        )
    return array


def _class_numbers(outputs: NDArray) -> NDArray:
    """Class numbers from class numbers, logits or probabilities."""
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        return outputs.argmax(axis=1)
    outputs = outputs.reshape(len(outputs))
    if outputs.dtype.kind in "biu" or (outputs == np.round(outputs)).all() and outputs.min() >= 0:
        return outputs.astype(np.int64)
    # Probabilities are between 0 and 1; the logits of a plane usually leave that range somewhere.
    probability = outputs.min() >= 0 and outputs.max() <= 1
    return (outputs > (0.5 if probability else 0)).astype(np.int64)
