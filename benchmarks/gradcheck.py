"""gradcheck of a three-layer network with about 2,000 parameters, in turns.

Ours, of this package's functions, of PyTorch's and of JAX's, and PyTorch's own.

python -m benchmarks.gradcheck
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl.testing import gradcheck

SIZES, BATCH = (20, 40, 25, 5), 8


def parameters() -> list[np.ndarray]:
    """Weights and biases in float64."""
    rng = np.random.default_rng(0)
    arrays = []
    for a, b in zip(SIZES, SIZES[1:]):
        arrays += [rng.standard_normal((a, b)) / np.sqrt(a), rng.standard_normal(b) * 0.1]
    return arrays


def network(tanh: Callable[[Any], Any], x: Any) -> Callable[..., Any]:
    """The mean square of the network's output, as a function of its parameters."""

    def cost(*p: Any) -> Any:
        a = tanh(x @ p[0] + p[1])
        a = tanh(a @ p[2] + p[3])
        z = a @ p[4] + p[5]
        return (z * z).mean()

    return cost


def main() -> None:
    """Print the medians of three runs each, and the ratio."""
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks.gradcheck compares with PyTorch, which is not installed: pip install torch")

    jax: Any = None
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
    except ImportError:
        print("JAX is not installed, and left out")
    x = np.random.default_rng(1).standard_normal((BATCH, SIZES[0]))
    theirs = [torch.tensor(p, requires_grad=True) for p in parameters()]
    runs: dict[str, Callable[[], Any]] = {}
    for mode, fast in (("full", False), ("fast", True)):
        runs[f"ours, {mode}"] = lambda fast=fast: gradcheck(network(tg.tanh, x), parameters(), fast=fast)
        runs[f"ours of PyTorch, {mode}"] = lambda fast=fast: gradcheck(
            network(torch.tanh, torch.tensor(x)), theirs, fast=fast
        )
        if jax is not None:
            runs[f"ours of JAX, {mode}"] = lambda fast=fast: gradcheck(
                network(jax.numpy.tanh, x), [jax.numpy.asarray(p) for p in parameters()], fast=fast
            )
        runs[f"PyTorch, {mode}"] = lambda fast=fast: torch.autograd.gradcheck(
            network(torch.tanh, torch.tensor(x)), theirs, fast_mode=fast
        )
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(3):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(t) for name, t in times.items()}
    print(f"{sum(p.size for p in parameters())} parameters")
    for name, median in medians.items():
        ratios = [
            f"{median / medians[f'PyTorch, {mode}']:.2f} of PyTorch's {mode}" for mode in ("full", "fast")
        ]
        print(f"{name}: {median * 1e3:.1f} ms, {', '.join(ratios)}")


if __name__ == "__main__":
    main()
