"""Adam."""

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
    `betas` = (b1, b2); t counts from 1. Raises ValueRangeError. Source: Kingma, Ba 2015; Reddi et al. 2018.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adam([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    together = 2048
    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
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
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        for option in ("lr", "eps", "weight_decay"):
            self.refuse(not group[option] >= 0, option, "a number of at least 0", group[option])
        fits = len(group["betas"]) == 2 and all(0 <= beta < 1 for beta in group["betas"])
        self.refuse(not fits, "betas", "a pair of numbers in [0, 1)", group["betas"])

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
        decay = float(group["weight_decay"])
        if group["maximize"]:
            g = np.negative(g, out=u)
        if decay:
            np.multiply(p, decay, out=w)
            g = np.add(g, w, out=u)
        np.subtract(g, m, out=w)
        w *= 1.0 - b1
        m += w
        np.multiply(g, g, out=w)
        w -= v
        w *= 1.0 - b2
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
