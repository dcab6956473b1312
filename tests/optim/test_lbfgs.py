"""L-BFGS: closures, line search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import ValueRangeError


def test_it_needs_a_closure_and_one_group() -> None:
    p, q = (Tensor(np.ones(n), requires_grad=True) for n in (2, 3))
    with pytest.raises(TypeError, match="^LBFGS.step: closure: expected a function, got None"):
        optim.LBFGS([p]).step()
    with pytest.raises(ValueRangeError, match="^LBFGS: params: expected one group, got several"):
        optim.LBFGS([{"params": [p]}, {"params": [q]}])


def test_it_finds_the_minimum_of_the_rosenbrock_function() -> None:
    p = Tensor([-1.2, 1.0], dtype="float64", requires_grad=True)
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe", max_iter=100)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(p.data, [1.0, 1.0], atol=1e-4)
