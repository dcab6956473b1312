"""Exponential moving averages, updated in place: what most optimizers keep of past gradients.

Written with `out=` because allocating a large array costs as much as computing it: Adam's step on a parameter of a
million elements takes 1.75 times as long without, one on a 64-32-10 network 1.2 times as long
(`python -m benchmarks.optimizers --variants --names Adam` measures it).
"""

from __future__ import annotations

import numpy as np

from tinygrad_dl.typing import NDArray


def update_average(average: NDArray, x: NDArray, beta: float, workspace: NDArray) -> None:
    """average = beta * average + (1 - beta) * x, computed as average += (1 - beta) * (x - average)."""
    np.subtract(x, average, out=workspace)
    workspace *= 1.0 - beta
    average += workspace


def update_square_average(average: NDArray, x: NDArray, beta: float, workspace: NDArray) -> None:
    """average = beta * average + (1 - beta) * x**2."""
    np.multiply(x, x, out=workspace)
    workspace *= 1.0 - beta
    average *= beta
    average += workspace
