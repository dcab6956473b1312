"""Muon."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.optim.optimizer import Optimizer


class Muon(Optimizer):
    """Muon, for matrices: momentum whose singular values are all drawn near 1 before the step.

    b = momentum * b + (1 - momentum) * g;  u = momentum * b + (1 - momentum) * g with nesterov, else b;
    p *= 1 - lr * weight_decay;  p -= lr * s * orthogonalized(u), s = sqrt(max(1, rows / columns)), or with
    adjust_lr_fn="match_rms_adamw" 0.2 * sqrt(max(rows, columns)). Other parameters go to AdamW, say.
    Raises ShapeError for what is no matrix, ValueRangeError. Source: Jordan et al. 2024; Liu et al. 2025.

    >>> from tinygrad_dl import Tensor
    >>> p = Tensor([[1.0]], requires_grad=True)
    >>> p.sum().backward()
    >>> Muon([p], lr=0.25, weight_decay=0).step()
    >>> 0.7 < p.item() < 0.9
    True
    """

    elementwise = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "weight_decay", "momentum", "eps")
        came = group["ns_coefficients"]
        self.refuse(len(came) != 3, "ns_coefficients", "three numbers", came)
        self.refuse(not 0 <= group["ns_steps"] < 100, "ns_steps", "0 to 99", group["ns_steps"])
        came = group["adjust_lr_fn"]
        known = (None, "original", "match_rms_adamw")
        self.refuse(came not in known, "adjust_lr_fn", f"one of {known}", came)
        for p in group["params"]:
            if p.ndim != 2:
                raise ShapeError(
                    f"Muon: matrices are needed; a parameter has the shape {p.shape}. Give the others to "
                    "another optimizer: [p for p in model.parameters() if p.ndim != 2]"
                )

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": np.zeros(p.shape, p.dtype)}

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
        lr, momentum, b = float(group["lr"]), float(group["momentum"]), state["momentum_buffer"]
        np.subtract(g, b, out=w)
        w *= 1.0 - momentum
        b += w
        if group["nesterov"]:
            np.subtract(b, g, out=w)
            w *= momentum
            w += g
        else:
            np.copyto(w, b)
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * sqrt(max(rows, columns))
        else:
            scale = sqrt(max(1.0, rows / columns))
        np.copyto(w, orthogonalized(w, group["ns_coefficients"], group["ns_steps"], float(group["eps"])))
        w *= lr * scale
        p *= 1.0 - lr * float(group["weight_decay"])
        p -= w


def orthogonalized(
    x: np.ndarray, coefficients: tuple[float, float, float], steps: int, eps: float
) -> np.ndarray:
    """The matrix with its singular values near 1, in float32, by Newton and Schulz's iteration.

    X = X / |X|;  X = a * X + (b * A + c * A @ A) @ X with A = X @ X.T, `steps` times. Each result is rounded
    to bfloat16: the coefficients are chosen for speed and not to converge, and PyTorch's steps are met.
    """
    a, b, c = (np.float32(float(k)) for k in coefficients)
    tall = x.shape[0] > x.shape[1]
    x = bfloat16(x.T if tall else x)
    norm = bfloat16(np.sqrt(np.square(x).sum(dtype=np.float32)))
    x = bfloat16(x / np.maximum(norm, bfloat16(np.float32(eps))))
    for _ in range(steps):
        gram = bfloat16(x @ x.T)
        x = bfloat16(_sum(a, x, bfloat16(_sum(b, gram, c * (gram @ gram))) @ x))
    return x.T if tall else x


def _sum(a: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """a * x + y, rounded once, as processors do it in one instruction."""
    return np.multiply(x, a, dtype=np.float64) + y


def bfloat16(x: Any) -> np.ndarray:
    """Rounded to the 8 significant bits of bfloat16, ties to even; in float32."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + (np.uint32(0x7FFF) + odd)) & np.uint32(0xFFFF0000)
    # A nan whose bits are all set would be carried over to zero.
    return np.where(np.isnan(x), np.float32("nan"), rounded.view(np.float32)).reshape(np.shape(x))
