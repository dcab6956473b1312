"""Augmentations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl.data
from tinygrad_dl.data import (
    Affine,
    Augmentation,
    Color,
    Compose,
    Crop,
    DataLoader,
    Flip,
    Noise,
    Rotate,
    Shear,
    Shift,
    Zoom,
)
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError

pytest.importorskip("scipy", reason="images are resampled by scipy")

ALL = [
    Flip(), Crop(padding=2), Rotate(), Zoom(), Shift(), Shear(), Affine(10, 0.1, 5, 1), Noise(), Color(),
    Compose(Flip(), Shift(1), Noise(0.1)),
]  # fmt: skip


def images(n: int = 5, channels: int = 3, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).random((n, channels, size, size)).astype(np.float32)


@pytest.mark.parametrize("change", ALL, ids=lambda change: type(change).__name__)
def test_shape_dtype_and_the_given_images_stay_and_a_seed_repeats(change: Augmentation) -> None:
    x = images()
    before = x.copy()
    one, other, third = change(x, rng=1), change(x, rng=1), change(x, rng=2)
    assert one.shape == x.shape and one.dtype == x.dtype
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third)
    assert change(x[:, 0], rng=1).shape == x[:, 0].shape and len(change(x[:0], rng=1)) == 0


@given(st.floats(0, 1), st.integers(0, 9))
def test_a_flip_gives_the_image_or_its_mirror_image(p: float, seed: int) -> None:
    x = images()
    for image, flipped in zip(x, Flip(p, axis=-2)(x, rng=seed)):
        assert np.array_equal(image, flipped) or np.array_equal(image[:, ::-1], flipped)
    np.testing.assert_array_equal(Flip(0.0)(x), x)
    np.testing.assert_array_equal(Flip(1.0)(x), x[..., ::-1])


def test_a_crop_is_a_part_of_the_padded_image() -> None:
    x = images(20, 1, 4)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for i, part in enumerate(Crop((3, 4), padding=1)(x, rng=0)):
        windows = [padded[i, :, r : r + 3, c : c + 4] for r in range(4) for c in range(3)]
        assert any(np.array_equal(part, window) for window in windows)
    with pytest.raises(ShapeError, match=r"fits in the padded image \(6, 6\), got \(9, 4\)"):
        Crop((9, 4), padding=1)(x)


def test_integer_shifts_and_right_angles_are_exact() -> None:
    x = images(1, 1, 5)
    moved = Shift((1, 1))(x)
    np.testing.assert_allclose(moved[0, 0, 1:, 1:], x[0, 0, :-1, :-1], atol=1e-6)
    assert not moved[0, 0, 0].any()
    np.testing.assert_allclose(Rotate((90, 90))(x)[0, 0], np.rot90(x[0, 0]), atol=1e-5)
    np.testing.assert_allclose(Affine()(x), x, atol=1e-6)


def test_zooming_in_makes_the_middle_larger() -> None:
    x = np.zeros((1, 9, 9))
    x[0, 4, 4] = 1
    assert Zoom((2, 2))(x).sum() > 2 * x.sum() and Zoom((0.5, 0.5))(x).sum() <= x.sum()


def test_a_shear_moves_rows_and_leaves_the_middle_row() -> None:
    x = np.zeros((1, 9, 9))
    x[0, :, 4] = 1
    slanted = Shear((45, 45))(x)
    assert np.argwhere(slanted[0] > 0.5).shape == (9, 2) and slanted[0, 4, 4] == pytest.approx(1)
    assert len(set(np.argwhere(slanted[0] > 0.5)[:, 1])) == 9


def test_noise_has_its_deviation_and_colors_stay_between_0_and_1() -> None:
    x = np.full((4, 1, 50, 50), 0.5)
    assert Noise(0.2)(x, rng=0).std() == pytest.approx(0.2, rel=0.05)
    changed = Color(0.5, 0.9, 1.0)(images(), rng=0)
    assert 0 <= changed.min() < changed.max() <= 1
    np.testing.assert_allclose(Color(0, 0, 0)(images()), images(), atol=1e-6)
    gray = Color(0, 0, (0, 0))(images())
    np.testing.assert_allclose(gray[:, 0], gray[:, 2], atol=1e-6)


def test_a_loader_augments_each_epoch_differently_and_leaves_the_targets() -> None:
    loader = DataLoader((images(), np.arange(5)), 5, transform=Noise(0.1), rng=0)
    (first, y), (second, _) = (next(iter(loader)) for _ in range(2))
    assert y.tolist() == [0, 1, 2, 3, 4] and not np.array_equal(first.data, second.data)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Flip()(np.zeros((2, 64))),
            ShapeError,
            r"Flip: expected images .*, got shape \(2, 64\). Reshape flat",
        ),
        (
            lambda: Noise()(np.zeros((1, 2, 2), np.uint8)),
            DTypeError,
            "expected floating-point images, got uint8",
        ),
        (
            lambda: Color(saturation=0.5)(np.zeros((1, 2, 2))),
            ShapeError,
            "saturation: expected three channels",
        ),
        (lambda: Rotate((5, -5)), ValueRangeError, r"rotate: expected a number or a pair \(low, high\)"),
        (lambda: Zoom(1.5), ValueRangeError, "at least 0.001, got 1.5"),
        (lambda: Noise(-1), ValueRangeError, "Noise: std: expected a number of at least 0, got int -1"),
        (lambda: Flip(2), ValueRangeError, r"Flip: p: expected a number in \[0, 1\]"),
        (lambda: Crop(padding=-1), ValueRangeError, "Crop: padding: expected an int in"),
        (lambda: Augmentation()(np.zeros((1, 2, 2))), DTypeError, r"must define change\(x, rng\)"),
    ],
)
def test_wrong_uses_are_explained(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_former_name_of_color_still_works() -> None:
    assert tinygrad_dl.data.Colour is Color
