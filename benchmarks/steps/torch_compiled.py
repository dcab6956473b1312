"""The steps in PyTorch, compiled by `torch.compile`: forward and backward pass, and the optimizer's step."""

from functools import partial
from typing import Any

import torch

from benchmarks.steps.pytorch import CASES as EAGER


def compiled(make: Any) -> Any:
    """The step under torch.compile: what it does not capture runs eagerly, as for a user."""
    torch._dynamo.reset()
    return torch.compile(make())


CASES = {name: partial(compiled, make) for name, make in EAGER.items()}
