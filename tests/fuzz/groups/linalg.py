"""tinygrad_dl.linalg."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, linalg


def square() -> Tensor:
    return Tensor(np.array([[2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0]]), requires_grad=True)


def vector() -> Tensor:
    return Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)


OTHERS = frozenset(
    "cross lstsq matmul outer solve tensordot vecdot multi_dot matrix_power LinAlgError eig eigvals".split()
)


def calls() -> Iterator[Call]:
    table = {name: lambda: with_arguments(square()) for name in linalg.__all__ if name not in OTHERS}
    table |= {
        **{name: lambda: with_arguments(square()) for name in ("eig", "eigvals")},
        "cross": lambda: with_arguments(vector(), vector()),
        "outer": lambda: with_arguments(vector(), vector()),
        "vecdot": lambda: with_arguments(vector(), vector()),
        "lstsq": lambda: with_arguments(square(), vector()),
        "matmul": lambda: with_arguments(square(), square()),
        "solve": lambda: with_arguments(square(), vector()),
        "tensordot": lambda: with_arguments(square(), square(), axes=1),
        "multi_dot": lambda: with_arguments([square(), square(), square()]),
        "matrix_power": lambda: with_arguments(square(), 2),
    }
    yield from calls_of(linalg, table)
