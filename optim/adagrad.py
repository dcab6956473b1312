"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad: steps shrink with the root of the sum of all squared gradients, each element's with its own.

    g += weight_decay * p;  s += g**2, at first s = initial_accumulator_value;
    p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps);  t counts from 1. `maximize`: uphill.
    Raises ValueRangeError. Source: Duchi, Hazan, Singer 2011.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adagrad([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {"sum": np.full(p.shape, float(group["initial_accumulator_value"]), p.dtype)}

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        w, u = work
        g = self.downhill(p, g, group, u)
        s = state["sum"]
        np.multiply(g, g, out=w)
        s += w
        np.sqrt(s, out=w)
        w += float(group["eps"])
        np.divide(g, w, out=w)
        w *= float(group["lr"]) / (1.0 + (state["step"] - 1) * float(group["lr_decay"]))
        p -= w
