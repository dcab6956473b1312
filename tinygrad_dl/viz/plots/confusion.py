"""The confusion matrix of a classifier, and the misclassified examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np

from tinygrad_dl.arguments import Bounds, Count, checked
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.typing import ArrayLike, NDArray
from tinygrad_dl.viz.plots.axes import MOST_CLASSES, axes_for, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How many classes a matrix has.
Classes: TypeAlias = Annotated[int, Bounds(least=1, most=MOST_CLASSES)]


@checked
def confusion(target: ArrayLike, predicted: ArrayLike, classes: Classes | None = None) -> NDArray:
    """Count examples by class: (C, C), a row per true class, a column per predicted class.

    Raises ShapeError, ValueRangeError.

    >>> confusion([0, 1, 1], [0, 1, 0]).tolist()
    [[1, 0], [1, 1]]
    """
    target, predicted = np.asarray(target), np.asarray(predicted)
    if target.shape != predicted.shape or target.ndim != 1:
        raise ShapeError(
            f"confusion: expected two lists of N classes, got shapes {target.shape} and {predicted.shape}"
        )
    if not target.size:  # an empty list has no dtype of its own
        target, predicted = target.astype(np.int64), predicted.astype(np.int64)
    if target.dtype.kind not in "iub" or predicted.dtype.kind not in "iub":
        raise ValueRangeError(
            f"confusion: expected class numbers, got {target.dtype} and {predicted.dtype}. "
            "Take argmax(axis=1) of logits"
        )
    target, predicted = target.astype(np.int64), predicted.astype(np.int64)
    highest = max(target.max(initial=-1), predicted.max(initial=-1))
    count = int(classes if classes is not None else highest + 1)
    if min(target.min(initial=0), predicted.min(initial=0)) < 0 or highest >= count:
        raise ValueRangeError(f"confusion: expected classes from 0 to {count - 1}, got others")
    if count > MOST_CLASSES:
        raise ValueRangeError(f"confusion: expected classes from 0 to {MOST_CLASSES - 1}, got {highest}")
    return np.bincount(target * count + predicted, minlength=count * count).reshape(count, count)


@checked
def plot_confusion(
    target: ArrayLike,
    predicted: ArrayLike,
    classes: Sequence[Any] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot the confusion matrix: one row per true class, one column per predicted class. Returns the axes.

    >>> plot_confusion([0, 1, 1], [0, 1, 0]).get_title()
    '2 of 3 correct'
    """
    counts = confusion(target, predicted, len(classes) if classes is not None else None)
    if not counts.size:
        raise ValueRangeError("plot_confusion: expected at least one example, got none")
    names = list(map(str, classes)) if classes is not None else [str(i) for i in range(len(counts))]
    size = 2.2 + 0.36 * len(names)
    ax = axes_for("plot_confusion", ax, (max(size, 3.4), max(size, 3.4) * 0.95))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(counts) if len(names) <= 30 else ():
        dark = shares[i, j] > 0.5
        color = "white" if dark else "black" if i == j else "#B2182B"
        ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=color, fontsize="small")
    ax.set_xticks(
        range(len(names)), names, parse_math=False, rotation=90 if max(map(len, names), default=0) > 3 else 0
    )
    ax.set_yticks(range(len(names)), names, parse_math=False)
    right, total = np.trace(counts), counts.sum()
    ax.set(xlabel="predicted", ylabel="true", title=title or f"{right} of {total} correct")
    plain(ax.title)
    return ax


@checked
def plot_mistakes(
    images: ArrayLike,
    target: Any,
    predicted: Any,
    classes: Sequence[Any] | None = None,
    confidence: ArrayLike | None = None,
    limit: Count = 24,
    columns: Count = 6,
) -> Figure:
    """Show the misclassified images, the most confident mistakes first, with both labels. Returns the figure.

    images (N, H, W), (N, H, W, 3), (N, 1, H, W) or (N, 3, H, W); `confidence` (N,): the probability of the
    predicted class. Raises ShapeError, DTypeError, ValueRangeError.

    >>> plot_mistakes(np.zeros((2, 8, 8)), [0, 1], [0, 2]).get_suptitle()
    '1 of 2 misclassified'
    """
    images, target, predicted = np.asarray(images), np.asarray(target), np.asarray(predicted)
    if images.ndim == 4 and images.shape[-1] not in (1, 3, 4) and images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, -1)  # channels first, as convolutions take them
    fits = images.ndim == 3 or images.ndim == 4 and images.shape[-1] in (1, 3, 4)
    if not fits or target.ndim != 1 or len(images) != len(target) or target.shape != predicted.shape:
        raise ShapeError(
            "plot_mistakes: expected images (N, H, W) or (N, H, W, 3) and two lists of N classes, got "
            f"{images.shape}, {target.shape} and {predicted.shape}"
        )
    if "O" in target.dtype.kind + predicted.dtype.kind:
        raise DTypeError("plot_mistakes: expected two lists of class numbers, got other objects")
    confidence = None if confidence is None else np.asarray(confidence)
    if confidence is not None and confidence.shape != target.shape:
        raise ShapeError(f"plot_mistakes: confidence: expected {target.shape}, got {confidence.shape}")
    if classes is not None and target.size:
        _require_classes(target, len(classes))
        _require_classes(predicted, len(classes))
    wrong = np.flatnonzero(target != predicted)
    if confidence is not None:
        wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    shown = wrong[:limit]
    columns = max(1, min(columns, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = new_figure("plot_mistakes", (max(1.35 * columns, 3.6), 1.6 * rows + 0.45))
    if not len(shown):
        figure.text(0.5, 0.5, "no mistakes", ha="center", va="center", fontsize="large")
        return figure

    def name(label: int) -> str:
        return str(classes[label]) if classes is not None else str(label)

    for position, i in enumerate(shown):
        ax = figure.add_subplot(rows, columns, position + 1)
        ax.imshow(images[i], cmap="gray_r", interpolation="nearest")
        percent = f", {100 * float(np.asarray(confidence)[i]):.0f} %" if confidence is not None else ""
        label: Any = target[i]
        prediction: Any = predicted[i]
        plain(ax.set_title(f"{name(label)} classified as {name(prediction)}{percent}", fontsize=7.5))
        ax.set_xticks([])
        ax.set_yticks([])
    more = f", {len(shown)} shown" if len(shown) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} of {len(target)} misclassified{more}", fontsize=10)
    return figure


def _require_classes(labels: NDArray, count: int) -> None:
    """Raise for labels that are no numbers of one of the named classes."""
    if labels.dtype.kind not in "biu":
        raise DTypeError(f"plot_mistakes: expected class numbers with classes=, got {labels.dtype}")
    if labels.min() < 0 or labels.max() >= count:
        other = labels.min() if labels.min() < 0 else labels.max()
        raise ValueRangeError(
            f"plot_mistakes: classes: expected a name for each class, got {count} names and class {other}"
        )
