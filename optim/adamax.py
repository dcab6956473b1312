"""Adamax."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.moving_average import update_average
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class Adamax(Optimizer):
    """Adamax: Adam with a decaying maximum of the gradient instead of its root mean square.

    g += weight_decay * p;  m = b1 * m + (1 - b1) * g;  u = max(b2 * u, |g| + eps);
    p -= lr / (1 - b1**t) * m / u;  `betas` = (b1, b2); t counts from 1. `maximize`: ascent.
    Raises ValueRangeError. Source: Kingma, Ba 2015, section 7.1.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adamax([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def validate_options(self, group: Group) -> None:
        self.validate_betas(group)

    def init_state(self, p: NDArray, group: Group) -> State:
        return {name: np.zeros(p.shape, p.dtype) for name in ("exp_avg", "exp_inf")}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        g = self.apply_weight_decay(p, g, group, u)
        b1, b2 = map(float, group["betas"])
        m, largest = state["exp_avg"], state["exp_inf"]
        update_average(m, g, b1, w)
        # u = max(b2 * u, |g| + eps)
        np.abs(g, out=w)
        w += float(group["eps"])
        largest *= b2
        np.maximum(largest, w, out=largest)
        # p -= lr / (1 - b1**t) * m / u
        np.divide(m, largest, out=w)
        w *= float(group["lr"]) / (1.0 - b1 ** state["step"])
        p -= w
