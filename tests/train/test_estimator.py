"""Classifier and Regressor under scikit-learn's own checks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn
from tinygrad_dl.errors import DTypeError, MissingExtraError, ShapeError, ValueRangeError

pytest.importorskip("sklearn", reason="the estimators are scikit-learn's")

from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from tinygrad_dl.train import Classifier, Regressor

CHECKS = parametrize_with_checks(
    [Classifier(epochs=60, lr=0.01, random_state=0), Regressor(epochs=60, lr=0.01, random_state=0)]
)
NAMES, CASES = CHECKS.args  # of scikit-learn before 1.8 an iterator, which pytest 9 refuses


@pytest.mark.parametrize(NAMES, list(CASES), **CHECKS.kwargs)
def test_it_passes_scikit_learns_own_checks(
    estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Networks compute in float32, and BLAS adds up one row otherwise than one among many: the checks that compare
    # them have scikit-learn's own tolerance for float32, which it would choose by the dtype of the predictions.
    if check.func.__name__ in ("check_methods_subset_invariance", "check_methods_sample_order_invariance"):
        compare = estimator_checks.assert_allclose
        monkeypatch.setattr(
            estimator_checks,
            "assert_allclose",
            lambda a, b, **how: compare(np.float32(a), np.float32(b), **how),
        )
    state = np.random.get_state()  # noqa: NPY002  some of the checks draw from it
    try:
        check(estimator)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_it_works_in_a_pipeline_a_search_and_a_cross_validation() -> None:
    x, y = load_iris(return_X_y=True)
    pipe = make_pipeline(MinMaxScaler(), Classifier(epochs=20, lr=0.02, random_state=0))
    assert cross_val_score(pipe, x, y, cv=3).mean() > 0.9
    search = GridSearchCV(pipe, {"classifier__hidden": [(2,), (16,)]}, cv=3).fit(x, y)
    assert search.best_params_["classifier__hidden"] in [(2,), (16,)] and search.best_score_ > 0.9
    assert (
        Regressor(epochs=40, lr=0.01, random_state=0)
        .fit(*load_diabetes(return_X_y=True))
        .score(*load_diabetes(return_X_y=True))
        > 0.4
    )


def test_the_same_random_state_gives_the_same_bits_and_leaves_the_default_generator_alone() -> None:
    x, y = load_iris(return_X_y=True)
    tg.manual_seed(5)
    one, other = (Classifier(epochs=3, random_state=1).fit(x, y).predict_proba(x) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert tg.config.default_rng().random() == np.random.default_rng(5).random()
    tg.manual_seed(5)
    first = Classifier(epochs=2).fit(x, y).predict_proba(x)
    second = Classifier(epochs=2).fit(x, y).predict_proba(x)
    assert not np.array_equal(first, second)
    tg.manual_seed(5)
    np.testing.assert_array_equal(Classifier(epochs=2).fit(x, y).predict_proba(x), first)


def test_a_model_is_copied_or_made_by_a_factory() -> None:
    x, y = load_iris(return_X_y=True)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    before = model.state_dict()
    fitted = Classifier(model, epochs=30, batch_size=37, lr=0.02, random_state=0).fit(x, y)
    assert fitted.score(x, y) > 0.9
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    made = Classifier(lambda inputs, classes: nn.Linear(inputs, classes), epochs=5).fit(x, y)
    assert made.model_.weight.shape == (3, 4)
    assert clone(fitted).model is not fitted.model_


def test_early_stopping_and_penalty_shorten_training_and_weights() -> None:
    x, y = load_iris(return_X_y=True)
    plain = Classifier(epochs=200, lr=0.05, random_state=0).fit(x, y)
    early = Classifier(epochs=200, lr=0.05, early_stopping=5, dev=0.2, random_state=0).fit(x, y)
    assert early.n_iter_ < plain.n_iter_ == 200 and "dev_loss" in early.history_
    small = Classifier(epochs=200, lr=0.05, l2=0.1, random_state=0).fit(x, y)
    norms = [sum((p.data**2).sum() for p in m.model_.parameters()) for m in (plain, small)]
    assert norms[1] < norms[0] / 2
    with pytest.raises(ValueRangeError, match="dev: expected a fraction between 0 and 1"):
        Classifier(early_stopping=1, dev=1.0).fit(x, y)


def test_several_targets_keep_their_shape() -> None:
    x = np.linspace(-1, 1, 40)[:, None]
    y = np.c_[2 * x, -3 * x]
    predicted = Regressor(epochs=150, lr=0.01, random_state=0).fit(x, y).predict(x)
    assert predicted.shape == (40, 2) and np.abs(predicted - y).max() < 0.5


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tinygrad_dl.train.estimator", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delattr(tg.train, "estimator", raising=False)
    with pytest.raises(MissingExtraError, match=r"Classifier and Regressor needs .*\[data\]"):
        _ = tg.train.Classifier
    with pytest.raises(
        AttributeError, match=r"train.Clasifier: there is no such name. Did you mean train.Classifier\?"
    ):
        _ = tg.train.Clasifier


@pytest.mark.parametrize("estimator", [Classifier, Regressor])
def test_early_stopping_trains_on_few_kinds_of_rows(estimator: Any) -> None:
    x = np.random.default_rng(0).integers(0, 2, (200, 2))
    y = x[:, 0] ^ x[:, 1]
    assert estimator(epochs=60, lr=0.02, early_stopping=60, random_state=0).fit(x, y).score(x, y) > 0.9
    with pytest.raises(
        ValueRangeError, match=f"{estimator.__name__}: early_stopping: split: sizes: expected at least"
    ):
        estimator(early_stopping=3).fit(x[:3], [0, 1, 1])


def test_a_model_with_another_number_of_outputs_is_refused_before_training() -> None:
    x, y = load_iris(return_X_y=True)
    with pytest.raises(
        ShapeError, match=r"Classifier: model: expected outputs \(N, 3\), one logit per class, got"
    ):
        Classifier(model=nn.Linear(4, 6)).fit(x, y)
    with pytest.raises(
        ShapeError, match=r"Regressor: model: expected outputs \(N, 1\), one per target, got \(2, 2\)"
    ):
        Regressor(model=nn.Linear(4, 2)).fit(x, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "Classifier: batch_size: expected an int of at least 1, got int 0"),
        ({"epochs": -1}, "Classifier: epochs: expected an int of at least 0"),
        ({"hidden": (8, 0)}, "Classifier: hidden: expected"),
        ({"lr": "0.1"}, "Classifier: lr: expected a number above 0"),
        ({"early_stopping": 0}, "Classifier: early_stopping: expected an int of at least 1 or None"),
    ],
)
def test_options_are_compared_in_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueRangeError, DTypeError), match=message):
        Classifier(**options).fit(*load_iris(return_X_y=True))


def test_one_hidden_layer_may_be_a_number() -> None:
    x, y = load_iris(return_X_y=True)
    one, other = (
        Classifier(hidden=h, epochs=2, random_state=0).fit(x, y).predict_proba(x) for h in (8, (8,))
    )
    np.testing.assert_array_equal(one, other)
