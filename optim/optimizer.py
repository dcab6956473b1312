"""Optimizer: parameters in groups, state by parameter, and the walk over what has a gradient."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_dl.anomaly import detect_anomaly, ranged
from tinygrad_dl.errors import AnomalyError, DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.modes import active, enable_grad, is_grad_enabled, modes
from tinygrad_dl.optim.block import Stale, plan
from tinygrad_dl.tensor import Tensor

# PyTorch's options that say how a step is computed, not what: taken, so that its calls and saved states work.
EXECUTION = ("foreach", "fused", "capturable", "differentiable")
# What schedules and users write into groups beside the optimizer's own options.
EXTRA = ("initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum", "name")


class Optimizer:
    """Base of the optimizers. A subclass names its defaults and writes `update`, and `start` if it has state.

    `params`: Tensors, pairs (name, Tensor), or groups: dicts with "params" and options other than `defaults`.
    `lr` may be a Tensor of one element. PyTorch's `foreach`, `fused` and `capturable` change nothing here.
    Raises DTypeError for what is not a Tensor, ValueRangeError for none, for one given twice, for results
    of operations, for differentiable=True.
    """

    #: Each element's update depends on nothing but that element: large arrays may be cut, small ones joined.
    elementwise = True
    #: How many arrays of the parameter's shape `update` wants to work in.
    scratch = 1

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._plans: list[Any] = []
        self.stepped = False
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

    def downhill(self, p: np.ndarray, g: np.ndarray, group: dict[str, Any], out: np.ndarray) -> np.ndarray:
        """The gradient that `maximize` and `weight_decay` leave: g itself, or written to `out`."""
        decay = float(group["weight_decay"])
        if decay:
            np.multiply(p, decay, out=out)
            return np.subtract(out, g, out=out) if group["maximize"] else np.add(out, g, out=out)
        return np.negative(g, out=out) if group["maximize"] else g

    def decayed(self, p: np.ndarray, g: np.ndarray, group: dict[str, Any], out: np.ndarray) -> np.ndarray:
        """As `downhill`, but with `decoupled_weight_decay` p itself is made smaller and g left alone."""
        if not group["decoupled_weight_decay"]:
            return self.downhill(p, g, group, out)
        p *= 1.0 - float(group["lr"]) * float(group["weight_decay"])
        return np.negative(g, out=out) if group["maximize"] else g

    def refuse_below(self, group: dict[str, Any], least: float, *options: str) -> None:
        """Raise ValueRangeError for those of the group's options that are below `least`, or nan."""
        for option in options:
            self.refuse(not group[option] >= least, option, f"a number of at least {least}", group[option])

    def refuse_averages(self, group: dict[str, Any]) -> None:
        """Raise ValueRangeError unless `betas` are two shares of the past, from 0 to less than 1."""
        fits = len(group["betas"]) == 2 and all(0 <= beta < 1 for beta in group["betas"])
        self.refuse(not fits, "betas", "a pair of numbers in [0, 1)", group["betas"])

    def refuse(self, condition: bool, option: str, needed: str, came: object) -> None:
        """Raise ValueRangeError for an option if the condition is true."""
        if condition:
            raise ValueRangeError(f"{self._name}: {option}: {needed} is needed; {came!r} came")

    # What a user calls

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with their own options: {"params": [...], "lr": 0.01}. Others are the defaults."""
        if not isinstance(group, Mapping) or "params" not in group:
            raise DTypeError(f'{self._name}: a group is a dict with "params"; {type(group).__name__} came')
        own = [key for key in self.defaults if key not in EXECUTION]
        unknown = [key for key in group if key not in (*own, *EXECUTION, *EXTRA, "params")]
        if unknown:
            raise ValueRangeError(
                f"{self._name}: a group has the option {unknown[0]!r}; there are {', '.join(own)}"
            )
        entries = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        pairs = [isinstance(entry, tuple) and len(entry) == 2 for entry in entries]
        names = [str(entry[0]) if pair else None for entry, pair in zip(entries, pairs)]
        params = [entry[1] if pair else entry for entry, pair in zip(entries, pairs)]
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
        named = [all(pairs), *("param_names" in other for other in self.param_groups)]
        if any(pairs) != all(pairs) or (params and len(set(named)) > 1):
            raise ValueRangeError(f"{self._name}: either all parameters are given with names or none is")
        new = {**self.defaults, **group, "params": params}
        if names and all(pairs):
            new["param_names"] = names
        self._check_shared(new)
        self.check(new)
        self.param_groups.append(new)
        self._plans.append(None)

    def _check_shared(self, group: dict[str, Any]) -> None:
        """What holds for the options of all optimizers."""
        lr = group.get("lr", 0)
        if isinstance(lr, (Tensor, np.ndarray)) and lr.size != 1:
            raise ShapeError(
                f"{self._name}: lr: a Tensor of one element is needed; the shape {lr.shape} came"
            )
        self.refuse(bool(group.get("foreach") and group.get("fused")), "foreach", "with fused, False", True)
        if group.get("differentiable"):
            raise ValueRangeError(
                f"{self._name}: differentiable: a step is written into the parameters, outside of the graph. "
                "For derivatives through a step compute it: q = p - lr * grad(loss, p, create_graph=True)[0]"
            )

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
        if active:
            self._check_finite()
        with np.errstate(all="ignore"):  # what is not finite is applied as it is
            idle = self._update()
        if idle:
            raise self._no_gradients()
        self.stepped = True
        return loss

    def _update(self) -> bool:
        """Update the parameters that have a gradient; whether there were none."""
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
        return idle

    def _check_finite(self) -> None:
        """Under detect_anomaly: raise AnomalyError for a gradient that is not finite."""
        if not any(isinstance(watcher, detect_anomaly) for watcher in modes.watchers):
            return
        for i, group in enumerate(self.param_groups):
            for j, p in enumerate(group["params"]):
                g = p.grad
                if g is not None and not np.isfinite(g._data).all():
                    names = group.get("param_names")
                    called = names[j] if names else p.name or f"{j} of group {i}"
                    raise AnomalyError(
                        f"{self._name}.step: the gradient of the parameter {called} is not finite\n"
                        f"  gradient: {ranged(g._data)}\n  parameter: {ranged(p._data)}"
                    )

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
        """The state (copies of its arrays) and the options, with parameters numbered in their order.

        The layout is PyTorch's, with arrays and numbers in the place of its tensors.
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            indices = [numbers.setdefault(id(p), len(numbers)) for p in group["params"]]
            options = {key: plain(value) for key, value in group.items() if key != "params"}
            groups.append({**options, "params": indices})
        state = {numbers[id(p)]: copied(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a `state_dict()`, also one of PyTorch's given as arrays. Options are the saved ones.

        Parameters are matched by their names if both sides have them, otherwise by their order. Raises
        ShapeError, ValueRangeError if it is of other parameters, and changes nothing then.
        """
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
        changes = []
        for old, group in zip(saved, self.param_groups):
            known = (*self.defaults, *(key for key in EXTRA if key != "name"))
            options = {key: plain(value) for key, value in old.items() if key in known}
            changes.append((group, options))
            for index, p in zip(_matched(where, old, group), group["params"]):
                if index in state_dict["state"]:
                    values = state_dict["state"][index]
                    state[p] = self.restored(where, p, values, {**group, **options})
        for group, options in changes:
            lr = group.get("lr")
            group.update(options)
            if isinstance(lr, Tensor):  # whoever holds it goes on to steer by it
                lr._data[...] = options.get("lr", lr._data)
                group["lr"] = lr
        self.state = state
        self._plans = [None] * len(self.param_groups)

    def restored(
        self, where: str, p: Tensor, values: Mapping[str, Any], group: dict[str, Any]
    ) -> dict[str, Any]:
        """Saved state of one parameter, its arrays copied to the parameter's dtype."""
        fresh = self.start(p._data, group)
        taken: dict[str, Any] = {}
        for key, value in values.items():
            if value is None:
                continue
            array = value._data if isinstance(value, Tensor) else np.asarray(value)
            shape = np.shape(fresh.get(key, array if array.shape == p.shape else 0.0))
            if key == "step":
                taken[key] = int(array)
            elif array.shape != shape:
                raise ShapeError(
                    f"{where}: {key} has the shape {array.shape}, but its parameter has {p.shape}"
                )
            elif isinstance(fresh.get(key, array), np.ndarray) and isinstance(value, (np.ndarray, Tensor)):
                taken[key] = np.array(array, dtype=p.dtype, order="C")
            else:
                taken[key] = array.item()
        taken.setdefault("step", 1 if taken else 0)  # PyTorch's SGD saves no count
        return taken

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_plans": [None] * len(self.param_groups)}

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [
                f"    {key}: {value}"
                for key, value in sorted(group.items())
                if not key.startswith("param") and key not in EXECUTION
            ]
        return "\n".join((*lines, ")"))


def plain(option: Any) -> Any:
    """An option as it is saved: numbers for Tensors and arrays of one element."""
    if isinstance(option, tuple):
        return tuple(map(plain, option))
    return option.item() if isinstance(option, (Tensor, np.ndarray, np.generic)) else option


def copied(value: Any) -> Any:
    """A state with copies of its arrays."""
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [copied(part) for part in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _matched(where: str, old: Mapping[str, Any], group: Mapping[str, Any]) -> list[int]:
    """The saved numbers of a group's parameters, in the group's order."""
    numbers = list(old["params"])
    before, now = old.get("param_names"), group.get("param_names")
    if not before or not now or list(before) == now:
        return numbers
    if set(before) != set(now):
        missing, unexpected = (
            [n for n in one if n not in other] for one, other in ((now, before), (before, now))
        )
        raise ValueRangeError(
            f"{where}: parameters missing in the saved state: {missing}; unexpected: {unexpected}"
        )
    return [numbers[list(before).index(name)] for name in now]
