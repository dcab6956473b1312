"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Finite, Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, optionally Nesterov's.

    g += weight_decay * p;  b = momentum * b + (1 - dampening) * g, at first b = g;
    p -= lr * b, or with nesterov p -= lr * (g + momentum * b). `maximize`: ascent. Raises ValueRangeError.
    Source: Sutskever et al. 2013, in PyTorch's form, where lr multiplies the whole step.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> SGD([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: NonNegative = 0,
        dampening: Finite = 0,
        weight_decay: NonNegative = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, options(locals()))

    def validate_options(self, group: Group) -> None:
        if group["nesterov"]:
            momentum, dampening = group["momentum"], group["dampening"]
            self.validate(momentum > 0, "momentum", "a number above 0 with nesterov", momentum)
            self.validate(dampening == 0, "dampening", "0 with nesterov", dampening)

    def plan_key(self, group: Group) -> Hashable:
        return group["momentum"] != 0

    def init_state(self, p: NDArray, group: Group) -> State:
        return {"momentum_buffer": None} if group["momentum"] else {}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        momentum, dampening = float(group["momentum"]), float(group["dampening"])
        g = self.apply_weight_decay(p, g, group, u)
        if momentum:
            # b = momentum * b + (1 - dampening) * g, at first b = g
            b = state["momentum_buffer"]
            if b is None:
                b = state["momentum_buffer"] = g.copy()
            else:
                b *= momentum
                b += g if not dampening else np.multiply(g, 1.0 - dampening, out=w)
            if group["nesterov"]:
                np.multiply(b, momentum, out=w)
                w += g
                g = w
            else:
                g = b
        # p -= lr * b, or with nesterov p -= lr * (g + momentum * b)
        np.multiply(g, float(group["lr"]), out=w)
        p -= w
