"""What one call of an optimizer's `update` works on: a parameter, a piece of a large one, or many small ones.

Small arrays cost what the calls cost, so small parameters are laid one behind the other for the update. Large
arrays cost what memory costs, so all passes of an update go over one piece while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_dl.optim.optimizer import Optimizer

PIECE = 1 << 16  # elements: six arrays of float32 are 1.5 MB, which a core's own cache holds
SMALL = 1 << 11  # elements: of so few, arrays are laid behind each other in less time than their calls take


class Stale(Exception):
    """A parameter has another shape or dtype than when the block was made."""


class Single:
    """One parameter."""

    def __init__(self, p: Tensor, state: dict[str, Any], work: tuple[np.ndarray, ...]) -> None:
        self.params, self.param, self.state, self.work = [p], p, state, work
        self.shape, self.dtype = p._data.shape, p._data.dtype

    def run(self, optimizer: Optimizer, group: dict[str, Any]) -> None:
        p = self.param._data
        if p.dtype != self.dtype or p.shape != self.shape:
            raise Stale
        self.state["step"] += 1
        optimizer.update(p, self.param._grad._data, self.state, group, self.work)


class Cut:
    """One large parameter, updated piece by piece."""

    def __init__(self, p: Tensor, state: dict[str, Any], work: tuple[np.ndarray, ...]) -> None:
        self.params, self.param, self.state = [p], p, state
        self.shape, self.dtype = p._data.shape, p._data.dtype
        self.numbers = numbers_of(state)
        self.pieces = []
        for begin in range(0, p.size, PIECE):
            part = slice(begin, min(begin + PIECE, p.size))
            arrays = {key: value.reshape(-1)[part] for key, value in state.items() if key not in self.numbers}
            self.pieces.append((part, arrays, tuple(w[: part.stop - begin] for w in work)))

    def run(self, optimizer: Optimizer, group: dict[str, Any]) -> None:
        array = self.param._data
        if array.dtype != self.dtype or array.shape != self.shape:
            raise Stale
        state = self.state
        state["step"] += 1
        before = {key: state[key] for key in self.numbers}
        p = array.reshape(-1)  # a copy if the array is not contiguous
        g = self.param._grad._data.reshape(-1)
        for part, arrays, work in self.pieces:
            arrays.update(before)
            optimizer.update(p[part], g[part], arrays, group, work)
        for key in self.numbers:
            state[key] = arrays[key]
        if not array.flags.c_contiguous:
            array[...] = p.reshape(array.shape)


class Together:
    """Small parameters of one dtype and with equal numbers in their state, one behind the other."""

    def __init__(self, params: list[Tensor], states: list[dict[str, Any]], room: Room) -> None:
        self.params, self.states = params, states
        size, dtype = (sum(p.size for p in params),), params[0].dtype
        self.p, self.g = np.empty(size, dtype), np.empty(size, dtype)
        self.work = room.arrays(size, dtype)
        self.numbers = numbers_of(states[0])
        self.state = {
            key: value
            if key in self.numbers
            else np.concatenate([state[key].reshape(-1) for state in states], out=np.empty(size, dtype))
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
        self.dtype = dtype

    def run(self, optimizer: Optimizer, group: dict[str, Any]) -> None:
        dtype = self.dtype
        for param, shape, p, g in self.views:
            array = param._data
            if array.dtype != dtype or array.shape != shape:
                raise Stale
            p[...] = array
            g[...] = param._grad._data
        state = self.state
        state["step"] += 1
        optimizer.update(self.p, self.g, state, group, self.work)
        for param, _, p, _ in self.views:
            param._data[...] = p
        for key in self.numbers:
            number = state[key]
            for one in self.states:
                one[key] = number


def numbers_of(state: dict[str, Any]) -> list[str]:
    """The entries of a state that are no arrays."""
    return [key for key, value in state.items() if not isinstance(value, np.ndarray)]


def plan(optimizer: Optimizer, params: list[Tensor], group: dict[str, Any]) -> list[Single | Cut | Together]:
    """The blocks in which these parameters are updated; state that is not there yet is made."""
    alone: list[tuple[Tensor, dict[str, Any], int]] = []  # and how many elements are updated at once
    small: dict[Any, tuple[list[Tensor], list[dict[str, Any]]]] = {}
    for p, state in zip(params, _states(optimizer, params, group)):
        if not optimizer.elementwise or not _alike(p, state):
            alone.append((p, state, p.size))
        elif p.size > SMALL:
            alone.append((p, state, min(p.size, PIECE)))
        else:
            alike = (p.dtype, tuple(state), tuple(state[key] for key in numbers_of(state)))
            several, states = small.setdefault(alike, ([], []))
            several.append(p)
            states.append(state)
    blocks: list[Single | Cut | Together] = []
    room = Room(optimizer.scratch)
    alone.sort(key=lambda one: -one[2])  # the largest first: the others work in its room
    for p, state, size in alone:
        whole = size == p.size
        blocks.append(
            (Single if whole else Cut)(p, state, room.arrays(p.shape if whole else (size,), p.dtype))
        )
    for several, states in small.values():
        if len(several) == 1:
            blocks.append(Single(several[0], states[0], room.arrays(several[0].shape, several[0].dtype)))
        else:
            blocks.append(Together(several, states, room))
    return blocks


class Room:
    """Arrays to work in, the same for all blocks, which run one after the other: the cache holds them once."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: dict[Any, list[np.ndarray]] = {}

    def arrays(self, shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, ...]:
        """Arrays of this shape, each at the beginning of one that is held."""
        size = prod(shape)
        held = self.held.get(dtype, [])
        if not held or held[0].size < size:
            held = self.held[dtype] = [np.empty((size,), dtype) for _ in range(self.count)]
        return tuple(array[:size].reshape(shape) for array in held)


def _alike(p: Tensor, state: dict[str, Any]) -> bool:
    """Whether all arrays of a state can be cut, or laid behind others, as their parameter is."""
    arrays = [value for value in state.values() if isinstance(value, np.ndarray)]
    return all(array.shape == p.shape and array.dtype == p.dtype for array in arrays)


def _states(optimizer: Optimizer, params: list[Tensor], group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The state of each parameter, complete, in the parameter's dtype and in memory of its own."""
    for p in params:
        old = optimizer.state.get(p, {})
        new = {"step": 0, **optimizer.start(p._data, group)}
        for key, value in old.items():
            if isinstance(value, np.ndarray):
                needed = np.shape(new.get(key, p._data))
                if value.shape != needed:
                    raise ShapeError(
                        f"{type(optimizer).__name__}: a parameter had the shape {value.shape} at the last "
                        f"step and has {needed} now. Make a new optimizer for it."
                    )
                value = value.astype(p.dtype, order="C", copy=False)
            new[key] = value
        optimizer.state[p] = {
            key: np.array(value) if isinstance(value, np.ndarray) else value for key, value in new.items()
        }
        yield optimizer.state[p]
