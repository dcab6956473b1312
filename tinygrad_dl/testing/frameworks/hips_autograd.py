"""HIPS autograd: functions of NumPy arrays written with autograd.numpy, asked for by framework="autograd"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.testing.frameworks.adapter import Adapter, forward_finding, load, normal, seeds_of
from tinygrad_dl.testing.report import Finding
from tinygrad_dl.typing import NDArray

core: Any = load("autograd")


def adapter(f: Any, inputs: Any) -> Adapter:
    """The adapter of a function of arrays; floating-point ones are checked."""
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    live = [k for k, x in enumerate(given) if np.asarray(x).dtype.kind == "f"]

    def flat(values: tuple[Any, ...]) -> Any:
        every = list(given)
        for k, v in zip(live, values):
            every[k] = v
        result = f(*every)
        return tuple(result) if isinstance(result, (list, tuple)) else (result,)

    return AutogradFunction(flat, [np.array(given[k]) for k in live], [f"input {k}" for k in live])


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
        seeds = tuple(np.array(s).reshape(np.shape(r)) for s, r in zip(seeds_of(g), results))
        found = tuple(np.array(d) for d in pull(seeds))
        self.note_writes(self.names, given, arrays)
        self.note_writes(
            ["g"] * len(seeds), seeds, [np.reshape(s, np.shape(r)) for s, r in zip(seeds_of(g), results)]
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
