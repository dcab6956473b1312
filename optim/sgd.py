"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, State, Workspace
from tinygrad_dl.tensor import Tensor
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

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
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
        super().__init__(params, options(locals()))

    def validate_options(self, group: Group) -> None:
        self.validate_minimum(group, 0, "lr", "momentum", "weight_decay")
        if group["nesterov"]:
            momentum, dampening = group["momentum"], group["dampening"]
            self.validate(momentum > 0, "momentum", "a number above 0 with nesterov", momentum)
            self.validate(dampening == 0, "dampening", "0 with nesterov", dampening)

    def plan_key(self, group: Group) -> Hashable:
        return group["momentum"] != 0

    def init_state(self, p: NDArray, group: Group) -> State:
        return {"momentum_buffer": np.zeros(p.shape, p.dtype)} if group["momentum"] else {}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        (w,) = workspace
        lr, momentum, decay = float(group["lr"]), group["momentum"], group["weight_decay"]
        sign = -1.0 if group["maximize"] else 1.0
        if decay:  # g += weight_decay * p; the sign of `maximize` is applied in the products below
            np.multiply(p, float(decay) * sign, out=w)
            w += g
            g = w
        if momentum:  # b = momentum * b + (1 - dampening) * g
            b, momentum = state["momentum_buffer"], float(momentum)
            b *= momentum
            weight = sign if state["step"] == 1 else sign * (1.0 - float(group["dampening"]))
            if weight == 1.0:
                b += g
            else:
                b += g * weight
            if group["nesterov"]:  # p -= lr * g, before p -= lr * momentum * b
                np.multiply(g, sign * lr, out=w)
                p -= w
                lr *= momentum
            g, sign = b, 1.0
        np.multiply(g, sign * lr, out=w)
        p -= w
