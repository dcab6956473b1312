"""The computation graph of batch normalization, one node per step (course 2, week 3), gradients in three ways.

mean, centered, variance, std, normalized, scaled, shifted: the backward pass goes through the same nodes in reverse.
The graph is drawn; its gradients are compared with the formula derived by hand, with the fused operation of nn, and
with finite differences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn
from tinygrad_dl.course.digits import FIGURES
from tinygrad_dl.course.record import show
from tinygrad_dl.testing import gradcheck
from tinygrad_dl.viz import LayoutError

TITLE = "The computation graph of batch normalization, step by step"
EPS = 1e-5


def step_by_step(x: Any, gamma: Any, beta: Any) -> Any:
    """Batch normalization of x (N, D), one operation at a time."""
    mean = x.mean(axis=0)
    centered = x - mean
    variance = (centered**2).mean(axis=0)
    std = tg.sqrt(variance + EPS)
    normalized = centered / std
    return gamma * normalized + beta


def by_hand(g: np.ndarray, x: np.ndarray, gamma: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of x, gamma and beta by the formula of the paper."""
    n = len(x)
    std = np.sqrt(x.var(axis=0) + EPS)
    normalized = (x - x.mean(axis=0)) / std
    dn = g * gamma
    dx = (n * dn - dn.sum(axis=0) - normalized * (dn * normalized).sum(axis=0)) / (n * std)
    return [dx, (g * normalized).sum(axis=0), g.sum(axis=0)]


def gradients(f: Any, arrays: list[np.ndarray], g: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of autograd for the gradient g of the output."""
    tensors = [tg.Tensor(array, requires_grad=True) for array in arrays]
    f(*tensors).backward(tg.asarray(g))
    return [t.grad.data for t in tensors if t.grad is not None]


def run(out: Path = FIGURES) -> dict[str, float]:
    """The largest differences between the gradients."""
    rng = np.random.default_rng(0)
    arrays, g = [rng.normal(2, 3, (8, 4)), rng.normal(size=4), rng.normal(size=4)], rng.normal(size=(8, 4))

    def fused(x: Any, gamma: Any, beta: Any) -> Any:
        return nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)

    graph = gradients(step_by_step, arrays, g)
    named = [tg.Tensor(a, requires_grad=True) for a in arrays]
    for tensor, name in zip(named, ("x", "gamma", "beta")):
        tensor.name = name
    view = tg.draw(step_by_step(*named))
    out.mkdir(parents=True, exist_ok=True)
    try:
        view.save(out / "batch_norm_graph.png")
    except LayoutError:
        view.save(out / "batch_norm_graph.dot")
    results = {
        f"{what}: largest difference from the graph": max(
            float(np.abs(a - b).max()) for a, b in zip(graph, other)
        )
        for what, other in (
            ("formula by hand", by_hand(g, *arrays[:2])),
            ("nn.functional.batch_norm", gradients(fused, arrays, g)),
        )
    }
    report = gradcheck(step_by_step, [tg.Tensor(a, requires_grad=True) for a in arrays])
    return results | {"differences: the course's measure": max(report.errors.values())}


if __name__ == "__main__":
    show(globals())
