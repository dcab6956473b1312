"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class Adadelta(Optimizer):
    """Adadelta: steps in the parameter's own unit, from an average of past steps over one of past gradients.

    g += weight_decay * p;  v = rho * v + (1 - rho) * g**2;  d = sqrt(a + eps) / sqrt(v + eps) * g;
    a = rho * a + (1 - rho) * d**2;  p -= lr * d. `maximize`: uphill. Raises ValueRangeError.
    Source: Zeiler 2012.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adadelta([p], lr=1.0).step()
    >>> round(p.item(), 4)
    0.9968
    """

    scratch = 3

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "capturable": capturable,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "eps", "weight_decay")
        self.refuse(not 0 <= group["rho"] <= 1, "rho", "a number in [0, 1]", group["rho"])

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {name: np.zeros(p.shape, p.dtype) for name in ("square_avg", "acc_delta")}

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        w, d, u = work
        g = self.downhill(p, g, group, u)
        rho, eps, v, a = float(group["rho"]), float(group["eps"]), state["square_avg"], state["acc_delta"]
        np.multiply(g, g, out=w)
        w *= 1.0 - rho
        v *= rho
        v += w
        np.add(v, eps, out=w)
        np.add(a, eps, out=d)
        d /= w
        np.sqrt(d, out=d)
        d *= g
        np.multiply(d, d, out=w)
        w *= 1.0 - rho
        a *= rho
        a += w
        d *= float(group["lr"])
        p -= d
