"""NAdam."""

from __future__ import annotations

from math import sqrt

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.moving_average import update_average, update_square_average
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's momentum, whose weight grows over the steps.

    m, v, g as in Adam;  mu(t) = b1 * (1 - 0.5 * 0.96**(t * momentum_decay));  P(t) = mu(1) * ... * mu(t);
    n = (1 - mu(t)) / (1 - P(t)) * g + mu(t + 1) / (1 - P(t + 1)) * m;
    p -= lr * n / (sqrt(v / (1 - b2**t)) + eps);  decoupled_weight_decay: first p *= 1 - lr * weight_decay,
    and g is left unchanged. `maximize`: ascent. Raises ValueRangeError. Source: Dozat 2016.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> NAdam([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.7359
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0,
        momentum_decay: NonNegative = 4e-3,
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
        zeros = {name: np.zeros(p.shape, p.dtype) for name in ("exp_avg", "exp_avg_sq")}
        return {**zeros, "mu_product": 1.0}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        lr, t, m, v = float(group["lr"]), state["step"], state["exp_avg"], state["exp_avg_sq"]
        b1, b2 = map(float, group["betas"])
        g = self.apply_weight_decay(p, g, group, u)
        mu, next_mu = (b1 * (1.0 - 0.5 * 0.96 ** (k * float(group["momentum_decay"]))) for k in (t, t + 1))
        state["mu_product"] *= mu
        product = state["mu_product"]
        update_average(m, g, b1, w)
        update_square_average(v, g, b2, w)
        # n = (1 - mu(t)) / (1 - P(t)) * g + mu(t + 1) / (1 - P(t + 1)) * m
        np.multiply(g, (1.0 - mu) / (1.0 - product), out=u)
        np.multiply(m, next_mu / (1.0 - product * next_mu), out=w)
        u += w
        # p -= lr * n / (sqrt(v / (1 - b2**t)) + eps), multiplied through by sqrt(1 - b2**t) as in Adam
        root = sqrt(1.0 - b2**t)
        np.sqrt(v, out=w)
        w += float(group["eps"]) * root
        np.divide(u, w, out=w)
        w *= lr * root
        p -= w
