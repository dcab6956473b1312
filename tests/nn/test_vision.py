"""Sampling at places of a grid: what must come back unchanged, moved or empty, and derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn.functional import affine_grid, grid_sample
from tinygrad_dl.testing import gradcheck, gradgradcheck

X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_the_identity_gives_the_image_back(align_corners: bool, mode: str) -> None:
    theta = np.broadcast_to(np.eye(2, 3), (2, 2, 3))
    grid = affine_grid(theta, X.shape, align_corners)
    np.testing.assert_allclose(grid_sample(X, grid, mode, align_corners=align_corners), X, atol=1e-12)


def test_a_mirrored_grid_mirrors_the_image() -> None:
    theta = np.broadcast_to(np.array([[-1.0, 0, 0], [0, 1, 0]]), (2, 2, 3))
    np.testing.assert_allclose(grid_sample(X, affine_grid(theta, X.shape)), X[..., ::-1], atol=1e-12)


def test_the_padding_mode_says_what_is_outside() -> None:
    image = np.array([[[[1.0, 2.0, 3.0]]]])
    far = np.array([[[[5.0, 0.0], [-1.5, 0.0]]]])
    assert grid_sample(image, far, "nearest").ravel().tolist() == [0, 0]
    assert grid_sample(image, far, "nearest", "border").ravel().tolist() == [3, 1]
    assert grid_sample(image, np.array([[[[-2.0, 0.0]]]]), "nearest", "reflection", True).item() == 2


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_derivatives_in_the_image_and_in_the_grid_agree_with_differences(padding_mode: str) -> None:
    x = Tensor(X[:1, :1, :3, :3], requires_grad=True)
    grid = Tensor(np.array([[[[0.13, -0.31], [0.52, 0.41], [1.2, -1.4]]]]), requires_grad=True)
    assert gradcheck(lambda a, b: grid_sample(a, b, padding_mode=padding_mode), (x, grid))
    assert gradgradcheck(lambda a, b: grid_sample(a, b, padding_mode=padding_mode), (x, grid))


def test_grids_and_modes_that_do_not_fit_are_explained() -> None:
    with pytest.raises(ShapeError, match=r"expected x \(N, C, \*S\) and grid \(N, \*L, d\)"):
        grid_sample(X, np.zeros((2, 4, 5, 3)))
    with pytest.raises(ValueRangeError, match="mode='cubic'"):
        grid_sample(X, np.zeros((2, 4, 5, 2)), mode="cubic")


def test_a_cubic_sample_is_the_kernels_sum_over_four_neighbors() -> None:
    x = np.arange(6.0).reshape(1, 1, 1, 6) * np.ones((1, 1, 6, 1))
    grid = np.array([[[[0.1, 0.0], [-0.1, 0.2]]]])
    out = grid_sample(x, grid, mode="bicubic", align_corners=True)
    t = 0.75  # of the way from 2 to 3

    def k(d: float, a: float = -0.75) -> float:
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    expected = 1 * k(1 + t) + 2 * k(t) + 3 * k(1 - t) + 4 * k(2 - t)
    assert out[0, 0, 0, 0] == pytest.approx(expected)
