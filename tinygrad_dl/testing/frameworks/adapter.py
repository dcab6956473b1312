"""What gradcheck asks of a framework: values and gradients at NumPy arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, missing_extra
from tinygrad_dl.pytree import leaves
from tinygrad_dl.testing.report import Finding
from tinygrad_dl.testing.source_lines import gradient_line, return_line
from tinygrad_dl.typing import NDArray


def load(package: str, *modules: str) -> Any:
    """A framework's module, or several, imported on use."""
    try:
        found = [import_module(name) for name in modules or (package,)]
    except ModuleNotFoundError:
        raise missing_extra(package, "peer", "gradcheck of its functions") from None
    return found if len(found) > 1 else found[0]


#: The inputs for which a function of a framework is wrong: is_wrong(f, inputs, framework).
IsWrong = Callable[[Any, Any, str], list[str]]


def backward_places(backward: Callable[..., Any], names: Sequence[str], what: str) -> list[str]:
    """The lines in which a custom backward computes the gradients of its inputs, or where it is written."""
    lines = {name: gradient_line(backward, name) for name in names}
    found = [f"the gradient of {name} is computed in {line}" for name, line in lines.items() if line]
    if not found and (line := return_line(backward)):
        return [f"{what} returns its gradients in {line}"]
    return found


class Adapter:
    """A function of another framework; `arrays` are the inputs to check, in the dtypes given, `names` what they are."""

    arrays: list[NDArray]
    names: list[str]
    #: Whether calls compare what they were given with what it is afterwards, and note differences in `written`.
    watching = False
    #: How to compute in float64 in the framework, for an error message.
    in_float64 = ""

    def __init__(self) -> None:
        #: What the function, or its gradient, wrote into: the names of inputs, and "g".
        self.written: set[str] = set()

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        """The floating-point results at the arrays."""
        raise NotImplementedError

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        """The gradients of the inputs for the gradient of the result, a tuple of them if there are several."""
        raise NotImplementedError

    def values(self, k: int, moved: NDArray, *arrays: NDArray) -> NDArray | None:
        """The results, flat, for each array along the first axis of `moved` in the place of array `k`.

        None where the framework does not compute many at once.
        """
        return None

    def jvp(self, tangents: Sequence[NDArray], *arrays: NDArray) -> tuple[NDArray, ...] | None:
        """The change of the results along tangents of the inputs, in forward mode; None where there is none."""
        return None

    def gradient(self, seed: tuple[int, int]) -> Adapter:
        """The gradient of a random projection of the function, as a function of the same arrays."""
        raise NotImplementedError

    def findings(self) -> list[Finding]:
        """What else is wrong with the function, beside its numbers."""
        return []

    def note(self) -> str:
        """What the comparison depended on, "" if there is nothing to say."""
        return ""

    def places(self, wrong: Sequence[str], is_wrong: IsWrong) -> list[str]:
        """The parts of the function that are wrong for themselves, and the lines of their backward passes."""
        return []

    def explain(self, error: Exception) -> Finding | None:
        """What an error of the framework in a backward pass says; None if it is to be raised as it is."""
        return None

    def close(self) -> None:
        """Leave everything as it was."""

    def note_writes(self, names: Sequence[str], now: Sequence[Any], before: Sequence[NDArray]) -> None:
        """Note in `written` which arrays are not what they were, if calls are watched."""
        if self.watching:
            for name, array, was in zip(names, now, before):
                if not np.array_equal(np.asarray(array), was, equal_nan=True):
                    self.written.add(name)


def named_leaves(inputs: Sequence[Any]) -> list[tuple[str, Any]]:
    """What nested inputs hold, and what it is called, `input 0['w']`."""
    return [(re.sub(r"^\[(\d+)\]", r"input \1", path), leaf) for path, leaf in leaves(tuple(inputs))]


def cut_note(cut: Sequence[int]) -> str:
    """What is said of results that are constants to backward, where others are not."""
    which = ", ".join(map(str, cut))
    what = f"result {which} is" if len(cut) == 1 else f"results {which} are"
    return f"{what} cut from the graph, unlike the others, and not compared: is that on purpose?"


def no_result(result: Any) -> DTypeError:
    """The error for a function that has no floating-point result."""
    dtype = getattr(result, "dtype", None)
    known = dtype is None or isinstance(result, (np.ndarray, np.generic))
    got = describe(result) if known else f"{type(result).__name__} of {dtype}"
    return DTypeError(
        f"gradcheck: expected the function to return a floating-point result, got {got}: there is nothing to "
        "differentiate"
    )


def forward_finding(adapter: Adapter) -> list[Finding]:
    """Forward and reverse mode of a function agree: u @ (J v) = (J.T u) @ v."""
    arrays = adapter.arrays
    v = [t.astype(a.dtype) for t, a in zip(normal((1, 0), [a.shape for a in arrays]), arrays)]
    tangents = adapter.jvp(v, *arrays)
    if tangents is None:
        return []
    u = [s.astype(t.dtype) for s, t in zip(normal((2, 0), [t.shape for t in tangents]), tangents)]
    given = adapter.vjp(tuple(u) if len(u) > 1 else u[0], *arrays)
    forward = sum(float(np.sum(np.real(np.conj(a) * t))) for a, t in zip(u, tangents))
    reverse = sum(float(np.sum(d * t)) for d, t in zip(given, v) if d is not None)
    scale = sum(float(np.sum(np.abs(a * t))) for a, t in zip(u, tangents))
    eps = max((float(np.finfo(a.dtype).eps) for a in arrays), default=0.0)
    if abs(forward - reverse) <= max(1e-6, 1e3 * eps) * max(scale, abs(forward), abs(reverse)):
        return []
    message = f"jvp and vjp disagree: u @ (J v) is {forward:.9g} by jvp and {reverse:.9g} by vjp"
    return [Finding("forward mode", message)]


class Gradient(Adapter):
    """The gradient of another adapter's function, given as a function of arrays and its vjp."""

    def __init__(
        self,
        base: Adapter,
        value: Callable[..., tuple[NDArray, ...]],
        vjp: Callable[..., tuple[NDArray | None, ...]],
        again: Callable[[tuple[int, int]], Adapter],
    ) -> None:
        super().__init__()
        self.base, self.arrays, self.names = base, base.arrays, base.names
        self._value, self._vjp, self._again = value, vjp, again

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        return self._value(*arrays)

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        return self._vjp(g, *arrays)

    def gradient(self, seed: tuple[int, int]) -> Adapter:
        return self._again(seed)

    def explain(self, error: Exception) -> Finding | None:
        return self.base.explain(error)

    def close(self) -> None:
        self.base.close()


def seeds_of(g: Any) -> tuple[Any, ...]:
    """The gradients of the results as a tuple."""
    return g if isinstance(g, tuple) else (g,)


def normal(seed: tuple[int, int], shapes: Sequence[tuple[int, ...]]) -> list[NDArray]:
    """Random gradients of results with these shapes."""
    rng = np.random.default_rng([*seed, 1])  # zeros at the end would count for nothing
    return [np.asarray(rng.standard_normal(shape)) for shape in shapes]
