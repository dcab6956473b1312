"""Learning rates over the epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np

from tinygrad_dl.arguments import Bounds, Finite, checked
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.typing import NDArray
from tinygrad_dl.viz.plots.axes import COLORS, axes_for, legend, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: As many epochs as a curve has points.
Epochs: TypeAlias = Annotated[int, Bounds(least=1, most=1_000_000)]


@checked
def plot_schedule(
    schedule: Any,
    epochs: Epochs = 100,
    lr: Finite = 1.0,
    ax: Axes | None = None,
    labels: Sequence[str] | None = None,
) -> Axes:
    """Plot the learning rate of the coming epochs, one curve per schedule and parameter group.

    `schedule`: one of optim.lr_scheduler, which is not changed; or a function of the epoch, by which `lr` is
    multiplied; or a list of these, named by `labels`. Returns the axes. Raises DTypeError,
    ValueRangeError for no epochs and for ReduceLROnPlateau, which follows what is measured.

    >>> plot_schedule(lambda epoch: 0.5**epoch, 4, lr=8.0).lines[0].get_ydata().tolist()
    [8.0, 4.0, 2.0, 1.0]
    """
    schedules = list(schedule) if isinstance(schedule, (list, tuple)) else [schedule]
    if not schedules:
        raise ValueRangeError("plot_schedule: schedule: expected at least 1 schedule, got none")
    if labels is not None and len(labels) != len(schedules):
        raise ValueRangeError(
            f"plot_schedule: labels: expected {len(schedules)}, one per schedule, got {len(labels)}"
        )
    curves = {}
    for i, one in enumerate(schedules):
        found = rates(one, epochs, lr)
        name = labels[i] if labels else getattr(one, "__name__", type(one).__name__)
        for j, curve in enumerate(found):
            curves[i, j] = (f"{name}, group {j}" if len(found) > 1 else name), curve
    ax = axes_for("plot_schedule", ax)
    for count, (name, curve) in enumerate(curves.values()):
        color = COLORS[count % len(COLORS)]
        ax.step(range(epochs), curve, where="post", color=color, label=name)
    ax.set(xlabel="epoch", ylabel="learning rate")
    tidy(ax)
    if len(curves) > 1 or labels:
        legend(ax, [name for name, _ in curves.values()], fontsize="medium", frameon=False)
    return ax


def rates(schedule: Any, epochs: int, lr: float) -> list[NDArray]:
    """The rates of each parameter group in the coming epochs, the current one first; equal groups once."""
    if not hasattr(schedule, "get_last_lr"):
        if not callable(schedule):
            raise DTypeError(
                f"plot_schedule: expected a schedule or a function, got {type(schedule).__name__}"
            )
        by: Callable[[int], Any] = schedule
        return [np.array([lr * float(by(epoch)) for epoch in range(epochs)])]
    if hasattr(schedule, "patience"):
        raise ValueRangeError(
            "plot_schedule: expected a schedule of the epoch, got ReduceLROnPlateau, which follows a metric"
        )
    copy = deepcopy(schedule)
    copy.optimizer.stepped = True  # or the copy would warn that no optimizer step came first
    found = [list(copy.get_last_lr())]
    for _ in range(epochs - 1):
        copy.step()
        found.append(list(copy.get_last_lr()))
    curves = list(np.array(found).T)
    return curves[:1] if all((curve == curves[0]).all() for curve in curves) else curves
