"""Adafactor."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import numpy as np

from tinygrad_dl.optim.optimizer import Optimizer


class Adafactor(Optimizer):
    """Adafactor: steps relative to the weights' size, with the mean squares of a matrix kept as rows and columns.

    b = t**beta2_decay;  R += b * (mean(g**2, axis=-1) - R);  C += b * (mean(g**2, axis=-2) - C);
    V = R C / mean(R), for vectors V += b * (g**2 - V);  u = g / max(sqrt(V), eps1);
    p -= max(eps2, rms(p)) * min(lr, 1 / sqrt(t)) * u / max(1, rms(u) / d), after p *= 1 - lr * weight_decay.
    `eps` = (eps1, eps2), eps1 None: the dtype's own. Raises ValueRangeError. Source: Shazeer, Stern 2018.

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
        params: Iterable[Any],
        lr: float | Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "weight_decay")
        self.refuse_below(group, 1, "d")
        self.refuse(not group["beta2_decay"] <= 0, "beta2_decay", "at most 0", group["beta2_decay"])
        first, second = group["eps"]
        self.refuse(
            not (first is None or first >= 0) or not second >= 0, "eps", "two numbers from 0 up", group["eps"]
        )

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        if p.ndim < 2:
            return {"variance": np.zeros(p.shape, p.dtype)}
        rows, columns = (*p.shape[:-1], 1), (*p.shape[:-2], 1, p.shape[-1])
        return {"row_var": np.zeros(rows, p.dtype), "col_var": np.zeros(columns, p.dtype)}

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        if not p.size:
            return
        (w,) = work
        lr, t, (least, smallest) = float(group["lr"]), state["step"], group["eps"]
        least = float(np.finfo(p.dtype).eps if least is None else least)
        share = t ** float(group["beta2_decay"])
        rate = max(float(smallest), rms(p)) * min(lr, 1.0 / sqrt(t))
        p *= 1.0 - lr * float(group["weight_decay"])
        np.multiply(g, g, out=w)
        if p.ndim < 2:
            v = state["variance"]
            v += (w - v) * share
            np.copyto(w, v)
        else:
            rows, columns = state["row_var"], state["col_var"]
            rows += (w.mean(axis=-1, keepdims=True) - rows) * share
            columns += (w.mean(axis=-2, keepdims=True) - columns) * share
            np.multiply(rows, columns, out=w)
            w /= np.maximum(rows.mean(axis=-2, keepdims=True), least)
        np.maximum(w, least * least, out=w)
        np.sqrt(w, out=w)
        np.divide(g, w, out=w)
        w *= rate / max(1.0, rms(w) / float(group["d"]))
        if group["maximize"]:
            p += w
        else:
            p -= w


def rms(x: np.ndarray) -> float:
    """The root of the mean square of all elements."""
    return float(np.linalg.norm(x.reshape(-1))) / sqrt(x.size)
