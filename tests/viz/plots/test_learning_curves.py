"""Learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.viz.plots.figures import axes, drawn
from tinygrad_dl import viz
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.train import History

pytest.importorskip("matplotlib", reason="plots are matplotlib's")


def history(n: int = 10, **others: list[float]) -> History:
    return History(
        [
            {
                "epoch": i + 1,
                "loss": 1 / (i + 1),
                "dev_loss": 0.2 + abs(i - 4) / 10,
                "accuracy": i / n,
                "lr": 0.1,
            }
            for i in range(n)
        ],
        **others,  # type: ignore[arg-type]
    )


def test_curves_have_both_parts_and_the_best_epoch(tmp_path: Path) -> None:
    figure = viz.plot_history(history())
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel(), loss.get_xlabel()) == ("loss", "accuracy", "epoch")
    labels = [text.get_text() for text in loss.get_legend().get_texts()]
    assert labels == ["train", "dev, best 0.2 in epoch 5"]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), history()["loss"])
    drawn(figure, tmp_path)


def test_runs_are_compared_on_axes_of_ones_own(tmp_path: Path) -> None:
    ax = axes()
    figure = viz.plot_history(history(), history(5), names=["loss"], labels=["a", "b"], ax=ax)
    assert figure is ax.figure and len(ax.get_legend().get_texts()) == 4
    assert history().plot(history(), names=["accuracy"]).axes[0].get_ylabel() == "accuracy"
    drawn(figure, tmp_path)


@pytest.mark.parametrize(
    ("name", "epoch"), [("balanced_accuracy", 2), ("mse", 3), ("mean_absolute_error", 3), ("kl_loss", 3)]
)
def test_the_best_epoch_is_that_of_the_history(name: str, epoch: int) -> None:
    values = [2.0, 3.0, 1.0]
    run = History([{"epoch": i, name: v, f"dev_{name}": v} for i, v in enumerate(values, 1)])
    (axes,) = viz.plot_history(run).axes
    assert run.best(f"dev_{name}")["epoch"] == epoch
    assert axes.get_legend().get_texts()[-1].get_text().endswith(f"in epoch {epoch}")


def test_no_best_epoch_is_marked_where_the_direction_is_unknown() -> None:
    values = {"iou": [0.5, 0.9, 0.1], "dev_iou": [0.5, 0.9, 0.1]}

    def label(**options: Any) -> str:
        (axes,) = viz.plot_history(values, **options).axes
        return str(axes.get_legend().get_texts()[-1].get_text())

    assert label() == "dev" and label(mode="max") == "dev, best 0.9 in epoch 2"
    assert label(mode={"iou": "min"}) == "dev, best 0.1 in epoch 3"
    with pytest.raises(
        ValueRangeError, match="mode: expected one of 'min', 'max', a Mapping or None, got str 'up'"
    ):
        label(mode="up")


def test_text_is_not_plotted_and_other_runs_are_refused() -> None:
    run = History([{"epoch": 1, "loss": 1.0, "note": "warm-up"}, {"epoch": 2, "loss": 0.5, "note": "main"}])
    assert [axes.get_ylabel() for axes in run.plot().axes] == ["loss"]
    with pytest.raises(DTypeError, match="plot_history: note: expected numbers, got 'warm-up'"):
        run.plot(names=["note"])
    with pytest.raises(ValueRangeError, match="plot_history: names: expected one of loss, got 'f1'"):
        run.plot(names=["f1"])
    for other in ("", 3, None):
        with pytest.raises(DTypeError, match="plot_history: expected a train.History or a dict of lists"):
            run.plot(other)  # type: ignore[arg-type]


def test_losses_that_fall_far_are_logarithmic_and_plain_dicts_are_taken() -> None:
    assert viz.plot_history({"loss": [10.0, 1.0, 0.01]}).axes[0].get_yscale() == "log"
    assert viz.plot_history({"loss": [10.0, 5.0, 1.0]}).axes[0].get_yscale() == "linear"
    assert viz.plot_history({"loss": [1.0, float("nan"), 0.5], "dev_loss": [float("nan")] * 3}).axes
    with pytest.raises(ValueRangeError, match="expected a history of at least one epoch, got an empty one"):
        viz.plot_history(History())
    with pytest.raises(ValueRangeError, match="expected one metric for ax, got 2"):
        viz.plot_history(history(), ax=axes())
