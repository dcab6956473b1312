"""Rprop: two steps by hand from the formula in the docstring; its options."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.optim.paths import path_of
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import Rprop


def test_two_steps_are_those_of_the_formula() -> None:
    options = {"lr": 0.1}
    np.testing.assert_allclose(path_of(Rprop, [1.0, 1.0], **options), [0.9, 0.78], rtol=1e-12)


def test_an_option_out_of_range_raises() -> None:
    message = "Rprop: etas: expected one number below 1 and one above, such as (0.5, 1.2), got (1.2, 0.5)"
    with pytest.raises(ValueRangeError, match=re.escape(message)):
        Rprop([Tensor(1.0, requires_grad=True)], etas=(1.2, 0.5))
