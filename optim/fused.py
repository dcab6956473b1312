"""How an optimizer's `update` is called: parameter by parameter, or once for many small ones laid end to end.

The update of a small array costs what its NumPy calls cost, whatever its size. So small parameters are copied into one
array, updated by one call, and copied back. Adam on 20 layers of 16 x 16 takes 20 instead of 106 us, on a 2-4-2 network
8 instead of 22, on 64-32-10 11 instead of 24 (`python -m benchmarks.optimizers --variants` measures it).

What is laid end to end is laid out again as soon as anything in `optimizer.state` is another object than at the last
step: the state that the user sees is the state.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from functools import wraps
from math import nan, prod
from operator import is_
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from tinygrad_dl.convert import as_complex, as_pairs, describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.optim.typing import Group, State, Workspace
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import DTypeLike, NDArray, Shape

if TYPE_CHECKING:
    from tinygrad_dl.optim.optimizer import Optimizer

# Elements up to which a parameter is fused: copying it there and back takes less time than the calls of an update.
# To measure again: change it and run `python -m benchmarks.optimizers --variants --names SGD Adam`.
FUSED_SIZE = 1 << 11
# What no entry of a state is.
END = object()
set_entry = dict.__setitem__


class Watched(dict[Any, Any]):
    """A dict that notes when somebody writes into it, in the list `edited` of one boolean.

    Comparing each entry at each step takes a tenth of a step of small networks; so it is done if something was noted.
    """

    __slots__ = ("edited",)

    def __init__(self, entries: Mapping[Any, Any] | tuple[()] = (), edited: list[bool] | None = None) -> None:
        super().__init__(entries)
        self.edited = [True] if edited is None else edited

    def __reduce__(self) -> Any:
        return type(self), (dict(self),)


class States(Watched):
    """The states of all parameters; that of a parameter which has none yet is empty."""

    __slots__ = ()

    def __missing__(self, key: Any) -> State:
        state = self[key] = Watched(edited=self.edited)
        return state


def _noting(method: Any) -> Any:
    @wraps(method)
    def call(self: Watched, *args: Any, **kwargs: Any) -> Any:
        self.edited[0] = True
        return method(self, *args, **kwargs)

    return call


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(Watched, _name, _noting(getattr(dict, _name)))


class SingleUpdate:
    """The update of one parameter."""

    def __init__(self, p: Tensor, state: State, workspace: Workspace) -> None:
        self.param, self.state, self.workspace = p, state, workspace
        self.shape, self.dtype = p._data.shape, p._data.dtype
        self.seen = list(state.values())

    def fits(self, states: Mapping[Any, State], unedited: bool) -> bool:
        """Whether the parameter has the shape, dtype and state that it had after the last step."""
        array, state, seen = self.param._data, self.state, self.seen
        if array.shape != self.shape or array.dtype != self.dtype:
            return False
        return unedited or (
            states.get(self.param) is state
            and len(state) == len(seen)
            and all(map(is_, state.values(), seen))
        )

    def entries(self) -> list[Any]:
        """What the parameter's state was last seen to hold."""
        return self.seen

    def run(self, optimizer: Optimizer, group: Group) -> None:
        """Update the parameter."""
        p, state = self.param, self.state
        set_entry(state, "step", state["step"] + 1)
        optimizer.update(p._data, p._grad._data, state, group, self.workspace)
        self.seen = list(state.values())


class ComplexUpdate(SingleUpdate):
    """The update of one complex parameter, as of twice as many real numbers; its state is complex, as PyTorch's is."""

    def run(self, optimizer: Optimizer, group: Group) -> None:
        """Update the parameter."""
        p, state = self.param, self.state
        set_entry(state, "step", state["step"] + 1)
        real = {name: as_pairs(v) if isinstance(v, np.ndarray) else v for name, v in state.items()}
        before = dict(real)
        optimizer.update(as_pairs(p._data), as_pairs(p._grad._data), real, group, self.workspace)
        for name, value in real.items():
            if value is not before.get(name, END):
                set_entry(state, name, as_complex(value) if isinstance(value, np.ndarray) else value)
        self.seen = list(state.values())


class FusedUpdate:
    """The update of small parameters that share a dtype and the numbers in their states.

    The states' arrays become views of one fused array each, so that only parameters and gradients are copied.
    """

    def __init__(
        self, params: list[Tensor], states: list[State], names: list[str], pool: WorkspacePool
    ) -> None:
        self.params, self.states, self.dtype = params, states, params[0].dtype
        size = sum(p.size for p in params)
        self.p, self.g = np.empty(size, self.dtype), np.empty(size, self.dtype)
        self.workspace = pool.arrays((size,), self.dtype)
        self.parts: list[tuple[slice, Shape]] = []
        self.views = []
        self.arrays = [p._data for p in params]
        begin = 0
        for p in params:
            part = slice(begin, begin + p.size)
            begin = part.stop
            self.parts.append((part, p.shape))
            self.views.append((p, self.p[part].reshape(p.shape), self.g[part].reshape(p.shape)))
        self.state: State = {}
        for name in names:
            value = states[0][name]
            if isinstance(value, np.ndarray):
                value = np.concatenate([state[name].reshape(-1) for state in states], dtype=self.dtype)
            self.state[name] = value
        # By name, what was last found in `self.state` and what each parameter's state shows of it.
        self.shown: dict[str, tuple[Any, list[Any]]] = {}
        self.show()

    def fits(self, states: Mapping[Any, State], unedited: bool) -> bool:
        """Whether all parameters have the shape, dtype and state that they had after the last step."""
        for p, array in zip(self.params, self.arrays):
            if p._data is not array:
                if any(
                    p._data.shape != shape or p.dtype != self.dtype
                    for p, (_, shape) in zip(self.params, self.parts)
                ):
                    return False
                self.arrays = [p._data for p in self.params]
                break
        if unedited:
            return True
        return all(
            states.get(p) is state
            and len(state) == len(self.shown)
            and all(state.get(name, END) is values[i] for name, (_, values) in self.shown.items())
            for i, (p, state) in enumerate(zip(self.params, self.states))
        )

    def run(self, optimizer: Optimizer, group: Group) -> None:
        """Update the parameters."""
        for (param, p, g), array in zip(self.views, self.arrays):
            p[...] = array
            g[...] = param._grad._data
        state = self.state
        state["step"] += 1
        optimizer.update(self.p, self.g, state, group, self.workspace)
        for (_, p, _), array in zip(self.views, self.arrays):
            array[...] = p
        self.show()

    def show(self) -> None:
        """Write into the parameters' states what is new in the fused state: numbers, and views of new arrays."""
        shown, states = self.shown, self.states
        for name, value in self.state.items():
            if name in shown and shown[name][0] is value:
                continue
            if isinstance(value, np.ndarray) and value.shape == self.p.shape:
                values = [value[part].reshape(shape) for part, shape in self.parts]
            else:
                values = [value] * len(states)
            shown[name] = value, values
            for state, new in zip(states, values):
                set_entry(state, name, new)

    def entries(self) -> list[Any]:
        """What the parameters' states were last seen to hold."""
        return [value for _, values in self.shown.values() for value in values]


ParameterUpdate: TypeAlias = Union[SingleUpdate, FusedUpdate]


class Plan:
    """How a group is updated, for as long as its options, its parameters and their states are as they were."""

    def __init__(
        self,
        group: Group,
        key: Hashable,
        params: list[Tensor],
        updates: list[ParameterUpdate],
        edited: list[bool] | None = None,
    ) -> None:
        # `edited`: what all states note edits in, None if one of them does not.
        self.key, self.updates, self.edited = key, updates, edited
        self.ids = list(map(id, params))
        self.remember(group)

    def remember(self, group: Group) -> None:
        """These options are valid: they are compared again when they are other objects, or may change in place."""
        self.options = dict(group)
        self.values = list(group.values())
        if not all(lasts(value) for name, value in group.items() if name != "params"):
            self.values.append(END)  # a Tensor or a list: compared at every step

    def has_options(self, group: Group) -> bool:
        """Whether the options are the objects that were found valid."""
        return len(group) == len(self.values) and all(map(is_, group.values(), self.values))

    def has_parameters(self, params: list[Tensor], states: Mapping[Any, State]) -> bool:
        """Whether these parameters, with these states, can be updated by this plan."""
        return list(map(id, params)) == self.ids and all(
            update.fits(states, False) for update in self.updates
        )

    def fits(self, group: Group, params: list[Tensor], states: Mapping[Any, State]) -> bool:
        """Both, for every step: in one piece, since it takes as long as part of a small update."""
        if list(map(id, params)) != self.ids or len(group) != len(self.values):
            return False
        if not all(map(is_, group.values(), self.values)):
            return False
        edited = self.edited
        unedited = edited is not None and not edited[0] and type(states) is States and states.edited is edited
        for update in self.updates:
            if not update.fits(states, unedited):
                return False
        return True

    def arrays(self) -> set[int]:
        """The identities of the arrays in the states, which nobody else writes into but the user."""
        return {id(v) for update in self.updates for v in update.entries() if isinstance(v, np.ndarray)}


def lasts(option: Any) -> bool:
    """Whether an option cannot change in place."""
    if isinstance(option, tuple):
        return all(map(lasts, option))
    return isinstance(option, (float, int, str, type(None)))


def plan_updates(optimizer: Optimizer, params: list[Tensor], names: list[list[str]]) -> list[ParameterUpdate]:
    """The calls of `update` that a step over these parameters makes; `names`: the entries of each state it uses."""
    single: list[tuple[Tensor, State]] = []
    small: dict[Any, tuple[list[Tensor], list[State]]] = {}
    complex_updates: list[ParameterUpdate] = []
    pool = WorkspacePool(optimizer.workspace_arrays)
    for p, used in zip(params, names):
        state = optimizer.state[p]
        if p.dtype.kind == "c":
            pairs = (*p.shape, 2)
            complex_updates.append(ComplexUpdate(p, state, pool.arrays(pairs, np.finfo(p.dtype).dtype)))
        elif optimizer.elementwise and p.size <= FUSED_SIZE and _is_fusible(p, state, used):
            alike = (p.dtype, tuple(used), tuple(state[key] for key in number_names(state)))
            fused, states = small.setdefault(alike, ([], []))
            fused.append(p)
            states.append(state)
        else:
            single.append((p, state))
    fusions = []
    for fused, states in small.values():
        if len(fused) == 1:
            single.append((fused[0], states[0]))
        else:
            fusions.append((fused, states))
    # The largest first: all others then find the pool's memory large enough.
    single.sort(key=lambda entry: -entry[0].size)
    updates: list[ParameterUpdate] = [SingleUpdate(p, s, pool.arrays(p.shape, p.dtype)) for p, s in single]
    updates += [FusedUpdate(fused, states, list(states[0]), pool) for fused, states in fusions]
    return updates + complex_updates


def number_names(state: State) -> list[str]:
    """The names of a state's entries that are not arrays."""
    return [key for key, value in state.items() if not isinstance(value, np.ndarray)]


def _is_fusible(p: Tensor, state: State, used: list[str]) -> bool:
    """Whether all entries are the optimizer's own, and arrays of the parameter's shape and dtype, or numbers."""
    return list(state) == used and all(
        value.shape == p.shape and value.dtype == p.dtype
        if isinstance(value, np.ndarray)
        else isinstance(value, (int, float, str, type(None)))
        for value in state.values()
    )


def initial_state(optimizer: Optimizer, p: Tensor, group: Group) -> State:
    """What `init_state` makes for a parameter; for a complex one as for its real and imaginary parts."""
    if p.dtype.kind != "c":
        return optimizer.init_state(p._data, group)
    state = optimizer.init_state(as_pairs(p._data), group)
    return {name: as_complex(v) if isinstance(v, np.ndarray) else v for name, v in state.items()}


def completed_state(optimizer: Optimizer, p: Tensor, group: Group, own: set[int]) -> tuple[State, list[str]]:
    """A parameter's state with what is missing initialized, and the names of the entries that an update uses.

    Arrays have the shape, dtype and order of those that `init_state` makes: those in `own` stay if they do, all
    others are copied, since an update writes into them. Raises ShapeError, DTypeError, ValueRangeError for a
    value that does not fit.
    """
    found = optimizer.state.get(p)
    if found is None:
        found = {}
    elif not isinstance(found, dict):
        raise DTypeError(
            f"{type(optimizer).__name__}.step: state: expected a dict for each parameter, got {describe(found)}"
        )
    state: State = {"step": 0, **initial_state(optimizer, p, group)}
    used = list(state)
    for name, value in found.items():
        where = f"{type(optimizer).__name__}.step: state: {name}"
        if name not in state:
            state[name] = value
        elif value is not None:
            state[name] = fitting(where, value, state[name], p, own)
            own.discard(id(value))  # given to two parameters, it is copied for the second
    return state, used


def fitting(where: str, value: Any, first: Any, p: Tensor, own: Collection[int] = ()) -> Any:
    """A value that a user may have put into a state, as an update needs it, where `init_state` makes `first`."""
    if isinstance(first, (np.ndarray, type(None))):
        shape, dtype = (p.shape, p.dtype) if first is None else (first.shape, first.dtype)
        try:
            array = value._data if isinstance(value, Tensor) else np.asarray(value)
        except ValueError:  # a ragged list
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" and not array.dtype.kind == dtype.kind == "c":
            raise DTypeError(f"{where}: expected an array of shape {shape}, got {describe(value)}")
        if array.shape != shape and id(value) in own:
            raise ShapeError(
                f"{where.partition('.')[0]}: expected a parameter of shape {array.shape}, as at the last step, got "
                f"{shape}. Make a new optimizer for it."
            )
        if array.shape != shape:
            raise ShapeError(f"{where}: expected the shape {shape}, got {array.shape}")
        if id(value) in own and array.dtype == dtype and array.flags.c_contiguous:
            return value
        return np.array(array, dtype=dtype, order="C")
    if not isinstance(first, (int, float)):
        return value
    try:
        number = float(value.item() if isinstance(value, (Tensor, np.ndarray)) else value)
    except (TypeError, ValueError, OverflowError):
        number = nan
    if isinstance(value, (str, bytes)) or number != number:
        raise DTypeError(f"{where}: expected a number, got {describe(value)}")
    if isinstance(first, int):
        if number < 0 or not number.is_integer():
            raise ValueRangeError(f"{where}: expected an integer of at least 0, got {describe(value)}")
        return int(number)
    return number


class WorkspacePool:
    """Memory that all updates of an optimizer use in turn, so that it stays in the cache."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.memory: dict[Any, list[NDArray]] = {}

    def arrays(self, shape: Shape, dtype: DTypeLike) -> Workspace:
        """Arrays of this shape, each at the beginning of one of the pool's."""
        size = prod(shape)
        memory = self.memory.get(dtype, [])
        if not memory or memory[0].size < size:
            memory = self.memory[dtype] = [np.empty(size, dtype) for _ in range(self.count)]
        return tuple(array[:size].reshape(shape) for array in memory)
