"""Optimizer: parameters in groups, state by parameter, and the loop over parameters that have a gradient."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, MutableMapping, Set
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.anomaly import detect_anomaly, ranged
from tinygrad_dl.arguments import WORDS, Decay, NonNegative, declared_types, hinted, misfit
from tinygrad_dl.convert import describe
from tinygrad_dl.creation import zeros
from tinygrad_dl.errors import (
    AnomalyError,
    DTypeError,
    GraphError,
    ShapeError,
    UninitializedError,
    ValueRangeError,
)
from tinygrad_dl.modes import active, effect, enable_grad, is_grad_enabled, modes, tell
from tinygrad_dl.optim.fused import (
    END,
    Plan,
    States,
    Watched,
    completed_state,
    fitting,
    initial_state,
    lasts,
    plan_updates,
)
from tinygrad_dl.optim.typing import Closure, Group, Params, State, Workspace
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import NDArray, readable

# PyTorch's options that say how a step is computed, not what: accepted, so that its calls and saved states work.
EXECUTION = ("foreach", "fused", "capturable", "differentiable")
# What schedules and users write into groups beside the optimizer's own options.
EXTRA = ("initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum", "name")


def options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The options among the `locals()` of a constructor: its arguments without `self` and `params`.

    A constructor's signature is then the only place where its options are listed.
    """
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "__class__")}


@readable
class Optimizer:
    """Base class of the optimizers. A subclass names its default options and defines `update`.

    `params`: Tensors, pairs (name, Tensor), or groups: dicts with "params" and options other than `defaults`.
    `lr` may be a Tensor of one element. PyTorch's `foreach`, `fused` and `capturable` change nothing here.
    Raises DTypeError for an entry that is not a Tensor; ValueRangeError without parameters, for one that is
    given twice or is the result of an operation, and for differentiable=True.

    >>> from tinygrad_dl import Tensor
    >>> class SignSGD(Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...     def update(self, p, g, state, group, workspace):
    ...         p -= group["lr"] * np.sign(g)
    >>> p = Tensor(1.0, dtype="float64", requires_grad=True)
    >>> (5 * p).backward()
    >>> SignSGD([p]).step()
    >>> p.item()
    0.9
    """

    #: Whether each element's update depends on that element alone, so that small parameters may be fused.
    elementwise = True
    #: How many arrays of the parameter's shape `update` needs for intermediate results.
    workspace_arrays = 1

    def __init__(self, params: Params, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        #: What the next step continues from, by parameter: it may be cleared, replaced and edited.
        self.state: MutableMapping[Any, State] = States()
        self._edited = [True]
        # For each group how it is updated; None: to be found out at the next step.
        self._plans: list[Plan | None] = []
        self.stepped = False
        if callable(getattr(params, "parameters", None)):
            raise DTypeError(
                f"{self._name}: params: expected the parameters of a model, got the model itself, "
                f"{type(params).__name__}. Pass model.parameters()."
            )
        if isinstance(params, (Tensor, np.ndarray, str, bytes, Mapping)) or not isinstance(params, Iterable):
            raise DTypeError(
                f"{self._name}: params: expected the parameters, such as model.parameters() or a list of Tensors, "
                f"got {type(params).__name__}{_advice(params)}"
            )
        entries: list[Any] = list(params)
        if not entries:
            raise ValueRangeError(
                f"{self._name}: params: expected at least one parameter, got none. Does the model keep its "
                "layers as attributes?"
            )
        groups = [isinstance(entry, Mapping) for entry in entries]
        if any(groups) and not all(groups):
            raise DTypeError(
                f"{self._name}: params: expected either groups (dicts) or parameters, got a mixture"
            )
        for group in entries if groups[0] else [{"params": entries}]:
            self.add_param_group(group)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = hinted(cls.__init__)  # type: ignore[method-assign]
        readable(cls)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            # Reached only when the attribute does not exist.
            from tinygrad_dl.vocabulary import unknown

            raise unknown("Optimizer", name, dir(type(self)), type(self).__name__)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # What a subclass defines

    def validate_options(self, group: Group) -> None:
        """Raise ValueRangeError if an option of the group is out of range."""

    def plan_key(self, group: Group) -> Hashable:
        """Those of the group's options that decide which state `init_state` makes."""
        return None

    def init_state(self, p: NDArray, group: Group) -> State:
        """The state before the first update, apart from "step": arrays of p's shape and dtype, and numbers."""
        return {}

    def update(self, p: NDArray, g: NDArray, state: State, group: Group, workspace: Workspace) -> None:
        """Change the array p in place, given its gradient g, which must not be changed.

        `state["step"]` counts the updates, including this one. `workspace`: `workspace_arrays` uninitialized
        arrays of p's shape.
        """
        raise DTypeError(
            f"{self._name}: a subclass of Optimizer has to define update(p, g, state, group, workspace)"
        )

    # What a subclass calls

    def apply_weight_decay(self, p: NDArray, g: NDArray, group: Group, out: NDArray) -> NDArray:
        """The gradient to descend along, with `maximize` and `weight_decay` applied: g itself, or `out`.

        g + weight_decay * p, with -g for g under `maximize`. With `decoupled_weight_decay` p is multiplied by
        1 - lr * weight_decay instead, and nothing is added to g.
        """
        decay, maximize = float(group["weight_decay"]), group["maximize"]
        if group.get("decoupled_weight_decay"):
            p *= 1.0 - float(group["lr"]) * decay
        elif decay:
            np.multiply(p, decay, out=out)
            return np.subtract(out, g, out=out) if maximize else np.add(out, g, out=out)
        return np.negative(g, out=out) if maximize else g

    def validate(self, valid: bool, option: str, expected: str, got: object) -> None:
        """Raise ValueRangeError for an option unless it is valid."""
        if not valid:
            raise ValueRangeError(f"{self._name}: {option}: expected {expected}, got {got!r}")

    def validate_minimum(self, group: Group, minimum: float, *names: str) -> None:
        """Raise ValueRangeError unless each of these options is at least `minimum`; nan is not."""
        for name in names:
            valid = bool(group[name] >= minimum)
            self.validate(valid, name, f"a number of at least {minimum}", group[name])

    def validate_betas(self, group: Group) -> None:
        """Raise unless `betas` are two decay rates, from 0 to less than 1."""
        betas = group["betas"]
        if type(betas) is tuple and len(betas) == 2 and all(type(b) is float and 0 <= b < 1 for b in betas):
            return  # a schedule of each batch is not to pay for the comparison of types
        problem = misfit(self._name, "betas", group["betas"], tuple[Decay, Decay])
        if problem is not None:
            got = group["betas"] if isinstance(problem, ValueRangeError) else describe(group["betas"])
            raise type(problem)(f"{self._name}: betas: expected a pair of numbers in [0, 1), got {got}")

    # What a user calls

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with their own options: {"params": [...], "lr": 0.01}. Others are the defaults."""
        if not isinstance(group, Mapping) or "params" not in group:
            raise DTypeError(
                f'{self._name}: a group: expected a dict with "params", got {type(group).__name__}'
            )
        own = [key for key in self.defaults if key not in EXECUTION]
        unknown = [key for key in group if key not in (*own, *EXECUTION, *EXTRA, "params")]
        if unknown:
            raise ValueRangeError(
                f"{self._name}: a group: expected options among {', '.join(own)}, got {unknown[0]!r}"
            )
        given = group["params"]
        if isinstance(given, (str, bytes, Set)) or not isinstance(given, (Iterable, Tensor)):
            raise DTypeError(f"{self._name}: params: expected a list of Tensors, got {type(given).__name__}")
        entries = [given] if isinstance(given, Tensor) else list(given)
        pairs = [isinstance(entry, tuple) and len(entry) == 2 for entry in entries]
        names = [str(entry[0]) if pair else None for entry, pair in zip(entries, pairs)]
        params = [entry[1] if pair else entry for entry, pair in zip(entries, pairs)]
        taken = {id(p) for other in self.param_groups for p in other["params"]}
        for name, p in zip(names, params):
            self._validate_parameter(p, name)
            if id(p) in taken:
                raise ValueRangeError(
                    f"{self._name}: {_label(p, name)} is given twice; it would be updated twice per step"
                )
            taken.add(id(p))
        named = [all(pairs), *("param_names" in other for other in self.param_groups)]
        if (any(pairs) and not all(pairs)) or (params and len(set(named)) > 1):
            raise ValueRangeError(
                f"{self._name}: expected names for all parameters or for none, got a mixture"
            )
        new = {**self.defaults, **group, "params": params}
        if names and all(pairs):
            new["param_names"] = names
        self._validate(new)
        self.param_groups.append(new)
        self._plans.append(None)

    def _validate_parameter(self, p: Any, name: str | None = None) -> None:
        """Raise unless p is a leaf that can have a gradient."""
        if not isinstance(p, Tensor):
            raise DTypeError(f"{self._name}: params: expected Tensors, got {type(p).__name__}")
        if not p.is_leaf:
            raise ValueRangeError(
                f"{self._name}: {_label(p, name)} is the result of an operation, which the next forward pass "
                "computes again. Pass the Tensor that it was computed from."
            )
        kinds, advice = "fc", "Only floating and complex Tensors have gradients"
        if not self.elementwise:
            kinds, advice = "f", "Optimize its real and imaginary part as two parameters"
        if p.dtype.kind not in kinds:
            raise DTypeError(
                f"{self._name}: {_label(p, name)}: expected a floating dtype, got {p.dtype}. {advice}."
            )

    def _validate(self, group: Group, seen: Mapping[str, Any] | None = None) -> None:
        """Raise for the first option that is not valid; `seen`: options that are known to be."""
        lr = group.get("lr", 0)
        if isinstance(lr, (Tensor, np.ndarray)) and lr.size != 1:
            raise ShapeError(f"{self._name}: lr: expected a Tensor of one element, got the shape {lr.shape}")
        for option, hints in option_types(type(self)).items():  # type: ignore[arg-type]
            value = group.get(option, END)
            if value is END or (seen is not None and seen.get(option, END) is value and lasts(value)):
                continue
            for hint in hints:
                problem = misfit(self._name, option, value, hint)
                if problem is not None:
                    raise problem
        self.validate(
            not (group.get("foreach") and group.get("fused")), "foreach", "False together with fused", True
        )
        if group.get("differentiable"):
            raise ValueRangeError(
                f"{self._name}: differentiable: expected False, got True: a step is written into the "
                "parameters, outside the graph. To differentiate through a step, compute it: "
                "q = p - lr * grad(loss, p, create_graph=True)[0]"
            )
        self.validate_options(group)

    def _validate_edits(self, i: int, group: Any, plan: Plan | None) -> None:
        """Raise if what a user has made of a group since the last step is not valid."""
        where = f"{self._name}: param_groups[{i}]"
        if not isinstance(group, dict) or not isinstance(group.get("params"), (list, tuple)):
            raise DTypeError(
                f'{where}: expected a dict with a list of Tensors as "params", got {describe(group)}'
            )
        missing = [option for option in self.defaults if option not in group]
        if missing:
            raise ValueRangeError(
                f"{where}: expected the option {missing[0]}, got none. add_param_group() adds a group whose other "
                "options are the defaults"
            )
        if plan is None or plan.options["params"] is not group["params"]:
            for p in group["params"]:
                self._validate_parameter(p)
        self._validate(group, None if plan is None else plan.options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Discard the gradients of all parameters; with set_to_none=False fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                    if active:
                        tell("assigned", p)
                elif p.grad is not None:
                    p.grad = zeros(p.shape, dtype=p.dtype)

    def step(self, closure: Closure | None = None) -> Any:
        """Update each parameter that has a gradient. Raises GraphError if none has.

        `closure`, if given, is called first: it computes the loss and its gradients. Its result is returned.
        """
        loss = None
        if closure is not None:
            if not callable(closure):
                raise DTypeError(f"{self._name}.step: closure: expected a function, got {describe(closure)}")
            with enable_grad():
                loss = closure()
        if active:
            self._check_finite()
            changes = [p for group in self.param_groups for p in group["params"]]
            idle = effect(Optimizer._update_all, self, changes=changes, gradients=True)
        else:
            idle = self._update_all()
        if idle:
            raise self._no_gradient_error()
        self.stepped = True
        return loss

    def forget_plans(self) -> None:
        """Plan the updates again at the next step; for whoever changed parameters or state from outside."""
        self._plans = [None] * len(self.param_groups)

    @np.errstate(all="ignore")  # what is not finite is applied as it is
    def _update_all(self) -> bool:
        """Update the parameters that have a gradient; return whether there was none.

        What a user has written into groups and state is validated first, for all groups: an error changes nothing.
        """
        groups, plans, states = self.param_groups, self._plans, self.state
        if not isinstance(states, dict):
            self._validate_state()
        if len(plans) != len(groups):
            plans[:] = [None] * len(groups)
        idle, stale = True, []
        for i, group in enumerate(groups):
            try:
                params = [p for p in group["params"] if p._grad is not None]
            except (
                AttributeError,
                TypeError,
                KeyError,
            ):  # one never had a gradient, or the user's edit is wrong
                self._validate_edits(i, group, None)
                params = [p for p in group["params"] if p.grad is not None]
            # Finding out how to update takes longer than a small update: the plan is kept while it fits.
            plan = plans[i]
            if plan is None or not plan.fits(group, params, states):
                completed = self._prepare(i, group, params, plan)
                if completed is not None:
                    stale.append((i, group, params, completed))
            if params:
                idle = False
        for i, group, params, completed in stale:
            plans[i] = self._plan(group, params, completed)
        for plan, group in zip(plans, groups):
            for update in plan.updates:  # type: ignore[union-attr]
                update.run(self, group)
        self._edited[0] = False
        return idle

    def _prepare(
        self, i: int, group: Group, params: list[Tensor], plan: Plan | None
    ) -> list[tuple[State, list[str]]] | None:
        """Validate what has changed since the last step; the completed states if a new plan is needed."""
        if plan is None or not plan.has_options(group):
            self._validate_edits(i, group, plan)
            if plan is not None and plan.key == self.plan_key(group):
                plan.remember(group)
                if plan.has_parameters(params, self.state):
                    return None
        return self._completed_states(group, params, plan)

    def _validate_state(self) -> None:
        """Raise DTypeError unless the state, which a user may have replaced, is a dict."""
        if not isinstance(self.state, MutableMapping):
            raise DTypeError(f"{self._name}.step: state: expected a dict, got {describe(self.state)}")

    def _completed_states(
        self, group: Group, params: list[Tensor], plan: Plan | None
    ) -> list[tuple[State, list[str]]]:
        """The states of these parameters, complete and in their present dtypes; none is written yet."""
        own = plan.arrays() if plan is not None else set()
        for p in params:
            self._validate_parameter(p)
            g = p._grad._data
            if g.shape != p.shape or g.dtype != p.dtype:
                raise ShapeError(
                    f"{self._name}.step: expected a gradient of the parameter's shape {p.shape} and dtype {p.dtype}, "
                    f"got {g.shape} and {g.dtype}: the parameter was changed since. Call zero_grad() and backward()."
                )
        return [completed_state(self, p, group, own) for p in params]

    def _plan(self, group: Group, params: list[Tensor], states: list[tuple[State, list[str]]]) -> Plan:
        """Write the completed states, into the dicts that are there, and find out how to update."""
        taken: set[int] = set()
        edited: list[bool] | None = self._edited
        if type(self.state) is States:
            self.state.edited = self._edited
        for p, (state, _) in zip(params, states):
            found = self.state.get(p)
            if found is None or id(found) in taken:
                found = self.state[p] = Watched()
            if type(found) is Watched:
                found.edited = self._edited
            else:
                edited = None
            taken.add(id(found))
            found.clear()
            found.update(state)
        return Plan(
            group,
            self.plan_key(group),
            params,
            plan_updates(self, params, [used for _, used in states]),
            edited,
        )

    def _check_finite(self) -> None:
        """Under detect_anomaly: raise AnomalyError for a gradient that is not finite."""
        if not any(isinstance(watcher, detect_anomaly) for watcher in modes.watchers):
            return
        for i, group in enumerate(self.param_groups):
            for j, p in enumerate(group["params"]):
                g = p.grad
                if g is not None and not np.isfinite(g._data).all():
                    names = group.get("param_names")
                    label = names[j] if names else p.name or f"{j} of group {i}"
                    raise AnomalyError(
                        f"{self._name}.step: the gradient of the parameter {label} is not finite\n"
                        f"  gradient: {ranged(g._data)}\n  parameter: {ranged(p._data)}"
                    )

    def _no_gradient_error(self) -> GraphError:
        params = [p for group in self.param_groups for p in group["params"]]
        if not any(p.requires_grad for p in params):
            reason = "none of them requires grad: they are frozen"
        elif not is_grad_enabled():
            reason = "this runs under no_grad(); the forward pass and backward() have to run outside of it"
        else:
            reason = (
                "call loss.backward() between zero_grad() and step(). If you did, the loss does not depend "
                "on these parameters: detach(), no_grad or NumPy cut the graph, or the model was replaced"
            )
        return GraphError(f"{self._name}.step: no parameter has a gradient; {reason}.")

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """The state (copies of its arrays) and the options, with the parameters numbered in their order.

        The layout is PyTorch's, with arrays and numbers instead of its tensors.
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            indices = [numbers.setdefault(id(p), len(numbers)) for p in group["params"]]
            options = {key: saved_option(value) for key, value in group.items() if key != "params"}
            groups.append({**options, "params": indices})
        # What is kept for a parameter that is in no group is not used by a step; other keys are the user's own.
        state = {
            numbers[id(p)] if isinstance(p, Tensor) else p: copy_state(values)
            for p, values in self.state.items()
            if id(p) in numbers or not isinstance(p, Tensor)
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a `state_dict()`, also one of PyTorch's whose tensors are given as arrays; its options too.

        Parameters are matched by their names if both sides have them, otherwise by their order. Raises
        ShapeError or ValueRangeError if it belongs to other parameters, and changes nothing then.
        """
        where = f"{self._name}.load_state_dict"
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueRangeError(f'{where}: expected a dict with "state" and "param_groups"')
        saved = state_dict["param_groups"]
        if not isinstance(state_dict["state"], Mapping):
            raise DTypeError(f"{where}: state: expected a dict, got {describe(state_dict['state'])}")
        if not isinstance(saved, (list, tuple)) or not all(isinstance(group, Mapping) for group in saved):
            raise DTypeError(f"{where}: param_groups: expected a list of dicts, got {describe(saved)}")
        for group in saved:
            numbers = group.get("params")
            if not isinstance(numbers, (list, tuple)) or not all(isinstance(n, (int, str)) for n in numbers):
                raise DTypeError(
                    f"{where}: param_groups: params: expected the numbers of the parameters, got {describe(numbers)}"
                )
        sizes, expected = (
            [len(group["params"]) for group in groups] for groups in (saved, self.param_groups)
        )
        if sizes != expected:
            raise ValueRangeError(
                f"{where}: expected groups of {expected} parameters, as this optimizer has, got {sizes}"
            )
        state: dict[Any, State] = States()
        changes = []
        for old, group in zip(saved, self.param_groups):
            known = (*self.defaults, *(key for key in EXTRA if key != "name"))
            options = {key: saved_option(value) for key, value in old.items() if key in known}
            self._validate({**group, **options})
            changes.append((group, options))
            for index, p in zip(_match_indices(where, old, group), group["params"]):
                if index in state_dict["state"]:
                    values = state_dict["state"][index]
                    state[p] = Watched(self.restore_state(where, p, values, {**group, **options}))
        for group, options in changes:
            lr = group.get("lr")
            group.update(options)
            if isinstance(lr, Tensor):  # code that holds this Tensor goes on setting the rate with it
                lr._data[...] = options.get("lr", lr._data)
                group["lr"] = lr
        self.state = state
        self._plans = [None] * len(self.param_groups)

    def restore_state(self, where: str, p: Tensor, values: Mapping[str, Any], group: Group) -> State:
        """The saved state of one parameter, its arrays copied in the parameter's dtype."""
        initial = initial_state(self, p, group)
        fresh = {key: p._data if value is None else value for key, value in initial.items()}
        state: State = {}
        if not isinstance(values, Mapping):
            raise DTypeError(f"{where}: state: expected a dict for each parameter, got {describe(values)}")
        for key, value in values.items():
            if value is None:
                continue
            if key == "step":
                state[key] = fitting(f"{where}: step", value, 0, p)
                continue
            try:
                array = value._data if isinstance(value, Tensor) else np.asarray(value)
            except ValueError:  # a ragged list
                array = np.asarray(None)
            kinds = "biufc" if p.dtype.kind == "c" else "biuf"
            if key in fresh and array.dtype.kind not in kinds:
                raise DTypeError(f"{where}: {key}: expected an array or a number, got {describe(value)}")
            shape = np.shape(fresh.get(key, array if array.shape == p.shape else 0.0))
            if array.shape != shape:
                raise ShapeError(
                    f"{where}: {key}: expected the shape {shape} for a parameter of shape {p.shape}, got "
                    f"{array.shape}"
                )
            elif isinstance(fresh.get(key, array), np.ndarray) and isinstance(value, (np.ndarray, Tensor)):
                state[key] = np.array(array, dtype=p.dtype, order="C")
            else:
                state[key] = array.item()
        state.setdefault("step", 1 if state else 0)  # PyTorch's SGD saves no count
        return state

    def __getstate__(self) -> dict[str, Any]:
        # A copy may share the states, but not who notes what is written into them.
        return {**vars(self), "_plans": [None] * len(self.param_groups), "_edited": [True]}

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


WORDS[Optimizer] = "an optimizer"


@cache
def option_types(kind: type[Optimizer]) -> dict[str, tuple[Any, ...]]:
    """What the options may be: the annotations of the constructors of this package, the rate's for all optimizers."""
    found: dict[str, tuple[Any, ...]] = {"lr": (NonNegative,)}
    for base in kind.__mro__:
        if base.__module__.startswith("tinygrad_dl.optim") and "__init__" in vars(base):
            for option, hint in declared_types(vars(base)["__init__"]).items():
                if option not in ("self", "params", "defaults", "betas") and hint not in found.get(
                    option, ()
                ):
                    found[option] = (*found.get(option, ()), hint)
    return found


def _label(p: Tensor, name: str | None) -> str:
    """A parameter in an error message."""
    try:
        return f"the parameter {name or p.name or f'of shape {p.shape}'}"
    except UninitializedError:
        return "a parameter of a lazy layer"


def saved_option(option: Any) -> Any:
    """An option as it is saved: Tensors and arrays of one element as numbers."""
    if isinstance(option, tuple):
        return tuple(map(saved_option, option))
    number = isinstance(option, (Tensor, np.ndarray, np.generic)) and option.size == 1
    return option.item() if number else option


def copy_state(value: Any) -> Any:
    """A copy of a state and of the arrays in it."""
    if isinstance(value, dict):
        return {key: copy_state(part) for key, part in value.items()}
    if isinstance(value, list):
        return [copy_state(part) for part in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _advice(params: object) -> str:
    """What to write instead of an object that holds parameters in another way."""
    if isinstance(params, Tensor):
        return ". Pass a list: [w]"
    name = getattr(params, "__name__", "")
    if callable(params) and name in ("parameters", "named_parameters"):
        return f". Call it: model.{name}()"
    return ". Pass model.parameters(), whose values the state dict copies" if isinstance(params, dict) else ""


def _match_indices(where: str, old: Mapping[str, Any], group: Mapping[str, Any]) -> list[int]:
    """The saved indices of a group's parameters, in the group's order."""
    numbers = list(old["params"])
    before, now = old.get("param_names"), group.get("param_names")
    if not before or not now or list(before) == now:
        return numbers
    if set(before) != set(now):
        missing, unexpected = (
            [n for n in one if n not in other] for one, other in ((now, before), (before, now))
        )
        raise ValueRangeError(
            f"{where}: expected the parameters of this optimizer; missing in the saved state: {missing}; "
            f"unexpected: {unexpected}"
        )
    return [numbers[list(before).index(name)] for name in now]
