"""Adam, and AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.moving_average import update_average, update_square_average
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class Adam(Optimizer):
    """Adam: a step size for each element, from moving averages of the gradient and of its square.

    g += weight_decay * p;  m = b1 * m + (1 - b1) * g;  v = b2 * v + (1 - b2) * g**2;
    p -= lr * m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + eps);  amsgrad: with the largest v so far instead of v.
    `betas` = (b1, b2); t counts from 1. `maximize`: ascent. Raises ValueRangeError.
    Source: Kingma, Ba 2015; Reddi et al. 2018.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adam([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def validate_options(self, group: Group) -> None:
        self.validate_betas(group)

    def plan_key(self, group: Group) -> Hashable:
        return group["amsgrad"]

    def init_state(self, p: NDArray, group: Group) -> State:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        return {name: np.zeros(p.shape, p.dtype) for name in names}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        m, v, t = state["exp_avg"], state["exp_avg_sq"], state["step"]
        b1, b2 = map(float, group["betas"])
        g = self.apply_weight_decay(p, g, group, u)
        update_average(m, g, b1, w)
        update_square_average(v, g, b2, w)
        if group["amsgrad"]:
            v = np.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        # p -= lr * m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + eps). Multiplied through by sqrt(1 - b2**t), both
        # corrections are numbers: two passes over the array fewer.
        root = (1.0 - b2**t) ** 0.5
        np.sqrt(v, out=w)
        w += float(group["eps"]) * root
        np.divide(m, w, out=w)
        w *= float(group["lr"]) * root / (1.0 - b1**t)
        p -= w


class AdamW(Adam):
    """Adam with decoupled weight decay: the parameter shrinks by a factor, whatever its gradients were.

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
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, **options(locals()), decoupled_weight_decay=True)
