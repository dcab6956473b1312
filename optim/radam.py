"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class RAdam(Optimizer):
    """RAdam: Adam whose first steps, while v rests on few gradients, are those of momentum alone.

    m, v, g as in Adam;  r = 2 / (1 - b2) - 1;  r(t) = r - 2 * t * b2**t / (1 - b2**t);  p -= lr * m / (1 - b1**t),
    times c * sqrt(1 - b2**t) / (sqrt(v) + eps) where r(t) > 5, with
    c = sqrt((r(t) - 4) * (r(t) - 2) * r / ((r - 4) * (r - 2) * r(t)));  decoupled_weight_decay: first
    p *= 1 - lr * weight_decay. `maximize`: uphill. Raises ValueRangeError. Source: Liu et al. 2020.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> RAdam([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "eps", "weight_decay")
        self.refuse_averages(group)

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {name: np.zeros(p.shape, p.dtype) for name in ("exp_avg", "exp_avg_sq")}

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        w, u = work
        lr, t, m, v = float(group["lr"]), state["step"], state["exp_avg"], state["exp_avg_sq"]
        b1, b2 = map(float, group["betas"])
        g = self.decayed(p, g, group, u)
        np.subtract(g, m, out=w)
        w *= 1.0 - b1
        m += w
        np.multiply(g, g, out=w)
        w *= 1.0 - b2
        v *= b2
        v += w
        rate, left = lr / (1.0 - b1**t), 1.0 - b2**t
        longest = 2.0 / (1.0 - b2) - 1.0
        length = longest - 2.0 * t * b2**t / left
        if length > 5.0:
            rate *= sqrt(
                left * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            )
            np.sqrt(v, out=w)
            w += float(group["eps"])
            np.divide(m, w, out=w)
            w *= rate
        else:
            np.multiply(m, rate, out=w)
        p -= w
