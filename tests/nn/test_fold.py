"""Unfold (im2col) and Fold (col2im)."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.ops.conv import conv
from tinygrad_dl.ops.unfold import fold, unfold


def test_convolution_is_a_product_with_the_unfolded_input() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((4, 3, 2, 2))
    product = w.reshape(4, -1) @ unfold(x, 2)
    np.testing.assert_allclose(product.reshape(2, 4, 4, 3), conv(x, w), atol=1e-12)


def test_folding_what_was_unfolded_counts_each_element_once_a_window() -> None:
    x = np.ones((1, 1, 3, 3))
    assert fold(unfold(x, 2), (3, 3), 2)[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_columns_that_do_not_fit_the_image_are_refused() -> None:
    with pytest.raises(ShapeError, match="L = 4 windows"):
        nn.Fold((3, 3), 2)(Tensor(np.zeros((1, 4, 5))))
