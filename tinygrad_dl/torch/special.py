"""torch.special."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.torch import methods as _methods  # noqa: F401  it enters all functions
from tinygrad_dl.torch.registry import TORCH as _TORCH

globals().update(
    {name.removeprefix("special_"): f for name, f in _TORCH.items() if name.startswith("special_")}
)
for _name in (
    "exp2",
    "expm1",
    "log1p",
    "erf",
    "round",
    "sinc",
    "softmax",
    "log_softmax",
    "logsumexp",
    "digamma",
    "polygamma",
    "i0",
    "xlogy",
    "logit",
):
    globals()[_name] = _TORCH[_name]
gammaln = _TORCH["lgamma"]


def __getattr__(name: str) -> Any:
    from tinygrad_dl.torch.left_out import missing

    raise missing("torch.special", name, globals())
