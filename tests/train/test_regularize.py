"""Clipping, penalties, averaged weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.train.test_trainer import points, trainer, weights
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import AnomalyError, ValueRangeError
from tinygrad_dl.nn import warnings as nn_warnings
from tinygrad_dl.train import AveragedWeights, Callback, ClipGradients, EarlyStopping, Penalty, Trainer


class Watch(Callback):
    """Notes the norm of all gradients, and the weights after each step."""

    last = True

    def __init__(self) -> None:
        self.norms: list[float] = []
        self.weights: list[np.ndarray] = []

    def on_backward(self, trainer: Any) -> None:
        grads = [p.grad.data for p in trainer.model.parameters()]
        self.norms.append(float(np.sqrt(sum((g.astype(float) ** 2).sum() for g in grads))))

    def on_batch_end(self, trainer: Any) -> None:
        self.weights.append(np.concatenate([p.data.ravel().copy() for p in trainer.model.parameters()]))


def test_gradients_are_clipped_before_the_step() -> None:
    watch, clip = Watch(), ClipGradients(norm=0.05)
    trainer(callbacks=[clip, watch]).fit(points(), epochs=2, rng=0)
    assert max(watch.norms) <= 0.05 + 1e-6 and clip.share == 1.0
    free, loose = Watch(), ClipGradients(norm=1e6)
    trainer(callbacks=[loose, free]).fit(points(), epochs=2, rng=0)
    assert loose.share == 0.0 and max(free.norms) > 0.05
    each = ClipGradients(value=0.01)
    t = trainer(callbacks=[each])
    t.fit(points(), epochs=1, rng=0)
    assert max(np.abs(p.grad.data).max() for p in t.model.parameters()) <= np.float32(0.01)


def test_a_gradient_of_nan_is_not_clipped_but_reported() -> None:
    bad = points(4)
    bad.x[0, 0] = np.nan
    with pytest.raises(AnomalyError, match="clip_grad_norm_"):
        trainer(callbacks=[ClipGradients(norm=1.0)], allow_nan=True).fit(bad, epochs=1)


@pytest.mark.parametrize(("l1", "l2"), [(0.5, 0.0), (0.0, 0.5), (0.25, 0.5)])
def test_a_penalty_adds_its_derivative_to_weights_but_not_to_biases(l1: float, l2: float) -> None:
    model = nn.Linear(2, 2)
    before = {name: p.data.copy() for name, p in model.named_parameters()}

    def nothing(output: Any, target: Any) -> Any:
        return (output * 0).sum()

    t = Trainer(
        model, nothing, optim.SGD(model.parameters(), lr=1.0), callbacks=[Penalty(l1, l2)], progress="off"
    )
    t.fit(points(8), epochs=1)
    w = before["weight"]
    np.testing.assert_allclose(model.weight.data, w - l1 * np.sign(w) - l2 * w, rtol=1e-6)
    np.testing.assert_array_equal(model.bias.data, before["bias"])


def test_averaged_weights_follow_their_formula_and_replace_the_weights_at_the_end() -> None:
    watch, averaged = Watch(), AveragedWeights(0.5)
    t = trainer(callbacks=[averaged, watch])
    expected = np.concatenate([p.data.ravel().copy() for p in t.model.parameters()])
    t.fit(points(), epochs=3, batch_size=10, rng=0)
    for now in watch.weights:
        expected = 0.5 * expected + 0.5 * now
    got = np.concatenate([p.data.ravel() for p in t.model.parameters()])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_averaged_weights_can_be_used_temporarily() -> None:
    averaged = AveragedWeights(0.9, apply=False)
    t = trainer(callbacks=[averaged])
    t.fit(points(), epochs=2, rng=0)
    before = weights(t)
    with averaged.swapped(t.model):
        assert not np.array_equal(weights(t), before)
    np.testing.assert_array_equal(weights(t), before)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueRangeError, match="expected either norm or value above 0"):
        ClipGradients()
    with pytest.raises(
        ValueRangeError, match="ClipGradients: norm: expected a number above 0 or None, got float -1"
    ):
        ClipGradients(norm=-1.0)
    with pytest.raises(ValueRangeError, match="expected l1 and l2 of at least 0, one of them above"):
        Penalty()
    with pytest.raises(
        ValueRangeError, match=r"AveragedWeights: decay: expected a number in \(0, 1\), got float 1.0"
    ):
        AveragedWeights(1.0)
    assert tg.is_grad_enabled()


def test_the_average_begins_again_with_each_model() -> None:
    averaged = AveragedWeights(0.5)
    trainer(callbacks=[averaged]).fit(points(), epochs=1)
    second, twin = (trainer(seed=1, callbacks=[c]) for c in (averaged, AveragedWeights(0.5)))
    for t in (second, twin):
        tg.manual_seed(2)
        t.fit(points(), epochs=2, rng=0)
    np.testing.assert_array_equal(weights(second), weights(twin))


def test_two_callbacks_that_set_the_final_weights_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn_warnings, "issued", set())
    with pytest.warns(
        UserWarning, match="EarlyStopping and AveragedWeights each set the final weights; the last of"
    ):
        trainer(callbacks=[EarlyStopping(), AveragedWeights()])
    trainer(callbacks=[EarlyStopping(restore=False), AveragedWeights()])
