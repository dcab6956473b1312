"""tinygrad_dl.fft."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, fft


def calls() -> Iterator[Call]:
    def matrix() -> Tensor:
        return Tensor(np.arange(12.0).reshape(3, 4))

    table = {name: lambda: with_arguments(matrix()) for name in fft.__all__ if not name.endswith("freq")}
    table |= {name: lambda: with_arguments(4) for name in ("fftfreq", "rfftfreq")}
    yield from calls_of(fft, table)
    recorded = {
        f"{name} of complex values": lambda name=name: (  # type: ignore[misc]
            getattr(fft, name), (Tensor(np.ones((3, 4), complex), requires_grad=True),), {}
        )
        for name in ("fft", "ifft", "irfft", "hfft", "fftn", "irfftn")
    }  # fmt: skip
    yield from (Call(name, make) for name, make in recorded.items())
