"""Adagrad."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class Adagrad(Optimizer):
    """Adagrad: each element's step shrinks with the root of the sum of its squared gradients.

    g += weight_decay * p;  s += g**2, at first s = initial_accumulator_value;
    p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps);  t counts from 1. `maximize`: ascent.
    Raises ValueRangeError. Source: Duchi, Hazan, Singer 2011.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adagrad([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lr_decay: NonNegative = 0,
        weight_decay: NonNegative = 0,
        initial_accumulator_value: NonNegative = 0,
        eps: NonNegative = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, options(locals()))

    def init_state(self, p: NDArray, group: Group) -> State:
        return {"sum": np.full(p.shape, float(group["initial_accumulator_value"]), p.dtype)}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        g = self.apply_weight_decay(p, g, group, u)
        s = state["sum"]
        # s += g**2
        np.multiply(g, g, out=w)
        s += w
        # p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)
        np.sqrt(s, out=w)
        w += float(group["eps"])
        np.divide(g, w, out=w)
        w *= float(group["lr"]) / (1.0 + (state["step"] - 1) * float(group["lr_decay"]))
        p -= w
