"""Losses of regression and of densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor
from tinygrad_dl.autograd import grad
from tinygrad_dl.nn import functional as F


def gradients_of(loss: Any, x: list[float], t: list[float]) -> list[list[float]]:
    """The gradients in prediction and target, which must be the same where they are recorded."""
    pair = [Tensor(np.array(v), requires_grad=True) for v in (x, t)]
    out = loss(*pair)
    plain = grad(out, pair, retain_graph=True)
    for g, again in zip(plain, grad(out, pair, create_graph=True)):
        np.testing.assert_allclose(again.detach().numpy(), g.numpy())
    return [g.tolist() for g in plain]


def test_kl_divergence_of_a_distribution_from_itself_is_zero_also_with_zeros_in_it() -> None:
    p = np.array([[0.5, 0.5, 0.0]])
    with np.errstate(divide="ignore"):
        log_p = np.where(p > 0, np.log(np.where(p > 0, p, 1)), -30)
    assert F.kl_div(log_p, p, reduction="batchmean") == pytest.approx(0.0)
    assert F.kl_div(log_p, log_p, reduction="batchmean", log_target=True) == pytest.approx(0.0)


def test_huber_has_the_derivative_of_its_line_on_both_sides_and_at_its_ends() -> None:
    d = [-3.0, -2.0, -0.5, 0.0, 0.5, 2.0, 3.0]
    in_x, in_y = gradients_of(lambda x, y: F.huber_loss(x, y, "sum", 2.0), [v + 5 for v in d], [5.0] * 7)
    assert in_x == [-2, -2, -0.5, 0, 0.5, 2, 2] and in_y == [-v for v in in_x]
