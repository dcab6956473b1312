"""Rprop."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.arguments import NonNegative
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Finite, Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class Rprop(Optimizer):
    """Rprop: each element's step grows while its gradient keeps its sign and shrinks when the sign changes.

    s = clip(s * f, *step_sizes), at first s = lr, where f is etas[1] if g times the last g is positive, etas[0]
    if it is negative, else 1;  g = 0 where it is negative;  p -= sign(g) * s. For full batches.
    `maximize`: ascent. Raises ValueRangeError. Source: Riedmiller, Braun 1993.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Rprop([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    workspace_arrays = 2

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        etas: tuple[Finite, Finite] = (0.5, 1.2),
        step_sizes: tuple[NonNegative, NonNegative] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def validate_options(self, group: Group) -> None:
        less, more = group["etas"]
        self.validate(
            0 < less < 1 < more, "etas", "one number below 1 and one above, such as (0.5, 1.2)", group["etas"]
        )
        low, high = group["step_sizes"]
        self.validate(low <= high, "step_sizes", "a pair (smallest, largest)", group["step_sizes"])

    def init_state(self, p: NDArray, group: Group) -> State:
        return {
            "prev": np.zeros(p.shape, p.dtype),
            "step_size": np.full(p.shape, float(group["lr"]), p.dtype),
        }

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        w, u = workspace
        previous, size = state["prev"], state["step_size"]
        g = np.negative(g, out=u) if group["maximize"] else g
        less, more = map(float, group["etas"])
        # s = clip(s * f, *step_sizes)
        np.multiply(g, previous, out=w)
        changed_sign = w < 0
        np.multiply(size, more, out=size, where=w > 0)
        np.multiply(size, less, out=size, where=changed_sign)
        np.clip(size, *map(float, group["step_sizes"]), out=size)
        # Where the sign changed, the step is left out, and the next one compares with 0.
        previous[...] = g
        previous[changed_sign] = 0.0
        # p -= sign(g) * s
        np.sign(previous, out=w)
        w *= size
        p -= w
