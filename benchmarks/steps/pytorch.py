"""The steps in PyTorch, eager."""

import torch

from benchmarks.steps.models import cases

CASES = cases(
    torch.nn,
    torch.optim,
    lambda x: torch.tensor(x, dtype=torch.long if x.dtype.kind == "i" else None),
    lambda x: torch.tensor(x, requires_grad=True),
)
