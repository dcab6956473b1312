"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's momentum, whose share grows over the steps.

    m, v, g as in Adam;  mu(t) = b1 * (1 - 0.5 * 0.96**(t * momentum_decay));  P(t) = mu(1) * ... * mu(t);
    n = (1 - mu(t)) / (1 - P(t)) * g + mu(t + 1) / (1 - P(t + 1)) * m;
    p -= lr * n / (sqrt(v / (1 - b2**t)) + eps);  decoupled_weight_decay: first p *= 1 - lr * weight_decay,
    and g stays as it is. `maximize`: uphill. Raises ValueRangeError. Source: Dozat 2016.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> NAdam([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.7359
    """

    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "eps", "weight_decay", "momentum_decay")
        self.refuse_averages(group)

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        zeros = {name: np.zeros(p.shape, p.dtype) for name in ("exp_avg", "exp_avg_sq")}
        return {**zeros, "mu_product": 1.0}

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
        now, after = (b1 * (1.0 - 0.5 * 0.96 ** (k * float(group["momentum_decay"]))) for k in (t, t + 1))
        state["mu_product"] *= now
        product = state["mu_product"]
        np.subtract(g, m, out=w)
        w *= 1.0 - b1
        m += w
        np.multiply(g, g, out=w)
        w *= 1.0 - b2
        v *= b2
        v += w
        np.multiply(g, (1.0 - now) / (1.0 - product), out=u)
        np.multiply(m, after / (1.0 - product * after), out=w)
        u += w
        root = sqrt(1.0 - b2**t)
        np.sqrt(v, out=w)
        w += float(group["eps"]) * root
        np.divide(u, w, out=w)
        w *= lr * root
        p -= w
