"""The state around a step: taken before, restored, and compared, so that a new program can be tried beside eager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import config, pytree
from tinygrad_dl.compiler.capture import Capture
from tinygrad_dl.compiler.program import Call, Effect, Program, generators_in, named_values
from tinygrad_dl.convert import wrap
from tinygrad_dl.graph import Value
from tinygrad_dl.tensor import Tensor

# How far a program may be from eager, relative to the largest element: sums in another order, other polynomials.
TOLERANCE = {"f2": 1e-2, "f4": 2e-3, "f8": 1e-7, "c8": 2e-3, "c16": 1e-7}

ROUNDING = 4  # units in the last place of a result that a gradient may be off
MARGIN = 8  # times what rounding was seen to change a number by
NOISE = 1e-4  # of the largest gradient of a step: gradients below are rounding, such as a bias's before batch norm


class Reach:
    """What a step may change: Tensors and their gradients, optimizers, random generators, and what effects declare."""

    def __init__(self) -> None:
        self.tensors: dict[int, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.generators: dict[int, Any] = {}
        self.objects: dict[int, Any] = {}
        self.arrays: dict[int, np.ndarray] = {}

    def add_reachable(self, roots: Sequence[Any]) -> None:
        """What belongs to these models, losses and optimizers."""
        for root in roots:
            if hasattr(root, "param_groups"):
                self.optimizers[id(root)] = root
            elif hasattr(root, "named_parameters"):
                self.tensors |= {id(t): t for t in (*root.parameters(), *root.buffers())}
                held = [value for module in root.modules() for value in vars(module).values()]
                self.generators |= {id(g): g for g in held if isinstance(g, np.random.Generator)}
        self._complete()

    def add(self, capture: Capture, program: Program) -> int:
        """What a captured run reached; how much of what it changes was not known before."""
        before = len(self.tensors), len(self.optimizers), len(self.generators), len(self.objects)
        for step in program.steps:
            if isinstance(step, Effect):
                for var in step.changes:
                    owner = var.source[0] if type(var.source) is tuple else var.source
                    if isinstance(owner, Value):
                        self.tensors[id(owner)] = owner
                self.objects |= {id(x): x for x in step.objects}
            self.generators |= {id(g): g for g in generators_in(step)}
            # Running statistics, which an operation updates.
            moments = named_values(step).get("moments") if isinstance(step, Call) else None
            held = [getattr(moments, part, None) for part in ("mean", "var", "batches")]
            self.arrays |= {id(x): x for x in held if isinstance(x, np.ndarray)}
        self.tensors |= {id(leaf): leaf for leaf, _ in program.gradients}
        self.optimizers |= capture.optimizers
        self._complete()
        self.generators |= {id(g): g for g in capture.guards.generators}
        after = len(self.tensors), len(self.optimizers), len(self.generators), len(self.objects)
        # What is only read, or written to by operations that hold it, such as running statistics of a known module.
        self.tensors |= {id(t): t for t, _ in capture.guards.tensors.values()}
        for var in program.states:
            owner = var.source[0] if type(var.source) is tuple else var.source
            self.tensors[id(owner)] = owner
        return sum(after) - sum(before)

    def _complete(self) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                self.tensors |= {id(p): p for p in group["params"]}


class Snapshot:
    """Copies of everything that a step may change: arrays of the model and the optimizer, gradients, random states."""

    def __init__(self, reach: Reach) -> None:
        self.tensors = dict(reach.tensors)
        self.optimizers = list(reach.optimizers.values())
        self.generators = [config.default_rng(), *reach.generators.values()]
        self.objects = list(reach.objects.values())
        self.arrays = list(reach.arrays.values())
        self._take()

    def _take(self) -> None:
        self.attributes = [_attributes(x) for x in self.objects]
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
        self.array_data = [x.copy() for x in self.arrays]
        self.random = [g.bit_generator.state for g in self.generators]
        self.result: list[Any] = []

    def taken(self, result: object) -> Snapshot:
        """What things are like now, with the result of the step."""
        twin = object.__new__(Snapshot)
        twin.tensors, twin.optimizers, twin.generators = self.tensors, self.optimizers, self.generators
        twin.objects, twin.arrays = self.objects, self.arrays
        twin._take()
        twin.result = [
            (x._data if isinstance(x, Value) else x).copy() if isinstance(x, (Value, np.ndarray)) else x
            for _, x in pytree.leaves(result)
        ]
        return twin

    def restore(self) -> None:
        """Put everything back as it was, in the arrays that there are."""
        for i, tensor in self.tensors.items():
            if tensor._data.shape == self.data[i].shape:
                _write(tensor._data, self.data[i])
            else:
                tensor._data = self.data[i].copy()
            grad = self.grads[i]
            tensor._grad = grad
            if grad is not None:
                _write(grad._data, self.grad_data[i])
        for optimizer, saved in zip(self.optimizers, self.states):
            for p, values in saved.items():
                now = optimizer.state[p]
                for key, value in values.items():
                    if isinstance(value, np.ndarray) and isinstance(now.get(key), np.ndarray):
                        _write(now[key], value)
                    else:
                        now[key] = value
            for group, options in zip(optimizer.param_groups, self.options[self.optimizers.index(optimizer)]):
                group.update(options)
            forget: Callable[[], None] | None = getattr(optimizer, "forget_plans", None)
            if forget is not None:
                forget()
        for array, data in zip(self.arrays, self.array_data):
            _write(array, data)
        for generator, state in zip(self.generators, self.random):
            generator.bit_generator.state = state
        for x, attributes in zip(self.objects, self.attributes):
            vars(x).update({k: _copied(v) for k, v in attributes.items()})

    def can_restore(self) -> bool:
        """Whether the optimizers' states have the arrays that they had, not the first ones or others since."""
        for optimizer, saved in zip(self.optimizers, self.states):
            now = optimizer.state
            if now.keys() != saved.keys():
                return False
            for p, values in saved.items():
                if values.keys() != now[p].keys():
                    return False
                if any(
                    np.shape(v) != np.shape(now[p][k]) or type(v) is not type(now[p][k])
                    for k, v in values.items()
                ):
                    return False
        return True

    def disturb(self, seed: int) -> None:
        """Change the last digits of all Tensors."""
        for tensor in self.tensors.values():
            _write(tensor._data, disturbed(tensor._data, seed))

    def compared_with(self, other: Snapshot, moved: Sequence[Snapshot] = ()) -> str:
        """What differs by more than rounding; "" if nothing does.

        `moved`: the same after steps from numbers that were off by rounding; differences of that size do not count.
        """
        for n, (x, y) in enumerate(zip(self.result, other.result)):
            if not _close(x, y, _apart(x, [s.result[n] for s in moved])):
                return "result"
        largest = max(
            (float(np.abs(g).max(initial=0)) for g in self.grad_data.values() if g is not None), default=0.0
        )
        # Where all gradients cancel, as those of a network of zeros, they are the rounding of the results' terms.
        results = (float(np.abs(x).max(initial=0)) for x in self.result if _is_float(x))
        scale = min(1.0, max((x for x in results if x < np.inf), default=0.0))
        for i, tensor in self.tensors.items():
            name = getattr(tensor, "_name", None) or f"Tensor of shape {tensor.shape}"
            a, b = self.grad_data[i], other.grad_data[i]
            noise = max(NOISE * largest, _apart(a, [s.grad_data[i] for s in moved]))
            if tensor.dtype.kind == "f":
                noise = max(noise, ROUNDING * float(np.finfo(tensor.dtype).eps) * scale)
            if (a is None) != (b is None) or (a is not None and not _close(a, b, noise)):
                return f"gradient of the {name}"
            # Where a gradient is nothing but rounding, an optimizer may divide it by itself.
            clear = np.ones(tensor.shape, bool) if a is None else np.abs(a) > noise
            x, y, *near = (s.data[i][clear] for s in (self, other, *moved))
            if not _close(x, y, _apart(x, near)):
                return f"value of the {name}"
            for mine, *theirs in zip(self.states, other.states, *(s.states for s in moved)):
                for key, value in mine.get(tensor, {}).items():
                    values = [value, *(state[tensor].get(key) for state in theirs)]
                    if isinstance(value, np.ndarray) and value.shape == tensor.shape:
                        values = [v[clear] for v in values]
                    value, expected, *near = values
                    if not _close(value, expected, _apart(value, near)):
                        return f"state {key} of the optimizer"
        for x, y, *near in zip(self.array_data, other.array_data, *(s.array_data for s in moved)):
            if not _close(x, y, _apart(x, near)):
                return "running average"
        if str(self.attributes) != str(other.attributes):
            return "state of a schedule or a module"
        if str(self.options) != str(other.options):
            return "option of the optimizer (a schedule is stepped outside of a compiled step)"
        for a, b in zip(self.random, other.random):
            if str(a) != str(b):
                return "number of random draws"
        return ""


def _write(array: np.ndarray, values: Any) -> None:
    """Write to an array; one that is read-only, such as a mapped file, no step has changed."""
    if array.flags.writeable:
        array[...] = values


def disturbed(x: Any, seed: int) -> Any:
    """An array, or a Tensor without a graph, with other last digits; anything else as it is."""
    if isinstance(x, Value):
        return wrap(disturbed(x._data, seed)) if type(x) is Tensor and x.node is None else x
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        return x
    # All up, all down, or each its way: what cancels among elements, and what does not.
    signs: Any = (1, -1)[seed] if seed < 2 else np.random.default_rng((seed, x.size)).choice([-1, 1], x.shape)
    with np.errstate(all="ignore"):
        return (x * (1 + ROUNDING * np.finfo(x.dtype).eps * signs)).astype(x.dtype)


def _apart(x: Any, near: Sequence[Any]) -> float:
    """How far an array is from others, with a margin; at least a number that does not count."""
    apart = [1e-30]
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        for z in near:
            if isinstance(z, np.ndarray) and z.shape == x.shape:
                with np.errstate(all="ignore"):
                    distance = np.abs(x.astype(float) - z)
                apart.append(MARGIN * float(distance.max(initial=0, where=np.isfinite(distance))))
    return max(apart)


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _attributes(x: Any) -> dict[str, Any]:
    """What a step may change of an object: of a module, whether it is in training."""
    if hasattr(type(x), "named_parameters"):
        return {"training": x.training}
    return {k: _copied(v) for k, v in vars(x).items()}


def _copied(value: Any) -> Any:
    """A list, a dict or an array that may be changed in place, as it is now."""
    return value.copy() if isinstance(value, (list, dict, np.ndarray)) else value


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
