"""Which way a metric is better."""

from __future__ import annotations

import pytest

from tinygrad_dl.directions import higher_is_better
from tinygrad_dl.train.metrics import OWN, SCIKIT_LEARN


def test_the_direction_of_every_built_in_metric_is_known() -> None:
    directions = {name: higher_is_better(name) for name in (*OWN, *SCIKIT_LEARN)}
    assert directions == {name: name != "mean_absolute_error" for name in directions}
    assert {name: higher_is_better(f"dev_{name}") for name in directions} == directions


def test_the_directions_are_those_of_scikit_learns_scorers() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="the scorers are scikit-learn's")
    for name in metrics.get_scorer_names():
        # A neg_ scorer's value is negated, so that larger is better; the function's own value is not.
        assert higher_is_better(name) is True, name
        if name.startswith("neg_"):
            assert higher_is_better(name.removeprefix("neg_")) is False, name
            assert metrics.get_scorer(name)._sign == -1


@pytest.mark.parametrize(
    "name", ["dev_loss", "val_loss", "mse", "dev_mse", "max_error", "log_loss", "dev_kl_loss"]
)
def test_losses_and_errors_are_better_when_smaller(name: str) -> None:
    assert higher_is_better(name) is False


@pytest.mark.parametrize(
    "name", ["iou", "my_score", "accuracy_drop", "topology", "lossless", "f1x", "r2d2", ""]
)
def test_no_direction_is_guessed_from_part_of_a_name(name: str) -> None:
    assert higher_is_better(name) is None
    assert higher_is_better(name, "max") is True and higher_is_better(name, "min") is False


@pytest.mark.parametrize(
    "name", ["top5", "recall_at_10", "precision@5", "accuracy_top5", "f1_macro", "accuracy_score"]
)
def test_variants_of_a_metric_have_its_direction(name: str) -> None:
    assert higher_is_better(name) is True
