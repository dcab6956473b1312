"""Bundled and generated data sets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_dl.data import TensorDataset, datasets
from tinygrad_dl.errors import DTypeError, MissingExtraError, ValueRangeError

SHAPES = {
    "load_digits": ((1797, 64), 10),
    "load_iris": ((150, 4), 3),
    "load_wine": ((178, 13), 3),
    "load_breast_cancer": ((569, 30), 2),
    "load_diabetes": ((442, 10), None),
    "planar_flower": ((400, 2), 2),
    "spirals": ((300, 2), 3),
    "circles": ((300, 2), 2),
    "moons": ((300, 2), 2),
    "blobs": ((200, 2), 6),
}


def made(name: str, **options: Any) -> TensorDataset:
    if name not in ("planar_flower", "spirals"):
        pytest.importorskip("sklearn", reason="scikit-learn includes this data set")
    return getattr(datasets, name)(**options)


@pytest.mark.parametrize("name", SHAPES)
def test_each_has_its_shape_dtype_and_classes(name: str) -> None:
    shape, classes = SHAPES[name]
    data = made(name)
    assert data.x.shape == shape and data.x.dtype == np.float32 and len(data.y) == shape[0]
    if classes is None:
        assert data.y.dtype == np.float32 and data.classes is None
    else:
        assert data.y.dtype == np.int64 and set(data.y) == set(range(classes))
        assert data.classes is not None and len(data.classes) == classes
    assert made(name, dtype="float64").x.dtype == np.float64


@pytest.mark.parametrize("name", ["planar_flower", "spirals", "circles", "moons", "blobs"])
def test_generated_ones_repeat_and_leave_numpys_generator_alone(name: str) -> None:
    np.testing.assert_array_equal(made(name).x, made(name).x)
    assert not np.array_equal(made(name).x, made(name, seed=99).x)


def test_the_flower_is_the_one_of_the_course() -> None:
    # The first point as numpy's generator with seed 1 gives it, worked out one number at a time.
    rng = np.random.RandomState(1)
    t = 0.2 * rng.randn(200)[0]
    r = 4 * np.sin(4 * t) + 0.2 * rng.randn(200)[0]
    data = datasets.planar_flower(dtype="float64")
    np.testing.assert_allclose(data.x[0], [r * np.sin(t), r * np.cos(t)])
    assert data.y.tolist() == [0] * 200 + [1] * 200


def test_the_spiral_is_the_one_of_the_book() -> None:
    rng = np.random.RandomState(1984)
    noise = rng.randn(300)
    angle = 4 * 1 + 4 * 0.5 + 0.2 * noise[150]
    np.testing.assert_allclose(
        datasets.spirals(dtype="float64").x[150], [0.5 * np.sin(angle), 0.5 * np.cos(angle)]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: datasets.planar_flower(n=3), "expected an even number of points, got 3"),
        (lambda: datasets.spirals(n=10), "expected a multiple of the 3 classes, got 10"),
    ],
)
def test_impossible_sizes_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueRangeError, match=message):
        make()


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r'load_digits needs .* pip install "tinygrad_dl\[data\]"'):
        datasets.load_digits()


def test_a_dtype_that_would_cut_values_off_is_refused() -> None:
    for call in (datasets.planar_flower, datasets.spirals):
        with pytest.raises(
            DTypeError, match="dtype: expected one that holds the values, such as float32, got int64"
        ):
            call(dtype=np.int64)
    pytest.importorskip("sklearn", reason="the bundled data sets are scikit-learn's")
    assert datasets.load_digits(dtype=np.uint8).x.max() == 16
    with pytest.raises(DTypeError, match="load_iris: dtype: expected one that holds the values"):
        datasets.load_iris(dtype=np.int64)
