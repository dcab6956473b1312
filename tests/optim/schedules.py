"""An optimizer for the tests of schedules."""

from __future__ import annotations

from typing import Any

from tinygrad_dl import Tensor, optim


def optimizer(**options: Any) -> Any:
    return optim.SGD([Tensor(1.0, requires_grad=True)], **{"lr": 0.5, "momentum": 0.9, **options})
