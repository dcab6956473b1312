"""Adadelta: two steps by hand from the formula in the docstring; its options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.optim.paths import path_of
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import Adadelta


def test_two_steps_are_those_of_the_formula() -> None:
    options = {"rho": 0.5, "eps": 1.0}
    np.testing.assert_allclose(
        path_of(Adadelta, [1.0, 1.0], **options),
        [1 - (2 / 3) ** 0.5, 1 - (2 / 3) ** 0.5 - (4 / 3 / 1.75) ** 0.5],
        rtol=1e-12,
    )


def test_an_option_out_of_range_raises() -> None:
    message = "Adadelta: rho: expected a number in [0, 1], got 1.5"
    with pytest.raises(ValueRangeError, match=re.escape(message)):
        Adadelta([Tensor(1.0, requires_grad=True)], rho=1.5)
