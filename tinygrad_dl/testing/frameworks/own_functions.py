"""Functions of Tensors, and plain NumPy functions with their backward, as other frameworks' are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import autograd, func
from tinygrad_dl.creation import asarray as as_tensor
from tinygrad_dl.modes import enable_grad
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.frameworks.adapter import Adapter, normal, seeds_of
from tinygrad_dl.typing import NDArray


def adapter(f: Any, inputs: Any) -> Adapter:
    """The adapter of a function of Tensors; floating-point and complex inputs are checked."""
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    kinds = [np.asarray(_array(x)).dtype.kind for x in given]
    return TensorFunction(f, given, [k for k, kind in enumerate(kinds) if kind in "fc"])


def _array(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else x


class TensorFunction(Adapter):
    """A function of Tensors, of which those at some positions are checked."""

    def __init__(self, f: Callable[..., Any], given: Sequence[Any], live: Sequence[int]) -> None:
        super().__init__()
        self.f, self.given, self.live = f, list(given), list(live)
        self.arrays = [np.array(_array(self.given[k])) for k in self.live]
        self.names = [f"input {k}" for k in self.live]
        self.record = False  # whether gradients are recorded themselves, by the rules' other form

    def _call(self, values: Sequence[Any]) -> list[Any]:
        every = list(self.given)
        for k, v in zip(self.live, values):
            every[k] = v
        result = self.f(*every)
        results = result if isinstance(result, (list, tuple)) else [result]
        return [r for r in results if np.asarray(_array(r)).dtype.kind in "fc"]

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        tensors = [Tensor(a) for a in arrays]
        results = tuple(np.array(_array(r)) for r in self._call(tensors))
        self.note_writes(self.names, [t.data for t in tensors], arrays)
        return results

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        with enable_grad():
            results = self._call(leaves)
        live = [(r, s) for r, s in zip(results, seeds_of(g)) if isinstance(r, Tensor) and r.requires_grad]
        if not live:
            return (None,) * len(leaves)
        seeds = [
            np.array(s, r.dtype).reshape(r.shape) if s.shape != r.shape else np.array(s, r.dtype)
            for r, s in live
        ]
        before = [s.copy() for s in seeds]
        given = [as_tensor(s) for s in seeds]
        found = autograd.grad(
            [r for r, _ in live], leaves, given, create_graph=self.record, allow_unused=True
        )
        gradients = tuple(None if d is None else np.array(d.data) for d in found)
        self.note_writes(self.names, [t.data for t in leaves], arrays)
        self.note_writes(["g"] * len(seeds), seeds, before)
        return gradients

    def jvp(self, tangents: Sequence[NDArray], *arrays: NDArray) -> tuple[NDArray, ...] | None:
        primals = tuple(Tensor(a) for a in arrays)
        _, changes = func.jvp(lambda *xs: tuple(self._call(xs)), primals, tuple(Tensor(t) for t in tangents))
        return tuple(np.array(c.data) for c in changes)

    def gradient(self, seed: tuple[int, int]) -> Adapter:
        def gradients(*values: Any) -> tuple[Any, ...]:
            leaves = [v if v.requires_grad else Tensor(v.data, requires_grad=True) for v in values]
            outputs = [r for r in self._call(leaves) if isinstance(r, Tensor) and r.requires_grad]
            if not outputs:
                return tuple(leaf * 0.0 for leaf in leaves)
            seeds = [as_tensor(s) for s in normal(seed, [o.shape for o in outputs])]
            found = autograd.grad(outputs, leaves, seeds, create_graph=True, allow_unused=True)
            return tuple(leaf * 0.0 if d is None else d for d, leaf in zip(found, leaves))

        return TensorFunction(gradients, self.arrays, range(len(self.arrays)))


class NumpyPair(Adapter):
    """A function of arrays and its `backward(g, *arrays)`."""

    def __init__(
        self, f: Callable[..., Any], backward: Callable[..., Any], arrays: Sequence[NDArray]
    ) -> None:
        super().__init__()
        self.f, self.backward, self.arrays = f, backward, list(arrays)
        self.names = [f"input {k}" for k in range(len(self.arrays))]

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        given = [np.array(a) for a in arrays]
        result = self.f(*given)
        results = result if isinstance(result, (list, tuple)) else [result]
        found = tuple(np.array(r) for r in results)
        self.note_writes(self.names, given, arrays)
        return found

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        given, seeds = [np.array(a) for a in arrays], [np.array(s) for s in seeds_of(g)]
        before = [s.copy() for s in seeds]
        found = self.backward(seeds[0] if len(seeds) == 1 else tuple(seeds), *given)
        gradients = found if isinstance(found, (tuple, list)) else (found,)
        copies = tuple(None if d is None else np.array(d) for d in gradients)
        self.note_writes(self.names, given, arrays)
        self.note_writes(["g"] * len(seeds), seeds, before)
        return copies


def asarray(array: NDArray) -> Any:
    """A Tensor that requires grad where it can."""
    return Tensor(array, requires_grad=array.dtype.kind in "fc")
