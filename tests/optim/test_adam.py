"""Adam: PyTorch's figures, its options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.optim import Adam


def path_of(gradients: list[float], **options: Any) -> list[float]:
    """Where a parameter that starts at 1 is after each step, given its gradients."""
    p = Tensor(1.0, dtype="float64", requires_grad=True)
    optimizer = Adam([p], lr=0.1, **options)
    places = []
    for g in gradients:
        p.grad = Tensor(g, dtype="float64")
        optimizer.step()
        places.append(p.item())
    return places


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
    np.testing.assert_allclose(path_of(gradients, **options), expected, rtol=1e-13)


def test_a_gradient_of_zero_moves_nothing_at_first() -> None:
    assert path_of([0.0]) == [1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "Adam: lr: a number of at least 0 is needed; -1 came"),
        ({"eps": -1e-8}, "Adam: eps: a number of at least 0 is needed; -1e-08 came"),
        ({"weight_decay": -1}, "Adam: weight_decay: a number of at least 0 is needed; -1 came"),
        (
            {"betas": (0.9, 1.0)},
            "Adam: betas: a pair of numbers in [0, 1) is needed; (0.9, 1.0) came",
        ),
        ({"betas": (0.9,)}, "Adam: betas: a pair of numbers in [0, 1) is needed; (0.9,) came"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueRangeError) as caught:
        Adam([Tensor(1.0, requires_grad=True)], **options)
    assert str(caught.value) == message
