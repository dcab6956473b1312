"""Optimizer: parameters in groups, state by parameter, and the walk over what has a gradient."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.modes import enable_grad, is_grad_enabled
from tinygrad_dl.optim.block import Stale, plan
from tinygrad_dl.tensor import Tensor


class Optimizer:
    """Base of the optimizers. A subclass names its defaults and writes `update`, and `start` if it has state.

    `params`: Tensors, pairs (name, Tensor), or groups: dicts with "params" and options other than `defaults`.
    Raises DTypeError for what is not a Tensor, ValueRangeError for none, for one given twice and for results
    of operations.
    """

    #: Each element's update depends on nothing but that element: large arrays may be cut into pieces.
    elementwise = True
    #: Arrays of at most so many elements are updated together, if elementwise; pays from some ten passes on.
    together = 0
    #: How many arrays of the parameter's shape `update` wants to work in.
    scratch = 1

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._plans: list[Any] = []
        if isinstance(params, (Tensor, str, bytes)) or not isinstance(params, Iterable):
            raise DTypeError(
                f"{self._name}: params: the parameters are needed, such as model.parameters() or a list of "
                f"Tensors; {type(params).__name__} came"
            )
        entries = list(params)
        if not entries:
            raise ValueRangeError(
                f"{self._name}: params: there are none. Does the model keep its layers as attributes?"
            )
        groups = [isinstance(entry, Mapping) for entry in entries]
        if any(groups) and not all(groups):
            raise DTypeError(
                f"{self._name}: params: either groups (dicts) or parameters are needed; a mixture came"
            )
        for group in entries if groups[0] else [{"params": entries}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # What a subclass writes

    def check(self, group: dict[str, Any]) -> None:
        """Raise ValueRangeError if an option of the group is out of range."""

    def needs(self, group: dict[str, Any]) -> Hashable:
        """What of the group's options decides which state `start` makes."""
        return None

    def start(self, p: np.ndarray, group: dict[str, Any]) -> dict[str, Any]:
        """The state before the first update, beside "step": arrays of p's shape and dtype, and numbers."""
        return {}

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        state: dict[str, Any],
        group: dict[str, Any],
        work: tuple[np.ndarray, ...],
    ) -> None:
        """Change the array p in place, given its gradient g, which must stay as it is.

        `state["step"]` counts the updates, this one included. `work`: `scratch` arrays of p's shape to
        compute in.
        """
        raise DTypeError(
            f"{self._name}: a subclass of Optimizer has to define update(p, g, state, group, work)"
        )

    def refuse(self, condition: bool, option: str, needed: str, came: object) -> None:
        """Raise ValueRangeError for an option if the condition is true."""
        if condition:
            raise ValueRangeError(f"{self._name}: {option}: {needed} is needed; {came!r} came")

    # What a user calls

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with their own options: {"params": [...], "lr": 0.01}. Others are the defaults."""
        if not isinstance(group, Mapping) or "params" not in group:
            raise DTypeError(f'{self._name}: a group is a dict with "params"; {type(group).__name__} came')
        unknown = [
            key for key in group if key not in self.defaults and key not in ("params", "initial_lr", "name")
        ]
        if unknown:
            raise ValueRangeError(
                f"{self._name}: a group has the option {unknown[0]!r}; there are {', '.join(self.defaults)}"
            )
        entries = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        names = [str(entry[0]) if isinstance(entry, tuple) else None for entry in entries]
        params = [entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry for entry in entries]
        taken = {id(p) for other in self.param_groups for p in other["params"]}
        for name, p in zip(names, params):
            if not isinstance(p, Tensor):
                raise DTypeError(f"{self._name}: each parameter is a Tensor; {type(p).__name__} came")
            label = f"the parameter {name or p.name or 'of shape ' + str(p.shape)}"
            if not p.is_leaf:
                raise ValueRangeError(
                    f"{self._name}: {label} is the result of an operation, which the next forward pass "
                    "computes anew. Give the Tensor it was computed from."
                )
            if id(p) in taken:
                raise ValueRangeError(
                    f"{self._name}: {label} is given twice; it would be updated twice a step"
                )
            taken.add(id(p))
        new = {**self.defaults, **group, "params": params}
        if names and all(names):
            new["param_names"] = names
        self.check(new)
        self.param_groups.append(new)
        self._plans.append(None)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with set_to_none=False make them zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p.grad is not None:
                    p.grad = Tensor(np.zeros_like(p.grad._data))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update each parameter that has a gradient. Raises GraphError if none has.

        `closure` may compute the loss and its gradients before; what it returns is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        idle = True
        for i, group in enumerate(self.param_groups):
            ready = [p for p in group["params"] if getattr(p, "_grad", None) is not None]
            if not ready:
                continue
            idle = False
            key = (list(map(id, ready)), self.needs(group))
            if self._plans[i] is None or self._plans[i][0] != key:
                self._plans[i] = key, plan(self, ready, group)
            for block in self._plans[i][1]:
                try:
                    block.run(self, group)
                except Stale:  # a parameter has another dtype than at the last step
                    self._plans[i] = None
                    for anew in plan(self, block.params, group):
                        anew.run(self, group)
        if idle:
            raise self._no_gradients()
        return loss

    def _no_gradients(self) -> GraphError:
        params = [p for group in self.param_groups for p in group["params"]]
        if not any(p.requires_grad for p in params):
            cause = "none of them requires grad: they are frozen"
        elif not is_grad_enabled():
            cause = "this runs under no_grad(); the forward pass and backward() have to be outside of it"
        else:
            cause = (
                "call loss.backward() between zero_grad() and step(). If you did, the loss does not depend "
                "on these parameters: detach(), no_grad or NumPy cut the graph, or the model was replaced"
            )
        return GraphError(f"{self._name}.step: no parameter has a gradient; {cause}.")

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """The state (copies of its arrays) and the options, with parameters numbered in their order."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            indices = [numbers.setdefault(id(p), len(numbers)) for p in group["params"]]
            groups.append(
                {**{key: value for key, value in group.items() if key != "params"}, "params": indices}
            )
        state = {
            numbers[id(p)]: {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in values.items()}
            for p, values in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a `state_dict()`. Raises ShapeError, ValueRangeError if it is of other parameters."""
        where = f"{self._name}.load_state_dict"
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueRangeError(f'{where}: a dict with "state" and "param_groups" is needed')
        saved = state_dict["param_groups"]
        sizes, needed = ([len(group["params"]) for group in groups] for groups in (saved, self.param_groups))
        if sizes != needed:
            raise ValueRangeError(
                f"{where}: the saved groups have {sizes} parameters; this optimizer's groups have {needed}"
            )
        state: dict[Tensor, dict[str, Any]] = {}
        for old, group in zip(saved, self.param_groups):
            for index, p in zip(old["params"], group["params"]):
                if index in state_dict["state"]:
                    state[p] = _taken_over(where, p, state_dict["state"][index])
        for old, group in zip(saved, self.param_groups):
            group.update({key: value for key, value in old.items() if key in group and key != "params"})
        self.state = state
        self._plans = [None] * len(self.param_groups)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_plans": [None] * len(self.param_groups)}

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [
                f"    {key}: {value}" for key, value in sorted(group.items()) if not key.startswith("param")
            ]
        return "\n".join((*lines, ")"))


def _taken_over(where: str, p: Tensor, values: Mapping[str, Any]) -> dict[str, Any]:
    """Saved state of one parameter, its arrays copied to the parameter's dtype."""
    taken: dict[str, Any] = {}
    for key, value in values.items():
        if value is None:
            continue
        array = np.asarray(value)
        if key == "step":
            taken[key] = int(array)
        elif array.shape == p.shape and (array.ndim or isinstance(value, np.ndarray)):
            taken[key] = np.array(array, dtype=p.dtype, order="C")
        elif array.ndim == 0:
            taken[key] = array.item()
        else:
            raise ShapeError(f"{where}: {key} has the shape {array.shape}, but its parameter has {p.shape}")
    taken.setdefault("step", 1 if taken else 0)  # PyTorch's SGD saves no count
    return taken
