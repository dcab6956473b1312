"""SGD: closed forms, PyTorch's figures, its options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import SGD


def path_of(gradients: list[float], **options: Any) -> list[float]:
    """Where a parameter that starts at 1 is after each step, given its gradients."""
    p = Tensor(1.0, dtype="float64", requires_grad=True)
    optimizer = SGD([p], lr=0.1, **options)
    places = []
    for g in gradients:
        p.grad = Tensor(g, dtype="float64")
        optimizer.step()
        places.append(p.item())
    return places


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
    np.testing.assert_allclose(path_of([1.0, 1.0, 1.0], **options), expected, rtol=1e-13)


def test_the_first_step_of_momentum_is_not_dampened() -> None:
    np.testing.assert_allclose(path_of([1.0, 0.0], momentum=0.5, dampening=0.5), [0.9, 0.85])


def test_a_gradient_of_nan_is_applied_as_it_is() -> None:
    assert np.isnan(path_of([float("nan")])[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "SGD: lr: a number of at least 0 is needed; -1.0 came"),
        ({"lr": float("nan")}, "SGD: lr: a number of at least 0 is needed; nan came"),
        ({"momentum": -0.5}, "SGD: momentum: a number of at least 0 is needed; -0.5 came"),
        ({"weight_decay": -1}, "SGD: weight_decay: a number of at least 0 is needed; -1 came"),
        ({"nesterov": True}, "SGD: momentum: with nesterov, a number above 0 is needed; 0 came"),
        (
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "SGD: dampening: with nesterov, 0 is needed; 0.1 came",
        ),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueRangeError) as caught:
        SGD([Tensor(1.0, requires_grad=True)], **options)
    assert str(caught.value) == message
