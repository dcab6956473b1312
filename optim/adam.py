"""Adam, and AdamW: the same with weight decay beside the gradient."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import sqrt
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adam: a step of its own size for each element, from averages of the gradient and of its square.

    g += weight_decay * p;  m = b1 * m + (1 - b1) * g;  v = b2 * v + (1 - b2) * g**2;
    p -= lr * m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + eps);  amsgrad: with the maximum of v so far for v.
    `betas` = (b1, b2); t counts from 1. `maximize`: uphill. Raises ValueRangeError.
    Source: Kingma, Ba 2015; Reddi et al. 2018.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adam([p], lr=0.25).step()
    >>> p.item()
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
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "eps", "weight_decay")
        self.refuse_averages(group)

    def needs(self, group: dict[str, Any]) -> Hashable:
        return group["amsgrad"]

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        return {name: np.zeros(p.shape, p.dtype) for name in names}

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        w, u = work
        m, v, t = state["exp_avg"], state["exp_avg_sq"], state["step"]
        b1, b2 = map(float, group["betas"])
        g = self.decayed(p, g, group, u)
        np.subtract(g, m, out=w)
        w *= 1.0 - b1
        m += w
        np.multiply(g, g, out=w)
        w *= 1.0 - b2
        v *= b2
        v += w
        if group["amsgrad"]:
            v = np.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        # Both corrections as factors of the whole: two passes fewer than in the formula.
        root = sqrt(1.0 - b2**t)
        np.sqrt(v, out=w)
        w += float(group["eps"]) * root
        np.divide(m, w, out=w)
        w *= float(group["lr"]) * root / (1.0 - b1**t)
        p -= w


class AdamW(Adam):
    """Adam with decoupled weight decay: the parameter shrinks by itself, whatever its gradient's history.

    p *= 1 - lr * weight_decay, then Adam's step without weight decay. Adam adds the decay to the gradient,
    where it is divided by sqrt(v) like the rest. Raises ValueRangeError. Source: Loshchilov, Hutter 2019.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> AdamW([p], lr=0.25, weight_decay=0.5).step()
    >>> p.item()
    0.625
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
