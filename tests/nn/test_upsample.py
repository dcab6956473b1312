"""Interpolation and pixel shuffles."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.nn import functional
from tinygrad_dl.ops.resize import resize_matrix


@pytest.mark.parametrize("mode", ["linear", "bicubic", "nearest", "nearest-exact"])
@pytest.mark.parametrize(("size", "out"), [(3, 7), (7, 3), (5, 5), (1, 4), (4, 1)])
def test_resizing_a_constant_leaves_it(mode: str, size: int, out: int) -> None:
    np.testing.assert_allclose(resize_matrix(size, out, mode).sum(1), 1)
    if mode in ("linear", "bicubic"):
        np.testing.assert_allclose(resize_matrix(size, out, mode, antialias=True).sum(1), 1)


def test_align_corners_keeps_the_outermost_elements() -> None:
    out = functional.interpolate(np.array([[[0.0, 3.0]]]), size=4, mode="linear", align_corners=True)
    np.testing.assert_allclose(out, [[[0, 1, 2, 3]]])
    out = functional.interpolate(np.array([[[0.0, 4.0]]]), size=4, mode="linear")
    np.testing.assert_allclose(out, [[[0, 1, 3, 4]]])


def test_pixel_unshuffle_undoes_pixel_shuffle() -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 3, 2))
    np.testing.assert_array_equal(functional.pixel_unshuffle(functional.pixel_shuffle(x, 2), 2), x)


def test_a_mode_that_does_not_fit_the_axes_is_refused() -> None:
    with pytest.raises(ShapeError, match="mode='bilinear' does not fit x .* takes linear"):
        nn.Upsample(scale_factor=2, mode="bilinear")(Tensor(np.zeros((1, 1, 4))))
