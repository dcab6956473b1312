"""The learning-rate range test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.viz.plots.figures import drawn
from tinygrad_dl import nn, optim
from tinygrad_dl.train import Trainer, find_rate

pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib")


def test_the_suggested_rate_is_marked_on_a_logarithmic_axis(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), progress="off")
    ax = find_rate(trainer, (X, y), steps=20, batch_size=10).plot()
    assert ax.get_xscale() == "log" and "suggested" in ax.get_legend().get_texts()[2].get_text()
    drawn(ax.figure, tmp_path)
