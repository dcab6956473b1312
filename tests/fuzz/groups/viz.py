"""tinygrad_dl.viz."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, viz


def result() -> Tensor:
    return (Tensor(np.ones(2), requires_grad=True) * 2).sum()


def calls() -> Iterator[Call]:
    yield from calls_of(viz, {"draw": lambda: with_arguments(result())})
