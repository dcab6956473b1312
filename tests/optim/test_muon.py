"""Muon: orthogonalized momentum for matrices."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.optim.muon import bfloat16, orthogonalize


def test_a_parameter_that_is_not_a_matrix_raises() -> None:
    with pytest.raises(
        ShapeError, match=r"^Muon: params: expected matrices, got a parameter of shape \(3,\)"
    ):
        optim.Muon([Tensor(np.ones(3), requires_grad=True)])


def test_singular_values_are_moved_close_to_one() -> None:
    rng = np.random.default_rng(0)
    for shape in ((4, 4), (3, 8), (8, 3)):
        u = orthogonalize(rng.normal(size=shape).astype("float32"), (3.4445, -4.775, 2.0315), 5, 1e-7)
        assert u.shape == shape
        values = np.linalg.svd(u, compute_uv=False)
        assert 0.5 < values.min() and values.max() < 1.3


def test_bfloat16_rounds_ties_to_even_and_keeps_nan() -> None:
    x = np.array([1.0, 1.0 + 2.0**-8, 1.0 + 3 * 2.0**-8, np.nan, np.inf], "float32")
    np.testing.assert_array_equal(bfloat16(x), np.array([1.0, 1.0, 1.0 + 2.0**-6, np.nan, np.inf], "float32"))
