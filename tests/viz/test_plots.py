"""Plots: what they draw, on whose axes, and what they say to wrong input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.layout import ROOT
from tinygrad_dl import nn, optim, viz
from tinygrad_dl.errors import MissingExtraError, ShapeError, ValueRangeError
from tinygrad_dl.train import History, Monitor, Trainer, find_rate

pytest.importorskip("matplotlib", reason="plots are matplotlib's")

from matplotlib.figure import Figure


def axes() -> Any:
    return Figure().add_subplot()


def drawn(figure: Any, tmp_path: Path) -> None:
    """Drawing finds what building does not: wrong sizes, missing glyphs."""
    figure.savefig(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


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


def test_losses_that_fall_far_are_logarithmic_and_plain_dicts_are_taken() -> None:
    assert viz.plot_history({"loss": [10.0, 1.0, 0.01]}).axes[0].get_yscale() == "log"
    assert viz.plot_history({"loss": [10.0, 5.0, 1.0]}).axes[0].get_yscale() == "linear"
    assert viz.plot_history({"loss": [1.0, float("nan"), 0.5], "dev_loss": [float("nan")] * 3}).axes
    with pytest.raises(ValueRangeError, match="the history is empty"):
        viz.plot_history(History())
    with pytest.raises(ValueRangeError, match="ax is for one quantity"):
        viz.plot_history(history(), ax=axes())


def test_the_confusion_matrix_counts_rows_of_true_classes(tmp_path: Path) -> None:
    target, predicted = [0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 0, 2]
    assert viz.confusion(target, predicted).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    ax = viz.plot_confusion(target, predicted, classes=["ant", "bee", "cat"])
    assert ax.get_title() == "4 of 6 right" and [t.get_text() for t in ax.get_yticklabels()] == [
        "ant",
        "bee",
        "cat",
    ]
    assert sorted(t.get_text() for t in ax.texts) == ["1", "1", "1", "1", "2"]
    drawn(ax.figure, tmp_path)
    with pytest.raises(ValueRangeError, match=r"take argmax\(axis=1\) of logits"):
        viz.confusion([0.5], [1])
    with pytest.raises(ShapeError, match=r"\(2,\) and \(1,\) came"):
        viz.confusion([0, 1], [1])
    with pytest.raises(ValueRangeError, match="classes from 0 to 1 are needed"):
        viz.confusion([0, 2], [0, 0], classes=2)


def test_mistakes_show_the_surest_first_and_none_is_said(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((5, 8, 8))
    target, predicted = np.array([0, 1, 2, 3, 4]), np.array([0, 2, 2, 4, 4])
    figure = viz.plot_mistakes(images, target, predicted, confidence=[1, 0.5, 1, 0.75, 1])
    assert [ax.get_title() for ax in figure.axes] == ["3 read as 4, 75 %", "1 read as 2, 50 %"]
    assert figure.get_suptitle() == "2 of 5 read wrongly"
    limited = viz.plot_mistakes(images, target, predicted, classes=list("abcde"), limit=1)
    assert (
        limited.get_suptitle() == "2 of 5 read wrongly, 1 shown"
        and limited.axes[0].get_title() == "b read as c"
    )
    assert viz.plot_mistakes(images, target, target).texts[0].get_text() == "no mistakes"
    drawn(figure, tmp_path)
    with pytest.raises(ShapeError, match=r"images \(N, H, W\)"):
        viz.plot_mistakes(images.reshape(5, 64), target, predicted)


X = np.random.default_rng(0).normal(size=(30, 2))
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: (x[:, 0] > 0).astype(int),
        lambda x: x[:, 0],  # logits
        lambda x: 1 / (1 + np.exp(-x[:, :1])),  # probabilities
        lambda x: np.stack((-x[:, 0], x[:, 0]), axis=1),
        lambda x: tg.asarray(x)[:, 0],
    ],
)
def test_the_boundary_is_that_of_classes_logits_and_probabilities(model: Any) -> None:
    ax = viz.plot_decision_boundary(model, X, Y, resolution=21)
    regions = ax.collections[0].get_array().reshape(21, 21)
    places = np.linspace(*ax.get_xlim(), 21)
    np.testing.assert_array_equal(regions, np.broadcast_to(places > 0, (21, 21)))


def test_the_boundary_of_a_module_leaves_its_mode_and_takes_one_hot_classes(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    before = model.state_dict()
    ax = viz.plot_decision_boundary(model, X, np.eye(3)[Y], resolution=30, classes=["a", "b"], ax=axes())
    assert model.training and [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    drawn(ax.figure, tmp_path)


def test_points_of_the_course_the_wrong_way_round_are_recognised() -> None:
    with pytest.raises(
        ShapeError, match=r"It looks like \(features, examples\), as in the course: give X\.T"
    ):
        viz.plot_decision_boundary(lambda x: x, X.T, Y[None])
    with pytest.raises(ShapeError, match=r"points in the plane, X \(N, 2\), are needed; \(30, 3\) came"):
        viz.plot_decision_boundary(lambda x: x, np.zeros((30, 3)), Y)
    with pytest.raises(ShapeError, match=r"one class a point, y \(30,\), is needed"):
        viz.plot_decision_boundary(lambda x: x, X, Y[:4])
    with pytest.raises(ValueRangeError, match="is this a regression"):
        viz.plot_decision_boundary(lambda x: x, X, Y + 0.5)
    with pytest.raises(ShapeError, match=r"the model gave the shape \(\)"):
        viz.plot_decision_boundary(lambda x: 3.0, X, Y)


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
    with pytest.raises(ValueRangeError, match="'7' was not measured; there are 0, 1, 2"):
        viz.plot_activations(monitor, ["7"])
    with pytest.raises(ValueRangeError, match="has measured nothing yet"):
        viz.plot_gradients(Monitor())


def test_surfaces_rates_schedules_and_filters_are_drawn(
    trained: tuple[Trainer, Monitor], tmp_path: Path
) -> None:
    def bowl(x: Any, y: Any) -> Any:
        return x**2 + y**2

    def scalar(x: float, y: float) -> float:
        return x**2 if x > y else y**2

    for f in (bowl, scalar, lambda x, y: bowl(tg.asarray(x), tg.asarray(y))):
        ax = viz.plot_loss_surface(f, {"SGD": [(1, 1), (0.5, 0.2)]}, resolution=20, log=True)
        assert ax.get_legend().get_texts()[0].get_text() == "SGD"
        drawn(ax.figure, tmp_path)
    with pytest.raises(ShapeError, match=r"the path 'a' is \(steps, 2\); \(3,\) came"):
        viz.plot_loss_surface(bowl, {"a": [1, 2, 3]}, resolution=5)
    rates = find_rate(trained[0], (X.astype(np.float32), Y), steps=20, batch_size=10)
    ax = rates.plot()
    assert ax.get_xscale() == "log" and "suggested" in ax.get_legend().get_texts()[2].get_text()
    drawn(ax.figure, tmp_path)
    ax = viz.plot_schedule(lambda epoch: 0.5**epoch, 4, lr=8.0)
    assert ax.lines[0].get_ydata().tolist() == [8.0, 4.0, 2.0, 1.0]
    assert len(viz.plot_filters(np.zeros((5, 1, 3, 3)), columns=2).axes) == 5
    assert len(viz.plot_filters(nn.Linear(9, 4).weight.data.reshape(-1, 3, 3)).axes) == 4
    drawn(viz.plot_filters(np.random.default_rng(0).normal(size=(2, 3, 5, 5))), tmp_path)
    with pytest.raises(ShapeError, match=r"weight\.data\.reshape"):
        viz.plot_filters(np.zeros((4, 9)))


def test_no_plot_imports_pyplot_or_opens_a_window() -> None:
    code = (
        "import sys; from tinygrad_dl import viz; assert 'matplotlib' not in sys.modules\n"
        "viz.plot_history({'loss': [1.0, 0.5]}); viz.plot_confusion([0, 1], [0, 1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"plot_history needs the package matplotlib.*\[viz\]"):
        viz.plot_history(history())
