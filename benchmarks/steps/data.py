"""Data and sizes of the cases, the same for every library."""

from __future__ import annotations

import numpy as np

# name -> (sizes of the layers, batch)
MLPS = {
    "2-4-2": ((2, 4, 2), 400),
    "64-32-10": ((64, 32, 10), 64),
    "784-128-10": ((784, 128, 10), 64),
    "784-512-256-10": ((784, 512, 256, 10), 128),
    "784-1024-1024-10": ((784, 1024, 1024, 10), 256),
}
CATS = ((12288, 20, 7, 5, 1), 209)
DEEP = ((64, 128, 128, 128, 10), 64)
CHAIN = 1000
LSTM = {"inputs": 16, "hidden": 32, "steps": 20, "batch": 32}
NAMES = (*MLPS, "cats", "norm-dropout-adam", "lenet", "digits-cnn", "wide-cnn", "lstm", "chain")


def rows(batch: int, width: int) -> np.ndarray:
    """Normally distributed examples."""
    return np.random.default_rng(0).standard_normal((batch, width)).astype(np.float32)


def images(batch: int, channels: int, side: int) -> np.ndarray:
    """Normally distributed images (N, C, H, W)."""
    return np.random.default_rng(0).standard_normal((batch, channels, side, side)).astype(np.float32)


def classes(batch: int, count: int) -> np.ndarray:
    """Class labels."""
    return np.random.default_rng(1).integers(0, count, batch)


def weights(sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """He-initialized weights (in, out) and zero biases."""
    rng = np.random.default_rng(2)
    return [
        ((rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype(np.float32), np.zeros(b, np.float32))
        for a, b in zip(sizes, sizes[1:])
    ]
