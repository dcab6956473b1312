"""Adam: PyTorch's figures, its options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.optim.paths import path_of
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import Adam, AdamW


# The figures are PyTorch 2.13's.
@pytest.mark.parametrize(
    ("gradients", "options", "expected"),
    [
        ([1.0, -2.0, 0.5], {}, [0.900000001, 0.9366103534720749, 0.9502794196738216]),
        ([1e-9], {}, [0.990909090909091]),  # eps stands outside of the root
        ([1.0, 1.0], {"weight_decay": 0.1}, [0.9000000009090909, 0.8000248483897221]),
        ([1.0, 1.0], {"betas": (0.0, 0.0)}, [0.900000001, 0.800000002]),
        ([1.0, -2.0], {"betas": (0.5, 0.9), "eps": 0.1}, [0.9090909090909091, 0.9677106439911031]),
        ([2.0, 0.01], {"amsgrad": True, "betas": (0.9, 0.5)}, [0.9000000005, 0.8416634688251637]),
        (
            [2.0, -0.5, 0.25],
            {"maximize": True, "weight_decay": 0.1},
            [1.0999999994736842, 1.1410380141839236, 1.177031505402433],
        ),
    ],
)
def test_steps_on_given_gradients(
    gradients: list[float], options: dict[str, Any], expected: list[float]
) -> None:
    np.testing.assert_allclose(path_of(Adam, gradients, lr=0.1, **options), expected, rtol=1e-13)


def test_two_steps_of_adamw_are_those_of_the_formula() -> None:
    path = path_of(AdamW, [1.0, 1.0], lr=0.1, eps=0.0, weight_decay=1.0)
    np.testing.assert_allclose(path, [0.8, 0.62], rtol=1e-12)


def test_a_gradient_of_zero_moves_nothing_at_first() -> None:
    assert path_of(Adam, [0.0], lr=0.1) == [1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "Adam: lr: expected a number of at least 0, got -1"),
        ({"eps": -1e-8}, "Adam: eps: expected a number of at least 0, got -1e-08"),
        ({"weight_decay": -1}, "Adam: weight_decay: expected a number of at least 0, got -1"),
        (
            {"betas": (0.9, 1.0)},
            "Adam: betas: expected a pair of numbers in [0, 1), got (0.9, 1.0)",
        ),
        ({"betas": (0.9,)}, "Adam: betas: expected a pair of numbers in [0, 1), got (0.9,)"),
    ],
)
def test_options_out_of_range_raise(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueRangeError) as caught:
        Adam([Tensor(1.0, requires_grad=True)], **options)
    assert str(caught.value) == message
