"""HIPS autograd: functions of NumPy arrays written with autograd.numpy, asked for by framework="autograd"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.testing.frameworks.adapter import (
    Adapter,
    forward_finding,
    load,
    named_leaves,
    no_result,
    normal,
    seeds_of,
)
from tinygrad_dl.testing.report import Finding
from tinygrad_dl.typing import NDArray

core: Any = load("autograd")
load("autograd.builtins")


def adapter(f: Any, inputs: Any) -> Adapter:
    """The adapter of a function of arrays; floating-point ones are checked."""
    given = tuple(_array_of_numbers(x) for x in (inputs if isinstance(inputs, (list, tuple)) else [inputs]))
    found = named_leaves(given)
    for name, x in found:
        if np.asarray(x).dtype.kind == "c":
            raise DTypeError(
                f"gradcheck: {name}: expected real numbers, got {describe(x)}. Check a function of the real and the "
                "imaginary part."
            )
    live = [k for k, (_, x) in enumerate(found) if np.asarray(x).dtype.kind == "f"]

    def flat(values: tuple[Any, ...]) -> Any:
        every = [x for _, x in found]
        for k, v in zip(live, values):
            every[k] = v
        result = f(*refill(given, iter(every)))
        results = [r for _, r in leaves(_plain(result)) if _kind(r) in "fc"]
        if not results:
            raise no_result(result)
        return tuple(results)

    return AutogradFunction(flat, [np.array(found[k][1]) for k in live], [found[k][0] for k in live])


def _array_of_numbers(x: Any) -> Any:
    """A list of numbers as an array; anything else as it is."""
    nested = isinstance(x, (list, tuple)) and not any(isinstance(v, np.ndarray) for _, v in leaves(x))
    return np.array(x) if nested else x


def _kind(x: Any) -> str:
    while hasattr(x, "_value"):  # a box in a box, where gradients are differentiated
        x = x._value
    return str(np.asarray(x).dtype.kind)


def _plain(x: Any) -> Any:
    """A result whose lists, tuples and dictionaries are Python's: autograd records what is taken from its own."""
    if isinstance(x, (list, tuple, core.builtins.SequenceBox)):
        return [_plain(v) for v in x]
    if isinstance(x, (dict, core.builtins.DictBox)):
        return {k: _plain(x[k]) for k in x}
    return x


class AutogradFunction(Adapter):
    """A function of a tuple of arrays that returns a tuple."""

    def __init__(self, f: Callable[[Any], Any], arrays: list[NDArray], names: list[str]) -> None:
        super().__init__()
        self.f, self.arrays, self.names = f, arrays, names

    def _packed(self, values: Any) -> Any:
        return core.builtins.tuple(self.f(values))

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        given = tuple(a.copy() for a in arrays)
        results = tuple(np.array(r) for r in self.f(given))
        self.note_writes(self.names, given, arrays)
        return results

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        given = tuple(a.copy() for a in arrays)
        pull, results = core.make_vjp(self._packed)(given)
        # autograd multiplies by the gradient of a complex result, others by its conjugate.
        seeds = tuple(np.conj(s).reshape(np.shape(r)) for s, r in zip(seeds_of(g), results))
        found = tuple(np.array(d) for d in pull(seeds))
        self.note_writes(self.names, given, arrays)
        self.note_writes(
            ["g"] * len(seeds), seeds, [np.conj(s).reshape(np.shape(r)) for s, r in zip(seeds_of(g), results)]
        )
        return found

    def jvp(self, tangents: Sequence[NDArray], *arrays: NDArray) -> tuple[NDArray, ...] | None:
        try:
            _, changes = core.make_jvp(self._packed)(tuple(arrays))(tuple(tangents))
        except NotImplementedError:  # some of its operations have no forward mode
            return None
        return tuple(np.array(c) for c in changes)

    def findings(self) -> list[Finding]:
        return forward_finding(self)

    def gradient(self, seed: tuple[int, int]) -> Adapter:
        def gradients(values: Any) -> tuple[Any, ...]:
            pull, results = core.make_vjp(self._packed)(values)
            seeds = tuple(normal(seed, [np.shape(r) for r in results]))
            found = pull(seeds)
            return tuple(found[k] for k in range(len(self.arrays)))

        return AutogradFunction(gradients, self.arrays, self.names)


def asarray(array: NDArray) -> Any:
    """HIPS autograd takes NumPy's arrays as they are."""
    return array
