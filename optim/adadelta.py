"""Adadelta."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.arguments import NonNegative, Probability
from tinygrad_dl.optim.moving_average import update_square_average
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class Adadelta(Optimizer):
    """Adadelta: steps in the parameter's own unit, the ratio of an average of past steps to one of past gradients.

    g += weight_decay * p;  v = rho * v + (1 - rho) * g**2;  d = sqrt(a + eps) / sqrt(v + eps) * g;
    a = rho * a + (1 - rho) * d**2;  p -= lr * d. `maximize`: ascent. Raises ValueRangeError.
    Source: Zeiler 2012.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adadelta([p], lr=1.0).step()
    >>> round(p.item(), 4)
    0.9968
    """

    workspace_arrays = 3

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        rho: Probability = 0.9,
        eps: NonNegative = 1e-6,
        weight_decay: NonNegative = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def init_state(self, p: NDArray, group: Group) -> State:
        return {name: np.zeros(p.shape, p.dtype) for name in ("square_avg", "acc_delta")}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, d, u = workspace
        g = self.apply_weight_decay(p, g, group, u)
        rho, eps, v, a = float(group["rho"]), float(group["eps"]), state["square_avg"], state["acc_delta"]
        update_square_average(v, g, rho, w)
        # d = sqrt(a + eps) / sqrt(v + eps) * g, with one root of the quotient
        np.add(v, eps, out=w)
        np.add(a, eps, out=d)
        d /= w
        np.sqrt(d, out=d)
        d *= g
        update_square_average(a, d, rho, w)
        # p -= lr * d
        d *= float(group["lr"])
        p -= d
