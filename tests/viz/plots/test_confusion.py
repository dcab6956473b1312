"""Confusion matrices and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.viz.plots.figures import drawn
from tinygrad_dl import viz
from tinygrad_dl.errors import ShapeError, ValueRangeError

pytest.importorskip("matplotlib", reason="plots are matplotlib's")


def test_the_confusion_matrix_counts_rows_of_true_classes(tmp_path: Path) -> None:
    target, predicted = [0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 0, 2]
    assert viz.confusion(target, predicted).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    ax = viz.plot_confusion(target, predicted, classes=["ant", "bee", "cat"])
    assert ax.get_title() == "4 of 6 correct" and [t.get_text() for t in ax.get_yticklabels()] == [
        "ant",
        "bee",
        "cat",
    ]
    assert sorted(t.get_text() for t in ax.texts) == ["1", "1", "1", "1", "2"]
    drawn(ax.figure, tmp_path)
    with pytest.raises(ValueRangeError, match=r"Take argmax\(axis=1\) of logits"):
        viz.confusion([0.5], [1])
    with pytest.raises(ShapeError, match=r"got shapes \(2,\) and \(1,\)"):
        viz.confusion([0, 1], [1])
    with pytest.raises(ValueRangeError, match="expected classes from 0 to 1"):
        viz.confusion([0, 2], [0, 0], classes=2)


def test_mistakes_show_the_surest_first_and_none_is_said(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((5, 8, 8))
    target, predicted = np.array([0, 1, 2, 3, 4]), np.array([0, 2, 2, 4, 4])
    figure = viz.plot_mistakes(images, target, predicted, confidence=[1, 0.5, 1, 0.75, 1])
    assert [ax.get_title() for ax in figure.axes] == ["3 classified as 4, 75 %", "1 classified as 2, 50 %"]
    assert figure.get_suptitle() == "2 of 5 misclassified"
    limited = viz.plot_mistakes(images, target, predicted, classes=list("abcde"), limit=1)
    assert (
        limited.get_suptitle() == "2 of 5 misclassified, 1 shown"
        and limited.axes[0].get_title() == "b classified as c"
    )
    assert viz.plot_mistakes(images, target, target).texts[0].get_text() == "no mistakes"
    drawn(figure, tmp_path)
    with pytest.raises(ShapeError, match=r"images \(N, H, W\)"):
        viz.plot_mistakes(images.reshape(5, 64), target, predicted)
