"""The experiments show what they say: trained here, without a page."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.playground.presets import PRESETS
from tinygrad_dl.playground.session import Measurement, Session

BY_NAME = {preset.name: preset for preset in PRESETS}


def trained(name: str, run: int, steps: int | None = None) -> Session:
    preset = BY_NAME[name]
    session = Session(preset.runs[run])
    session.advance(preset.steps if steps is None else steps)
    return session


def end(session: Session) -> Measurement:
    return session.measure()


def test_the_flower_is_learned() -> None:
    assert end(trained("flower", 0)).dev_accuracy > 0.85


def test_the_small_cnn_reads_digits() -> None:
    assert end(trained("digits", 0)).dev_accuracy > 0.8


def test_gradients_vanish_in_the_sigmoid_net_and_not_in_the_other() -> None:
    norms = [[layer["norm"] for layer in trained("vanishing", run, 40).layers()] for run in (0, 1)]
    assert norms[0][0] < 1e-3 * norms[0][-1]
    assert norms[1][0] > 1e-2 * norms[1][-1]


def test_dropout_lowers_the_dev_loss_on_few_examples() -> None:
    without, with_it = end(trained("dropout", 0)), end(trained("dropout", 1))
    assert with_it.dev_loss < without.dev_loss and with_it.train_loss > without.train_loss


def test_losses_of_small_batches_jump() -> None:
    jumps = []
    for run in (0, 1):
        losses = np.array(trained("mini-batches", run, 200).batch_losses)
        jumps.append(np.abs(np.diff(losses[100:])).mean())
    assert jumps[0] > 5 * jumps[1]


def test_momentum_is_ahead_in_the_ravine() -> None:
    assert end(trained("momentum", 1, 300)).train_loss < end(trained("momentum", 0, 300)).train_loss


def test_batch_norm_makes_large_weights_harmless() -> None:
    without, with_it = trained("batch-norm", 0, 100), trained("batch-norm", 1, 100)
    assert with_it.batch_losses[0] < 10 < without.batch_losses[0]
    assert end(with_it).dev_accuracy > end(without).dev_accuracy


@pytest.mark.parametrize("name", ["zeros"])
def test_zeros_stay_and_random_weights_learn(name: str) -> None:
    zeros, random = end(trained(name, 0, 400)), end(trained(name, 1, 400))
    assert zeros.train_accuracy < 0.6 < 0.9 < random.train_accuracy
