"""RAdam: two steps by hand from the formula in the docstring; its options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.optim.paths import path_of
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import RAdam


def test_two_steps_are_those_of_the_formula() -> None:
    options = {"lr": 0.1}
    np.testing.assert_allclose(path_of(RAdam, [1.0, 1.0], **options), [0.9, 0.8], rtol=1e-12)


def test_an_option_out_of_range_raises() -> None:
    message = "RAdam: eps: expected a number of at least 0, got -1"
    with pytest.raises(ValueRangeError, match=re.escape(message)):
        RAdam([Tensor(1.0, requires_grad=True)], eps=-1)
