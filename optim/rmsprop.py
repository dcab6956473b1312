"""RMSprop."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.moving_average import update_average, update_square_average
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class RMSprop(Optimizer):
    """RMSprop: the gradient divided by its root mean square; optionally centered, with momentum.

    g += weight_decay * p;  v = alpha * v + (1 - alpha) * g**2;  centered: m = alpha * m + (1 - alpha) * g and
    v - m**2 for v below;  d = g / (sqrt(v) + eps);  momentum: b = momentum * b + d and b for d;  p -= lr * d.
    `maximize`: ascent. Raises ValueRangeError. Source: Hinton 2012, lecture 6; Graves 2013 (centered).

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> RMSprop([p], lr=0.25).step()
    >>> round(p.item(), 4)
    -1.5
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        alpha: NonNegative = 0.99,
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0,
        momentum: NonNegative = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def plan_key(self, group: Group) -> Hashable:
        return group["momentum"] > 0, group["centered"]

    def init_state(self, p: NDArray, group: Group) -> State:
        names = ["square_avg"]
        names += ["momentum_buffer"] if group["momentum"] > 0 else []
        names += ["grad_avg"] if group["centered"] else []
        return {name: np.zeros(p.shape, p.dtype) for name in names}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        g = self.apply_weight_decay(p, g, group, u)
        alpha, momentum, v = float(group["alpha"]), float(group["momentum"]), state["square_avg"]
        update_square_average(v, g, alpha, w)
        # d = g / (sqrt(v) + eps), centered with v - m**2 for v
        if group["centered"]:
            m = state["grad_avg"]
            update_average(m, g, alpha, w)
            np.multiply(m, m, out=w)
            np.subtract(v, w, out=w)
            np.maximum(w, 0.0, out=w)  # rounding may make it negative where g hardly varies
            np.sqrt(w, out=w)
        else:
            np.sqrt(v, out=w)
        w += float(group["eps"])
        np.divide(g, w, out=w)
        if momentum > 0:  # b = momentum * b + d;  p -= lr * b
            b = state["momentum_buffer"]
            b *= momentum
            b += w
            np.multiply(b, float(group["lr"]), out=w)
        else:  # p -= lr * d
            w *= float(group["lr"])
        p -= w
