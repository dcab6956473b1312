"""Short names for what many tests do: a leaf that requires grad, and the gradient that it received."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.tensor import Tensor


def leaf(value: Any, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.array(value, dtype), requires_grad=True)


def gradient(t: Tensor) -> np.ndarray:
    assert t.grad is not None
    return t.grad.numpy()
