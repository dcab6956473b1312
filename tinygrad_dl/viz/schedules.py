"""Learning rates over the steps."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.viz.axes import COLOURS, axes_for, tidy


def plot_schedule(*schedules: Any, steps: int = 100, labels: list[str] | None = None, ax: Any = None) -> Any:
    """The learning rate that schedules set in each of the next `steps` epochs, a curve a schedule and group.

    `schedules`: from optim.lr_scheduler, which stay as they are, or functions of the epoch. Schedules that
    follow a measured quantity cannot be foreseen. Returns the figure. Raises DTypeError, ValueRangeError.
    """
    if not schedules or steps < 1:
        raise ValueRangeError("plot_schedule: at least one schedule and one step are needed")
    if labels is not None and len(labels) != len(schedules):
        raise ValueRangeError(f"plot_schedule: labels: {len(labels)} came for {len(schedules)} schedules")
    ax = axes_for("plot_schedule", ax)
    count = 0
    for i, schedule in enumerate(schedules):
        curves = rates(schedule, steps)
        name = labels[i] if labels else getattr(schedule, "__name__", type(schedule).__name__)
        for j, curve in enumerate(curves):
            label = f"{name}, group {j}" if len(curves) > 1 else name
            ax.plot(range(steps), curve, color=COLOURS[count % len(COLOURS)], label=label)
            count += 1
    ax.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    tidy(ax)
    ax.legend(frameon=False)
    return ax.figure


def rates(schedule: Callable[[int], float] | Any, steps: int) -> list[list[float]]:
    """The rates of each group in the coming epochs, the present one first; groups that agree only once."""
    if not hasattr(schedule, "get_last_lr"):
        if not callable(schedule):
            raise DTypeError(
                f"plot_schedule: a schedule or a function is needed; {type(schedule).__name__} came"
            )
        return [[float(schedule(epoch)) for epoch in range(steps)]]
    if hasattr(schedule, "patience"):
        raise ValueRangeError("plot_schedule: ReduceLROnPlateau follows a quantity that is not known yet")
    copy = deepcopy(schedule)
    copy.optimizer.stepped = True  # nothing is trained here
    found = [list(copy.get_last_lr())]
    for _ in range(steps - 1):
        copy.step()
        found.append(list(copy.get_last_lr()))
    curves = [list(curve) for curve in zip(*found)]
    return curves[:1] if all(curve == curves[0] for curve in curves) else curves
