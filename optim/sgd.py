"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, and Nesterov's form of it.

    g += weight_decay * p;  b = momentum * b + (1 - dampening) * g, at first b = g;
    p -= lr * b, or with nesterov p -= lr * (g + momentum * b). `maximize`: uphill. Raises ValueRangeError.
    Source: Sutskever et al. 2013, in PyTorch's form, where lr multiplies the whole step.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> SGD([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "momentum", "weight_decay")
        if group["nesterov"]:
            self.refuse(
                not group["momentum"] > 0, "momentum", "with nesterov, a number above 0", group["momentum"]
            )
            self.refuse(group["dampening"] != 0, "dampening", "with nesterov, 0", group["dampening"])

    def needs(self, group: dict[str, Any]) -> Hashable:
        return group["momentum"] != 0

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": np.zeros(p.shape, p.dtype)} if group["momentum"] else {}

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        (w,) = work
        lr, momentum, decay = float(group["lr"]), group["momentum"], group["weight_decay"]
        sign = -1.0 if group["maximize"] else 1.0
        if decay:
            np.multiply(p, float(decay) * sign, out=w)
            w += g
            g = w
        if momentum:
            b, momentum = state["momentum_buffer"], float(momentum)
            b *= momentum
            fresh = sign if state["step"] == 1 else sign * (1.0 - float(group["dampening"]))
            if fresh == 1.0:
                b += g
            else:
                b += g * fresh
            if group["nesterov"]:
                np.multiply(g, sign * lr, out=w)
                p -= w
                lr *= momentum
            g, sign = b, 1.0
        np.multiply(g, sign * lr, out=w)
        p -= w
