"""Activations, gradients, updates and dead units of layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.viz.plots.figures import axes, drawn
from tinygrad_dl import nn, optim, viz
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train import Monitor, Trainer

pytest.importorskip("matplotlib", reason="plots are matplotlib's")


X = np.random.default_rng(0).normal(size=(30, 2))


Y = (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def trained() -> tuple[Trainer, Monitor]:
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    monitor = Monitor(every=3)
    t = Trainer(
        model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), callbacks=[monitor], progress="off"
    )
    t.fit((X.astype(np.float32), Y), epochs=5, batch_size=5, rng=0)
    return t, monitor


def test_what_happens_inside_is_drawn_layer_by_layer(
    trained: tuple[Trainer, Monitor], tmp_path: Path
) -> None:
    _, monitor = trained
    figure = viz.plot_activations(monitor)
    assert [ax.get_title() for ax in figure.axes] == ["0", "1", "2"]
    drawn(figure, tmp_path)
    figure = viz.plot_gradients(monitor, ["2.weight"])
    assert len(figure.axes) == 1
    drawn(figure, tmp_path)
    for plot, scale in ((viz.plot_updates, "log"), (viz.plot_norms, "log"), (viz.plot_dead_units, "linear")):
        ax = axes()
        assert plot(monitor, ax=ax) is ax and ax.get_yscale() == scale
        drawn(ax.figure, tmp_path)
    with pytest.raises(ValueRangeError, match="expected names among 0, 1, 2, got '7'"):
        viz.plot_activations(monitor, ["7"])
    with pytest.raises(ValueRangeError, match="expected a monitor with measurements"):
        viz.plot_gradients(Monitor())
