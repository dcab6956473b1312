"""ASGD: two steps by hand from the formula in the docstring; its options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.optim.paths import path_of
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import ASGD


def test_two_steps_are_those_of_the_formula() -> None:
    options = {"lr": 0.1, "lambd": 0.0}
    np.testing.assert_allclose(path_of(ASGD, [1.0, 1.0], **options), [0.9, 0.8], rtol=1e-12)


def test_the_average_of_the_parameters_is_in_the_state() -> None:
    p = Tensor(1.0, dtype="float64", requires_grad=True)
    optimizer = ASGD([p], lr=0.25, lambd=0.0, t0=0)
    for _ in range(2):
        p.grad = Tensor(1.0, dtype="float64")
        optimizer.step()
    assert p.item() == 0.5 and optimizer.state[p]["ax"] == 0.5
    p.grad = Tensor(1.0, dtype="float64")
    optimizer.step()
    assert p.item() == 0.25 and optimizer.state[p]["ax"] == 0.375


def test_an_option_out_of_range_raises() -> None:
    message = "ASGD: weight_decay: expected a number of at least 0, got -1"
    with pytest.raises(ValueRangeError, match=re.escape(message)):
        ASGD([Tensor(1.0, requires_grad=True)], weight_decay=-1)
