"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class Adamax(Optimizer):
    """Adamax: Adam with a decaying maximum of the gradient in the place of its root mean square.

    g += weight_decay * p;  m = b1 * m + (1 - b1) * g;  u = max(b2 * u, |g| + eps);
    p -= lr / (1 - b1**t) * m / u;  `betas` = (b1, b2); t counts from 1. `maximize`: uphill.
    Raises ValueRangeError. Source: Kingma, Ba 2015, section 7.1.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adamax([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "eps", "weight_decay")
        self.refuse_averages(group)

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {name: np.zeros(p.shape, p.dtype) for name in ("exp_avg", "exp_inf")}

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
        b1, b2 = map(float, group["betas"])
        m, largest = state["exp_avg"], state["exp_inf"]
        np.subtract(g, m, out=w)
        w *= 1.0 - b1
        m += w
        np.abs(g, out=w)
        w += float(group["eps"])
        largest *= b2
        np.maximum(largest, w, out=largest)
        np.divide(m, largest, out=w)
        w *= float(group["lr"]) / (1.0 - b1 ** state["step"])
        p -= w
