"""The state around a step: taken before, restored, and compared, so that a new program can be tried beside eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl import config, pytree
from tinygrad_dl.compiler.capture import Capture
from tinygrad_dl.compiler.program import Program
from tinygrad_dl.graph import Value

# How far a program may be from eager, relative to the largest element: sums in another order, other polynomials.
TOLERANCE = {"f2": 1e-2, "f4": 2e-3, "f8": 1e-7, "c8": 2e-3, "c16": 1e-7}

NOISE = 1e-4  # of the largest gradient of a step: gradients below are rounding, such as a bias's before batch norm


class Snapshot:
    """Copies of everything that a step may change: arrays of the model and the optimizer, gradients, random states."""

    def __init__(self, capture: Capture, program: Program) -> None:
        self.tensors = {id(t): t for t, _ in capture.guards.tensors.values()}
        self.tensors |= {id(s.source): s.source for s in program.states if isinstance(s.source, Value)}
        self.tensors |= {id(leaf): leaf for leaf, _ in program.gradients}
        self.optimizers = list(capture.optimizers.values())
        self.tensors |= {
            id(p): p for o in self.optimizers for group in o.param_groups for p in group["params"]
        }
        self.generators = [config.default_rng(), *capture.guards.generators]
        self._take()

    def _take(self) -> None:
        self.data = {i: t._data.copy() for i, t in self.tensors.items()}
        self.grads = {i: getattr(t, "_grad", None) for i, t in self.tensors.items()}
        self.grad_data = {i: None if g is None else g._data.copy() for i, g in self.grads.items()}
        self.states = [
            {
                p: {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in s.items()}
                for p, s in o.state.items()
            }
            for o in self.optimizers
        ]
        self.options = [
            [{k: v for k, v in group.items() if k != "params"} for group in o.param_groups]
            for o in self.optimizers
        ]
        self.random = [g.bit_generator.state for g in self.generators]
        self.result: list[Any] = []

    def taken(self, result: object) -> Snapshot:
        """What things are like now, with the result of the step."""
        twin = object.__new__(Snapshot)
        twin.tensors, twin.optimizers, twin.generators = self.tensors, self.optimizers, self.generators
        twin._take()
        twin.result = [
            (x._data if isinstance(x, Value) else x).copy() if isinstance(x, (Value, np.ndarray)) else x
            for _, x in pytree.leaves(result)
        ]
        return twin

    def restore(self) -> None:
        """Put everything back as it was, in the arrays that there are."""
        for i, tensor in self.tensors.items():
            tensor._data[...] = self.data[i]
            grad = self.grads[i]
            tensor._grad = grad
            if grad is not None:
                grad._data[...] = self.grad_data[i]
        for optimizer, saved in zip(self.optimizers, self.states):
            for p, values in saved.items():
                now = optimizer.state[p]
                for key, value in values.items():
                    if isinstance(value, np.ndarray) and isinstance(now.get(key), np.ndarray):
                        now[key][...] = value
                    else:
                        now[key] = value
            for group, options in zip(optimizer.param_groups, self.options[self.optimizers.index(optimizer)]):
                group.update(options)
            forget: Callable[[], None] | None = getattr(optimizer, "forget_plans", None)
            if forget is not None:
                forget()
        for generator, state in zip(self.generators, self.random):
            generator.bit_generator.state = state

    def compared_with(self, other: Snapshot) -> str:
        """What differs by more than rounding; "" if nothing does."""
        for x, y in zip(self.result, other.result):
            if not _close(x, y):
                return "result"
        largest = max(
            (float(np.abs(g).max(initial=0)) for g in self.grad_data.values() if g is not None), default=0.0
        )
        for i, tensor in self.tensors.items():
            name = getattr(tensor, "_name", None) or f"Tensor of shape {tensor.shape}"
            a, b = self.grad_data[i], other.grad_data[i]
            if (a is None) != (b is None) or (a is not None and not _close(a, b, NOISE * largest)):
                return f"gradient of the {name}"
            # Where a gradient is nothing but rounding, an optimizer may divide it by itself.
            clear = np.ones(tensor.shape, bool) if a is None else np.abs(a) > NOISE * largest
            if not _close(self.data[i][clear], other.data[i][clear]):
                return f"value of the {name}"
            for mine, theirs in zip(self.states, other.states):
                for key, value in mine.get(tensor, {}).items():
                    expected: Any = theirs[tensor].get(key)
                    if isinstance(value, np.ndarray) and value.shape == tensor.shape:
                        value, expected = value[clear], expected[clear]
                    if not _close(value, expected):
                        return f"state {key} of the optimizer"
        if str(self.options) != str(other.options):
            return "option of the optimizer (a schedule is stepped outside of a compiled step)"
        for a, b in zip(self.random, other.random):
            if str(a) != str(b):
                return "number of random draws"
        return ""


def _close(x: Any, y: Any, least: float = 1e-30) -> bool:
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
        return x is y or bool(np.all(x == y)) or (isinstance(x, float) and bool(np.isclose(x, y, rtol=1e-5)))
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    tolerance = TOLERANCE.get(x.dtype.str[1:])
    if tolerance is None or not x.size:
        return bool(np.array_equal(x, y))
    finite = np.isfinite(x)
    if not np.array_equal(finite, np.isfinite(y)):
        return False
    scale = float(np.abs(x[finite]).max(initial=0.0))
    return bool((np.abs(x[finite] - y[finite]) <= tolerance * scale + least).all())
