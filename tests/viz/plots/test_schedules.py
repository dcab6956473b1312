"""plot_schedule."""

from __future__ import annotations

import pytest

from tinygrad_dl import Tensor, optim, viz
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim import lr_scheduler

pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib")


def test_a_schedule_is_plotted_and_left_as_it_is() -> None:
    optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.5)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    ax = viz.plot_schedule([schedule, lambda epoch: 0.1], 4, labels=["falling", "constant"])
    one, other = ax.lines
    assert list(one.get_ydata()) == [0.5, 0.25, 0.125, 0.0625]
    assert list(other.get_ydata()) == [0.1] * 4
    assert one.get_label() == "falling"
    assert optimizer.param_groups[0]["lr"] == 0.5 and schedule.last_epoch == 0


def test_groups_with_rates_of_their_own_have_curves_of_their_own() -> None:
    p, q = Tensor(1.0, requires_grad=True), Tensor(1.0, requires_grad=True)
    optimizer = optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.1}], lr=0.5)
    ax = viz.plot_schedule(lr_scheduler.StepLR(optimizer, 2))
    assert [line.get_label() for line in ax.lines] == ["StepLR, group 0", "StepLR, group 1"]


def test_what_cannot_be_plotted_is_refused() -> None:
    optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=0.5)
    with pytest.raises(ValueRangeError, match="expected a schedule of the epoch, got ReduceLROnPlateau"):
        viz.plot_schedule(lr_scheduler.ReduceLROnPlateau(optimizer))
    with pytest.raises(DTypeError, match="expected a schedule or a function, got int"):
        viz.plot_schedule(3)
    with pytest.raises(
        ValueRangeError, match=r"plot_schedule: epochs: expected an int in \[1, 1e\+06\], got int 0"
    ):
        viz.plot_schedule(lr_scheduler.StepLR(optimizer, 2), 0)
    with pytest.raises(ValueRangeError, match="labels: expected 1, one per schedule, got 2"):
        viz.plot_schedule(lr_scheduler.StepLR(optimizer, 2), labels=["a", "b"])


def test_a_function_of_the_epoch_multiplies_the_rate() -> None:
    ax = viz.plot_schedule(lambda epoch: 0.5**epoch, 4, lr=8.0)
    assert ax.lines[0].get_ydata().tolist() == [8.0, 4.0, 2.0, 1.0]
