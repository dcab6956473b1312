"""tinygrad_dl.testing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, testing


def x() -> Tensor:
    return Tensor(np.array([0.5, 1.5]), requires_grad=True)


def calls() -> Iterator[Call]:
    yield from calls_of(
        testing,
        {
            "gradcheck": lambda: with_arguments(lambda a: a * a, [x()]),
            "gradgradcheck": lambda: with_arguments(lambda a: a * a, [x()]),
        },
    )
