"""How an optimizer's `update` is called: parameter by parameter, or once for many small ones laid end to end.

The update of a small array costs what its NumPy calls cost, whatever its size. So small parameters are copied into one
array, updated by one call, and copied back. Adam on 20 layers of 16 x 16 takes 20 instead of 106 us, on a 2-4-2 network
8 instead of 22, on 64-32-10 11 instead of 24 (`python -m benchmarks.optimizers --variants` measures it).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.optim.typing import Group, State, Workspace
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import DTypeLike, NDArray, Shape

if TYPE_CHECKING:
    from tinygrad_dl.optim.optimizer import Optimizer

# Elements up to which a parameter is fused: copying it there and back takes less time than the calls of an update.
# To measure again: change it and run `python -m benchmarks.optimizers --variants --names SGD Adam`.
FUSED_SIZE = 1 << 11


class StaleUpdate(Exception):
    """A parameter has another shape or dtype than when the plan was made."""


class SingleUpdate:
    """The update of one parameter."""

    def __init__(self, p: Tensor, state: State, workspace: Workspace) -> None:
        self.params, self.param, self.state, self.workspace = [p], p, state, workspace
        self.shape, self.dtype = p._data.shape, p._data.dtype

    def run(self, optimizer: Optimizer, group: Group) -> None:
        """Update the parameter. Raises StaleUpdate, and changes nothing then."""
        p = self.param._data
        if p.dtype != self.dtype or p.shape != self.shape:
            raise StaleUpdate
        self.state["step"] += 1
        optimizer.update(p, self.param._grad._data, self.state, group, self.workspace)


class FusedUpdate:
    """The update of small parameters that share a dtype and the numbers in their states.

    The states' arrays become views of one fused array each, so that only parameters and gradients are copied.
    """

    def __init__(self, params: list[Tensor], states: list[State], pool: WorkspacePool) -> None:
        self.params, self.states = params, states
        self.dtype = params[0].dtype
        shape = (sum(p.size for p in params),)
        self.p, self.g = np.empty(shape, self.dtype), np.empty(shape, self.dtype)
        self.workspace = pool.arrays(shape, self.dtype)
        self.numbers = number_names(states[0])
        self.state = {
            key: value
            if key in self.numbers
            else np.concatenate([state[key].reshape(-1) for state in states], dtype=self.dtype)
            for key, value in states[0].items()
        }
        self.views = []
        begin = 0
        for p, state in zip(params, states):
            part = slice(begin, begin + p.size)
            begin = part.stop
            for key, value in self.state.items():
                if key not in self.numbers:
                    state[key] = value[part].reshape(p.shape)
            self.views.append((p, p.shape, self.p[part].reshape(p.shape), self.g[part].reshape(p.shape)))

    def run(self, optimizer: Optimizer, group: Group) -> None:
        """Update the parameters. Raises StaleUpdate, and changes nothing then."""
        dtype = self.dtype
        for param, shape, p, g in self.views:
            array = param._data
            if array.dtype != dtype or array.shape != shape:
                raise StaleUpdate
            p[...] = array
            g[...] = param._grad._data
        state = self.state
        state["step"] += 1
        optimizer.update(self.p, self.g, state, group, self.workspace)
        for param, _, p, _ in self.views:
            param._data[...] = p
        for key in self.numbers:
            number = state[key]
            for one in self.states:
                one[key] = number


ParameterUpdate: TypeAlias = Union[SingleUpdate, FusedUpdate]


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


def plan_updates(optimizer: Optimizer, params: list[Tensor], group: Group) -> list[ParameterUpdate]:
    """The calls of `update` that a step over these parameters makes; missing state is initialized."""
    single: list[tuple[Tensor, State]] = []
    small: dict[Any, tuple[list[Tensor], list[State]]] = {}
    for p, state in zip(params, _complete_states(optimizer, params, group)):
        if optimizer.elementwise and p.size <= FUSED_SIZE and _is_fusible(p, state):
            alike = (p.dtype, tuple(state), tuple(state[key] for key in number_names(state)))
            fused, states = small.setdefault(alike, ([], []))
            fused.append(p)
            states.append(state)
        else:
            single.append((p, state))
    pool = WorkspacePool(optimizer.workspace_arrays)
    fusions = []
    for fused, states in small.values():
        if len(fused) == 1:
            single.append((fused[0], states[0]))
        else:
            fusions.append((fused, states))
    # The largest first: all others then find the pool's memory large enough.
    single.sort(key=lambda entry: -entry[0].size)
    updates: list[ParameterUpdate] = [SingleUpdate(p, s, pool.arrays(p.shape, p.dtype)) for p, s in single]
    return updates + [FusedUpdate(fused, states, pool) for fused, states in fusions]


def number_names(state: State) -> list[str]:
    """The names of a state's entries that are not arrays."""
    return [key for key, value in state.items() if not isinstance(value, np.ndarray)]


def _is_fusible(p: Tensor, state: State) -> bool:
    """Whether all arrays of a state have the parameter's shape and dtype, as a fused array requires."""
    arrays = [value for value in state.values() if isinstance(value, np.ndarray)]
    return all(array.shape == p.shape and array.dtype == p.dtype for array in arrays)


def _complete_states(optimizer: Optimizer, params: list[Tensor], group: Group) -> Iterator[State]:
    """The state of each parameter, with what is missing initialized, in the parameter's present dtype."""
    for p in params:
        state: State = {"step": 0, **optimizer.init_state(p._data, group)}
        for key, value in optimizer.state.get(p, {}).items():
            if isinstance(value, np.ndarray):
                shape = np.shape(state.get(key, p._data))
                if value.shape != shape:
                    raise ShapeError(
                        f"{type(optimizer).__name__}: expected a parameter of shape {value.shape}, as at the last "
                        f"step, got {shape}. Make a new optimizer for it."
                    )
                value = value.astype(p.dtype, order="C")  # a copy: an update writes into it
            state[key] = value
        optimizer.state[p] = state
        yield state
