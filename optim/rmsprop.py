"""RMSprop."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of an average of its square; optionally centered, with momentum.

    g += weight_decay * p;  v = alpha * v + (1 - alpha) * g**2;  centered: m = alpha * m + (1 - alpha) * g and
    v - m**2 for v below;  d = g / (sqrt(v) + eps);  momentum: b = momentum * b + d and b for d;  p -= lr * d.
    `maximize`: uphill. Raises ValueRangeError. Source: Hinton 2012, lecture 6; Graves 2013 (centered).

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> RMSprop([p], lr=0.25).step()
    >>> round(p.item(), 4)
    -1.5
    """

    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "alpha", "eps", "weight_decay", "momentum")

    def needs(self, group: dict[str, Any]) -> Hashable:
        return group["momentum"] > 0, group["centered"]

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        names = ["square_avg"]
        names += ["momentum_buffer"] if group["momentum"] > 0 else []
        names += ["grad_avg"] if group["centered"] else []
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
        g = self.downhill(p, g, group, u)
        alpha, momentum, v = float(group["alpha"]), float(group["momentum"]), state["square_avg"]
        np.multiply(g, g, out=w)
        w *= 1.0 - alpha
        v *= alpha
        v += w
        if group["centered"]:
            m = state["grad_avg"]
            np.subtract(g, m, out=w)
            w *= 1.0 - alpha
            m += w
            np.multiply(m, m, out=w)
            np.subtract(v, w, out=w)
            np.maximum(w, 0.0, out=w)  # rounding may leave less than nothing where g hardly varies
            np.sqrt(w, out=w)
        else:
            np.sqrt(v, out=w)
        w += float(group["eps"])
        np.divide(g, w, out=w)
        if momentum > 0:
            b = state["momentum_buffer"]
            b *= momentum
            b += w
            np.multiply(b, float(group["lr"]), out=w)
        else:
            w *= float(group["lr"])
        p -= w
