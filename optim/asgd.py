"""Averaged stochastic gradient descent."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Finite, Group, NotNan, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class ASGD(Optimizer):
    """Averaged SGD: plain steps of decreasing size, and the average of the parameters in the state as "ax".

    g += weight_decay * p;  p -= e * (lambd * p + g);  a += u * (p - a);  then, t counting from 1,
    e = lr / (1 + lambd * lr * t)**alpha, at first lr, and u = 1 / max(1, t - t0), at first 1.
    `maximize`: ascent. Raises ValueRangeError. Source: Polyak, Juditsky 1992; Bottou 2010.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> ASGD([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lambd: NonNegative = 1e-4,
        alpha: Finite = 0.75,
        t0: NotNan = 1e6,
        weight_decay: NonNegative = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def init_state(self, p: NDArray, group: Group) -> State:
        return {"eta": float(group["lr"]), "mu": 1.0, "ax": np.zeros(p.shape, p.dtype)}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        g = self.apply_weight_decay(p, g, group, u)
        lr, lambd, t = float(group["lr"]), float(group["lambd"]), state["step"]
        eta, mu, a = state["eta"], state["mu"], state["ax"]
        # p -= e * (lambd * p + g)
        np.multiply(g, eta, out=w)
        p *= 1.0 - lambd * eta
        p -= w
        # a += u * (p - a)
        if mu == 1.0:
            a[...] = p
        else:
            np.subtract(p, a, out=w)
            w *= mu
            a += w
        state["eta"] = float(lr / np.float64(1.0 + lambd * lr * t) ** float(group["alpha"]))
        state["mu"] = 1.0 / max(1.0, t - float(group["t0"]))
