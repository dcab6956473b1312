"""Adafactor: two steps by hand from the formula in the docstring; its options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.optim.paths import path_of
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import Adafactor


def test_two_steps_are_those_of_the_formula() -> None:
    options = {"lr": 0.1}
    np.testing.assert_allclose(path_of(Adafactor, [1.0, 1.0], **options), [0.9, 0.81], rtol=1e-12)


def test_a_matrix_stores_a_row_and_a_column_and_a_vector_all_elements() -> None:
    matrix, vector = (Tensor(np.ones(shape), requires_grad=True) for shape in ((3, 4), (5,)))
    matrix.grad, vector.grad = Tensor(np.ones((3, 4))), Tensor(np.ones(5))
    optimizer = Adafactor([matrix, vector])
    optimizer.step()
    shapes = {key: np.shape(value) for p in (matrix, vector) for key, value in optimizer.state[p].items()}
    assert shapes == {"step": (), "row_var": (3, 1), "col_var": (1, 4), "variance": (5,)}


def test_an_option_out_of_range_raises() -> None:
    message = "Adafactor: beta2_decay: expected a number of at most 0, got 1"
    with pytest.raises(ValueRangeError, match=re.escape(message)):
        Adafactor([Tensor(1.0, requires_grad=True)], beta2_decay=1)
