"""Standardize."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl.data import Standardize, Subset, TensorDataset, split
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError


def test_each_feature_has_mean_0_and_deviation_1_and_the_inverse_restores() -> None:
    x = np.random.default_rng(0).normal(5, 3, (50, 4))
    scale = Standardize().fit(x)
    scaled = scale(x)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    np.testing.assert_allclose(scale.inverse(scaled), x)


def test_it_refuses_to_be_fitted_on_the_dev_or_test_part() -> None:
    train, dev, test = split((np.arange(30.0)[:, None], np.arange(30)), rng=0)
    for part in (dev, test):
        with pytest.raises(ValueRangeError, match=f"got the {part.part} part. Fit on the training part only"):
            Standardize().fit(part)
    scale = Standardize().fit(train)
    scaled = scale(test)
    assert scaled.part == "test" and scaled.y is test.y
    np.testing.assert_allclose(scaled.x, (test.x - train.x.mean()) / train.x.std())


def test_a_constant_feature_is_only_centered() -> None:
    x = np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]])
    scaled = Standardize().fit(x)(x)
    np.testing.assert_allclose(scaled[:, 0], 0, atol=1e-12)


def test_float32_stays_float32_and_integers_become_floats() -> None:
    x = np.array([[1.0], [3.0]], np.float32)
    assert Standardize().fit(x)(x).dtype == np.float32
    pixels = np.array([[0], [255]], np.uint8)
    np.testing.assert_allclose(Standardize().fit(pixels)(pixels), [[-1], [1]])


def test_channels_of_images_can_share_their_statistics() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 4, 4))
    scale = Standardize(axis=(0, 2, 3)).fit(x)
    assert scale.mean is not None and scale.mean.shape == (1, 3, 1, 1)
    assert scale(x[:2]).shape == (2, 3, 4, 4)


def test_state_is_saved_and_loaded() -> None:
    scale, other = Standardize().fit([[1.0], [3.0]]), Standardize()
    other.load_state_dict(scale.state_dict())
    assert other([[2.0]]).tolist() == [[0.0]]


def test_wrong_uses_are_explained() -> None:
    with pytest.raises(GraphError, match=r"Call fit\(train\) first"):
        Standardize()([[1.0]])
    with pytest.raises(ValueRangeError, match=r"got nan at x\[1, 0\]. Impute or drop"):
        Standardize().fit([[1.0], [np.nan]])
    with pytest.raises(ValueRangeError, match="expected at least one example"):
        Standardize().fit(np.zeros((0, 2)))
    with pytest.raises(ShapeError, match=r"fitted statistics \(1, 1\), got shape \(2, 3\)"):
        Standardize().fit([[1.0], [2.0]])(np.zeros((2, 3)))
    with pytest.raises(DTypeError, match="expected numbers"):
        Standardize().fit([["a"]])
    with pytest.raises(DTypeError, match="got a Subset, which has no array x"):
        Standardize().fit(Subset(TensorDataset(np.zeros(3)), [0]))
