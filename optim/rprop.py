"""Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class Rprop(Optimizer):
    """Rprop: each element's step grows while its gradient keeps its sign and shrinks when it turns.

    s = clip(s * f, *step_sizes), at first s = lr, where f is etas[1] if g times the last g is positive, etas[0]
    if it is negative, else 1;  g = 0 where it is negative;  p -= sign(g) * s. For full batches.
    `maximize`: uphill. Raises ValueRangeError. Source: Riedmiller, Braun 1993.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Rprop([p], lr=0.25).step()
    >>> round(p.item(), 4)
    0.75
    """

    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr")
        less, more = group["etas"]
        self.refuse(not 0 < less < 1 < more, "etas", "a pair such as (0.5, 1.2) around 1", group["etas"])
        low, high = group["step_sizes"]
        self.refuse(not low <= high, "step_sizes", "a pair (least, greatest)", group["step_sizes"])

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "prev": np.zeros(p.shape, p.dtype),
            "step_size": np.full(p.shape, float(group["lr"]), p.dtype),
        }

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        w, u = work
        last, size = state["prev"], state["step_size"]
        g = np.negative(g, out=u) if group["maximize"] else g
        less, more = map(float, group["etas"])
        np.multiply(g, last, out=w)
        turned = w < 0
        np.multiply(size, more, out=size, where=w > 0)
        np.multiply(size, less, out=size, where=turned)
        np.clip(size, *map(float, group["step_sizes"]), out=size)
        last[...] = g
        last[turned] = 0.0
        np.sign(last, out=w)
        w *= size
        p -= w
