"""L1 and L2 penalties on a model's weights, and parameter groups in which only these are decayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeAlias, Union, runtime_checkable

from tinygrad_dl.arguments import NonNegative, misfit
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.optim.typing import Finite
from tinygrad_dl.tensor import Tensor


@runtime_checkable
class HasParameters(Protocol):
    """What a module has to offer: nn and optim do not import each other."""

    def modules(self) -> Iterable[Any]: ...
    def parameters(self) -> Iterable[Tensor]: ...
    def named_parameters(self) -> Iterable[tuple[str, Tensor]]: ...


Model: TypeAlias = Union[HasParameters, Iterable[Tensor], Iterable[tuple[str, Tensor]]]


def weights(model: Model) -> list[Tensor]:
    """The parameters that are weights: matrices and kernels, without biases and normalizations.

    Weights have at least two axes, a name whose last part does not begin with "bias", and do not belong to a
    module whose class has Norm in its name. `model`: a module, Tensors, or pairs (name, Tensor).
    Raises DTypeError.

    >>> from tinygrad_dl import nn
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    >>> [p.shape for p in weights(model)]
    [(2, 3)]
    """
    return _weights("weights", model)


def _weights(where: str, model: Model) -> list[Tensor]:
    norms: set[int] = set()
    if isinstance(model, HasParameters):
        for part in model.modules():
            if "Norm" in type(part).__name__:
                norms.update(map(id, part.parameters()))
        entries: Iterable[Any] = model.named_parameters()
    elif isinstance(model, Iterable) and not isinstance(model, Tensor):
        entries = model
    else:
        raise DTypeError(
            f"{where}: model: expected a module or a list of Tensors, got {type(model).__name__}"
        )
    found = []
    for entry in entries:
        name, p = entry if isinstance(entry, tuple) else ("", entry)
        if not isinstance(p, Tensor):
            raise DTypeError(
                f"{where}: model: expected a module or a list of Tensors, got a list with {type(p).__name__}"
            )
        if p.ndim >= 2 and not name.rpartition(".")[2].startswith("bias") and id(p) not in norms:
            found.append(p)
    return found


def l1_penalty(model: Model, strength: float = 1.0) -> Tensor:
    """strength * sum of |w| over all `weights(model)`: add it to the loss. It drives weights to exactly 0.

    Raises DTypeError, ValueRangeError without weights. Source: Tibshirani 1996.

    >>> l1_penalty([Tensor([[3.0, -4.0]])], 0.5).item()
    3.5
    """
    _validate("l1_penalty", "strength", strength, Finite)
    return _total("l1_penalty", [abs(w).sum() for w in _weights("l1_penalty", model)], strength)


def l2_penalty(model: Model, strength: float = 1.0) -> Tensor:
    """strength / 2 * sum of w**2 over all `weights(model)`: add it to the loss.

    Its gradient is strength * w, as with weight_decay=strength in SGD. A course's lambda / (2 * m) * sum w**2
    is strength = lambda / m. Raises DTypeError, ValueRangeError without weights.

    >>> l2_penalty([Tensor([[3.0, -4.0]])], 0.5).item()
    6.25
    """
    _validate("l2_penalty", "strength", strength, Finite)
    return _total("l2_penalty", [(w * w).sum() for w in _weights("l2_penalty", model)], strength / 2)


def decay_groups(model: Model, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: the weights with this weight_decay, all other parameters without decay.

    >>> from tinygrad_dl import nn, optim
    >>> optimizer = optim.AdamW(decay_groups(nn.Linear(2, 2), 0.1))
    >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
    [(1, 0.1), (1, 0.0)]
    """
    _validate("decay_groups", "weight_decay", weight_decay, NonNegative)
    if isinstance(model, Iterator):
        model = list(model)
    decayed = _weights("decay_groups", model)
    decayed_ids = set(map(id, decayed))
    everything = (
        model.parameters()
        if isinstance(model, HasParameters)
        else [entry[1] if isinstance(entry, tuple) else entry for entry in model]
    )
    rest = [p for p in everything if id(p) not in decayed_ids]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _validate(where: str, argument: str, value: object, hint: Any) -> None:
    problem = misfit(where, argument, value, hint)
    if problem is not None:
        raise problem


def _total(name: str, parts: list[Tensor], strength: float) -> Tensor:
    if not parts:
        raise ValueRangeError(f"{name}: model: expected weights, parameters with at least two axes, got none")
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total * strength
