"""tinygrad_dl.nn.init."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor
from tinygrad_dl.nn import init


def t(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape, np.float32), requires_grad=True)


TABLE = {
    **{name: lambda: with_arguments(t(3, 4)) for name in (
        "normal_", "uniform_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
        "kaiming_normal_", "orthogonal_", "zeros_", "ones_", "eye_",
    )},
    "constant_": lambda: with_arguments(t(3, 4), 0.5),
    "sparse_": lambda: with_arguments(t(3, 4), 0.1),
    "dirac_": lambda: with_arguments(t(3, 4, 3)),
    "calculate_gain": lambda: with_arguments("relu"),
}  # fmt: skip


def calls() -> Iterator[Call]:
    yield from calls_of(init, TABLE)
