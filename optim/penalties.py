"""L1 and L2 penalties on a model's weights, and groups that decay only these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.tensor import Tensor


def weights(model: Any) -> list[Tensor]:
    """The parameters that are weights: matrices and kernels, without biases and normalizations.

    Weights have two axes or more, a name whose last part does not begin with "bias", and do not belong to a
    module whose class has Norm in its name. `model`: a module, or Tensors, or pairs (name, Tensor).
    Raises DTypeError.

    >>> from tinygrad_dl import nn
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    >>> [p.shape for p in weights(model)]
    [(2, 3)]
    """
    norms: set[int] = set()
    if hasattr(model, "named_parameters"):
        for part in model.modules():
            if "Norm" in type(part).__name__:
                norms.update(map(id, part.parameters()))
        entries: Iterable[Any] = model.named_parameters()
    elif isinstance(model, Iterable) and not isinstance(model, Tensor):
        entries = model
    else:
        raise DTypeError(f"weights: a module or a list of Tensors is needed; {type(model).__name__} came")
    found = []
    for entry in entries:
        name, p = entry if isinstance(entry, tuple) else ("", entry)
        if not isinstance(p, Tensor):
            raise DTypeError(
                f"weights: a module or a list of Tensors is needed; {type(p).__name__} came in it"
            )
        if p.ndim >= 2 and not name.rpartition(".")[2].startswith("bias") and id(p) not in norms:
            found.append(p)
    return found


def l1_penalty(model: Any, strength: float = 1.0) -> Tensor:
    """strength * sum of |w| over all `weights(model)`: add it to the loss. Drives weights to exactly 0.

    Raises DTypeError, ValueRangeError without any weights. Source: Tibshirani 1996.

    >>> l1_penalty([Tensor([[3.0, -4.0]])], 0.5).item()
    3.5
    """
    return _total("l1_penalty", [abs(w).sum() for w in weights(model)], strength)


def l2_penalty(model: Any, strength: float = 1.0) -> Tensor:
    """strength / 2 * sum of w**2 over all `weights(model)`: add it to the loss.

    Its gradient is strength * w, as with weight_decay=strength in SGD. A course's lambda / (2 * m) * sum w**2
    is strength = lambda / m. Raises DTypeError, ValueRangeError without any weights.

    >>> l2_penalty([Tensor([[3.0, -4.0]])], 0.5).item()
    6.25
    """
    return _total("l2_penalty", [(w * w).sum() for w in weights(model)], strength / 2)


def decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimizer: the weights with this weight_decay, all other parameters with none.

    >>> from tinygrad_dl import nn, optim
    >>> optimizer = optim.AdamW(decay_groups(nn.Linear(2, 2), 0.1))
    >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
    [(1, 0.1), (1, 0.0)]
    """
    decayed = weights(model)
    chosen = set(map(id, decayed))
    everything = (
        model.parameters()
        if hasattr(model, "parameters")
        else [entry[1] if isinstance(entry, tuple) else entry for entry in model]
    )
    rest = [p for p in everything if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _total(name: str, parts: list[Tensor], strength: float) -> Tensor:
    if not parts:
        raise ValueRangeError(f"{name}: the model has no weights: no parameters with two axes or more")
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total * strength
