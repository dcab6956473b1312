"""MyGrad: functions of its tensors. It has first derivatives only."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.testing.frameworks.adapter import Adapter, load, named_leaves, no_result, seeds_of
from tinygrad_dl.typing import NDArray

mygrad: Any = load("mygrad")


def adapter(f: Any, inputs: Any) -> Adapter:
    """The adapter of a function of tensors; those that are not constant are checked."""
    return MyGradFunction(f, list(inputs) if isinstance(inputs, (list, tuple)) else [inputs])


class MyGradFunction(Adapter):
    """A function of MyGrad tensors."""

    def __init__(self, f: Any, given: list[Any]) -> None:
        super().__init__()
        self.f, self.tree = f, tuple(given)
        found = named_leaves(given)
        self.given = given = [x for _, x in found]
        kinds = [np.asarray(getattr(x, "data", x)).dtype.kind for x in given]
        self.live = [
            k
            for k, (x, kind) in enumerate(zip(given, kinds))
            if kind == "f" and not getattr(x, "constant", False)
        ]
        self.arrays = [np.array(getattr(given[k], "data", given[k])) for k in self.live]
        self.names = [found[k][0] for k in self.live]

    def _call(self, arrays: Any, constant: bool) -> tuple[list[Any], list[Any]]:
        every = list(self.given)
        tensors = [mygrad.tensor(a.copy(), constant=constant) for a in arrays]
        for k, t in zip(self.live, tensors):
            every[k] = t
        result = self.f(*refill(self.tree, iter(every)))
        self.note_writes(self.names, [t.data for t in tensors], arrays)
        results = [r for _, r in leaves(result) if np.asarray(getattr(r, "data", r)).dtype.kind == "f"]
        if not results:
            raise no_result(result)
        return tensors, results

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        return tuple(np.array(getattr(r, "data", r)) for r in self._call(arrays, True)[1])

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        tensors, results = self._call(arrays, False)
        # backward of a sum of products: one pass for several results.
        total: Any = sum((r * np.reshape(s, np.shape(r))).sum() for r, s in zip(results, seeds_of(g)))
        total.backward()
        return tuple(None if t.grad is None else np.array(t.grad) for t in tensors)

    def gradient(self, seed: tuple[int, int]) -> Adapter:
        raise ValueRangeError("gradcheck: order: expected 1 for MyGrad, which has first derivatives only")


def asarray(array: NDArray) -> Any:
    """The tensor of an array; of floating-point numbers, it is not constant."""
    return mygrad.tensor(array, copy=False)
