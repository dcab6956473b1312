"""Modules as functions of their parameters: calls with other ones, and the parameters of several models stacked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_dl import convert
from tinygrad_dl.arguments import require
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.ops.join import stack
from tinygrad_dl.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_dl.nn import Module


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with other parameters and buffers in the place of its own, by their dotted names.

    `parameters_and_buffers`: one dict, or several without common names; what is not named stays. `args`: a tuple, or
    the one argument. `tie_weights`: a parameter that the module has under several names is replaced under all of them.
    `strict`: every name must be given. The module itself does not change. Raises ValueRangeError for names.
    >>> from tinygrad_dl.nn import Linear
    >>> functional_call(Linear(2, 1), {"weight": Tensor([[1.0, 2.0]]), "bias": Tensor([0.5])}, Tensor([1.0, 1.0]))
    Tensor([3.5])
    """
    _check_module("functional_call", "module", module)
    for name, flag in (("tie_weights", tie_weights), ("strict", strict)):
        require("functional_call", name, flag, bool)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise DTypeError(
            f"functional_call: kwargs: expected a dict of named arguments, got {convert.describe(kwargs)}"
        )
    given = _one_dict(parameters_and_buffers)
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    unknown = [name for name in given if name not in own]
    missing = [name for name in own if name not in given]
    if unknown or (strict and missing):
        expected = f"expected the names {_listed(own)}" if own else "expected no names"
        raise ValueRangeError(
            f"functional_call: {type(module).__name__}: {expected}, got "
            + (f"the unknown {_listed(unknown)}" if unknown else f"none for {_listed(missing)}")
        )
    values: dict[str, Any] = {
        name: value if isinstance(value, Value) else convert.wrap(convert.asarray_of(value))
        for name, value in given.items()
    }
    for name, value in values.items():
        if value.shape != own[name].shape:
            raise ShapeError(
                f"functional_call: {name}: expected the shape {own[name].shape}, got {value.shape}"
            )
    if tie_weights:
        values = _tied(own, values)
    places = [(module.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in values]
    before = [vars(owner)[name] for owner, name in places]
    try:
        for (owner, name), value in zip(places, values.values()):
            vars(owner)[name] = value
        return module(
            *(() if args is None else args if isinstance(args, tuple) else (args,)),
            **({} if kwargs is None else kwargs),
        )
    finally:
        for (owner, name), value in zip(places, before):
            vars(owner)[name] = value


def _check_module(what: str, name: str, module: object) -> None:
    # nn stands above: a module is what has the methods of one
    if not (hasattr(module, "named_parameters") and hasattr(module, "named_buffers")):
        raise DTypeError(f"{what}: {name}: expected a Module, got {convert.describe(module)}")


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))


def _one_dict(given: Any) -> dict[str, Any]:
    dicts = (
        [given] if isinstance(given, Mapping) else list(given) if isinstance(given, (tuple, list)) else None
    )
    if dicts is None or not all(isinstance(d, Mapping) for d in dicts):
        raise DTypeError(
            f"functional_call: expected a dict of parameters, or a tuple of dicts, got {convert.describe(given)}"
        )
    several = [name for name, n in Counter(name for d in dicts for name in d).items() if n > 1]
    if several:
        raise ValueRangeError(
            f"functional_call: expected each name in one dict, got {_listed(several)} in several"
        )
    return {name: value for d in dicts for name, value in d.items()}


def _tied(own: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, under every name of the same parameter; ValueRangeError for two of them."""
    names_of: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names_of.setdefault(id(tensor), []).append(name)
    tied = dict(values)
    for names in names_of.values():
        present = [name for name in names if name in values]
        if len({id(values[name]) for name in present}) > 1:
            raise ValueRangeError(
                f"functional_call: expected one value for {_listed(names)}, which are one parameter, got several. "
                "Pass tie_weights=False to untie them."
            )
        if present:
            tied.update(dict.fromkeys(names, values[present[0]]))
    return tied


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters, and the buffers, of several models of one class, each stacked along a new first axis, by name.

    For func.vmap over functional_call: an ensemble runs as one model. The stacked parameters are leaves; they require
    grad if those of the models do. Raises ValueRangeError unless the models are alike.
    >>> from tinygrad_dl.nn import Linear
    >>> parameters, buffers = stack_module_state([Linear(2, 3) for _ in range(5)])
    >>> {name: t.shape for name, t in parameters.items()}, buffers
    ({'weight': (5, 3, 2), 'bias': (5, 3)}, {})
    """
    if not isinstance(models, Iterable):
        raise DTypeError(f"stack_module_state: expected a list of models, got {convert.describe(models)}")
    models = list(models)
    for i, model in enumerate(models):
        _check_module("stack_module_state", f"models[{i}]", model)
    if not models:
        raise ValueRangeError("stack_module_state: expected at least one model, got none")
    kinds = {type(model) for model in models}
    if len(kinds) > 1:
        shown = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueRangeError(f"stack_module_state: expected models of one class, got {shown}")
    if len({model.training for model in models}) > 1:
        raise ValueRangeError(
            "stack_module_state: expected all models in training or all in evaluation mode, got both"
        )
    return _stacked([dict(m.named_parameters()) for m in models]), _stacked(
        [dict(m.named_buffers()) for m in models]
    )


def _stacked(states: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    found = {}
    for name, first in states[0].items():
        tensors: list[Any] = [state.get(name) for state in states]
        if any(t is None or t.shape != first.shape or t.dtype != first.dtype for t in tensors):
            raise ValueRangeError(
                f"stack_module_state: expected {name} in all models, of one shape and dtype"
            )
        if len({t.requires_grad for t in tensors}) > 1:
            raise ValueRangeError(
                f"stack_module_state: expected {name} to require grad in all models or in none, got both"
            )
        found[name] = stack([t.detach() for t in tensors]).requires_grad_(first.requires_grad)
    return found
