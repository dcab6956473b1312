"""Names of users in plots: a dollar sign begins no formula, and a leading _ hides nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.viz.plots.figures import drawn
from tinygrad_dl import nn, optim, viz
from tinygrad_dl.train import History, Monitor, Trainer

pytest.importorskip("matplotlib", reason="plots are matplotlib's")

NAMES = ["$x", "a$b_$", "_c", r"$\frac$"]
ZERO_TO_THREE = np.arange(4)
POINTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def monitor() -> Monitor:
    model = nn.Module()
    model._c = nn.Linear(2, 2)  # type: ignore[assignment]
    model.forward = lambda x: model._c(x)  # type: ignore[attr-defined, method-assign]
    watched = Monitor()
    data = POINTS.astype(np.float32), np.array([0, 1, 1, 0])
    Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=0.1),
        callbacks=[watched],
        progress="off",
    ).fit(data, epochs=2)
    return watched


def runs() -> list[History]:
    return [History([{"epoch": i, "a$b_$": 1.0 / i, "dev_a$b_$": 1.0 / i} for i in (1, 2)]) for _ in range(4)]


PLOTS: dict[str, Callable[[], Any]] = {
    "plot_confusion": lambda: viz.plot_confusion(
        ZERO_TO_THREE, ZERO_TO_THREE, classes=NAMES, title="$x a$b_$"
    ),
    "plot_mistakes": lambda: viz.plot_mistakes(
        np.zeros((4, 3, 3)), ZERO_TO_THREE, ZERO_TO_THREE[::-1], classes=NAMES
    ),
    "plot_decision_boundary": lambda: viz.plot_decision_boundary(
        lambda x: (x @ [2, 1]).round().astype(int), POINTS, ZERO_TO_THREE, classes=NAMES, title="$x a$b_$"
    ),
    "plot_history": lambda: viz.plot_history(*runs(), labels=NAMES),
    "plot_loss_surface": lambda: viz.plot_loss_surface(
        lambda x, y: x**2 + y**2, dict.fromkeys(NAMES, POINTS)
    ),
    "plot_schedule": lambda: viz.plot_schedule([lambda epoch: 0.5**epoch] * 4, 3, labels=NAMES),
}


@pytest.mark.parametrize("name", PLOTS)
def test_names_are_shown_as_they_are(name: str, tmp_path: Path) -> None:
    made = PLOTS[name]()
    figure = getattr(made, "figure", None) or made
    drawn(figure, tmp_path)
    texts = " ".join(
        text.get_text()
        for ax in figure.axes
        for text in (
            ax.title,
            *ax.get_yticklabels(),
            *(ax.get_legend().get_texts() if ax.get_legend() is not None else ()),
        )
    )
    assert all(shown in texts for shown in NAMES)


def test_parameters_with_a_leading_underscore_are_in_the_legend(tmp_path: Path) -> None:
    watched = monitor()
    for plot in (viz.plot_norms, viz.plot_updates):
        ax = plot(watched)
        drawn(ax.figure, tmp_path)
        assert "_c.weight" in [text.get_text() for text in ax.get_legend().get_texts()]
    for several in (viz.plot_gradients(watched), viz.plot_activations(watched)):
        drawn(several, tmp_path)


def test_formulas_of_logarithmic_axes_stay(tmp_path: Path) -> None:
    ax = viz.plot_norms(monitor())
    drawn(ax.figure, tmp_path)
    assert all(label.get_parse_math() for label in ax.get_yticklabels())
