"""Muon."""

from __future__ import annotations

from math import sqrt
from typing import Annotated, Literal

import numpy as np

from tinygrad_dl.arguments import Bounds, NonNegative
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.optim.moving_average import update_average
from tinygrad_dl.optim.optimizer import Optimizer, options
from tinygrad_dl.optim.typing import Finite, Group, Params, Rate, State, Workspace
from tinygrad_dl.typing import NDArray


class Muon(Optimizer):
    """Muon, for matrices: momentum whose singular values are all moved close to 1 before the step.

    b = momentum * b + (1 - momentum) * g;  u = momentum * b + (1 - momentum) * g with nesterov, else b;
    p *= 1 - lr * weight_decay;  p -= lr * s * orthogonalize(u), s = sqrt(max(1, rows / columns)), or with
    adjust_lr_fn="match_rms_adamw" 0.2 * sqrt(max(rows, columns)). Use another optimizer, such as AdamW,
    for other parameters. Raises ShapeError for a parameter that is not a matrix, ValueRangeError.
    Source: Jordan et al. 2024; Liu et al. 2025.

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
        params: Params,
        lr: Rate = 1e-3,
        weight_decay: NonNegative = 0.1,
        momentum: NonNegative = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[Finite, Finite, Finite] = (3.4445, -4.775, 2.0315),
        eps: NonNegative = 1e-7,
        ns_steps: Annotated[int, Bounds(least=0, most=99)] = 5,
        adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = None,
    ) -> None:
        super().__init__(params, options(locals()))

    def validate_options(self, group: Group) -> None:
        for p in group["params"]:
            if p.ndim != 2:
                raise ShapeError(
                    f"Muon: params: expected matrices, got a parameter of shape {p.shape}. Give the others to "
                    "another optimizer: [p for p in model.parameters() if p.ndim != 2]"
                )

    def init_state(self, p: NDArray, group: Group) -> State:
        return {"momentum_buffer": np.zeros(p.shape, p.dtype)}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        if not p.size:
            return
        (w,) = workspace
        lr, momentum, b = float(group["lr"]), float(group["momentum"]), state["momentum_buffer"]
        update_average(b, g, momentum, w)
        if group["nesterov"]:  # u = momentum * b + (1 - momentum) * g
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
        # p = (1 - lr * weight_decay) * p - lr * s * orthogonalize(u)
        np.copyto(w, orthogonalize(w, group["ns_coefficients"], group["ns_steps"], float(group["eps"])))
        w *= lr * scale
        p *= 1.0 - lr * float(group["weight_decay"])
        p -= w


def orthogonalize(
    x: np.ndarray, coefficients: tuple[float, float, float], steps: int, eps: float
) -> np.ndarray:
    """The matrix with its singular values near 1, in float32, by Newton and Schulz's iteration.

    X = X / |X|;  X = a * X + (b * A + c * A @ A) @ X with A = X @ X.T, `steps` times. Each result is rounded
    to bfloat16: the coefficients are chosen for speed, not for convergence, and so the steps equal PyTorch's.
    """
    a, b, c = (np.float32(float(k)) for k in coefficients)
    tall = x.shape[0] > x.shape[1]
    x = bfloat16(x.T if tall else x)
    norm = bfloat16(np.sqrt(np.square(x).sum(dtype=np.float32)))
    x = bfloat16(x / np.maximum(norm, bfloat16(np.float32(eps))))
    for _ in range(steps):
        gram = bfloat16(x @ x.T)
        x = bfloat16(_fused_multiply_add(a, x, bfloat16(_fused_multiply_add(b, gram, c * (gram @ gram))) @ x))
    return x.T if tall else x


def _fused_multiply_add(a: np.float32, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """a * x + y, rounded once."""
    return np.multiply(x, a, dtype=np.float64) + y


def bfloat16(x: NDArray | np.float32) -> np.ndarray:
    """Rounded to the 8 significant bits of bfloat16, ties to even; in float32."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + (np.uint32(0x7FFF) + odd)) & np.uint32(0xFFFF0000)
    # Rounding up a nan whose bits are all set would overflow to zero.
    return np.where(np.isnan(x), np.float32("nan"), rounded.view(np.float32)).reshape(np.shape(x))
