"""The path of one parameter under an optimizer, for gradients given by hand."""

from __future__ import annotations

from typing import Any

from tinygrad_dl import Tensor


def path_of(make: Any, gradients: list[float], **options: Any) -> list[float]:
    """Where a parameter that starts at 1 is after each step, given its gradients."""
    p = Tensor(1.0, dtype="float64", requires_grad=True)
    optimizer = make([p], **options)
    path = []
    for g in gradients:
        p.grad = Tensor(g, dtype="float64")
        optimizer.step()
        path.append(p.item())
    return path
