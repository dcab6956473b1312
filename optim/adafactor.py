"""Adafactor."""

from __future__ import annotations

from math import sqrt
from typing import Annotated

import numpy as np

from tinygrad_dl.arguments import Bounds, NonNegative
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class Adafactor(Optimizer):
    """Adafactor: steps relative to the weights' size, storing a matrix's mean squares as a row and a column.

    b = t**beta2_decay;  R += b * (mean(g**2, axis=-1) - R);  C += b * (mean(g**2, axis=-2) - C);
    V = R C / mean(R), for vectors V += b * (g**2 - V);  u = g / max(sqrt(V), eps1);
    p -= max(eps2, rms(p)) * min(lr, 1 / sqrt(t)) * u / max(1, rms(u) / d), after p *= 1 - lr * weight_decay.
    `eps` = (eps1, eps2), eps1 None: that of the dtype. Raises ValueRangeError. Source: Shazeer, Stern 2018.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor(1.0, requires_grad=True)
    >>> p.backward()
    >>> Adafactor([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    elementwise = False

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        beta2_decay: Annotated[float, Bounds(most=0)] = -0.8,
        eps: tuple[NonNegative | None, NonNegative] = (None, 1e-3),
        d: Annotated[float, Bounds(least=1)] = 1.0,
        weight_decay: NonNegative = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options(locals()))

    def init_state(self, p: NDArray, group: Group) -> State:
        if p.ndim < 2:
            return {"variance": np.zeros(p.shape, p.dtype)}
        rows, columns = (*p.shape[:-1], 1), (*p.shape[:-2], 1, p.shape[-1])
        return {"row_var": np.zeros(rows, p.dtype), "col_var": np.zeros(columns, p.dtype)}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        if not p.size:
            return
        (w,) = workspace
        lr, t, (eps1, eps2) = float(group["lr"]), state["step"], group["eps"]
        eps1 = float(np.finfo(p.dtype).eps if eps1 is None else eps1)
        b = t ** float(group["beta2_decay"])
        rate = max(float(eps2), rms(p)) * min(lr, 1.0 / sqrt(t))
        p *= 1.0 - lr * float(group["weight_decay"])
        # V: of a matrix estimated from the means over its rows and columns, of a vector stored
        np.multiply(g, g, out=w)
        if p.ndim < 2:
            v = state["variance"]
            v += (w - v) * b
            np.copyto(w, v)
        else:
            rows, columns = state["row_var"], state["col_var"]
            rows += (w.mean(axis=-1, keepdims=True) - rows) * b
            columns += (w.mean(axis=-2, keepdims=True) - columns) * b
            np.multiply(rows, columns, out=w)
            w /= np.maximum(rows.mean(axis=-2, keepdims=True), eps1)
        # u = g / max(sqrt(V), eps1)
        np.maximum(w, eps1 * eps1, out=w)
        np.sqrt(w, out=w)
        np.divide(g, w, out=w)
        # p -= rate * u / max(1, rms(u) / d)
        w *= rate / max(1.0, rms(w) / float(group["d"]))
        if group["maximize"]:
            p += w
        else:
            p -= w


def rms(x: np.ndarray) -> float:
    """The root of the mean square of all elements."""
    return float(np.linalg.norm(x.reshape(-1))) / sqrt(x.size)
