"""SGD: closed forms, PyTorch's figures, its options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.optim.paths import path_of
from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import SGD


# The figures are PyTorch 2.13's for these gradients.
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.9, 0.8, 0.7]),
        ({"momentum": 0.9}, [0.9, 0.71, 0.439]),
        ({"momentum": 0.9, "nesterov": True}, [0.81, 0.539, 0.1951]),
        ({"momentum": 0.9, "dampening": 0.9}, [0.9, 0.8, 0.7]),
        ({"weight_decay": 0.5}, [0.85, 0.7075, 0.572125]),
        ({"maximize": True}, [1.1, 1.2, 1.3]),
        ({"maximize": True, "weight_decay": 0.5, "momentum": 0.9}, [1.05, 1.1425, 1.268625]),
    ],
)
def test_steps_on_a_constant_gradient(options: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_allclose(path_of(SGD, [1.0, 1.0, 1.0], lr=0.1, **options), expected, rtol=1e-13)


def test_the_first_step_of_momentum_is_not_dampened() -> None:
    np.testing.assert_allclose(path_of(SGD, [1.0, 0.0], lr=0.1, momentum=0.5, dampening=0.5), [0.9, 0.85])


def test_a_gradient_of_nan_is_applied_as_it_is() -> None:
    assert np.isnan(path_of(SGD, [float("nan")], lr=0.1)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "SGD: lr: expected a number of at least 0, got -1.0"),
        ({"lr": float("nan")}, "SGD: lr: expected a number of at least 0, got nan"),
        ({"momentum": -0.5}, "SGD: momentum: expected a number of at least 0, got -0.5"),
        ({"weight_decay": -1}, "SGD: weight_decay: expected a number of at least 0, got -1"),
        ({"nesterov": True}, "SGD: momentum: expected a number above 0 with nesterov, got 0"),
        (
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "SGD: dampening: expected 0 with nesterov, got 0.1",
        ),
    ],
)
def test_options_out_of_range_raise(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueRangeError) as caught:
        SGD([Tensor(1.0, requires_grad=True)], **options)
    assert str(caught.value) == message
