"""tinygrad_dl.data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import data


def dataset() -> data.TensorDataset:
    rng = np.random.default_rng(0)
    return data.TensorDataset(rng.random((6, 2), np.float32), np.arange(6) % 2)


TABLE = {
    "TensorDataset": lambda: with_arguments(np.ones((6, 2)), np.arange(6)),
    "DataLoader": lambda: with_arguments(dataset(), 2),
    "split": lambda: with_arguments(dataset(), [4, 2]),
    "Subset": lambda: with_arguments(dataset(), [0, 1]),
}


def calls() -> Iterator[Call]:
    yield from calls_of(data, TABLE)
