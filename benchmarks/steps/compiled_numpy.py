"""The steps in tinygrad_dl, compiled for NumPy alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import tinygrad_dl as tg
from benchmarks.steps.ours import CASES as EAGER


def compiled(make: Callable[[], Any], backend: str) -> Any:
    """A compiled step, after the calls that capture and compare it."""
    step = tg.compile(make(), backend=backend, fullgraph=True)
    for _ in range(4):
        step()
    return step


CASES = {name: partial(compiled, make, "numpy") for name, make in EAGER.items()}
