"""Batching rules: what an operation does for a batch of examples at once, by families.

Under func.vmap an operation is called for one example, and its rule computes all of them: `batch=` in its block is a
function of a `Call`. An elementwise operation needs none, and one without a rule is called once for each example.
In the inputs of a Call the batch axis is the first; axes are counted as one example has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinygrad_dl.errors import AxisError

if TYPE_CHECKING:
    from tinygrad_dl.op import Op


class Call:
    """One call of an operation on a batch: its inputs, which of them have the batch axis, and its options.

    Inputs are Tensors, numbers or None, those that have the batch axis with it in front.
    """

    __slots__ = ("op", "size", "inputs", "batched", "options", "randomness")

    def __init__(
        self, op: Op, size: int, inputs: Sequence[Any], batched: Sequence[bool], options: Sequence[Any]
    ) -> None:
        self.op, self.size, self.inputs, self.batched = op, size, tuple(inputs), tuple(batched)
        self.options = dict(zip(op.options, options))
        self.randomness = "different"  # of draws, such as dropout's: "different" for each example, or "same"

    def shape(self, i: int = 0) -> tuple[int, ...]:
        """The shape of an input for one example."""
        shape = np.shape(self.inputs[i]) if not hasattr(self.inputs[i], "shape") else self.inputs[i].shape
        return tuple(shape[1:] if self.batched[i] else shape)

    def full(self, i: int = 0) -> Any:
        """An input with the batch axis in front, repeated along it where the examples share one; None stays."""
        x = self.inputs[i]
        if self.batched[i] or x is None:
            return x
        broadcast_to = _operation("broadcast_to")
        return broadcast_to(x, (self.size, *self.shape(i)))

    def run(self, *inputs: Any, **changed: Any) -> Any:
        """The operation on other inputs, with the options of the call or changed ones."""
        return run(self.op, inputs, {**self.options, **changed})

    def split(self, x: Any, axis: int = 0) -> Any:
        """An axis of size * n as two of sizes size and n."""
        return x.reshape(
            (*x.shape[:axis], self.size, x.shape[axis] // max(self.size, 1), *x.shape[axis + 1 :])
        )


class OfAll:
    """In the index among a Call's options: the indices of all examples, in the place of one example's."""

    __slots__ = ("indices",)

    def __init__(self, indices: Any) -> None:
        self.indices = indices


#: A function of a call that gives the results of all examples, the batch axis in front; None: it has no rule for it.
BatchRule: TypeAlias = Callable[[Call], Any]


def run(op: Op, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """Call an operation by the lists of its inputs and options."""
    args, kwargs = op.arguments(inputs, [options[name] for name in op.options])
    return op.function(*args, **kwargs)


def _operation(name: str) -> Any:
    from tinygrad_dl.op import OPS  # it imports this module

    return OPS[name].function


def merged(x: Any, axis: int = 0) -> Any:
    """An axis and the next one as a single axis."""
    return x.reshape((*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))


def axes_of(call: Call, axis: Any, ndim: int | None = None) -> Any:
    """An axis, or a tuple of them, of one example as it is counted in the batch; AxisError for one it has not."""
    ndim = len(call.shape()) if ndim is None else ndim
    if isinstance(axis, (tuple, list)):
        return tuple(axes_of(call, a, ndim) for a in axis)
    if not -ndim <= axis < ndim:
        raise AxisError(
            f"{call.op.name}: axis {axis} is out of bounds for an array with {ndim} axes (one example of vmap)"
        )
    return int(axis) % ndim + 1


# Families


def elementwise(call: Call) -> Any:
    """Examples with fewer axes than others get axes of size 1, behind the batch axis."""
    ndim = max((len(call.shape(i)) for i, x in enumerate(call.inputs) if x is not None), default=0)
    return call.run(*(_with_axes(call, i, ndim) for i in range(len(call.inputs))))


def _with_axes(call: Call, i: int, ndim: int) -> Any:
    x, shape = call.inputs[i], call.shape(i) if call.inputs[i] is not None else ()
    if not call.batched[i] or len(shape) == ndim:
        return x
    return x.reshape((call.size, *(1,) * (ndim - len(shape)), *shape))


def leading(call: Call) -> Any:
    """Operations that work over any axes in front of the last ones: the batch is another of these."""
    return call.run(*call.inputs)


def matrices(call: Call) -> Any:
    """The same with several inputs, whose axes in front of two last ones broadcast together."""
    return elementwise(call) if all(len(call.shape(i)) >= 2 for i in range(len(call.inputs))) else None


def along(call: Call) -> Any:
    """Operations with an option `axis`, an int or a tuple; None is all axes."""
    axis = call.options["axis"]
    ndim = len(call.shape())
    if not ndim and axis is not None:  # NumPy takes axis 0 of a number for some operations
        return None
    return call.run(
        *call.inputs, axis=tuple(range(1, ndim + 1)) if axis is None else axes_of(call, axis, ndim)
    )


def along_one(call: Call) -> Any:
    """Operations along one axis; None is the only one, or that of the flattened array."""
    x, axis = call.inputs[0], call.options["axis"]
    if axis is None:
        return call.run(x.reshape((call.size, prod(call.shape()))), *call.inputs[1:], axis=1)
    if not call.shape():
        return None
    return call.run(x, *call.inputs[1:], axis=axes_of(call, axis))


def folded(call: Call) -> Any:
    """Operations on independent examples along the first axis of every input: the batch is more of them."""
    return call.split(
        call.run(*(None if x is None else merged(call.full(i)) for i, x in enumerate(call.inputs)))
    )


def folded_first(call: Call) -> Any:
    """The same where the first input alone has examples; None if others have the batch axis too."""
    return None if any(call.batched[1:]) else call.split(call.run(merged(call.full(0)), *call.inputs[1:]))


def looped(call: Call) -> Any:
    """The operation for one example after the other: what is done without a rule."""
    op, variadic = call.op, call.op.variadic
    results = []
    # Without examples, one of zeros tells shape and dtype.
    for k in range(max(call.size, 1)):
        inputs = [
            x if not b else x[k] if call.size else _operation("astype")(np.zeros(x.shape[1:]), x.dtype)
            for x, b in zip(call.inputs, call.batched)
        ]
        results.append(run(op, (tuple(inputs),) if variadic else inputs, call.options))
    stack = _operation("stack")
    return stack(results) if call.size else stack(results)[:0]
