"""RAdam."""

from __future__ import annotations

from math import sqrt

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.moving_average import update_average, update_square_average
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class RAdam(Optimizer):
    """RAdam: Adam whose first steps, while v averages few gradients, use momentum alone.

    m, v, g as in Adam;  r = 2 / (1 - b2) - 1;  r(t) = r - 2 * t * b2**t / (1 - b2**t);  p -= lr * m / (1 - b1**t),
    times c * sqrt(1 - b2**t) / (sqrt(v) + eps) where r(t) > 5, with
    c = sqrt((r(t) - 4) * (r(t) - 2) * r / ((r - 4) * (r - 2) * r(t)));  decoupled_weight_decay: first
    p *= 1 - lr * weight_decay. `maximize`: ascent. Raises ValueRangeError. Source: Liu et al. 2020.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> RAdam([p], lr=0.25).step()
    >>> round(p.item(), 4)
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
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def validate_options(self, group: Group) -> None:
        self.validate_betas(group)

    def init_state(self, p: NDArray, group: Group) -> State:
        return {name: np.zeros(p.shape, p.dtype) for name in ("exp_avg", "exp_avg_sq")}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        lr, t, m, v = float(group["lr"]), state["step"], state["exp_avg"], state["exp_avg_sq"]
        b1, b2 = map(float, group["betas"])
        g = self.apply_weight_decay(p, g, group, u)
        update_average(m, g, b1, w)
        update_square_average(v, g, b2, w)
        rate, correction = lr / (1.0 - b1**t), 1.0 - b2**t
        # How many gradients v averages: r in the limit, r(t) now.
        r = 2.0 / (1.0 - b2) - 1.0
        rt = r - 2.0 * t * b2**t / correction
        if rt > 5.0:  # p -= rate * c * sqrt(1 - b2**t) * m / (sqrt(v) + eps)
            rate *= sqrt(correction * (rt - 4) * (rt - 2) * r / ((r - 4) * (r - 2) * rt))
            np.sqrt(v, out=w)
            w += float(group["eps"])
            np.divide(m, w, out=w)
            w *= rate
        else:  # p -= rate * m
            np.multiply(m, rate, out=w)
        p -= w
