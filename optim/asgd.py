"""Averaged stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class ASGD(Optimizer):
    """Averaged SGD: plain steps whose size falls, and beside them the average of the places, in state "ax".

    g += weight_decay * p;  p -= e * (lambd * p + g);  a += u * (p - a);  then, t counting from 1,
    e = lr / (1 + lambd * lr * t)**alpha, at first lr, and u = 1 / max(1, t - t0), at first 1.
    `maximize`: uphill. Raises ValueRangeError. Source: Polyak, Juditsky 1992; Bottou 2010.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> ASGD([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "weight_decay")

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {"eta": float(group["lr"]), "mu": 1.0, "ax": np.zeros(p.shape, p.dtype)}

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
        lr, lambd, t = float(group["lr"]), float(group["lambd"]), state["step"]
        eta, mu, a = state["eta"], state["mu"], state["ax"]
        np.multiply(g, eta, out=w)
        p *= 1.0 - lambd * eta
        p -= w
        if mu == 1.0:
            a[...] = p
        else:
            np.subtract(p, a, out=w)
            w *= mu
            a += w
        state["eta"] = lr / (1.0 + lambd * lr * t) ** float(group["alpha"])
        state["mu"] = 1.0 / max(1.0, t - float(group["t0"]))
